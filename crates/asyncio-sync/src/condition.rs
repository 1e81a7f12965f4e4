//! The condition variable: tasks wait, with a lock released, for a change of the lock's value.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use asyncio_console::ResourceKind;

use crate::budget;
use crate::lock::{Lock, LockGuard};
use crate::wait_list::WaiterState;
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("Condition", "wait");

/// A condition variable: a task that holds a [`Lock`] waits until the lock's value changes.
///
/// This is asyncio's `Condition`. A condition is made over a lock. It can own the lock
/// (`Condition::new(Lock::new(value))`, [`lock`](Self::lock)) or share it, as `&Lock` or
/// `Rc<Lock>`. Several conditions can share one lock, one for each state to wait for.
///
/// [`wait`](Self::wait) takes the guard and returns it, so the task holds the lock afterwards. Between
/// the notification and that moment other tasks may have held the lock, and spurious wake-ups are
/// allowed. So check the value again, or use [`wait_for`](Self::wait_for).
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{Condition, Lock};
///
/// # futures::executor::block_on(async {
/// // The number of cups on a tray that has room for two.
/// let tray = Lock::new(0);
/// let room = Condition::new(&tray);
/// let cups = Condition::new(&tray);
///
/// let kitchen = async {
///     for _ in 0..5 {
///         let mut on_tray = room.wait_for(tray.lock().await, |&mut n| n < 2).await;
///         *on_tray += 1;
///         cups.notify(&on_tray, 1);
///     }
/// };
/// let waiter = async {
///     for _ in 0..5 {
///         let mut on_tray = cups.wait_for(tray.lock().await, |&mut n| n > 0).await;
///         *on_tray -= 1;
///         room.notify(&on_tray, 1);
///     }
/// };
/// futures::join!(kitchen, waiter);
/// assert_eq!(*tray.lock().await, 0);
/// # });
/// ```
///
/// # Cancellation
///
/// A cancelled wait has released the lock and does not take it again: the wait owns the guard, so
/// the caller has none. (In asyncio a cancelled wait takes the lock again first, however long that
/// takes.) If the cancelled task was already notified, its notification goes to the next waiter at
/// once.
pub struct Condition<L> {
    lock: L,
    waiters: WaitQueue,
}

/// A lock for a [`Condition`]: a `Lock<T>`, `&Lock<T>` or `Rc<Lock<T>>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a lock",
    label = "not a lock",
    note = "a `Condition` is over a lock: `Condition<Lock<T>>`, made by `Condition::new(Lock::new(value))`"
)]
pub trait OverLock: sealed::Sealed {
    /// The type of the lock's value.
    type Value;

    /// The lock.
    fn get(&self) -> &Lock<Self::Value>;
}

impl<T> OverLock for Lock<T> {
    type Value = T;

    fn get(&self) -> &Lock<T> {
        self
    }
}

impl<T> OverLock for &Lock<T> {
    type Value = T;

    fn get(&self) -> &Lock<T> {
        self
    }
}

impl<T> OverLock for Rc<Lock<T>> {
    type Value = T;

    fn get(&self) -> &Lock<T> {
        self
    }
}

mod sealed {
    use super::{Lock, Rc};

    pub trait Sealed {}

    impl<T> Sealed for Lock<T> {}
    impl<T> Sealed for &Lock<T> {}
    impl<T> Sealed for Rc<Lock<T>> {}
}

impl<L: OverLock> Condition<L> {
    /// Creates a condition over `lock`.
    #[track_caller]
    pub const fn new(lock: L) -> Self {
        Self {
            lock,
            waiters: WaitQueue::new(KIND),
        }
    }

    /// Waits for the lock, as [`Lock::lock`] does.
    #[doc(alias = "acquire")]
    pub async fn lock(&self) -> LockGuard<'_, L::Value> {
        self.lock.get().lock().await
    }

    /// Takes the lock if it is free and no task waits for it.
    pub fn try_lock(&self) -> Option<LockGuard<'_, L::Value>> {
        self.lock.get().try_lock()
    }

    /// Whether the lock is held.
    pub fn locked(&self) -> bool {
        self.lock.get().locked()
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    ///
    /// The task waits before the lock is released, so it misses no notification.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock.
    pub async fn wait<'a>(&self, guard: LockGuard<'a, L::Value>) -> LockGuard<'a, L::Value> {
        let lock = self.check_guard(&guard);
        let mut waiter = Waiter {
            waiters: &self.waiters,
            state: WaiterState::New,
            used: false,
        };
        let mut guard = Some(guard);
        poll_fn(|cx| {
            let waiting = waiter.waiters.poll(&mut waiter.state, cx, (), || false);
            // The task is in the wait list, so the next holder of the lock can notify it.
            drop(guard.take());
            waiting.map(|_grant| ())
        })
        .await;
        let again = lock.lock().await;
        waiter.used = true;
        again
    }

    /// Waits until `predicate` returns `true` for the value.
    ///
    /// `predicate` is called with the lock held, at first and after each notification. The lock
    /// stays held from the last call until the guard is returned. If the first call returns `true`,
    /// the lock is not released.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock, or if `predicate` panics. Then the lock is released.
    pub async fn wait_for<'a>(
        &self,
        mut guard: LockGuard<'a, L::Value>,
        mut predicate: impl FnMut(&mut L::Value) -> bool,
    ) -> LockGuard<'a, L::Value> {
        self.check_guard(&guard);
        budget::spend().await;
        while !predicate(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Notifies the first `count` waiters, or all if there are fewer.
    ///
    /// They continue when they have the lock, so not before the caller has released it. The guard
    /// proves that the caller holds the lock.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock.
    pub fn notify(&self, guard: &LockGuard<'_, L::Value>, count: usize) {
        self.check_guard(guard);
        self.waiters.grant_and_wake(count, |_| ());
    }

    /// Notifies all waiters.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock.
    pub fn notify_all(&self, guard: &LockGuard<'_, L::Value>) {
        self.check_guard(guard);
        self.waiters.grant_and_wake(usize::MAX, |_| ());
    }

    /// The number of waiting tasks, including notified tasks that have not run since.
    pub fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// Returns the lock of `guard`, or panics if it is not the lock of this condition.
    fn check_guard<'a>(&self, guard: &LockGuard<'a, L::Value>) -> &'a Lock<L::Value> {
        let lock = LockGuard::lock_of(guard);
        assert!(
            std::ptr::eq(lock, self.lock.get()),
            "the guard belongs to another lock than this condition"
        );
        lock
    }
}

impl<L: OverLock> fmt::Debug for Condition<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("locked", &self.locked())
            .field("waiters", &self.waiters())
            .finish()
    }
}

/// A waiter of a condition, until it holds the lock again.
struct Waiter<'a> {
    waiters: &'a WaitQueue,
    state: WaiterState,
    /// Whether the waiter has used its notification.
    used: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let removed;
        let notified = match self.state {
            WaiterState::New => false,
            WaiterState::Listed(key) => {
                removed = self.waiters.remove(key);
                removed.was_granted
            }
            WaiterState::Done => !self.used,
        };
        if notified {
            self.waiters.grant_and_wake(1, |_| ());
        }
    }
}
