//! Locks and semaphores at their edges: none, more than there are, more than can be counted.

#[path = "shared/mod.rs"]
mod shared;

use std::rc::Rc;
use std::task::Poll;

use asyncio_sync::{Lock, OwnedLockGuard, RwLock, RwLockWriteGuard, Semaphore};
use futures::{FutureExt, poll};

/// Who asks for no permits waits for nothing, not even behind others.
#[test]
fn no_permits_are_had_at_once() {
    let semaphore = Semaphore::new(0);
    let none = semaphore.acquire_many(0).now_or_never().unwrap();
    assert_eq!(none.count(), 0);
    drop(none);
    let mut waits = std::pin::pin!(semaphore.acquire());
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(semaphore.try_acquire_many(0).is_some());
    assert_eq!((semaphore.available_permits(), semaphore.waiters()), (0, 1));
}

/// Who asks for more than there ever are keeps those behind waiting, and lets them go by giving up.
#[test]
fn more_than_there_ever_are() {
    futures::executor::block_on(async {
        let semaphore = Semaphore::new(2);
        let mut greedy = Box::pin(semaphore.acquire_many(3));
        let mut modest = [Box::pin(semaphore.acquire()), Box::pin(semaphore.acquire())];
        assert!(poll!(greedy.as_mut()).is_pending());
        for modest in &mut modest {
            assert!(poll!(modest.as_mut()).is_pending());
        }
        assert!(semaphore.locked() && semaphore.try_acquire().is_none());
        assert_eq!(semaphore.available_permits(), 2);

        drop(greedy);
        for modest in &mut modest {
            assert!(poll!(modest.as_mut()).is_ready());
        }
    });
}

/// More permits than can be counted are as many as can be counted: no overflow, and nobody waits.
#[test]
fn more_permits_than_can_be_counted() {
    let semaphore = Semaphore::new(1);
    semaphore.add_permits(usize::MAX);
    assert_eq!(semaphore.available_permits(), usize::MAX);
    let all = semaphore.try_acquire_many(usize::MAX).unwrap();
    assert!(semaphore.locked());
    semaphore.add_permits(1);
    drop(all);
    assert_eq!(semaphore.available_permits(), usize::MAX);
}

/// A task that was given its permits and has not run yet is not overtaken by one that waits as well, be it
/// that it has just released. (asyncio's `Semaphore.locked` counts such a task as well.)
mod a_chosen_task_is_not_overtaken {
    use super::*;
    use crate::shared::{TestLoop, Trace};

    #[test]
    fn by_the_one_that_released() {
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
        // `a` leaves its permit to `c`. `b` gives one back too, which is free when it asks again.
        assert_eq!(trace.take(), ["a 1", "b 1", "c 1", "b 2"]);
        assert_eq!((semaphore.available_permits(), semaphore.waiters()), (2, 0));
    }

    #[test]
    fn by_a_stranger() {
        let semaphore = Semaphore::new(0);
        let mut first = Box::pin(semaphore.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        semaphore.add_permits(2);
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.locked());
        drop(
            semaphore
                .try_acquire()
                .expect("this one waits for no turn, and takes nothing of it"),
        );
        let mut second = Box::pin(semaphore.acquire());
        assert!(
            second.as_mut().now_or_never().is_none(),
            "the first one has not run"
        );
        assert_eq!(
            semaphore.available_permits(),
            0,
            "yet it is promised its permit"
        );

        let held = second
            .as_mut()
            .now_or_never()
            .expect("it has had its turn since");
        let held = (held, first.as_mut().now_or_never().unwrap());
        drop(held);
        assert!(!semaphore.locked());
    }

    #[test]
    fn and_passes_on_what_it_was_given() {
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

/// A limit is lowered while it is in use: free permits go at once, the others when they come back.
#[test]
fn a_limit_is_lowered_while_it_is_in_use() {
    let semaphore = Rc::new(Semaphore::new(3));
    let mut held = semaphore.try_acquire_many(2).unwrap();
    assert_eq!(semaphore.forget_permits(2), 1);
    assert_eq!(semaphore.available_permits(), 0);

    assert!(held.split(3).is_none());
    assert_eq!(held.count(), 2, "it is as before");
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

/// A wait that is dropped before its first poll has never been in line.
#[test]
fn a_wait_that_was_never_polled_takes_no_place() {
    let lock = Rc::new(Lock::new(0));
    let guard = Rc::clone(&lock).try_lock_owned();
    let (borrows, owns) = (lock.lock(), Rc::clone(&lock).lock_owned());
    assert_eq!(lock.waiters(), 0);
    drop(guard);
    // Nor does it come before who asks later.
    assert!(lock.try_lock().is_some());
    drop((borrows, owns));
    assert!(!lock.locked());
}

/// A lock in whose guard its last owner is: the guard keeps it alive, and the value is dropped once.
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

/// A writer who goes on as a reader lets in the readers who stand before the next writer, and no more.
#[test]
fn a_writer_goes_on_as_a_reader() {
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
            panic!("it stood in front");
        };
        assert_eq!((*read, *also), (2, 2));
        assert!(lock.try_read().is_none(), "a writer waits");
        assert!(poll!(reads_later.as_mut()).is_pending());
        drop((read, also));
        assert!(lock.has_writer());
        // The writer gives up: who stood behind goes ahead in the same instant.
        drop(writes);
        assert_eq!((lock.has_writer(), lock.readers()), (false, 1));
        assert!(poll!(reads_later.as_mut()).is_ready());
    });
}

/// A panic in whoever holds a lock releases it.
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
