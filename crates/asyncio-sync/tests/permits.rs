//! Edge cases of locks and semaphores: no permits, more than exist, more than a `usize` can count.

#[path = "shared/mod.rs"]
mod shared;

use std::rc::Rc;
use std::task::Poll;

use asyncio_sync::{Lock, OwnedLockGuard, RwLock, RwLockWriteGuard, Semaphore};
use futures::{FutureExt, poll};

/// A request for no permits never waits, not even behind other tasks.
#[test]
fn a_request_for_no_permits_never_waits() {
    let semaphore = Semaphore::new(0);
    let none = semaphore.acquire_many(0).now_or_never().unwrap();
    assert_eq!(none.count(), 0);
    drop(none);
    let mut waits = std::pin::pin!(semaphore.acquire());
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(semaphore.try_acquire_many(0).is_some());
    assert_eq!((semaphore.available_permits(), semaphore.waiters()), (0, 1));
}

/// A request for more permits than exist blocks the requests behind it until it is cancelled.
#[test]
fn a_request_for_more_permits_than_exist_blocks_the_list() {
    futures::executor::block_on(async {
        let semaphore = Semaphore::new(2);
        let mut large = Box::pin(semaphore.acquire_many(3));
        let mut small = [Box::pin(semaphore.acquire()), Box::pin(semaphore.acquire())];
        assert!(poll!(large.as_mut()).is_pending());
        for small in &mut small {
            assert!(poll!(small.as_mut()).is_pending());
        }
        assert!(semaphore.locked() && semaphore.try_acquire().is_none());
        assert_eq!(semaphore.available_permits(), 2);

        drop(large);
        for small in &mut small {
            assert!(poll!(small.as_mut()).is_ready());
        }
    });
}

/// The number of permits saturates at `usize::MAX`.
#[test]
fn the_number_of_permits_saturates() {
    let semaphore = Semaphore::new(1);
    semaphore.add_permits(usize::MAX);
    assert_eq!(semaphore.available_permits(), usize::MAX);
    let all = semaphore.try_acquire_many(usize::MAX).unwrap();
    assert!(semaphore.locked());
    semaphore.add_permits(1);
    drop(all);
    assert_eq!(semaphore.available_permits(), usize::MAX);
}

/// A task that was granted permits and has not run since is not overtaken, not even by the task
/// that released the permits. (asyncio's `Semaphore.locked` counts such a task as well.)
mod a_granted_task_is_not_overtaken {
    use super::*;
    use crate::shared::{TestLoop, Trace};

    #[test]
    fn by_the_releasing_task() {
        let (test_loop, trace) = (TestLoop::new(), Trace::new());
        let semaphore = Rc::new(Semaphore::new(2));
        let work = async |semaphore: Rc<Semaphore>, name: &str, trace: Trace, rounds: u32| {
            for round in 1..=rounds {
                let permit = semaphore.acquire().await;
                trace.note(format_args!("{name} {round}"));
                crate::shared::yield_now().await;
                drop(permit);
            }
        };
        for (name, rounds) in [("a", 1), ("b", 2), ("c", 1)] {
            test_loop.spawn(work(semaphore.clone(), name, trace.clone(), rounds));
        }
        test_loop.run();
        // `a` passes its permit to `c`. `b` releases a permit too, which is free when `b` acquires
        // again.
        assert_eq!(trace.take(), ["a 1", "b 1", "c 1", "b 2"]);
        assert_eq!((semaphore.available_permits(), semaphore.waiters()), (2, 0));
    }

    #[test]
    fn by_a_new_task() {
        let semaphore = Semaphore::new(0);
        let mut first = Box::pin(semaphore.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        semaphore.add_permits(2);
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.locked());
        drop(
            semaphore
                .try_acquire()
                .expect("`try_acquire` does not wait for a granted task"),
        );
        let mut second = Box::pin(semaphore.acquire());
        assert!(
            second.as_mut().now_or_never().is_none(),
            "the first task has not run"
        );
        assert_eq!(
            semaphore.available_permits(),
            0,
            "the second task was granted the free permit"
        );

        let held = second
            .as_mut()
            .now_or_never()
            .expect("the second task was granted its permit");
        let held = (held, first.as_mut().now_or_never().unwrap());
        drop(held);
        assert!(!semaphore.locked());
    }

    #[test]
    fn and_passes_its_permits_on_when_dropped() {
        let semaphore = Semaphore::new(0);
        let mut first = Box::pin(semaphore.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        semaphore.add_permits(2);
        let mut second = Box::pin(semaphore.acquire());
        assert!(second.as_mut().now_or_never().is_none());
        drop(second);
        assert_eq!((semaphore.available_permits(), semaphore.waiters()), (1, 1));
        drop(first);
        assert_eq!((semaphore.available_permits(), semaphore.waiters()), (2, 0));
        assert!(semaphore.try_acquire_many(2).is_some());
    }

    #[test]
    fn by_a_reader() {
        let lock = RwLock::new(0);
        let write = lock.try_write().unwrap();
        let mut first = Box::pin(lock.read());
        assert!(first.as_mut().now_or_never().is_none());
        drop(write);
        assert_eq!((lock.readers(), lock.waiters()), (1, 1));
        let mut second = Box::pin(lock.read());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!((lock.readers(), lock.waiters()), (2, 2));
        let first = first.as_mut().now_or_never().unwrap();
        let second = second.as_mut().now_or_never().unwrap();
        assert!(lock.try_read().is_some());
        drop((first, second));
        assert_eq!((lock.readers(), lock.waiters()), (0, 0));
    }
}

/// A limit is lowered while permits are in use: free permits are removed at once, the others later.
#[test]
fn a_limit_is_lowered_while_it_is_in_use() {
    let semaphore = Rc::new(Semaphore::new(3));
    let mut held = semaphore.try_acquire_many(2).unwrap();
    assert_eq!(semaphore.forget_permits(2), 1);
    assert_eq!(semaphore.available_permits(), 0);

    assert!(held.split(3).is_none());
    assert_eq!(held.count(), 2, "a failed split changes nothing");
    held.split(1).unwrap().forget();
    drop(held);
    assert_eq!(semaphore.available_permits(), 1);

    let mut owned = Rc::clone(&semaphore).try_acquire_many_owned(1).unwrap();
    let split = owned.split(1).unwrap();
    assert_eq!((owned.count(), split.count()), (0, 1));
    drop(owned);
    assert!(semaphore.locked());
    split.forget();
    assert_eq!(Rc::into_inner(semaphore).unwrap().available_permits(), 0);
}

/// A wait that was never polled is not in the wait list.
#[test]
fn a_wait_that_was_never_polled_is_not_listed() {
    let lock = Rc::new(Lock::new(0));
    let guard = Rc::clone(&lock).try_lock_owned();
    let (borrows, owns) = (lock.lock(), Rc::clone(&lock).lock_owned());
    assert_eq!(lock.waiters(), 0);
    drop(guard);
    // Nor does it come before a later request.
    assert!(lock.try_lock().is_some());
    drop((borrows, owns));
    assert!(!lock.locked());
}

/// An owned guard may hold the last `Rc` of its lock. Then the value is dropped once.
#[test]
fn an_owned_guard_may_be_the_last_owner() {
    let value = Rc::new(());
    let lock = Rc::new(Lock::new(Rc::clone(&value)));
    let guard = lock.try_lock_owned().unwrap();
    assert!(OwnedLockGuard::lock_of(&guard).locked());
    assert_eq!(Rc::strong_count(&value), 2);
    drop(guard);
    assert_eq!(Rc::strong_count(&value), 1);
}

/// A downgrade grants the readers before the next waiting writer, and no later readers.
#[test]
fn a_downgrade_grants_the_next_readers() {
    futures::executor::block_on(async {
        let lock = RwLock::new(1);
        let mut write = lock.try_write().unwrap();
        let mut reads = Box::pin(lock.read());
        let mut writes = Box::pin(lock.write());
        let mut reads_later = Box::pin(lock.read());
        assert!(poll!(reads.as_mut()).is_pending());
        assert!(poll!(writes.as_mut()).is_pending());
        assert!(poll!(reads_later.as_mut()).is_pending());
        *write = 2;

        let read = RwLockWriteGuard::downgrade(write);
        assert_eq!((lock.has_writer(), lock.readers()), (false, 2));
        let Poll::Ready(also) = poll!(reads.as_mut()) else {
            panic!("the first reader is before the writer");
        };
        assert_eq!((*read, *also), (2, 2));
        assert!(lock.try_read().is_none(), "a writer waits");
        assert!(poll!(reads_later.as_mut()).is_pending());
        drop((read, also));
        assert!(lock.has_writer());
        // The writer is cancelled: the reader behind it is granted at once.
        drop(writes);
        assert_eq!((lock.has_writer(), lock.readers()), (false, 1));
        assert!(poll!(reads_later.as_mut()).is_ready());
    });
}

/// A panic of the task that holds a lock releases the lock.
#[test]
fn a_panic_releases_a_lock() {
    let lock = Lock::new(1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = lock.try_lock();
        panic!("while it is held");
    }));
    assert!(panicked.is_err());
    assert_eq!(lock.try_lock().as_deref(), Some(&1));
}
