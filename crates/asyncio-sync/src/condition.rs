//! The condition: waiting, with a lock let go, until somebody says that its value has changed.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use crate::line::Place;
use crate::lock::{Lock, LockGuard};
use crate::wait_queue::WaitQueue;

/// Lets tasks that hold a [`Lock`] wait until its value is as they need it.
///
/// asyncio's `Condition`. It is made over a lock: its own (`Condition::new(Lock::new(value))`,
/// [`lock`](Self::lock)), or one that it shares with others, as `&Lock` or `Rc<Lock>`. Several
/// conditions over one lock are usual, one for each thing to wait for.
///
/// [`wait`](Self::wait) takes the guard and gives it back, so who returns from it holds the lock.
/// Between the notification and that moment others may have had it, and spurious wake-ups are
/// allowed: look again, or let [`wait_for`](Self::wait_for) do it.
///
/// ```
/// use asyncio_sync::{Condition, Lock};
///
/// # futures::executor::block_on(async {
/// /// Cups on a tray that has room for two.
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
/// A wait that is dropped, as the loser of a race is, has let go of the lock and does not take it again: its caller holds no
/// guard, and the types say so. (asyncio's takes the lock once more, however long that takes.) A
/// notification that had already reached it goes to the next who waits, in the same instant.
pub struct Condition<L> {
    lock: L,
    waiters: WaitQueue,
}

/// What a [`Condition`] can be made over: a `Lock<T>`, `&Lock<T>` or `Rc<Lock<T>>`.
pub trait OverLock: sealed::Sealed {
    /// What the lock keeps.
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
    /// A condition over `lock`, for which nobody waits.
    pub const fn new(lock: L) -> Self {
        Self {
            lock,
            waiters: WaitQueue::new(),
        }
    }

    /// Waits for the lock, as [`Lock::lock`] does.
    #[doc(alias = "acquire")]
    pub async fn lock(&self) -> LockGuard<'_, L::Value> {
        self.lock.get().lock().await
    }

    /// The lock, if it is free and nobody waits for it.
    pub fn try_lock(&self) -> Option<LockGuard<'_, L::Value>> {
        self.lock.get().try_lock()
    }

    /// Whether the lock is held.
    pub fn locked(&self) -> bool {
        self.lock.get().locked()
    }

    /// Lets go of the lock, waits for a notification, and takes the lock again.
    ///
    /// There is no moment between the two first: what is notified after the lock was let go is
    /// not missed.
    ///
    /// # Panics
    ///
    /// If the guard is that of another lock.
    pub async fn wait<'a>(&self, guard: LockGuard<'a, L::Value>) -> LockGuard<'a, L::Value> {
        let lock = self.own(&guard);
        let mut waiter = Waiter {
            waiters: &self.waiters,
            place: Place::Outside,
            spent: false,
        };
        let mut guard = Some(guard);
        poll_fn(|cx| {
            let waiting = waiter.waiters.poll(&mut waiter.place, cx, (), || false);
            // Now that this task is in line, whoever gets the lock can notify it.
            drop(guard.take());
            waiting.map(|_share| ())
        })
        .await;
        let again = lock.lock().await;
        waiter.spent = true;
        again
    }

    /// Waits until `predicate` says so of the value. Does not let go of the lock if it does
    /// already.
    ///
    /// It is asked with the lock held, first of all and after each notification, and what it saw
    /// is still so when the guard is given back.
    ///
    /// # Panics
    ///
    /// If the guard is that of another lock, or if `predicate` panics; then the lock is free.
    pub async fn wait_for<'a>(
        &self,
        mut guard: LockGuard<'a, L::Value>,
        mut predicate: impl FnMut(&mut L::Value) -> bool,
    ) -> LockGuard<'a, L::Value> {
        self.own(&guard);
        while !predicate(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Wakes the first `count` of those who wait; fewer, if fewer do.
    ///
    /// They run once they have the lock, so not before the caller has let go of it: the guard is
    /// here to show that the caller holds it.
    ///
    /// # Panics
    ///
    /// If the guard is that of another lock.
    pub fn notify(&self, guard: &LockGuard<'_, L::Value>, count: usize) {
        self.own(guard);
        self.waiters.wake_first(count, |_| ());
    }

    /// Wakes all those who wait.
    ///
    /// # Panics
    ///
    /// If the guard is that of another lock.
    pub fn notify_all(&self, guard: &LockGuard<'_, L::Value>) {
        self.own(guard);
        self.waiters.wake_first(usize::MAX, |_| ());
    }

    /// How many tasks wait, those included that were notified and have not run yet.
    pub fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// The lock of `guard`, which must be ours.
    fn own<'a>(&self, guard: &LockGuard<'a, L::Value>) -> &'a Lock<L::Value> {
        let lock = LockGuard::lock_of(guard);
        assert!(
            std::ptr::eq(lock, self.lock.get()),
            "a condition was used with the guard of another lock"
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

/// One who waits, or was notified and has no lock yet; in either case it can be dropped.
struct Waiter<'a> {
    waiters: &'a WaitQueue,
    place: Place,
    /// Whether the notification has been put to use.
    spent: bool,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let departed;
        let notified = match self.place {
            Place::Outside => false,
            Place::InLine(key) => {
                departed = self.waiters.leave(key);
                departed.chosen
            }
            Place::Left => !self.spent,
        };
        if notified {
            self.waiters.wake_first(1, |_| ());
        }
    }
}
