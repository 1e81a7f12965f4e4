//! The lock: one task at a time, in the order in which they asked.
//!
//! One permit stands for the right to the value. The value itself is in a `RefCell`, so a mistake
//! here would be a panic and no more; a guard's `RefMut` is always gone before its permit is.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::permits::Permits;

/// Keeps a value for one task at a time, across its `await`s.
///
/// asyncio's `Lock`, with the value inside, as usual in Rust; [`LockGuard`] is the `async with`.
/// Tasks get the lock in the order in which they asked for it: a lock that is released belongs to
/// the first in line at that moment, and nobody overtakes it, not even [`try_lock`](Self::try_lock).
///
/// A value that is never kept across an `await` needs no lock: between two of them nothing else
/// runs on this thread, and a `Cell` or `RefCell` will do.
///
/// A panic while the lock is held releases it; there is no poisoning.
///
/// ```
/// use asyncio_sync::Lock;
/// # async fn send(_: &mut Vec<u8>, line: &str) -> usize { line.len() }
///
/// # futures::executor::block_on(async {
/// // Two lines on one connection, each of which must go out in one piece.
/// let connection = Lock::new(Vec::new());
/// let say = async |line: &'static str| {
///     let mut connection = connection.lock().await;
///     connection.extend(line.bytes());
///     send(&mut connection, line).await
/// };
/// let sent = futures::join!(say("hello\n"), say("goodbye\n"));
///
/// assert_eq!(sent, (6, 8));
/// assert_eq!(connection.into_inner(), b"hello\ngoodbye\n");
/// # });
/// ```
///
/// # Cancellation
///
/// A wait for the lock can be dropped at any time, as the loser of a race is, and holds nothing then; a lock that had already been handed to it goes
/// to the next in line in the same instant. If a future that waits is leaked with
/// [`mem::forget`](std::mem::forget), the lock is handed to it in its turn and stays locked.
pub struct Lock<T> {
    permits: Permits,
    /// `None` while an [`OwnedLockGuard`] carries the value.
    value: RefCell<Option<T>>,
}

impl<T> Lock<T> {
    /// An unlocked lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(1),
            value: RefCell::new(Some(value)),
        }
    }

    /// Waits until the lock is this task's.
    ///
    /// Does not yield if it is free. Asking again while holding the guard waits forever.
    #[doc(alias = "acquire")]
    #[inline]
    pub fn lock(&self) -> impl Future<Output = LockGuard<'_, T>> {
        let permit = self.permits.acquire(1);
        permit.and_then(|_| LockGuard::of(self))
    }

    /// The lock, if it is free and nobody waits for it.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.permits.try_acquire(1).then(|| LockGuard::of(self))
    }

    /// Waits like [`lock`](Self::lock), for a guard that borrows nothing.
    ///
    /// The guard carries the value itself until it is dropped, so a large one is better boxed.
    #[inline]
    pub async fn lock_owned(self: Rc<Self>) -> OwnedLockGuard<T> {
        self.permits.acquire(1).await;
        OwnedLockGuard::of(self)
    }

    /// Like [`try_lock`](Self::try_lock), for a guard that borrows nothing.
    #[inline]
    pub fn try_lock_owned(self: Rc<Self>) -> Option<OwnedLockGuard<T>> {
        self.permits
            .try_acquire(1)
            .then(|| OwnedLockGuard::of(self))
    }

    /// Whether somebody holds the lock, or it has been handed to somebody who has not run yet.
    pub fn locked(&self) -> bool {
        self.permits.locked()
    }

    /// How many tasks wait, one included that has the lock and has not run yet.
    pub fn waiters(&self) -> usize {
        self.permits.waiters()
    }

    /// The value, without waiting: `&mut self` says that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().as_mut().expect(HERE)
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner().expect(HERE)
    }
}

/// An `OwnedLockGuard` that carries the value keeps a reference to the lock: while it exists, and
/// if it is leaked forever, there is no exclusive access to the lock, and no permit.
const HERE: &str = "the value is in the lock whenever no guard carries it";

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("locked", &self.locked())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}

/// The right to the value of a [`Lock`]; dropping it hands the lock to the next in line.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct LockGuard<'a, T> {
    // In this order: whoever is woken by the release finds the value unborrowed.
    value: RefMut<'a, T>,
    held: Held<'a, T>,
}

/// The permit of a guard.
struct Held<'a, T>(&'a Lock<T>);

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.permits.release(1);
    }
}

impl<'a, T> LockGuard<'a, T> {
    /// For who has the permit.
    #[inline]
    fn of(lock: &'a Lock<T>) -> Self {
        Self {
            value: RefMut::map(lock.value.borrow_mut(), |value| value.as_mut().expect(HERE)),
            held: Held(lock),
        }
    }

    /// The lock that `guard` holds.
    #[inline]
    pub fn lock_of(guard: &Self) -> &'a Lock<T> {
        guard.held.0
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Display> fmt::Display for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// A [`LockGuard`] without a lifetime, from [`Lock::lock_owned`].
///
/// ```
/// use std::rc::Rc;
/// use asyncio_sync::{Lock, OwnedLockGuard};
///
/// /// Somebody who has the only pen for as long as they exist.
/// struct Writer { pen: OwnedLockGuard<String> }
///
/// # futures::executor::block_on(async {
/// let pen = Rc::new(Lock::new(String::new()));
/// let mut writer = Writer { pen: Rc::clone(&pen).lock_owned().await };
/// writer.pen.push_str("Dear reader");
/// assert!(pen.locked());
///
/// drop(writer);
/// assert_eq!(*pen.lock().await, "Dear reader");
/// # });
/// ```
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct OwnedLockGuard<T> {
    lock: Rc<Lock<T>>,
    /// `Some` until the guard is dropped.
    value: Option<T>,
}

impl<T> OwnedLockGuard<T> {
    /// For who has the permit.
    #[inline]
    fn of(lock: Rc<Lock<T>>) -> Self {
        let value = lock.value.borrow_mut().take();
        Self { lock, value }
    }

    /// The lock that `guard` holds.
    pub fn lock_of(guard: &Self) -> &Rc<Lock<T>> {
        &guard.lock
    }
}

impl<T> Deref for OwnedLockGuard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect(CARRIED)
    }
}

impl<T> DerefMut for OwnedLockGuard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(CARRIED)
    }
}

const CARRIED: &str = "a guard carries its value";

impl<T> Drop for OwnedLockGuard<T> {
    #[inline]
    fn drop(&mut self) {
        *self.lock.value.borrow_mut() = self.value.take();
        self.lock.permits.release(1);
    }
}

impl<T: fmt::Debug> fmt::Debug for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: fmt::Display> fmt::Display for OwnedLockGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
