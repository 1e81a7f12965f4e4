//! Futures that are leaked while they wait, and futures that are polled after completion.

use std::mem;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, promise};

use crate::{Boxed, boxed, panics, poll};

fn leak_waiting<T>(mut future: Boxed<T>) {
    assert!(poll(&mut future, Waker::noop()).is_pending());
    mem::forget(future);
}

/// A leaked wait does not block the waiters that are released together with it.
#[test]
fn a_leaked_wait_does_not_block_others() {
    let event: &Event = Box::leak(Box::default());
    leak_waiting(boxed(event.wait()));
    let mut behind = boxed(event.wait());
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    event.set();
    assert!(poll(&mut behind, Waker::noop()).is_ready());
    assert_eq!(event.waiters(), 1);

    let condition: &Condition<Lock<()>> = Box::leak(Box::new(Condition::new(Lock::new(()))));
    leak_waiting(boxed(condition.wait(condition.try_lock().unwrap())));
    let mut behind = boxed(condition.wait(condition.try_lock().unwrap()));
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    condition.notify_all(&condition.try_lock().unwrap());
    assert!(poll(&mut behind, Waker::noop()).is_ready());

    let queue: &Queue<u32> = Box::leak(Box::default());
    leak_waiting(boxed(queue.get()));
    let mut behind = boxed(queue.get());
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    queue.shutdown(false);
    assert!(poll(&mut behind, Waker::noop()).is_ready());
}

/// A grant of a leaked wait is lost, as documented, and everything else works.
#[test]
fn a_leaked_wait_keeps_its_grant() {
    let lock: &Lock<u32> = Box::leak(Box::new(Lock::new(0)));
    let guard = lock.try_lock();
    leak_waiting(boxed(lock.lock()));
    drop(guard);
    assert!(lock.locked());
    assert!(lock.try_lock().is_none());

    let semaphore = Rc::new(Semaphore::new(0));
    leak_waiting(boxed(Rc::clone(&semaphore).acquire_owned()));
    semaphore.add_permits(2);
    assert_eq!(semaphore.available_permits(), 1);
    assert!(semaphore.try_acquire().is_some());

    let queue: &Queue<u32> = Box::leak(Box::default());
    leak_waiting(boxed(queue.get()));
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    assert_eq!(queue.qsize(), 1);
    assert_eq!(queue.get_nowait(), Ok(1));

    let barrier: &Barrier = Box::leak(Box::new(Barrier::new(2)));
    leak_waiting(boxed(barrier.wait()));
    assert_eq!(barrier.n_waiting(), 1);
    assert_eq!(
        poll(&mut boxed(barrier.wait()), Waker::noop()),
        Poll::Ready(Ok(1))
    );
}

/// A leaked guard locks forever. The owner of the lock can still access the value.
#[test]
fn a_leaked_guard_locks_forever() {
    let mut lock = Lock::new(1);
    mem::forget(lock.try_lock());
    assert!(lock.try_lock().is_none());
    assert_eq!(*lock.get_mut(), 1);
    assert_eq!(lock.into_inner(), 1);
}

/// A future that is polled after completion panics with a message that says so.
#[test]
fn a_poll_after_completion_panics() {
    let queue: &Queue<u32> = Box::leak(Box::default());
    let mut put = boxed(queue.put(1));
    assert!(poll(&mut put, Waker::noop()).is_ready());
    let mut get = boxed(queue.get());
    assert!(poll(&mut get, Waker::noop()).is_ready());
    let (set, future) = promise::<u32>();
    set.set_result(1).unwrap();
    let mut future = boxed(future);
    assert!(poll(&mut future, Waker::noop()).is_ready());

    let lock: &Lock<u32> = Box::leak(Box::new(Lock::new(0)));
    let mut locks = boxed(lock.lock());
    assert!(poll(&mut locks, Waker::noop()).is_ready());
    let event: &Event = Box::leak(Box::default());
    event.set();
    let mut waits = boxed(event.wait());
    assert!(poll(&mut waits, Waker::noop()).is_ready());

    let again: [&mut dyn FnMut(); 5] = [
        &mut || assert!(poll(&mut locks, Waker::noop()).is_pending()),
        &mut || assert!(poll(&mut waits, Waker::noop()).is_pending()),
        &mut || assert!(poll(&mut put, Waker::noop()).is_pending()),
        &mut || assert!(poll(&mut get, Waker::noop()).is_pending()),
        &mut || assert!(poll(&mut future, Waker::noop()).is_pending()),
    ];
    for poll in again {
        let message = panics(poll).expect("it panics");
        assert!(message.contains("after it had completed"), "{message}");
    }
    assert_eq!((queue.qsize(), queue.unfinished_tasks()), (0, 1));
    assert!(!lock.locked());
}
