//! `LockTests`. A task that ends with the lock held returns the guard.

use std::rc::Rc;

use asyncio_sync::{Lock, OwnedLockGuard};

use crate::shared::{Task, TestLoop};

type Names = Vec<u32>;

fn acquirer(of: &TestLoop, lock: &Rc<Lock<Names>>, name: u32) -> Task<OwnedLockGuard<Names>> {
    let lock = Rc::clone(lock);
    of.spawn(async move {
        let mut guard = lock.lock_owned().await;
        guard.push(name);
        guard
    })
}

/// The `Debug` of a lock shows whether it is locked.
#[test]
fn repr() {
    let lock = Lock::new(());
    assert_eq!(
        format!("{lock:?}"),
        "Lock { locked: false, waiters: 0, .. }"
    );
    let _guard = lock.try_lock();
    assert_eq!(format!("{lock:?}"), "Lock { locked: true, waiters: 0, .. }");
}

/// Three tasks wait for a held lock. Each release admits exactly one task, in order of arrival. A
/// turn without a release admits no task.
#[test]
fn acquire() {
    let of = TestLoop::new();
    let lock = Rc::new(Lock::new(Names::new()));
    let main = Rc::clone(&lock).try_lock_owned();
    let first = acquirer(&of, &lock, 1);
    let second = acquirer(&of, &lock, 2);
    of.tick();
    assert!(!first.done() && !second.done());

    drop(main);
    of.tick();
    assert!(first.done() && !second.done());
    of.tick();
    assert!(!second.done());

    let third = acquirer(&of, &lock, 3);
    drop(first.result());
    of.tick();
    assert!(second.done() && !third.done());

    drop(second.result());
    of.tick();
    assert_eq!(*third.result(), [1, 2, 3]);
}

/// A task that is cancelled while it waits ends and leaves the wait list.
#[test]
fn acquire_cancel() {
    let of = TestLoop::new();
    let lock = Rc::new(Lock::new(Names::new()));
    let _main = Rc::clone(&lock).try_lock_owned();
    let task = acquirer(&of, &lock, 1);
    of.tick();
    assert_eq!(lock.waiters(), 1);
    task.cancel();
    assert_eq!(lock.waiters(), 0);
}

/// The first waiter is cancelled and the lock is released in one turn: exactly one other task gets
/// the lock.
#[test]
fn cancel_release_race() {
    let of = TestLoop::new();
    let lock = Rc::new(Lock::new(Names::new()));
    let main = Rc::clone(&lock).try_lock_owned();
    let tasks = [1, 2, 3].map(|name| acquirer(&of, &lock, name));
    of.tick();

    tasks[0].cancel();
    drop(main);
    of.run();
    assert!(!tasks[0].done() && tasks[1].done() && !tasks[2].done());

    // The other order: the cancelled task has already been granted the lock.
    drop(tasks[1].result());
    tasks[2].cancel();
    of.run();
    assert!(!lock.locked());
}

/// Releasing a lock that is not held does not compile: a guard is moved when it is dropped.
///
/// The crate's page has a `compile_fail` example.
#[test]
fn release_not_acquired() {
    let lock = Lock::new(());
    let guard = lock.try_lock();
    drop(guard);
    assert!(!lock.locked());
    assert!(lock.try_lock().is_some());
}

/// A release without waiters unlocks the lock.
#[test]
fn release_no_waiters() {
    let lock = Lock::new(());
    let guard = lock.try_lock();
    assert!(lock.locked());
    drop(guard);
    assert!(!lock.locked());
}
