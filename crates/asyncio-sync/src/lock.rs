//! The lock: exclusive access to a value, in the order of the requests.
//!
//! A lock has one permit. The value is in a `RefCell`, so a mistake here would cause a panic and
//! nothing worse. A guard drops its `RefMut` before it releases its permit.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::permits::Permits;

const KIND: &ResourceKind = &ResourceKind::sync("Lock", "lock");

/// A mutual exclusion lock that a task can hold across `await`s.
///
/// This is asyncio's `Lock`, with the value inside, as usual in Rust. [`LockGuard`] corresponds to
/// `async with`. Tasks get the lock in the order of their requests: a released lock belongs to the
/// first waiter at once. No task overtakes, not even with [`try_lock`](Self::try_lock).
///
/// A value that no task uses across an `await` needs no lock: between two `await`s no other task
/// runs on this thread. Use a `Cell` or `RefCell` then.
///
/// A panic while the lock is held releases it; there is no poisoning.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Lock;
/// # async fn send(_: &mut Vec<u8>, line: &str) -> usize { line.len() }
///
/// # futures::executor::block_on(async {
/// // Two tasks write to one connection. Each line must be sent in one piece.
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
/// A wait can be cancelled at any time, and nothing is lost. If the lock was already assigned to
/// the waiting task, it goes to the next waiter at once. If a waiting future is leaked with
/// [`mem::forget`](std::mem::forget), the lock is assigned to it in its turn and stays locked.
#[doc(alias = "Mutex")]
pub struct Lock<T> {
    permits: Permits,
    /// `None` while an [`OwnedLockGuard`] has the value.
    value: RefCell<Option<T>>,
}

impl<T> Lock<T> {
    /// Creates an unlocked lock with `value`.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(1, KIND),
            value: RefCell::new(Some(value)),
        }
    }

    /// Waits for the lock.
    ///
    /// Does not yield if the lock is free. A task that already holds the guard waits forever.
    #[doc(alias = "acquire")]
    #[inline]
    pub fn lock(&self) -> impl FusedFuture<Output = LockGuard<'_, T>> {
        let permit = self.permits.acquire(1);
        permit.and_then(|_| LockGuard::of(self))
    }

    /// Takes the lock if it is free and no task waits for it.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.permits.try_acquire(1).then(|| LockGuard::of(self))
    }

    /// Waits for the lock, like [`lock`](Self::lock), and returns a guard without a lifetime.
    ///
    /// The value moves into the guard and back. Box a large value.
    #[inline]
    pub async fn lock_owned(self: Rc<Self>) -> OwnedLockGuard<T> {
        self.permits.acquire(1).await;
        OwnedLockGuard::of(self)
    }

    /// Takes the lock like [`try_lock`](Self::try_lock), and returns a guard without a lifetime.
    #[inline]
    pub fn try_lock_owned(self: Rc<Self>) -> Option<OwnedLockGuard<T>> {
        self.permits
            .try_acquire(1)
            .then(|| OwnedLockGuard::of(self))
    }

    /// Whether the lock is held, or assigned to a task that has not run since.
    pub fn locked(&self) -> bool {
        self.permits.locked()
    }

    /// The number of waiting tasks, including a task that was assigned the lock and has not run
    /// since.
    pub fn waiters(&self) -> usize {
        self.permits.waiters()
    }

    /// The value, mutably. Does not wait, because `&mut self` excludes other users.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().as_mut().expect(HERE)
    }

    /// Consumes the lock and returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner().expect(HERE)
    }
}

/// An `OwnedLockGuard` with the value has an `Rc` of the lock and the only permit. So while it
/// exists, even leaked, neither `&mut` access nor another guard exists.
const HERE: &str = "the value is in the lock unless an owned guard has it";

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

/// Exclusive access to the value of a [`Lock`]. Dropping the guard releases the lock to the next
/// waiter.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct LockGuard<'a, T> {
    // In this order: the value must not be borrowed when the release wakes a task.
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
    /// Creates the guard. The caller has the permit.
    #[inline]
    fn of(lock: &'a Lock<T>) -> Self {
        Self {
            value: RefMut::map(lock.value.borrow_mut(), |value| value.as_mut().expect(HERE)),
            held: Held(lock),
        }
    }

    /// The lock of `guard`.
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

/// A guard of a [`Lock`] without a lifetime, from [`Lock::lock_owned`].
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{Lock, OwnedLockGuard};
/// use std::rc::Rc;
///
/// /// A writer has the only pen as long as the writer exists.
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
    /// Creates the guard. The caller has the permit.
    #[inline]
    fn of(lock: Rc<Lock<T>>) -> Self {
        let value = lock.value.borrow_mut().take();
        Self { lock, value }
    }

    /// The lock of `guard`.
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

const CARRIED: &str = "an owned guard has the value until it is dropped";

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
