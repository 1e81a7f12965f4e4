//! The lock for many readers or one writer, in the order in which they asked.
//!
//! A reader is one permit, a writer is all of them, so the line of the permits is what keeps it
//! fair. The value is in a `RefCell`, as in the lock.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};

use crate::permits::Permits;

/// As many as a writer takes, and therefore the most readers there can be.
const ALL: usize = usize::MAX;

/// Keeps a value for many readers or one writer, across their `await`s.
///
/// asyncio has none; this is the [`Lock`](crate::Lock) for values that are mostly read. Strictly
/// in order: readers who come after a writer who waits stand behind it, so neither side starves.
/// A reader that asks again while it holds a guard can therefore wait for itself, if a writer came
/// in between.
///
/// Its guards borrow it. An [`OwnedLockGuard`](crate::OwnedLockGuard) carries the value of its lock, which
/// several readers cannot do.
///
/// ```
/// use asyncio_sync::RwLock;
/// # async fn answer(_: &str) {}
///
/// # futures::executor::block_on(async {
/// let motto = RwLock::new(String::from("slow and steady"));
/// let serve = async || {
///     let motto = motto.read().await;
///     answer(&motto).await; // it does not change meanwhile
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
/// A wait can be dropped at any time, as the loser of a race is, and holds nothing then; what had already been handed to it goes to the next in line
/// in the same instant. If a future that waits is leaked with [`mem::forget`](std::mem::forget),
/// the lock is handed to it in its turn and stays locked.
pub struct RwLock<T> {
    permits: Permits,
    value: RefCell<T>,
}

impl<T> RwLock<T> {
    /// An unlocked lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            permits: Permits::new(ALL),
            value: RefCell::new(value),
        }
    }

    /// Waits until this task may read. Does not yield if nobody writes and [`waiters`](Self::waiters) are 0.
    #[inline]
    pub fn read(&self) -> impl Future<Output = RwLockReadGuard<'_, T>> {
        let permit = self.permits.acquire(1);
        permit.and_then(|_| RwLockReadGuard::of(self))
    }

    /// The right to read, if nobody writes or waits.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let acquired = self.permits.try_acquire(1);
        acquired.then(|| RwLockReadGuard::of(self))
    }

    /// Waits until this task may write. Does not yield if nobody reads, writes or waits.
    #[inline]
    pub fn write(&self) -> impl Future<Output = RwLockWriteGuard<'_, T>> {
        let permits = self.permits.acquire(ALL);
        permits.and_then(|_| RwLockWriteGuard::of(self))
    }

    /// The right to write, if nobody reads, writes or waits.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let acquired = self.permits.try_acquire(ALL);
        acquired.then(|| RwLockWriteGuard::of(self))
    }

    /// Whether somebody writes, or has been given the right to and has not run yet.
    pub fn has_writer(&self) -> bool {
        self.permits.free() == 0
    }

    /// How many read, or have been given the right to and have not run yet.
    pub fn readers(&self) -> usize {
        match self.permits.free() {
            0 => 0,
            free => ALL - free,
        }
    }

    /// How many tasks wait, those included whose turn has come and who have not run yet.
    pub fn waiters(&self) -> usize {
        self.permits.waiters()
    }

    /// The value, without waiting: `&mut self` says that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
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

/// Permits of a guard.
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

/// The right to read the value of a [`RwLock`], until it is dropped.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct RwLockReadGuard<'a, T> {
    // In this order: whoever is woken by the release finds the value unborrowed.
    value: Ref<'a, T>,
    _held: Held<'a, T>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    /// For who has one permit.
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

/// The right to the value of a [`RwLock`], alone, until it is dropped.
#[must_use = "a lock whose guard is dropped is released at once"]
pub struct RwLockWriteGuard<'a, T> {
    // In this order: whoever is woken by the release finds the value unborrowed.
    value: RefMut<'a, T>,
    held: Held<'a, T>,
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    /// For who has all permits.
    #[inline]
    fn of(lock: &'a RwLock<T>) -> Self {
        Self {
            value: lock.value.borrow_mut(),
            held: Held { lock, permits: ALL },
        }
    }

    /// Goes on as a reader: nobody writes in between, and readers who wait may come along.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let Self { value, mut held } = guard;
        drop(value);
        let read = RwLockReadGuard::of(held.lock);
        // This guard's own permit stays with the new one.
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
