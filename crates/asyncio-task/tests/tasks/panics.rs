//! Panics, wherever code of others is called: each ends its task at most, and somebody is told once.

use std::cell::RefCell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_task::{Cause, JoinError, SpawnOptions, Task, Tasks};
use futures::FutureExt;

use crate::support::{Gate, OnDrop, PanicsOnDrop, entered, message_of, my_waker, settle};

fn panicked<T>(outcome: Option<Result<T, JoinError>>) -> String {
    match outcome {
        Some(Err(JoinError::Panicked(name, payload))) => format!("{name}: {payload}"),
        _ => "it did not panic".to_owned(),
    }
}

#[test]
fn a_panic_in_a_poll_goes_to_who_awaits_with_its_payload() {
    entered(|tasks, trace| {
        let dropped = trace.on_drop("the future is dropped all the same");
        let task = tasks.spawn_with(SpawnOptions::new().name("fragile"), async move {
            let _dropped = dropped;
            panic_any(7_u8);
        });
        let other = tasks.spawn(async { "unharmed" });
        settle(tasks);
        assert_eq!(trace.take(), ["the future is dropped all the same"]);
        assert_eq!(other.now_or_never().unwrap().unwrap(), "unharmed");
        let Some(Err(JoinError::Panicked(name, payload))) = task.now_or_never() else {
            panic!("a panic is an error");
        };
        assert_eq!(name, "fragile");
        assert_eq!(payload.message(), "a payload that is no text");
        let resumed = catch_unwind(AssertUnwindSafe(|| payload.resume())).unwrap_err();
        assert_eq!(*resumed.downcast::<u8>().unwrap(), 7);
    });
}

/// A future that returns a value, or panics, and whose destructor panics.
struct Fails<T>(Option<T>);

impl<T: Unpin> Future for Fails<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(self.0.take().expect("the first"))
    }
}

impl<T> Drop for Fails<T> {
    fn drop(&mut self) {
        panic!("the second");
    }
}

// Proves C2, R4.
#[test]
fn a_panic_in_the_destructor_of_a_future_that_returned_is_a_panic_of_the_task() {
    entered(|tasks, trace| {
        let value = Box::pin(trace.on_drop("the value is not lost in the cell"));
        let task = tasks.spawn(Fails(Some(value)));
        settle(tasks);
        assert_eq!(panicked(task.now_or_never()), "Task-1: the second");
        assert_eq!(trace.take(), ["the value is not lost in the cell"]);
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_future_that_panicked_leaves_the_first() {
    entered(|tasks, _| {
        let task = tasks.spawn(Fails::<()>(None));
        settle(tasks);
        assert_eq!(panicked(task.now_or_never()), "Task-1: the first");
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_cancelled_future_is_a_panic_of_the_task() {
    entered(|tasks, trace| {
        let rest = trace.on_drop("what else it owned is dropped");
        let task = tasks.spawn(async move {
            let _rest = rest;
            let _fails = OnDrop::new(|| panic!("while cancelled"));
            pending::<()>().await;
        });
        settle(tasks);
        task.cancel();
        settle(tasks);
        assert_eq!(panicked(task.now_or_never()), "Task-1: while cancelled");
        assert_eq!(trace.take(), ["what else it owned is dropped"]);
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_value_nobody_takes_is_reported() {
    entered(|tasks, trace| {
        let value = || OnDrop::new(|| panic!("a value"));
        // Dropped with the handle.
        let task = tasks.spawn(async move { value() });
        settle(tasks);
        drop(task);
        // Dropped at the end of the task, as the handle went during its last step.
        let slot: Rc<RefCell<Option<Task<_>>>> = Rc::default();
        let mine = slot.clone();
        let task = tasks.spawn(async move {
            drop(mine.take());
            value()
        });
        slot.replace(Some(task));
        settle(tasks);
        // Dropped by the supervisor.
        tasks.spawn(async move { value() }).discard();
        settle(tasks);
        let report = "report: a task panicked and nobody awaits it: a value";
        let all = [1, 2, 3].map(|n| format!("{report} (Task-{n})"));
        assert_eq!(trace.take(), all);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_panic_nobody_awaits_is_reported_once_whenever_the_handle_went() {
    entered(|tasks, trace| {
        let fails = |name: &str| {
            tasks.spawn_with(SpawnOptions::new().name(name), async {
                panic!("on purpose")
            })
        };
        let after = fails("dropped after");
        fails("detached").detach();
        fails("discarded").discard();
        settle(tasks);
        after.detach();
        drop(fails("dropped before"));
        settle(tasks);
        let late = fails("dropped late");
        settle(tasks);
        drop(late);
        let awaited = fails("awaited");
        settle(tasks);
        assert!(awaited.now_or_never().unwrap().is_err());
        let report = "report: a task panicked and nobody awaits it: on purpose";
        let all = ["detached", "discarded", "dropped after", "dropped late"];
        assert_eq!(trace.take(), all.map(|name| format!("{report} ({name})")));
    });
}

#[test]
fn an_exception_handler_that_panics_harms_nobody() {
    let tasks = Tasks::new(|| ());
    tasks.on_unhandled(|_| panic_any(PanicsOnDrop));
    tasks.enter(&(), || {
        tasks.spawn(async { panic!("reported") }).detach();
        let task = tasks.spawn(async { panic!("reported as well") });
        let after = tasks.spawn(async { "unharmed" });
        settle(&tasks);
        drop(task);
        assert_eq!(after.now_or_never().unwrap().unwrap(), "unharmed");
    });
}

#[test]
fn an_exception_handler_may_replace_itself() {
    let tasks = Rc::new(Tasks::new(|| ()));
    let told = Rc::new(RefCell::new(Vec::new()));
    let (weak, first, second) = (Rc::downgrade(&tasks), told.clone(), told.clone());
    tasks.on_unhandled(move |unhandled| {
        first
            .borrow_mut()
            .push(format!("first: {}", unhandled.message()));
        let second = second.clone();
        weak.upgrade().unwrap().on_unhandled(move |unhandled| {
            second
                .borrow_mut()
                .push(format!("second: {}", unhandled.message()));
        });
        assert_eq!(
            first.borrow().len(),
            1,
            "what the first owns is still there"
        );
    });
    tasks.enter(&(), || {
        tasks.spawn(async { Err::<(), _>("no") }).detach();
        tasks.spawn(async { Err::<(), _>("no") }).detach();
        settle(&tasks);
    });
    assert_eq!(
        *told.borrow(),
        [
            "first: a detached task failed",
            "second: a detached task failed"
        ]
    );
}

// Proves R4.
#[test]
fn a_payload_that_panics_when_it_is_dropped_stops_nothing() {
    entered(|tasks, trace| {
        let gate = Gate::default();
        let inner = gate.clone();
        tasks.spawn(async { panic_any(PanicsOnDrop) }).detach();
        tasks
            .spawn(async move {
                let _second = OnDrop::new(|| ());
                inner.pass().await;
                panic_any(PanicsOnDrop)
            })
            .discard();
        let held = tasks.spawn(async { panic_any(PanicsOnDrop) });
        settle(tasks);
        drop(held);
        gate.open();
        settle(tasks);
        assert_eq!(trace.take().len(), 3);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_debug_that_panics_is_reported_and_so_is_a_destructor_after_an_error() {
    struct Odd(bool);
    impl std::fmt::Debug for Odd {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            assert!(self.0, "its Debug");
            f.write_str("Odd")
        }
    }
    impl Drop for Odd {
        fn drop(&mut self) {
            assert!(!self.0, "its destructor");
        }
    }
    entered(|tasks, trace| {
        for odd in [false, true] {
            tasks.spawn(async move { Err::<(), _>(Odd(odd)) }).detach();
        }
        settle(tasks);
        assert_eq!(
            trace.take(),
            [
                "report: a task panicked and nobody awaits it: its Debug (Task-1)",
                "report: a detached task failed: Odd (Task-2)",
                "report: a task panicked and nobody awaits it: its destructor (Task-2)",
            ]
        );
    });
}

#[test]
fn panics_of_many_tasks_at_close_end_all_of_them() {
    let tasks = Tasks::new(|| ());
    let told = Rc::new(RefCell::new(0));
    let count = told.clone();
    tasks.on_unhandled(move |unhandled| {
        assert!(matches!(unhandled.cause(), Cause::Panic(_)));
        *count.borrow_mut() += 1;
    });
    for _ in 0..3 {
        tasks
            .spawn(async {
                let waker = my_waker().await;
                let _fails = OnDrop::new(move || {
                    waker.wake();
                    panic_any(PanicsOnDrop);
                });
                pending::<()>().await;
            })
            .discard();
    }
    tasks.enter(&(), || settle(&tasks));
    drop(tasks);
    assert_eq!(*told.borrow(), 3);
}

#[test]
fn a_loop_dropped_by_a_panic_ends_its_tasks() {
    let ended = Rc::new(RefCell::new(0));
    let count = ended.clone();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let tasks = Tasks::new(|| ());
        tasks
            .spawn(async move {
                let _end = OnDrop::new(move || {
                    *count.borrow_mut() += 1;
                    panic!("a destructor, while another panic unwinds");
                });
                pending::<()>().await;
            })
            .discard();
        tasks.enter(&(), || {
            settle(&tasks);
            panic!("the program");
        });
    }));
    assert_eq!(message_of(&*unwound.unwrap_err()), "the program");
    assert_eq!(*ended.borrow(), 1);
}
