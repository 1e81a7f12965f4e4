//! `try_finally` however the work ends: a panic is held until the cleanup is over.

mod support;

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{TaskGroup, on_cancel, task_group, timeout, try_finally};
use asyncio_loop::{JoinError, Task, set_exception_handler, sleep, spawn, time, yield_now};
use futures::future::{Either, select};
use std::pin::pin;
use support::{Trace, run};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Work that panics in its second step, and notes when it is dropped.
async fn breaks(trace: &Trace) {
    struct Dropped<'a>(&'a Trace);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.note("the work is gone");
        }
    }
    let _dropped = Dropped(trace);
    yield_now().await;
    panic!("a bug");
}

async fn clean(trace: &Trace) {
    sleep(secs(2)).await;
    trace.note("clean");
}

/// The reports of the loop's exception handler.
fn reports() -> Rc<Cell<usize>> {
    let reports = Rc::new(Cell::new(0));
    let count = reports.clone();
    set_exception_handler(move |_| count.set(count.get() + 1));
    reports
}

async fn message_of<T>(task: Task<T>) -> String {
    match task.await {
        Err(JoinError::Panicked(_, payload)) => payload.message().to_owned(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it has a value"),
    }
}

#[test]
fn the_cleanup_runs_after_the_work_is_gone_and_then_the_panic_goes_on() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let start = time();
        let task = spawn(async move { try_finally(breaks(&noted), clean(&noted)).await });
        assert_eq!(message_of(task).await, "a bug");
        assert_eq!(time() - start, secs(2));
    });
    assert_eq!(seen, ["the work is gone", "clean"]);
}

#[test]
fn a_panic_of_the_cleanup_as_well_is_reported_and_the_first_goes_on() {
    run(async |trace: Trace| {
        let reports = reports();
        let noted = trace.clone();
        let task = spawn(async move {
            try_finally(breaks(&noted), async {
                yield_now().await;
                panic!("another");
            })
            .await;
        });
        assert_eq!(message_of(task).await, "a bug");
        assert_eq!(reports.get(), 1);
    });
}

#[test]
fn a_destructor_of_the_work_that_panics_is_reported() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }
    let seen = run(async |trace| {
        let reports = reports();
        // Part of the future, so it is dropped with that, and not by the panic.
        let work = {
            let (held, mut broken) = (Panics, pin_breaks(&trace));
            std::future::poll_fn(move |cx| {
                let _ = &held;
                broken.as_mut().poll(cx)
            })
        };
        let caught = std::panic::AssertUnwindSafe(try_finally(work, clean(&trace)));
        let payload = futures::FutureExt::catch_unwind(caught).await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a bug"));
        assert_eq!(reports.get(), 1);
    });
    assert_eq!(seen, ["the work is gone", "clean"]);
}

fn pin_breaks(trace: &Trace) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    let trace = trace.clone();
    Box::pin(async move { breaks(&trace).await })
}

#[test]
fn a_request_interrupts_the_cleanup_after_a_panic_and_the_panic_goes_on() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move { try_finally(breaks(&noted), clean(&noted)).await });
        sleep(secs(1)).await;
        task.cancel();
        assert_eq!(message_of(task).await, "a bug");

        // One that asks to hear of it comes to its own end first.
        let noted = trace.clone();
        let task = spawn(async move {
            let cleanup = on_cancel(pending::<()>(), clean(&noted));
            try_finally(breaks(&noted), cleanup).await;
        });
        sleep(secs(1)).await;
        task.cancel();
        assert_eq!(message_of(task).await, "a bug");
    });
    assert_eq!(seen, ["the work is gone", "the work is gone", "clean"]);
}

#[test]
fn a_limit_that_is_due_meanwhile_does_not_hide_the_panic() {
    run(async |trace: Trace| {
        let task = spawn(async move {
            let work = try_finally(breaks(&trace), clean(&trace));
            timeout(secs(1), work).await.unwrap_err();
        });
        assert_eq!(message_of(task).await, "a bug");
    });
}

#[test]
fn a_group_waits_for_the_cleanup_of_a_child_that_panicked() {
    let seen = run(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let group = task_group(async |tg: TaskGroup<'_, ()>| {
                tg.spawn(async {
                    try_finally(breaks(&noted), clean(&noted)).await;
                    Ok(())
                });
                tg.spawn(async {
                    clean(&noted).await;
                    Ok(())
                });
                Ok(())
            });
            group.await.unwrap();
        });
        assert_eq!(message_of(task).await, "a bug");
    });
    assert_eq!(seen, ["the work is gone", "clean", "clean"]);
}

#[test]
fn a_panic_that_is_dropped_with_its_cleanup_is_reported() {
    run(async |trace: Trace| {
        let reports = reports();
        let work = pin!(try_finally(breaks(&trace), pending::<()>()));
        let Either::Right(_) = select(work, pin!(sleep(secs(1)))).await else {
            panic!("it waits for ever");
        };
        // Dropped at the end of this block.
        let reported = reports;
        spawn(async move {
            sleep(secs(1)).await;
            assert_eq!(reported.get(), 1);
        })
        .detach();
    });
}

#[test]
fn without_a_panic_nothing_has_changed() {
    let seen = run(async |trace| {
        assert_eq!(try_finally(ready(5), clean(&trace)).await, 5);
        let limited = timeout(secs(1), try_finally(pending::<()>(), clean(&trace)));
        assert!(limited.await.is_err());
    });
    assert_eq!(seen, ["clean", "clean"]);
}
