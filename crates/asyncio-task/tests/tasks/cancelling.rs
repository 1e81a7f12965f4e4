//! Requests to cancel: first come, first served; never before the first step; never after the end.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_task::{JoinError, Task, TaskState, current_task};
use futures::FutureExt;

use crate::support::{Gate, entered, my_waker, settle, yield_now};

fn is_cancelled<T>(task: Task<T>) -> bool {
    matches!(task.now_or_never(), Some(Err(JoinError::Cancelled(..))))
}

#[test]
fn a_task_that_waits_is_dropped_where_it_waits_without_a_poll() {
    entered(|tasks, trace| {
        let say = trace.clone();
        let dropped = trace.on_drop("dropped");
        let task = tasks.spawn(async move {
            let _dropped = dropped;
            poll_fn(|_| {
                say.note("polled");
                Poll::<()>::Pending
            })
            .await;
        });
        settle(tasks);
        assert!(task.cancel());
        assert!(task.cancel(), "as long as it has not ended");
        settle(tasks);
        assert_eq!(trace.take(), ["polled", "dropped"]);
        assert!(!task.cancel());
        assert!(is_cancelled(task));
    });
}

#[test]
fn a_task_that_was_woken_before_the_request_is_polled_once_more_and_its_value_wins() {
    entered(|tasks, _| {
        let gate = Gate::default();
        let inner = gate.clone();
        let task = tasks.spawn(async move {
            inner.pass().await;
            "made it"
        });
        settle(tasks);
        gate.open();
        assert!(task.cancel(), "a request, not a promise");
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "made it");
    });
}

#[test]
fn a_task_that_was_woken_after_the_request_is_not_polled() {
    entered(|tasks, _| {
        let gate = Gate::default();
        let inner = gate.clone();
        let task = tasks.spawn(async move { inner.pass().await });
        settle(tasks);
        assert!(task.cancel());
        gate.open();
        settle(tasks);
        assert!(is_cancelled(task));
    });
}

#[test]
fn the_last_chance_is_one_poll_and_no_more() {
    entered(|tasks, trace| {
        let gate = Gate::default();
        let (inner, say) = (gate.clone(), trace.clone());
        let task = tasks.spawn(async move {
            inner.pass().await;
            say.note("first await goes on");
            yield_now().await; // waits, and has woken itself: no second chance
            say.note("never");
        });
        settle(tasks);
        gate.open();
        task.cancel();
        task.cancel(); // a second request gives no second chance either
        settle(tasks);
        assert_eq!(trace.take(), ["first await goes on"]);
        assert!(is_cancelled(task));
    });
}

#[test]
fn a_wake_up_that_is_still_in_the_mail_came_before_the_request() {
    entered(|tasks, _| {
        let woken = Rc::new(Cell::new(false));
        let seen = woken.clone();
        let task = tasks.spawn(poll_fn(move |_| match seen.get() {
            true => Poll::Ready("made it"),
            false => Poll::Pending,
        }));
        settle(tasks);
        let waker = task.as_ref().waker();
        woken.set(true);
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(task.cancel());
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "made it");
        tasks.deliver(); // the letter comes late, to a task that is over
        assert!(!tasks.run_one());
    });
}

// Proves rule 6.
#[test]
fn a_task_cancelled_before_its_first_step_never_starts() {
    entered(|tasks, trace| {
        let (say, dropped) = (trace.clone(), trace.on_drop("dropped"));
        let task = tasks.spawn(async move {
            let _dropped = dropped;
            say.note("started");
        });
        task.as_ref().waker().wake();
        assert!(task.cancel());
        settle(tasks);
        assert_eq!(trace.take(), ["dropped"]);
        assert!(is_cancelled(task));
    });
}

#[test]
fn a_dormant_task_that_is_cancelled_ends_without_ever_being_woken() {
    entered(|tasks, _| {
        let options = asyncio_task::SpawnOptions::new().dormant();
        let task = tasks.spawn_with(options, async {});
        assert!(task.cancel());
        settle(tasks);
        assert!(is_cancelled(task));
    });
}

#[test]
fn a_task_that_cancels_itself_ends_at_its_next_wait() {
    entered(|tasks, trace| {
        let say = trace.clone();
        let task = tasks.spawn(async move {
            assert!(current_task().unwrap().cancel());
            say.note("goes on to its next await");
            yield_now().await;
            say.note("never");
        });
        settle(tasks);
        assert_eq!(trace.take(), ["goes on to its next await"]);
        assert!(is_cancelled(task));
    });
}

#[test]
fn a_task_that_cancels_itself_and_returns_has_returned() {
    entered(|tasks, _| {
        let task = tasks.spawn(async {
            assert!(current_task().unwrap().cancel());
            "a value"
        });
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "a value");
    });
}

#[test]
fn a_task_that_drops_its_own_handle_ends_after_this_step() {
    entered(|tasks, trace| {
        let me: Rc<RefCell<Option<Task<()>>>> = Rc::default();
        let (mine, say) = (me.clone(), trace.clone());
        let dropped = trace.on_drop("dropped");
        let task = tasks.spawn(async move {
            let _dropped = dropped;
            drop(mine.take());
            say.note("still here");
            pending::<()>().await;
        });
        me.replace(Some(task));
        settle(tasks);
        assert_eq!(trace.take(), ["still here", "dropped"]);
        assert!(tasks.is_empty());
    });
}

// Proves rule 6.
#[test]
fn cancelling_a_finished_task_does_nothing() {
    entered(|tasks, _| {
        let mut task = tasks.spawn(async { 1 });
        settle(tasks);
        assert!(!task.cancel());
        assert_eq!(task.as_ref().info().state, TaskState::Finished);
        assert_eq!(task.try_take().unwrap().unwrap(), 1);
        assert!(!task.cancel());
    });
}

#[test]
fn a_task_cancelled_from_a_destructor_of_its_own_future_ends_as_it_was_going_to() {
    entered(|tasks, _| {
        let task = tasks.spawn(async {
            let me = current_task().unwrap();
            let _cancels = crate::support::OnDrop::new(move || {
                assert!(me.cancel(), "it has not ended yet");
            });
            "a value"
        });
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "a value");
    });
}

#[test]
fn cancelling_while_the_loop_does_not_run_takes_effect_when_it_does() {
    entered(|tasks, _| {
        let task = tasks.spawn(pending::<()>());
        settle(tasks);
        let elsewhere = asyncio_task::Tasks::new(|| ());
        elsewhere.enter(&(), || assert!(task.cancel()));
        assert!(!tasks.run_one(), "the request is in the mail");
        tasks.deliver();
        settle(tasks);
        assert!(is_cancelled(task));
    });
}

#[test]
fn what_the_future_owns_goes_in_the_order_of_any_drop_and_before_the_joiner_hears() {
    entered(|tasks, trace| {
        let (first, second, say) = (
            trace.on_drop("declared first"),
            trace.on_drop("declared second"),
            trace.clone(),
        );
        let task = tasks.spawn(async move {
            let _first = first;
            let _second = second;
            pending::<()>().await;
        });
        settle(tasks);
        task.cancel();
        tasks
            .spawn(async move {
                assert!(task.await.unwrap_err().is_cancelled());
                say.note("the joiner");
            })
            .detach();
        settle(tasks);
        assert_eq!(
            trace.take(),
            ["declared second", "declared first", "the joiner"]
        );
    });
}

#[test]
fn a_task_that_is_woken_again_and_again_while_it_is_cancelled_still_ends() {
    entered(|tasks, _| {
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let put = wakers.clone();
        let task = tasks.spawn(async move {
            let waker = my_waker().await;
            put.borrow_mut().push(waker);
            loop {
                yield_now().await;
            }
        });
        for _ in 0..3 {
            tasks.run_one();
        }
        task.cancel();
        for _ in 0..3 {
            wakers.borrow()[0].wake_by_ref();
            tasks.run_one();
        }
        assert!(is_cancelled(task));
    });
}
