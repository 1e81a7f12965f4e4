//! The other direction: what of ours runs in tasks of tokio's, without a loop of ours.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{catch_cancel, gather, shield, task_group, timeout, try_gather};
use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, promise};
use asyncio_testkit::{Trace, ms};
use tokio::runtime::LocalRuntime;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// Runs a test in a `LocalRuntime`, and again in a `LocalSet`.
fn in_both(body: impl AsyncFn()) {
    LocalRuntime::new().unwrap().block_on(body());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, body());
}

/// The panic of a task of tokio's.
async fn panic_of(task: JoinHandle<()>) -> String {
    let payload = task.await.unwrap_err().into_panic();
    let message = payload.downcast_ref::<String>().cloned();
    message.unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

mod synchronisation {
    use super::*;

    #[test]
    fn a_lock_is_granted_in_order() {
        in_both(async || {
            let trace = Trace::default();
            let lock = Rc::new(Lock::new(()));
            let held = lock.lock().await;
            let waiting = ["first", "second", "third"].map(|name| {
                let (trace, lock) = (trace.clone(), lock.clone());
                spawn_local(async move {
                    let _held = lock.lock().await;
                    tokio::task::yield_now().await;
                    trace.note(name);
                })
            });
            tokio::task::yield_now().await;
            drop(held);
            for task in waiting {
                task.await.unwrap();
            }
            assert_eq!(trace.take(), ["first", "second", "third"]);
        });
    }

    #[test]
    fn a_waiter_that_tokio_drops_passes_its_turn_on() {
        in_both(async || {
            let places = Rc::new(Semaphore::new(1));
            let held = places.acquire().await;
            let cut = tokio::time::timeout(ms(1), places.acquire()).await;
            assert!(cut.is_err());
            let next = spawn_local({
                let places = places.clone();
                async move { drop(places.acquire().await) }
            });
            tokio::task::yield_now().await;
            drop(held);
            next.await.unwrap();
        });
    }

    #[test]
    fn a_queue_is_bounded_and_ends() {
        in_both(async || {
            let queue = Rc::new(Queue::new(2));
            let producer = spawn_local({
                let queue = queue.clone();
                async move {
                    for n in 0..10 {
                        queue.put(n).await.unwrap();
                    }
                    queue.shutdown(false);
                }
            });
            let mut sum = 0;
            while let Ok(n) = queue.get().await {
                assert!(queue.qsize() <= 2);
                sum += n;
            }
            producer.await.unwrap();
            assert_eq!(sum, 45);
        });
    }

    #[test]
    fn events_barriers_and_promises() {
        in_both(async || {
            let event = Rc::new(Event::new());
            let barrier = Rc::new(Barrier::new(2));
            let (set, got) = promise();
            let other = spawn_local({
                let (event, barrier) = (event.clone(), barrier.clone());
                async move {
                    event.wait().await;
                    barrier.wait().await.unwrap();
                    set.set_result(7).unwrap();
                }
            });
            event.set();
            barrier.wait().await.unwrap();
            assert_eq!(got.await.unwrap(), 7);
            other.await.unwrap();
        });
    }

    #[test]
    fn a_condition_wakes_its_waiters() {
        in_both(async || {
            let condition = Rc::new(Condition::new(Lock::new(0)));
            let waiter = spawn_local({
                let condition = condition.clone();
                async move {
                    let mut held = condition.lock().await;
                    while *held == 0 {
                        held = condition.wait(held).await;
                    }
                    *held
                }
            });
            tokio::task::yield_now().await;
            let mut held = condition.lock().await;
            *held = 5;
            condition.notify(&held, 1);
            drop(held);
            assert_eq!(waiter.await.unwrap(), 5);
        });
    }
}

mod scopes {
    use super::*;

    #[test]
    fn catch_cancel_and_shield_pass_through() {
        in_both(async || {
            let task = spawn_local(async {
                let caught = catch_cancel(async {
                    tokio::task::yield_now().await;
                    1
                });
                let kept = shield(async {
                    tokio::task::yield_now().await;
                    2
                });
                caught.await.is_ok_and(|n| n == 1) && kept.await == 2
            });
            assert!(task.await.unwrap());
        });
    }

    /// They need a task of ours, and say so.
    #[test]
    fn limits_and_groups_need_a_loop_of_ours() {
        in_both(async || {
            let limit = spawn_local(async {
                let _ = timeout(Duration::from_secs(1), tokio::task::yield_now()).await;
            });
            let group = spawn_local(async {
                let _ = task_group::<(), asyncio_executors::BoxError, _>(async |_| Ok(())).await;
            });
            let gathered = spawn_local(async { _ = gather([tokio::task::yield_now()]).await });
            let tried = spawn_local(async {
                let _ = try_gather([async { Ok::<u8, ()>(1) }]).await;
            });
            for task in [limit, group, gathered, tried] {
                let panic = panic_of(task).await;
                assert!(
                    panic.contains("event loop") || panic.contains("task"),
                    "{panic}"
                );
            }
        });
    }

    /// The whole of it, in the same runtime: a guest.
    #[test]
    fn a_guest_has_all_of_them() {
        in_both(async || {
            let count = Rc::new(Cell::new(0));
            let counted = count.clone();
            let guest = asyncio_tokio::Guest::new(async move {
                gather([1, 2, 3].map(|n| {
                    let counted = counted.clone();
                    async move { counted.set(counted.get() + n) }
                }))
                .await;
            });
            spawn_local(guest.unwrap()).await.unwrap().unwrap();
            assert_eq!(count.get(), 6);
        });
    }
}
