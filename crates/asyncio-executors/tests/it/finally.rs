//! `try_finally` however the work ends: a panic is held until the cleanup is over.

use std::cell::Cell;
use std::future::{pending, ready};
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Trace, run};
use asyncio_executors::{
    TaskGroup, catch_cancel, on_cancel, shield, task_group, timeout, try_finally,
};
use asyncio_loop::{JoinError, Task, set_exception_handler, sleep, spawn, time, yield_now};
use futures::FutureExt;
use futures::future::{Either, select};
use std::pin::pin;

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

        // A task that catches the request comes to its own end first.
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
        {
            let work = pin!(try_finally(breaks(&trace), pending::<()>()));
            let Either::Right(_) = select(work, pin!(sleep(secs(1)))).await else {
                panic!("it waits for ever");
            };
            assert_eq!(reports.get(), 0);
        }
        assert_eq!(reports.get(), 1);
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

/// Rules 4 and 7: a panic while a request is open. The request that the work had heard of does not cut the cleanups on
/// the way of the panic, as it does not cut an outer `finally` of Python.
mod with_a_request {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }

    async fn cleanup_panics() {
        on_cancel(pending::<()>(), async {
            sleep(secs(1)).await;
            panic!("a cleanup");
        })
        .await;
    }

    /// Runs work under a limit of a second in two `try_finally`, whose cleanups take two seconds each. The message of
    /// its panic, what was noted, and how many seconds all of it took.
    fn cut_at_1(work: impl Future<Output = ()> + 'static) -> (String, Vec<&'static str>, u64) {
        let outcome = Rc::new(Cell::new(None));
        let ended = outcome.clone();
        let seen = run(async move |trace| {
            let start = time();
            let task = spawn(async move {
                let inner = try_finally(work, clean(&trace));
                timeout(secs(1), try_finally(inner, clean(&trace))).await
            });
            let message = message_of(task).await;
            ended.set(Some((message, (time() - start).as_secs())));
        });
        let (message, took) = outcome.take().expect("it has ended");
        (message, seen, took)
    }

    fn check(work: impl Future<Output = ()> + 'static, message: &str, took: u64) {
        let outcome = cut_at_1(work);
        assert_eq!(outcome, (message.to_owned(), vec!["clean"; 2], took));
    }

    #[test]
    fn of_a_cleanup() {
        check(cleanup_panics(), "a cleanup", 6);
    }

    #[test]
    fn of_a_cleanup_in_a_scope_between() {
        let limited = async {
            let _ = timeout(secs(1000), timeout(secs(1000), cleanup_panics())).await;
        };
        check(limited, "a cleanup", 6);
    }

    #[test]
    fn of_one_branch_while_another_cleans_up() {
        let both = async {
            let other = on_cancel(pending::<()>(), async { sleep(secs(9)).await });
            futures::join!(cleanup_panics(), other);
        };
        check(both, "a cleanup", 6);
    }

    #[test]
    fn of_a_destructor() {
        let work = async {
            let _bomb = Bomb;
            pending::<()>().await;
        };
        check(work, "a destructor", 5);
    }

    #[test]
    fn of_a_shielded_part() {
        let work = async {
            shield(async {
                sleep(secs(2)).await;
                panic!("behind a shield");
            })
            .await;
        };
        check(work, "behind a shield", 6);
    }

    #[test]
    fn of_a_child_or_an_awaited_task() {
        let group = async {
            let group = task_group::<(), (), _>(async |tg: TaskGroup<'_, ()>| {
                tg.spawn(async {
                    cleanup_panics().await;
                    Ok(())
                });
                Ok(())
            });
            let _ = group.await;
        };
        check(group, "a cleanup", 6);
        let awaits = async {
            let panicked = spawn(cleanup_panics()).await.unwrap_err().is_panic();
            panic!("{panicked}");
        };
        check(awaits, "true", 6);
    }

    /// The request comes after the panic, during the first cleanup: that is interrupted, and the outer one is not.
    #[test]
    fn that_comes_in_a_cleanup_after_a_panic() {
        let (message, seen, took) = cut_at_1(async { panic!("a bug") });
        assert_eq!((message.as_str(), seen, took), ("a bug", vec!["clean"], 3));
    }

    /// A second request interrupts the cleanup after a panic, as any other.
    #[test]
    fn that_is_the_second() {
        let seen = run(async |trace| {
            let noted = trace.clone();
            let start = time();
            let task = spawn(async move {
                let inner = try_finally(cleanup_panics(), clean(&noted));
                let inner = timeout(secs(1), inner);
                timeout(secs(3), try_finally(inner, clean(&noted))).await
            });
            assert_eq!(message_of(task).await, "a cleanup");
            assert_eq!(time() - start, secs(5));
        });
        assert_eq!(seen, ["clean"]);
    }

    /// Code that catches the panic without a `try_finally` is cut at its next await, and gets no token.
    #[test]
    fn that_goes_on_where_the_panic_is_caught() {
        run(async |_: Trace| {
            let start = time();
            let work = async {
                let limited = timeout(secs(1000), cleanup_panics());
                let caught = std::panic::AssertUnwindSafe(limited).catch_unwind().await;
                assert!(caught.is_err());
                catch_cancel(sleep(secs(1000))).await.unwrap_err().swallow();
            };
            assert!(timeout(secs(1), work).await.is_err());
            assert_eq!(time() - start, secs(2));
        });
    }
}

/// A scope that came to be in the first poll of what it wraps, which panicked, leaves nothing behind.
#[test]
fn a_first_poll_that_panics_leaves_no_scope() {
    run(async |_: Trace| {
        let scopes = || format!("{:?}", asyncio_loop::running_loop());
        let before = scopes();
        let waits_and_panics = async {
            let waits = catch_cancel(sleep(secs(1)));
            futures::join!(waits, async { panic!("a bug") })
        };
        let caught = std::panic::AssertUnwindSafe(catch_cancel(waits_and_panics)).catch_unwind();
        assert!(caught.await.is_err());
        assert_eq!(scopes(), before);
    });
}
