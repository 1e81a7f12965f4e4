//! Closing that waits says for whom; in a test it waits within limits.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{on_cancel, shield};
use asyncio_loop::testing::{Limits, Orders, run_test_within};
use asyncio_loop::{Builder, Cause, EventLoop, SpawnOptions, spawn_with, yield_now};
use futures::channel::mpsc::unbounded;
use futures::{FutureExt, StreamExt};

#[test]
fn it_says_for_whom_after_a_second_and_when_that_has_doubled() {
    for virtual_time in [false, true] {
        let (report, mut reports) = unbounded();
        let waits = Rc::new(RefCell::new(Vec::new()));
        let builder = EventLoop::builder().virtual_time(virtual_time);
        let mut event_loop = builder.build_loop().unwrap();
        let noted = waits.clone();
        event_loop.set_exception_handler(move |unhandled| {
            let Cause::Slow(waited) = *unhandled.cause() else {
                panic!("{unhandled}");
            };
            assert_eq!(
                unhandled.message(),
                "the closing event loop has been waiting for a task to end"
            );
            assert_eq!(unhandled.task().unwrap().name, "slow");
            noted.borrow_mut().push(waited);
            report.unbounded_send(()).unwrap();
        });
        event_loop
            .run_until_complete(async {
                // Its cleanup is over when it has been complained of twice.
                let cleanup = async move { drop((&mut reports).take(2).collect::<Vec<_>>().await) };
                let slow = on_cancel(pending::<()>(), cleanup);
                spawn_with(SpawnOptions::new().name("slow"), slow).detach();
                spawn_with(SpawnOptions::new().name("quick"), pending::<()>()).detach();
                yield_now().await;
            })
            .unwrap();
        event_loop.close();
        let waits = waits.take();
        assert_eq!(waits.len(), 2, "{waits:?}");
        assert!(waits[0] >= Duration::from_secs(1), "{waits:?}");
        assert!(waits[1] >= 2 * waits[0], "{waits:?}");
    }
}

#[test]
fn a_test_whose_closing_does_not_end_fails() {
    let short = Limits::DEFAULT.real(Some(Duration::from_millis(50)));
    for (virtual_time, limits, expected) in [
        (true, Limits::DEFAULT, "no task can run, no timer is set"),
        (false, short, "the test is not over after 50ms"),
    ] {
        let builder = || Builder::default().virtual_time(virtual_time);
        let run = || {
            run_test_within(limits, builder, Orders::AsQueued, || async {
                let stubborn = shield(pending::<()>()).boxed_local();
                spawn_with(SpawnOptions::new().name("stubborn"), stubborn).detach();
                yield_now().await;
            });
        };
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let failure = payload.downcast::<String>().unwrap();
        assert!(failure.starts_with(expected), "{failure}");
        assert!(failure.contains("\n  stubborn (spawned at "), "{failure}");
        assert!(
            failure.contains("was asked to end and waits for something"),
            "{failure}"
        );
    }
}

mod a_circle {
    use super::*;
    use asyncio_executors::{BoxError, Child, TaskGroup, task_group};
    use asyncio_loop::Task;

    /// The message that a test on virtual time fails with.
    fn failure_of<F: Future<Output = ()>>(test: impl Fn() -> F) -> String {
        let builder = || Builder::default().virtual_time(true);
        let run = || run_test_within(Limits::DEFAULT, builder, Orders::AsQueued, &test);
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        *payload.downcast::<String>().unwrap()
    }

    #[test]
    fn of_tasks_is_named() {
        let failure = failure_of(|| async {
            let slots: [Rc<Cell<Option<Task<()>>>>; 3] = Default::default();
            for n in 0..3 {
                let next = slots[(n + 1) % 3].clone();
                let options = SpawnOptions::new().name(["a", "b", "c"][n]);
                let task = spawn_with(options, async move {
                    let next = next.take().unwrap();
                    next.await.unwrap();
                });
                slots[n].set(Some(task));
            }
            pending::<()>().await;
        });
        let circle = "\na circle, in which each waits for the next: a → b → c → a\n";
        assert!(failure.contains(circle), "{failure}");
        assert!(failure.contains("\n  b (spawned at "), "{failure}");
    }

    #[test]
    fn of_children_is_named() {
        let failure = failure_of(|| async {
            let group = task_group(async |tg: TaskGroup<'_>| {
                let slots: [Rc<Cell<Option<Child<'_, ()>>>>; 2] = Default::default();
                for n in 0..2 {
                    let other = slots[1 - n].clone();
                    let child = tg.spawn(async move {
                        let other = other.take().unwrap();
                        other.await.unwrap();
                        Ok::<(), BoxError>(())
                    });
                    slots[n].set(Some(child));
                }
                Ok(())
            });
            group.await.unwrap();
        });
        assert!(failure.contains("  Task-1 (spawned at "), "{failure}");
        assert!(failure.contains("waits for its 2 children"), "{failure}");
        let circle = "each waits for the next: Task-2 → Task-3 → Task-2";
        assert!(failure.contains(circle), "{failure}");
    }

    #[test]
    fn is_not_seen_where_there_is_none() {
        let failure = failure_of(|| async {
            let shared = spawn_with(SpawnOptions::new(), pending::<()>());
            task_group(async |tg: TaskGroup<'_>| {
                tg.spawn(async {
                    shared.await.unwrap();
                    Ok::<(), BoxError>(())
                });
                Ok(())
            })
            .await
            .unwrap();
        });
        assert!(!failure.contains("circle"), "{failure}");
    }
}
