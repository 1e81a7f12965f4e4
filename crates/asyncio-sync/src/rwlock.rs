//! The lock for many readers or one writer, in the order of the requests.
//!
//! A reader takes one permit and a writer takes all permits, so the wait list of the permits makes
//! the lock fair. The value is in a `RefCell`, as in `Lock`.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::permits::Permits;

const KIND: &ResourceKind = &ResourceKind::sync("RwLock", "lock");

/// The number of permits that a writer takes, which is also the maximum number of readers.
const ALL: usize = usize::MAX;

/// A lock for many readers or one writer that tasks can hold across `await`s.
///
/// asyncio has no such lock. Use it instead of a [`Lock`](crate::Lock) for a value that is mostly
/// read. Requests are served strictly in order: readers that come after a waiting writer wait
/// behind it, so neither readers nor writers starve. So a task that holds a read guard must not
/// request another one: if a writer waits in between, the task waits for itself.
///
/// The guards borrow the lock. There are no owned guards: an
/// [`OwnedLockGuard`](crate::OwnedLockGuard) moves the value out of its lock, which several readers
/// cannot do.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::RwLock;
/// # async fn answer(_: &str) {}
///
/// # futures::executor::block_on(async {
/// let motto = RwLock::new(String::from("slow and steady"));
/// let serve = async || {
///     let motto = motto.read().await;
///     answer(&motto).await; // the value does not change meanwhile
///     motto.len()
/// };
/// let change = async || *motto.write().await = String::from("festina lente");
///
/// let (before, also_before, (), after) = futures::join!(serve(), serve(), change(), serve());
/// assert_eq!((before, also_before, after), (15, 15, 13));
/// # });
/// ```
///
/// # Cancellation
///
/// A wait can be cancelled at any time, and nothing is lost. If the lock was already assigned to
/// the waiting task, it goes to the next waiters at once. If a waiting future is leaked with
/// [`mem::forget`](std::mem::forget), the lock is assigned to it in its turn and stays locked.
pub struct RwLock<T> {
    permits: Permits,
    value: RefCell<T>,
}

impl<T> RwLock<T> {
    /// Creates an unlocked lock with `value`.
    #[track_caller]
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(ALL, KIND),
            value: RefCell::new(value),
        }
    }

    /// Waits for read access.
    ///
    /// Does not yield if no task writes and [`waiters`](Self::waiters) is 0.
    #[inline]
    pub fn read(&self) -> impl FusedFuture<Output = RwLockReadGuard<'_, T>> {
        let permit = self.permits.acquire(1);
        permit.and_then(|_| RwLockReadGuard::of(self))
    }

    /// Takes read access if no task writes or waits.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let acquired = self.permits.try_acquire(1);
        acquired.then(|| RwLockReadGuard::of(self))
    }

    /// Waits for write access.
    ///
    /// Does not yield if no task reads, writes or waits.
    #[inline]
    pub fn write(&self) -> impl FusedFuture<Output = RwLockWriteGuard<'_, T>> {
        let permits = self.permits.acquire(ALL);
        permits.and_then(|_| RwLockWriteGuard::of(self))
    }

    /// Takes write access if no task reads, writes or waits.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let acquired = self.permits.try_acquire(ALL);
        acquired.then(|| RwLockWriteGuard::of(self))
    }

    /// Whether a task has write access, or was assigned it and has not run since.
    pub fn has_writer(&self) -> bool {
        self.permits.free() == 0
    }

    /// The number of readers, including tasks that were assigned read access and have not run
    /// since.
    pub fn readers(&self) -> usize {
        match self.permits.free() {
            0 => 0,
            free => ALL - free,
        }
    }

    /// The number of waiting tasks, including tasks that were assigned access and have not run
    /// since.
    pub fn waiters(&self) -> usize {
        self.permits.waiters()
    }

    /// The value, mutably. Does not wait, because `&mut self` excludes other users.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Consumes the lock and returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("has_writer", &self.has_writer())
            .field("readers", &self.readers())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}

/// The permits of a guard.
struct Held<'a, T> {
    lock: &'a RwLock<T>,
    permits: usize,
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.permits.release(self.permits);
    }
}

/// Read access to the value of a [`RwLock`], released when the guard is dropped.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct RwLockReadGuard<'a, T> {
    // In this order: the value must not be borrowed when the release wakes a task.
    value: Ref<'a, T>,
    _held: Held<'a, T>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    /// Creates the guard. The caller has one permit.
    #[inline]
    fn of(lock: &'a RwLock<T>) -> Self {
        Self {
            value: lock.value.borrow(),
            _held: Held { lock, permits: 1 },
        }
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Exclusive access to the value of a [`RwLock`], released when the guard is dropped.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct RwLockWriteGuard<'a, T> {
    // In this order: the value must not be borrowed when the release wakes a task.
    value: RefMut<'a, T>,
    held: Held<'a, T>,
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// Creates the guard. The caller has all permits.
    #[inline]
    fn of(lock: &'a RwLock<T>) -> Self {
        Self {
            value: lock.value.borrow_mut(),
            held: Held { lock, permits: ALL },
        }
    }

    /// Turns the write guard into a read guard. No task writes in between.
    ///
    /// Readers at the head of the wait list get access as well.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let Self { value, mut held } = guard;
        drop(value);
        let read = RwLockReadGuard::of(held.lock);
        // One permit passes to the read guard.
        held.permits = ALL - 1;
        read
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
