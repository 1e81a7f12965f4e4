//! Debug mode reports lost tasks and errors, and no others.
#![allow(clippy::let_underscore_future, reason = "what these tests are about")]

use std::time::Duration;

use crate::support::{Trace, forever, poll_once};
use asyncio_loop::{
    LoopHandle, SpawnOptions, Unhandled, running_loop, set_exception_handler, spawn, spawn_with,
    yield_now,
};

const NEVER_BEGAN: &str = "the handle of a task was dropped before the task began, so it never runs: await it, or detach it";
const FAILED: &str = "a task failed and nobody looked at its error: await it, or detach it";

/// The reports of a run: the message, and the task.
fn reports_in(debug: bool, main: impl AsyncFnOnce()) -> Vec<String> {
    let builder = asyncio_loop::EventLoop::builder();
    let mut event_loop = builder
        .virtual_time(true)
        .debug(debug)
        .slow_step(Duration::MAX) // a panic with its backtrace takes long on a busy machine
        .build_loop()
        .unwrap();
    let trace = Trace::default();
    let noted = trace.clone();
    event_loop.set_exception_handler(move |unhandled: &Unhandled| {
        let task = unhandled.task().expect("each report names a task");
        assert!(
            task.location.file().ends_with("forgotten.rs"),
            "{unhandled}"
        );
        noted.note(format!("{}: {}", task.name, unhandled.message()));
    });
    event_loop.run_until_complete(main()).unwrap();
    drop(event_loop);
    trace.take()
}

/// The reports in debug mode. Without debug mode there must be none.
fn reports(main: impl AsyncFn()) -> Vec<String> {
    assert_eq!(reports_in(false, &main), [""; 0]);
    reports_in(true, main)
}

async fn turns(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

mod a_task {
    use super::*;

    #[test]
    fn that_was_dropped_before_it_began_is_reported() {
        let reports = reports(async || {
            let _ = spawn(async {});
            drop(spawn_with(SpawnOptions::new().name("fetch"), forever()));
            turns(2).await;
        });
        assert_eq!(
            reports,
            [
                format!("Task-2: {NEVER_BEGAN}"),
                format!("fetch: {NEVER_BEGAN}")
            ]
        );
    }

    #[test]
    fn that_began_was_awaited_detached_or_cancelled_is_not() {
        let reports = reports(async || {
            let begun = spawn(forever());
            yield_now().await;
            drop(begun);
            spawn(async {}).await.unwrap();
            spawn(async {}).detach();
            spawn(async { 5 }).discard();
            let cancelled = spawn(async {});
            cancelled.cancel();
            drop(cancelled);
            asyncio_loop::call_soon(|| ()).cancel();
            turns(3).await;
        });
        assert_eq!(reports, [""; 0]);
    }

    #[test]
    fn is_reported_from_when_debug_mode_is_on_until_it_is_off() {
        let reports = reports_in(false, async || {
            running_loop().set_debug(true);
            let _ = spawn(async {});
            running_loop().set_debug(false);
            let _ = spawn(async {});
        });
        assert_eq!(reports, [format!("Task-2: {NEVER_BEGAN}")]);
    }

    #[test]
    fn may_be_reported_to_a_handler_that_does_the_same() {
        let reports = reports_in(true, async || {
            set_exception_handler(|unhandled| {
                if unhandled.task().unwrap().name != "again" {
                    let _ = spawn_with(SpawnOptions::new().name("again"), async {});
                }
            });
            let _ = spawn(async {});
        });
        assert_eq!(reports, [""; 0]);
    }
}

mod an_error {
    use super::*;

    async fn fails() -> Result<(), &'static str> {
        Err("disk full")
    }

    #[test]
    fn that_is_dropped_with_the_handle_is_reported() {
        let reports = reports(async || {
            let task = spawn(fails());
            turns(2).await;
            assert!(task.is_finished());
            drop(task);
        });
        assert_eq!(reports, [format!("Task-2: {FAILED}")]);
    }

    #[test]
    fn of_a_task_whose_handle_was_dropped_before_is_reported() {
        let reports = reports(async || {
            // The task was woken before its handle was dropped, so it is polled once more.
            let task = spawn(async {
                yield_now().await;
                fails().await
            });
            yield_now().await;
            drop(task);
            turns(2).await;
        });
        assert_eq!(reports, [format!("Task-2: {FAILED}")]);
    }

    #[test]
    fn that_was_taken_is_not_and_neither_is_a_value() {
        let reports = reports(async || {
            assert!(spawn(fails()).await.unwrap().is_err());
            let mut task = spawn(fails());
            turns(2).await;
            assert!(task.try_take().unwrap().unwrap().is_err());
            drop(task);
            let task = spawn(async { Ok::<_, String>(1) });
            let text = spawn(async { "text".to_owned() });
            turns(2).await;
            drop((task, text));
            spawn(fails()).discard();
            turns(2).await;
        });
        assert_eq!(reports, [""; 0]);
    }

    #[test]
    fn that_was_read_is_not_unless_it_was_read_too_early() {
        let reports = reports(async || {
            let (mut peeked, mut asked, mut early) =
                (spawn(fails()), spawn(fails()), spawn(fails()));
            assert!(early.peek().is_none() && !early.has_failed());
            turns(2).await;
            assert!(peeked.peek().is_some() && asked.has_failed());
            drop((peeked, asked, early));
        });
        assert_eq!(reports, [format!("Task-4: {FAILED}")]);
    }
}

mod a_thread_future {
    use super::*;

    const LOST: &str =
        "a task is cancelled because its `ThreadFuture` was dropped before it was waited for";
    const FAILED: &str = "a task failed and nobody looked at its error: wait for its `ThreadFuture`, or use `LoopHandle::spawn`";

    fn here() -> LoopHandle {
        running_loop()
    }

    #[test]
    fn that_was_dropped_before_its_task_began_is_reported() {
        let reports = reports(async || {
            let _ = here().run_coroutine_threadsafe(forever).unwrap();
            turns(200).await;
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].ends_with(NEVER_BEGAN), "{reports:?}");
    }

    #[test]
    fn that_was_dropped_while_its_task_was_at_work_is_reported() {
        let reports = reports(async || {
            let answer = here().run_coroutine_threadsafe(forever).unwrap();
            turns(200).await;
            drop(answer);
            turns(200).await;
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].ends_with(LOST), "{reports:?}");
    }

    #[test]
    fn that_was_polled_or_cancelled_is_not() {
        let reports = reports(async || {
            let mut answer = here().run_coroutine_threadsafe(forever).unwrap();
            assert!(poll_once(std::pin::Pin::new(&mut answer)).is_pending());
            turns(200).await;
            drop(answer);
            for begins in [true, false] {
                let answer = here().run_coroutine_threadsafe(forever).unwrap();
                turns(if begins { 200 } else { 0 }).await;
                answer.cancel();
                drop(answer);
                turns(200).await;
            }
        });
        assert_eq!(reports, [""; 0]);
    }

    #[test]
    fn whose_error_nobody_took_is_reported() {
        let reports = reports(async || {
            let fails = || async { Err::<(), _>("disk full") };
            let taken = here().run_coroutine_threadsafe(fails).unwrap();
            assert!(taken.await.unwrap().is_err());
            let dropped = here().run_coroutine_threadsafe(fails).unwrap();
            let fine = here().run_coroutine_threadsafe(|| async { Ok::<_, String>(1) });
            turns(200).await;
            assert!(dropped.is_finished());
            drop((dropped, fine));
        });
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].ends_with(FAILED), "{reports:?}");
    }
}
