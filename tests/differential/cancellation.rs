//! A single task, cancelled at one moment or another. `cancellation.py` has the twins.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio::{catch_cancel, current_task, sleep, spawn, try_finally};

use crate::{Note, failing, outcome, secs, worker};

pub(crate) async fn a_cleanup_is_waited_for(note: Note) {
    let task = spawn(worker(note.clone(), "task", 10, 2));
    sleep(secs(1)).await;
    note.say(format_args!("asked: {}", task.cancel()));
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_second_request_interrupts_a_cleanup(note: Note) {
    let task = spawn(worker(note.clone(), "task", 10, 5));
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn cancelled_before_the_first_step(note: Note) {
    let task = spawn(worker(note.clone(), "task", 10, 1));
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn swallowed_it_goes_on(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say("never mind");
            cancelled.swallow();
        }
        sleep(secs(3)).await;
        "went on"
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn every_request_is_heard_once(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        for request in 0..3 {
            if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
                n.say(format_args!("request {request}"));
                cancelled.swallow();
            }
        }
        "enough"
    });
    for _ in 0..3 {
        sleep(secs(1)).await;
        task.cancel();
    }
    outcome(&note, "task", task).await;
}

pub(crate) async fn two_requests_at_once_are_one(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say("asked");
            cancelled.swallow();
        }
        if let Err(cancelled) = catch_cancel(sleep(secs(1))).await {
            n.say("asked again");
            cancelled.swallow();
        }
        "done"
    });
    sleep(secs(1)).await;
    task.cancel();
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_result_and_a_request_in_one_turn(note: Note) {
    let result = Rc::new((Cell::new(false), Cell::new(Waker::noop().clone())));
    let (n, waited) = (note.clone(), result.clone());
    let task = spawn(async move {
        let wait = poll_fn(|cx| {
            if waited.0.get() {
                return Poll::Ready(());
            }
            waited.1.set(cx.waker().clone());
            Poll::Pending
        });
        match catch_cancel(wait).await {
            Ok(()) => n.say("has the result"),
            Err(cancelled) => {
                n.say("lost the result");
                cancelled.resume().await
            }
        }
        sleep(secs(1)).await;
        n.say("goes on");
    });
    sleep(secs(1)).await;
    result.0.set(true);
    result.1.replace(Waker::noop().clone()).wake();
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_request_to_oneself_takes_the_next_await(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        current_task().expect("this is a task").cancel();
        n.say("still here");
        if let Err(cancelled) = catch_cancel(sleep(secs(1))).await {
            n.say("heard");
            cancelled.resume().await
        }
    });
    outcome(&note, "task", task).await;
}

pub(crate) async fn returning_with_a_request_open(note: Note) {
    let task = spawn(async {
        current_task().expect("this is a task").cancel();
        "a value"
    });
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_finished_task_is_not_cancelled(note: Note) {
    let task = spawn(worker(note.clone(), "task", 1, 1));
    sleep(secs(2)).await;
    note.say(format_args!("asked: {}", task.cancel()));
    outcome(&note, "task", task).await;
}

pub(crate) async fn cleanups_run_from_the_inside_out(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let inner = async {
            if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
                n.say("inner");
                sleep(secs(2)).await;
                n.say("inner is clean");
                cancelled.resume().await
            }
        };
        if let Err(cancelled) = catch_cancel(inner).await {
            n.say("outer");
            sleep(secs(1)).await;
            n.say("outer is clean");
            cancelled.resume().await
        }
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_request_goes_through_to_the_task_that_is_awaited(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let inner = spawn(worker(n.clone(), "inner", 10, 2));
        if let Err(cancelled) = catch_cancel(inner).await {
            n.say("outer hears");
            cancelled.resume().await
        }
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "outer", task).await;
}

pub(crate) async fn an_awaited_task_that_swallows_lets_the_awaiter_go_on(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let stubborn = n.clone();
        let stubborn = spawn(async move {
            if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
                stubborn.say("never mind");
                cancelled.swallow();
            }
            "a value"
        });
        n.say(format_args!("got {}", stubborn.await.expect("it returned")));
        sleep(secs(1)).await;
        "went on"
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "outer", task).await;
}

pub(crate) async fn awaiting_a_task_that_was_cancelled(note: Note) {
    let task = spawn(worker(note.clone(), "task", 10, 1));
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(2)).await;
    note.say("awaits");
    outcome(&note, "task", task).await;
}

/// An error is a value here: the request has to be swallowed for it to come out.
pub(crate) async fn an_error_in_a_cleanup_takes_the_place_of_the_request(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            let result = failing(n, "cleanup", 1).await;
            cancelled.swallow();
            return result;
        }
        Ok("never".to_owned())
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", async { task.await.expect("it returned") }).await;
}

pub(crate) async fn a_cleanup_on_the_normal_path_is_cut_by_a_first_request(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        let cleanup = async {
            n.say("cleans up");
            sleep(secs(5)).await;
            n.say("is clean");
        };
        try_finally(async { n.say("works") }, cleanup).await;
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn cancelled_from_its_own_cleanup(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(cancelled) = catch_cancel(sleep(secs(10))).await {
            n.say("cleans up");
            current_task().expect("this is a task").cancel();
            sleep(secs(1)).await;
            n.say("is clean");
            cancelled.resume().await
        }
    });
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}

pub(crate) async fn a_request_goes_on_after_a_second_was_swallowed_in_its_cleanup(note: Note) {
    let n = note.clone();
    let task = spawn(async move {
        if let Err(first) = catch_cancel(sleep(secs(10))).await {
            n.say("cleans up");
            if let Err(second) = catch_cancel(sleep(secs(5))).await {
                n.say("never mind");
                second.swallow();
            }
            sleep(secs(1)).await;
            n.say("is clean");
            first.resume().await
        }
    });
    sleep(secs(1)).await;
    task.cancel();
    sleep(secs(1)).await;
    task.cancel();
    outcome(&note, "task", task).await;
}
