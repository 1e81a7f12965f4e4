//! Time limits, alone and inside of each other. `timeouts.py` has the twins.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio::{
    TimeoutHandle, call_at, catch_cancel, sleep, spawn, time, timeout, timeout_scope, wait_for,
};

use crate::{Note, failing, outcome, secs, worker};

async fn limited<T>(
    note: Note,
    name: impl Display,
    limit: u64,
    work: impl Future<Output = T>,
) -> Option<T> {
    let done = timeout(secs(limit), work).await.ok();
    let words = if done.is_some() { "in time" } else { "over" };
    note.say(format_args!("{name} is {words}"));
    done
}

pub(crate) async fn the_work_is_in_time(note: Note) {
    limited(note.clone(), "limit", 5, worker(note.clone(), "work", 2, 1)).await;
    sleep(secs(9)).await;
    note.say("nothing comes later");
}

pub(crate) async fn the_cleanup_outlasts_the_limit(note: Note) {
    limited(note.clone(), "limit", 1, worker(note, "work", 10, 5)).await;
}

/// Work of ten seconds under two limits.
async fn under_two(note: Note, outer: u64, inner: u64, cleanup: u64) {
    let work = worker(note.clone(), "work", 10, cleanup);
    let within = limited(note.clone(), "inner", inner, work);
    limited(note, "outer", outer, within).await;
}

pub(crate) async fn of_two_the_inner_comes_first(note: Note) {
    under_two(note, 3, 1, 1).await;
}

pub(crate) async fn of_two_the_outer_comes_first(note: Note) {
    under_two(note, 1, 3, 1).await;
}

pub(crate) async fn of_two_at_once_the_outer_reports(note: Note) {
    under_two(note, 1, 1, 1).await;
}

pub(crate) async fn of_three_at_once_the_outermost_reports(note: Note) {
    let work = worker(note.clone(), "work", 10, 0);
    let inner = limited(note.clone(), "inner", 1, work);
    let middle = limited(note.clone(), "middle", 1, inner);
    limited(note, "outer", 1, middle).await;
}

pub(crate) async fn the_outer_comes_while_the_inner_one_cleans_up(note: Note) {
    under_two(note, 2, 1, 5).await;
}

pub(crate) async fn the_inner_comes_while_the_outer_one_cleans_up(note: Note) {
    under_two(note, 1, 2, 5).await;
}

pub(crate) async fn a_limit_of_zero_lets_the_work_begin(note: Note) {
    limited(note.clone(), "limit", 0, worker(note, "work", 10, 1)).await;
}

pub(crate) async fn work_that_swallows_the_limit_has_its_value(note: Note) {
    let stubborn = async {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            note.say("never mind");
            cancelled.swallow();
        }
        "a value"
    };
    let got = limited(note.clone(), "limit", 1, stubborn).await;
    note.say(format_args!("got {}", got.unwrap_or("None")));
}

pub(crate) async fn a_request_from_outside_is_no_timeout(note: Note) {
    let work = worker(note.clone(), "work", 10, 1);
    let task = spawn(limited(note.clone(), "limit", 5, work));
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_request_while_the_limit_cleans_up(note: Note) {
    let work = worker(note.clone(), "work", 10, 5);
    let task = spawn(limited(note.clone(), "limit", 1, work));
    sleep(secs(2)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_limit_around_a_task_waits_for_its_cleanup(note: Note) {
    let mut task = spawn(worker(note.clone(), "task", 10, 2));
    let limited = wait_for(&mut task, secs(1));
    let value = async {
        limited
            .await
            .map(|joined| joined.expect("it returns or is cancelled"))
    };
    outcome(&note, "limited", value).await;
    note.say(format_args!("ended: {}", task.is_finished()));
}

pub(crate) async fn a_value_in_the_cleanup_beats_the_limit(note: Note) {
    let stubborn = async {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            sleep(secs(1)).await;
            cancelled.swallow();
        }
        "a value"
    };
    outcome(&note, "limited", wait_for(stubborn, secs(1))).await;
}

pub(crate) async fn an_error_in_the_cleanup_beats_the_limit(note: Note) {
    let careless = async {
        match catch_cancel(sleep(secs(10))).await {
            Ok(()) => Ok("never".to_owned()),
            Err(cancelled) => {
                let result = failing(note.clone(), "cleanup", 1).await;
                cancelled.swallow();
                result
            }
        }
    };
    let limited = async {
        wait_for(careless, secs(1))
            .await
            .expect("an error is a value")
    };
    outcome(&note, "limited", limited).await;
}

pub(crate) async fn wait_for_something_done_at_the_very_limit(note: Note) {
    let done = Rc::new((Cell::new(false), RefCell::new(Waker::noop().clone())));
    let event = done.clone();
    // Before the limit, in the same turn.
    let _timer = call_at(time() + secs(1), move || {
        event.0.set(true);
        event.1.borrow().wake_by_ref();
    });
    let waits = async {
        let wait = poll_fn(|cx| {
            done.1.replace(cx.waker().clone());
            if done.0.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        match catch_cancel(wait).await {
            Ok(()) => "just in time",
            Err(cancelled) => {
                note.say("too late");
                cancelled.resume().await
            }
        }
    };
    outcome(&note, "limited", wait_for(waits, secs(1))).await;
}

pub(crate) async fn a_limit_that_is_moved(note: Note) {
    let handle = RefCell::new(None);
    let done = timeout_scope(Some(time() + secs(2)), async |limit: TimeoutHandle| {
        handle.replace(Some(limit.clone()));
        sleep(secs(1)).await;
        let moved = limit.reschedule(Some(time() + secs(3)));
        moved.expect("it has not expired");
        worker(note.clone(), "work", 10, 1).await
    });
    if done.await.is_err() {
        let expired = handle.take().is_some_and(|limit| limit.expired());
        note.say(format_args!("over, expired: {expired}"));
    }
}

pub(crate) async fn one_limit_after_the_other(note: Note) {
    for n in 0..3 {
        let work = worker(note.clone(), format!("work {n}"), n, 1);
        limited(note.clone(), format!("limit {n}"), 1, work).await;
    }
}
