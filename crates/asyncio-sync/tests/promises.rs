//! Promises, once cells and lazy values.

#[path = "shared/mod.rs"]
mod shared;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use asyncio_sync::{
    AlreadySet, Lazy, OnceCell, PromiseError, SetError, promise, promise_or, set_unretrieved_hook,
};
use shared::{TestLoop, Trace, yield_now};

#[test]
fn a_result_reaches_the_waiting_task() {
    let of = TestLoop::new();
    let (promise, answer) = promise::<u32>();
    let task = of.spawn(async move { answer.await.unwrap() });
    of.tick();
    promise.set_result(7).unwrap();
    assert!(!task.done(), "waking a task does not run it");
    of.tick();
    assert_eq!(task.result(), 7);
}

#[test]
fn a_result_may_be_set_before_the_await() {
    let of = TestLoop::new();
    let (promise, answer) = promise::<u32>();
    promise.set_result(7).unwrap();
    drop(promise);
    let task = of.spawn(answer);
    of.tick();
    assert_eq!(task.result().unwrap(), 7);
}

#[test]
fn a_promise_is_set_once() {
    let (promise, _answer) = promise_or::<u32, &str>();
    promise.set_result(1).unwrap();
    assert_eq!(promise.set_result(2), Err(SetError::AlreadySet(2)));
    assert_eq!(promise.set_error("late"), Err(SetError::AlreadySet("late")));
    assert!(!promise.cancel());
    assert!(promise.done() && !promise.cancelled());
}

#[test]
fn either_side_can_cancel() {
    let of = TestLoop::new();
    let (ours, answer) = promise_or::<u32, ()>();
    assert!(ours.cancel());
    assert_eq!(of.run_until_complete(answer), Err(PromiseError::Cancelled));

    let (theirs, answer) = promise_or::<u32, ()>();
    assert!(answer.cancel() && !answer.cancel());
    assert!(theirs.cancelled());
    assert_eq!(theirs.set_result(1), Err(SetError::Cancelled(1)));
    assert_eq!(of.run_until_complete(answer), Err(PromiseError::Cancelled));
    assert!(theirs.cancelled(), "also after the answer was awaited");
}

#[test]
fn each_clone_of_a_shared_answer_can_cancel_and_look() {
    let of = TestLoop::new();
    let (ours, answer) = promise_or::<u32, ()>();
    let answer = answer.shared();
    let other = answer.clone();
    assert!(!answer.done() && !answer.cancelled() && answer.try_result().is_none());
    assert!(other.cancel() && !answer.cancel());
    assert!(answer.done() && answer.cancelled() && ours.cancelled());
    assert_eq!(of.run_until_complete(answer), Err(PromiseError::Cancelled));

    let (ours, answer) = promise_or::<u32, ()>();
    let answer = answer.shared();
    ours.set_result(1).unwrap();
    assert!(answer.done() && !answer.cancelled() && !answer.cancel());
    assert_eq!(answer.try_result(), Some(Ok(1)));
}

#[test]
fn a_value_of_a_cell_can_be_changed_through_its_owner() {
    let mut cell = OnceCell::new();
    assert_eq!(cell.get_mut(), None::<&mut u32>);
    cell.set(1).unwrap();
    *cell.get_mut().unwrap() += 1;
    assert_eq!(cell.get(), Some(&2));
}

/// Cancelling the waiting task cancels the promise. Setting it returns the value in an error.
#[test]
fn cancelling_the_waiting_task_cancels_the_promise() {
    let of = TestLoop::new();
    let (promise, answer) = promise::<String>();
    let task = of.spawn(answer);
    of.tick();
    task.cancel();
    assert!(promise.cancelled());
    let refused = promise.set_result("too late".to_owned()).unwrap_err();
    assert_eq!(refused.into_inner(), "too late");
}

#[test]
fn a_dropped_promise_is_broken() {
    let of = TestLoop::new();
    let (promise, answer) = promise_or::<u32, ()>();
    let task = of.spawn(answer);
    of.tick();
    drop(promise);
    of.tick();
    let error = task.result().unwrap_err();
    assert_eq!(error, PromiseError::Broken);
}

#[test]
fn an_outcome_can_be_taken_without_waiting() {
    let (promise, mut answer) = promise_or::<u32, ()>();
    assert_eq!(answer.try_result(), None);
    assert!(!answer.done());
    promise.set_result(1).unwrap();
    assert!(answer.done() && !answer.cancelled());
    assert_eq!(answer.try_result(), Some(Ok(1)));
}

/// Many tasks wait: they are woken in order, and share one error.
#[test]
fn many_tasks_share_a_promise() {
    let of = TestLoop::new();
    let (promise, answer) = promise_or::<u32, String>();
    let (answer, trace) = (answer.shared(), Trace::new());
    let tasks = ["first", "second", "third"].map(|name| {
        let (answer, trace) = (answer.clone(), trace.clone());
        of.spawn(async move {
            let outcome = answer.await;
            trace.note(name);
            outcome
        })
    });
    of.tick();
    assert_eq!(answer.waiters(), 3);
    tasks[1].cancel();
    promise.set_error("no").unwrap();
    of.tick();
    assert_eq!(trace.take(), ["first", "third"]);
    match (tasks[0].result(), tasks[2].result()) {
        (Err(PromiseError::Failed(one)), Err(PromiseError::Failed(other))) => {
            assert!(Rc::ptr_eq(&one, &other) && *one == "no");
        }
        outcomes => panic!("{outcomes:?}"),
    }
    // A late clone gets the error as well.
    assert!(answer.try_result().unwrap().is_err());
}

/// The `Debug` of both sides shows the state and the number of waiting tasks.
#[test]
fn debug_shows_the_state_and_the_waiters() {
    fn text(of: impl std::fmt::Debug) -> String {
        let text = format!("{of:?}");
        let end = text.find(", created").or_else(|| text.find(", .."));
        text[..end.expect("the text has more fields")].to_owned()
    }
    let of = TestLoop::new();
    let (promise, answer) = promise_or::<u32, ()>();
    assert_eq!(text(&promise), "Promise { state: \"pending\", waiters: 0");
    assert_eq!(text(&answer), "Answer { state: \"pending\", waiters: 0");
    let task = of.spawn(answer);
    of.tick();
    assert_eq!(text(&promise), "Promise { state: \"pending\", waiters: 1");
    task.cancel();
    assert_eq!(text(&promise), "Promise { state: \"cancelled\", waiters: 0");

    let (promise, answer) = promise_or::<u32, ()>();
    let answer = answer.shared();
    assert_eq!(text(&promise), "Promise { state: \"pending\", waiters: 0");
    let tasks = [(); 2].map(|()| of.spawn(answer.clone()));
    of.tick();
    assert_eq!(text(&promise), "Promise { state: \"pending\", waiters: 2");
    tasks[0].cancel();
    assert_eq!(
        text(&answer),
        "SharedAnswer { state: \"pending\", waiters: 1"
    );
    promise.set_result(1).unwrap();
    // The promise has woken the waiting task, which has not run yet.
    assert_eq!(text(&promise), "Promise { state: \"result\", waiters: 0");
    assert_eq!(
        text(&answer),
        "SharedAnswer { state: \"result\", waiters: 1"
    );
    of.tick();
    assert_eq!(
        text(&answer),
        "SharedAnswer { state: \"result\", waiters: 0"
    );
    drop((tasks, answer));
    assert_eq!(text(&promise), "Promise { state: \"taken\", waiters: 0");
}

/// A future whose outcome was taken cannot be shared.
#[test]
#[should_panic = "after it had completed"]
fn a_taken_outcome_cannot_be_shared() {
    let (promise, mut answer) = promise_or::<u32, ()>();
    promise.set_result(1).unwrap();
    assert_eq!(answer.try_result(), Some(Ok(1)));
    let _shared = answer.shared();
}

/// A future is awaited and then shared: the clones are woken.
#[test]
fn a_future_can_be_shared_after_it_was_awaited() {
    let of = TestLoop::new();
    let (promise, mut answer) = promise_or::<u32, ()>();
    assert!(futures::FutureExt::now_or_never(&mut answer).is_none());
    let answer = answer.shared();
    let tasks = [(); 2].map(|()| of.spawn(answer.clone()));
    of.tick();
    promise.set_result(1).unwrap();
    of.tick();
    assert_eq!(tasks.map(|task| task.result()), [Ok(1), Ok(1)]);
    assert_eq!(answer.try_result(), Some(Ok(1)));
}

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// An error that no task retrieves is reported once, when the last future is dropped.
#[test]
fn an_unretrieved_error_is_reported_once() {
    set_unretrieved_hook(|error| {
        let text = format!("{:?} from line {}", error.error(), error.created().line());
        REPORTS.with_borrow_mut(|reports| reports.push(text));
    });
    let reports = || REPORTS.take();

    let line = line!() + 1;
    let (promise, answer) = promise_or::<u32, &str>();
    promise.set_error("unseen").unwrap();
    drop(promise);
    assert_eq!(reports(), [""; 0]);
    drop(answer);
    assert_eq!(reports(), [format!("\"unseen\" from line {line}")]);

    let (promise, mut answer) = promise_or::<u32, &str>();
    promise.set_error("seen").unwrap();
    assert!(answer.try_result().is_some());
    drop((promise, answer));
    assert_eq!(reports(), [""; 0]);

    // A cancelled promise does not report its error.
    let (promise, answer) = promise_or::<u32, &str>();
    promise.set_error("unwanted").unwrap();
    assert!(!answer.cancel());
    drop((promise, answer));
    assert_eq!(reports(), [""; 0]);

    let (promise, answer) = promise_or::<u32, &str>();
    let (one, other) = (answer.shared(), ());
    let last = one.clone();
    promise.set_error("shared").unwrap();
    drop((one, other));
    assert_eq!(reports(), [""; 0]);
    drop(last);
    assert_eq!(reports().len(), 1);

    // An error that could not be set is returned, and not reported.
    let (promise, answer) = promise_or::<u32, &str>();
    drop(answer);
    assert_eq!(promise.set_error("back"), Err(SetError::Cancelled("back")));
    assert_eq!(reports(), [""; 0]);
}

#[test]
fn an_error_displays_the_error_that_was_set() {
    let (promise, mut answer) = promise::<u32>();
    promise.set_error("the line is dead").unwrap();
    let error = answer.try_result().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the line is dead");
    let boxed: Box<dyn std::error::Error> = Box::new(error);
    assert_eq!(boxed.to_string(), "the line is dead");
    assert_eq!(
        format!("{promise:?}").split(',').next(),
        Some("Promise { state: \"taken\"")
    );
}

/// One task makes the value. The others wait, and then continue in the same turn.
#[test]
fn a_value_is_made_once() {
    let of = TestLoop::new();
    let (cell, made) = (Rc::new(OnceCell::new()), Rc::new(Cell::new(0)));
    let tasks = [1, 2, 3].map(|name| {
        let (cell, made) = (Rc::clone(&cell), Rc::clone(&made));
        of.spawn(async move {
            let make = async || {
                made.set(made.get() + 1);
                yield_now().await;
                name
            };
            *cell.get_or_init(make).await
        })
    });
    of.tick();
    assert_eq!((cell.get(), cell.waiters()), (None, 2));
    of.tick();
    of.tick();
    assert_eq!(tasks.map(|task| task.result()), [1; 3]);
    assert_eq!(made.get(), 1);
    assert_eq!(cell.set(9), Err(AlreadySet(9)));
}

/// The task that makes the value is cancelled, the next task fails, the third succeeds.
#[test]
fn if_a_task_cannot_make_the_value_the_next_task_tries() {
    let of = TestLoop::new();
    let cell = Rc::new(OnceCell::new());
    let task = |outcome: Result<u32, &'static str>| {
        let cell = Rc::clone(&cell);
        of.spawn(async move {
            let make = async || {
                yield_now().await;
                outcome
            };
            cell.get_or_try_init(make).await.copied()
        })
    };
    let (first, second, third) = (task(Ok(1)), task(Err("no")), task(Ok(3)));
    of.tick();
    first.cancel();
    of.run();
    assert_eq!(second.result(), Err("no"));
    assert_eq!(third.result(), Ok(3));
}

/// The task that makes the value panics, and the next waiting task makes it.
#[test]
fn if_making_the_value_panics_the_next_task_tries() {
    let cell = Rc::new(OnceCell::new());
    let make = |outcome: Option<u32>| {
        let cell = Rc::clone(&cell);
        Box::pin(async move {
            let make = async || {
                yield_now().await;
                outcome.expect("no value: panic as part of the test")
            };
            *cell.get_or_init(make).await
        })
    };
    let (mut first, mut second) = (make(None), make(Some(2)));
    let mut poll = |task: usize| {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        [&mut first, &mut second][task].as_mut().poll(&mut cx)
    };
    assert!(poll(0).is_pending() && poll(1).is_pending());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(0)));
    assert!(panicked.is_err());
    assert_eq!(cell.get(), None);
    assert!(poll(1).is_pending(), "the second task makes the value");
    assert_eq!(poll(1), std::task::Poll::Ready(2));
    assert_eq!(cell.waiters(), 0);
}

/// A value is set while a task makes another: all tasks get the value that was set.
#[test]
fn a_value_is_set_while_it_is_made() {
    let of = TestLoop::new();
    let cell = Rc::new(OnceCell::new());
    let tasks = [1, 2].map(|name| {
        let cell = Rc::clone(&cell);
        of.spawn(async move {
            let make = async || {
                yield_now().await;
                name
            };
            *cell.get_or_init(make).await
        })
    });
    of.tick();
    cell.set(9).unwrap();
    of.run();
    assert_eq!(tasks.map(|task| task.result()), [9, 9]);
    let mut cell = Rc::into_inner(cell).unwrap();
    assert_eq!((cell.take(), cell.get()), (Some(9), None));
    assert_eq!(
        *futures::executor::block_on(cell.get_or_init(async || 4)),
        4
    );
}

#[test]
fn a_lazy_value_is_made_again_after_a_cancellation() {
    let of = TestLoop::new();
    let calls = Rc::new(Cell::new(0));
    let lazy = {
        let calls = Rc::clone(&calls);
        Rc::new(Lazy::new(async move || {
            calls.set(calls.get() + 1);
            yield_now().await;
            calls.get()
        }))
    };
    let get = || {
        let lazy = Rc::clone(&lazy);
        of.spawn(async move { *lazy.get().await })
    };
    let (first, second) = (get(), get());
    of.tick();
    first.cancel();
    of.run();
    assert_eq!(second.result(), 2);
    assert_eq!(lazy.get_nowait(), Some(&2));
    assert_eq!(of.run_until_complete(async move { *lazy.get().await }), 2);
}
