//! Messages, the count of requests, and the delivery of a cancellation.

use std::error::Error;
use std::fmt;

use asyncio::{
    JoinError, SpawnOptions, Task, call_later, cancel_scope, catch_cancel, current_task, sleep,
    spawn, spawn_with, yield_now,
};
use asyncio_tests::{forever, ms, run_virtual, secs};

/// The message is delivered with the cancellation.
#[test]
fn task_cancel_message_getter() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let Err(cancelled) = catch_cancel(forever()).await else {
                unreachable!("it never ends by itself")
            };
            noted.note(cancelled.message().unwrap_or("nothing"));
            cancelled.resume().await
        });
        yield_now().await;
        assert!(task.cancel_with("my message"));
        assert_eq!(task.await.unwrap_err().message(), Some("my message"));
    });
    assert_eq!(seen, ["my message"]);
}

/// The same when the outcome is looked at, not awaited.
#[test]
fn cancel_with_message_then_future_exception() {
    run_virtual(async |_| {
        let mut task: Task<()> = spawn(async {
            spawn(forever()).await.unwrap();
        });
        yield_now().await;
        task.cancel_with("my message");
        while !task.is_finished() {
            yield_now().await;
        }
        let error = task.try_take().unwrap().unwrap_err();
        assert_eq!(error.message(), Some("my message"));
    });
}

/// The message is kept in the chain of an error that is raised from the cancellation.
#[test]
fn cancellation_exception_context() {
    #[derive(Debug)]
    struct NoPage(JoinError);
    impl fmt::Display for NoPage {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("there is no page")
        }
    }
    impl Error for NoPage {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    run_virtual(async |_| {
        let fetch = spawn(forever());
        let cancels = fetch.as_ref();
        call_later(ms(1), move || {
            cancels.cancel_with("shutting down");
        });
        let page = spawn(async { fetch.await.map_err(NoPage) });
        let error = page.await.unwrap().unwrap_err();
        let cause = error.source().unwrap().downcast_ref::<JoinError>().unwrap();
        assert_eq!(cause.message(), Some("shutting down"));
        assert!(cause.to_string().ends_with("was cancelled: shutting down"));
    });
}

/// The stack of a task can be had and printed: there are no frames, but where it was spawned, by whom, and what
/// it is at.
#[test]
fn get_stack() {
    run_virtual(async |_| {
        let task = spawn_with(SpawnOptions::new().name("looked at"), forever());
        yield_now().await;
        let info = task.as_ref().info();
        assert!(info.location.file().ends_with("cancelling.rs"));
        assert_eq!(info.parent, current_task().map(|me| me.id()));
        let text = format!("{info:?}");
        for part in ["looked at", "Waiting", "cancelling.rs"] {
            assert!(text.contains(part), "{text} without {part}");
        }
    });
}

/// When a cancellation is swallowed the count is 0, and a later one works anew; after completion nothing
/// changes it.
#[test]
fn uncancel_basic() {
    run_virtual(async |_| {
        let task = spawn(async {
            let me = current_task().unwrap();
            let Err(cancelled) = catch_cancel(forever()).await else {
                unreachable!("it never ends by itself")
            };
            assert_eq!(me.cancelling(), 1);
            cancelled.swallow();
            assert_eq!(me.cancelling(), 0);
            forever().await;
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        yield_now().await;
        assert_eq!(task.cancelling(), 0);
        assert!(!task.is_finished());
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 1);
        let reference = task.as_ref();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(reference.cancelling(), 0);
        assert!(!reference.cancel());
        assert_eq!(reference.cancelling(), 0);
    });
}

/// A time limit written by hand takes only its own cancellation for one, leaves the count at 0, and what
/// follows is not affected.
#[test]
fn uncancel_structured_blocks() {
    async fn limited(limit: u64, work: u64) -> &'static str {
        let in_time = cancel_scope(async |scope| {
            let timer = call_later(ms(limit), move || scope.cancel());
            sleep(ms(work)).await;
            timer.cancel();
        });
        match in_time.await {
            Some(()) => "in time",
            None => "too late",
        }
    }
    let seen = run_virtual(async |trace| {
        for (limit, work, from_outside) in [(10, 100, false), (100, 10, false), (100, 100, true)] {
            let noted = trace.clone();
            let task = spawn(async move {
                noted.note(limited(limit, work).await);
                assert_eq!(current_task().unwrap().cancelling(), 0);
                sleep(secs(1)).await;
                noted.note("what follows");
            });
            sleep(ms(5)).await;
            if from_outside {
                task.cancel();
            }
            assert_eq!(task.await.is_err(), from_outside);
        }
    });
    assert_eq!(
        seen,
        ["too late", "what follows", "in time", "what follows"]
    );
}

/// A request cannot be withdrawn before the task runs again. It is delivered, and the task goes on after swallowing
/// it.
#[test]
fn uncancel_resets_must_cancel() {
    run_virtual(async |_| {
        let task = spawn(async {
            let me = current_task().unwrap();
            me.cancel();
            assert_eq!(me.cancelling(), 1);
            if let Err(cancelled) = catch_cancel(yield_now()).await {
                cancelled.swallow();
            }
            assert_eq!(me.cancelling(), 0);
            sleep(secs(1)).await;
            "went on"
        });
        assert_eq!(task.await.unwrap(), "went on");
    });
}

/// A task may catch the cancellation and return a value: it is not cancelled, what it awaited is.
#[test]
fn cancel_task_catching() {
    run_virtual(async |trace| {
        let inner = spawn(forever());
        let awaited = inner.as_ref();
        let noted = trace.clone();
        let task = spawn(async move {
            match catch_cancel(inner).await {
                Ok(_) => unreachable!("it is cancelled"),
                Err(cancelled) => {
                    noted.note("catches");
                    cancelled.swallow();
                    42
                }
            }
        });
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 42);
        assert_eq!(awaited.info().state, asyncio::TaskState::Cancelled);
        assert_eq!(trace.take(), ["catches"]);
    });
}

/// A task that cancels itself and then awaits another: that one, and what it waits for, are cancelled too.
#[test]
fn cancel_awaited_task() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let waits_for = noted.on_drop("what the other waits for is gone");
            let nested = spawn(async move {
                let _waits_for = waits_for;
                forever().await;
            });
            yield_now().await;
            current_task().unwrap().cancel();
            let reference = nested.as_ref();
            let outcome = catch_cancel(nested).await;
            assert_eq!(reference.info().state, asyncio::TaskState::Cancelled);
            noted.note(format!("heard: {}", outcome.is_err()));
            drop(outcome);
            forever().await;
        });
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(seen, ["what the other waits for is gone", "heard: true"]);
}

/// Cancelling a task that has already failed returns `false`. Its failure is still reported if it is not read.
#[test]
fn tb_logger_not_called_after_cancel() {
    let reports = run_virtual(async |_| {
        let task: Task<()> = spawn(async { panic!("never looked at") });
        yield_now().await;
        assert!(!task.cancel());
    });
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("never looked at"), "{reports:?}");
}
