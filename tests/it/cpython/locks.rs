//! The behaviour that `test_locks.py` observes of cancelled waits for a condition, where code catches the
//! cancellation. The rest is in `asyncio-sync`, which needs no loop and knows of no catching.
//!
//! asyncio's wait takes the lock again before the cancellation goes on, so that `async with` can let
//! go of it. Ours has given its guard away and holds nothing; code that wants the lock once more
//! takes it, and cancelled a first time can wait for that.

/// `asyncio.Condition`.
mod condition_tests {
    use std::rc::Rc;

    use asyncio::sync::{Condition, Lock};
    use asyncio::{JoinError, Task, TimedOut, catch_cancel, spawn, time, timeout, yield_now};
    use asyncio_tests::{Trace, ms, run_virtual};

    type Shared = Rc<Condition<Lock<u32>>>;

    fn condition() -> Shared {
        Rc::new(Condition::new(Lock::new(0)))
    }

    /// Waits, and if that is cancelled takes the lock once more before it goes on to be cancelled.
    fn waits_and_takes_the_lock(condition: &Shared, trace: &Trace) -> Task<()> {
        let (condition, trace) = (Rc::clone(condition), trace.clone());
        spawn(async move {
            let guard = condition.lock().await;
            trace.note("waits");
            let Err(request) = catch_cancel(condition.wait(guard)).await else {
                return trace.note("notified");
            };
            trace.note(request.message().unwrap_or("cancelled").to_owned());
            let _guard = condition.lock().await;
            trace.note("has the lock");
            request.resume().await;
        })
    }

    fn was_cancelled(outcome: &Result<(), JoinError>) -> bool {
        matches!(outcome, Err(JoinError::Cancelled(..)))
    }

    /// A request that comes after the notification, while the task waits for the lock again, is not
    /// lost: the task ends cancelled once it has had the lock, and the lock is free then.
    #[test]
    fn wait_cancel_after_notify() {
        run_virtual(async |trace| {
            let condition = condition();
            let task = waits_and_takes_the_lock(&condition, trace);
            yield_now().await;

            let guard = condition.try_lock().unwrap();
            condition.notify(&guard, 1);
            yield_now().await; // it has been woken, and waits for the lock
            task.cancel();
            yield_now().await;
            yield_now().await;
            assert_eq!(trace.take(), ["waits", "cancelled"]);
            assert!(!task.is_finished(), "the lock is held");

            drop(guard);
            assert!(was_cancelled(&task.await));
            assert_eq!(trace.take(), ["has the lock"]);
            assert!(!condition.locked());
            assert_eq!(condition.waiters(), 0);
        });
    }

    /// A wait that takes too long ends with the time limit's own error, and the code around goes on:
    /// with the lock if it wants it, which is free after that.
    #[test]
    fn timeout_in_block() {
        run_virtual(async |_| {
            let condition = condition();
            let start = time();
            let task = {
                let condition = Rc::clone(&condition);
                spawn(async move {
                    let guard = condition.lock().await;
                    let waited = timeout(ms(500), condition.wait(guard)).await;
                    assert!(matches!(waited, Err(TimedOut)));
                    let mut guard = condition.try_lock().expect("the wait has let go of it");
                    *guard += 1;
                    *guard
                })
            };
            assert_eq!(task.await.unwrap(), 1);
            assert_eq!(time() - start, ms(500));
            assert!(!condition.locked());
            assert_eq!(condition.waiters(), 0);
        });
    }

    /// A request that comes while the task waits for a notification reaches the enclosing code with its message,
    /// although another task holds the lock.
    #[test]
    fn cancelled_error_wakeup() {
        run_virtual(async |trace| {
            let condition = condition();
            let task = waits_and_takes_the_lock(&condition, trace);
            yield_now().await;

            let guard = condition.try_lock().unwrap();
            task.cancel_with("because I said so");
            yield_now().await;
            assert_eq!(trace.take(), ["waits", "because I said so"]);
            assert_eq!(condition.waiters(), 0);

            drop(guard);
            assert!(was_cancelled(&task.await));
            assert_eq!(trace.take(), ["has the lock"]);
            assert!(!condition.locked());
        });
    }

    /// So does one that comes while the task waits for the lock again; a notification that it had, and
    /// has not used, is another one's.
    #[test]
    fn cancelled_error_re_aquire() {
        run_virtual(async |trace| {
            let condition = condition();
            let task = waits_and_takes_the_lock(&condition, trace);
            yield_now().await;
            let next = waits_and_takes_the_lock(&condition, trace);
            yield_now().await;

            let guard = condition.try_lock().unwrap();
            condition.notify(&guard, 1);
            yield_now().await;
            task.cancel_with("because I said so");
            yield_now().await;
            assert_eq!(trace.take(), ["waits", "waits", "because I said so"]);
            yield_now().await; // the next one has been woken, and stands behind it for the lock

            drop(guard);
            assert!(was_cancelled(&task.await));
            assert!(next.await.is_ok());
            assert_eq!(trace.take(), ["has the lock", "notified"]);
            assert!(!condition.locked());
        });
    }
}
