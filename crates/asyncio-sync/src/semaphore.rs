//! The semaphore: a limited number of permits, in the order of the requests.

use std::fmt;
use std::rc::Rc;

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::permits::Permits;

const KIND: &ResourceKind = &ResourceKind::sync("Semaphore", "acquire");

/// A semaphore: limits the number of tasks that do something at the same time.
///
/// This is asyncio's `Semaphore`, and [`SemaphorePermit`] corresponds to `async with`. It is also
/// asyncio's `BoundedSemaphore`: a permit is released only by dropping it, so it cannot be released
/// twice.
///
/// Requests are served strictly in order. A released permit is assigned to the first waiter at
/// once, before that task runs, and no task overtakes it. A task that comes before an assigned task
/// has run gets its turn after that task, even if permits are free. A request for many permits
/// blocks smaller requests behind it.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Semaphore;
/// # async fn fetch(page: u32) -> u32 { page * 10 }
///
/// # futures::executor::block_on(async {
/// // A hundred downloads, at most eight at a time.
/// let slots = Semaphore::new(8);
/// let download = async |page| {
///     let _permit = slots.acquire().await;
///     fetch(page).await
/// };
/// let pages = futures::future::join_all((0..100).map(download)).await;
///
/// assert_eq!(pages.iter().sum::<u32>(), 49_500);
/// assert_eq!(slots.available_permits(), 8);
/// # });
/// ```
///
/// # Cancellation
///
/// A wait can be cancelled at any time, and nothing is lost. Permits that were already assigned to
/// the waiting task go to the next waiters at once. If a waiting future is leaked with
/// [`mem::forget`](std::mem::forget), its permits are assigned to it in its turn and are lost.
#[doc(alias = "BoundedSemaphore")]
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// Creates a semaphore with a number of permits.
    #[track_caller]
    pub const fn new(permits: usize) -> Self {
        Self {
            permits: Permits::new(permits, KIND),
        }
    }

    /// Waits for a permit.
    ///
    /// Does not yield if a permit is free and [`waiters`](Self::waiters) is 0.
    #[inline]
    pub fn acquire(&self) -> impl FusedFuture<Output = SemaphorePermit<'_>> {
        self.acquire_many(1)
    }

    /// Waits for `count` permits at once.
    ///
    /// If the semaphore never has `count` permits, the request waits forever and blocks all
    /// requests behind it. A request for 0 permits never waits.
    #[inline]
    pub fn acquire_many(&self, count: usize) -> impl FusedFuture<Output = SemaphorePermit<'_>> {
        let permits = self.permits.acquire(count);
        permits.and_then(move |count| SemaphorePermit {
            semaphore: self,
            count,
        })
    }

    /// Takes a permit if one is free and no task waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if they are free and no task waits.
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        if !self.permits.try_acquire(count) {
            return None;
        }
        Some(SemaphorePermit {
            semaphore: self,
            count,
        })
    }

    /// Waits for a permit, like [`acquire`](Self::acquire), and returns it without a lifetime.
    #[inline]
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1).await
    }

    /// Waits for permits, like [`acquire_many`](Self::acquire_many), and returns them without a
    /// lifetime.
    #[inline]
    pub async fn acquire_many_owned(self: Rc<Self>, count: usize) -> OwnedSemaphorePermit {
        self.permits.acquire(count).await;
        OwnedSemaphorePermit {
            semaphore: self,
            count,
        }
    }

    /// Takes permits like [`try_acquire_many`](Self::try_acquire_many), and returns them without a
    /// lifetime.
    #[inline]
    pub fn try_acquire_many_owned(self: Rc<Self>, count: usize) -> Option<OwnedSemaphorePermit> {
        if !self.permits.try_acquire(count) {
            return None;
        }
        Some(OwnedSemaphorePermit {
            semaphore: self,
            count,
        })
    }

    /// Adds `count` new permits. They go to waiters, in order, and the rest is free.
    ///
    /// The number of free permits is at most `usize::MAX`.
    #[doc(alias = "release")]
    pub fn add_permits(&self, count: usize) {
        self.permits.release(count);
    }

    /// Removes at most `count` free permits for good, and returns how many were removed.
    ///
    /// Together with [`add_permits`](Self::add_permits), this changes a limit in use. Permits that
    /// are not free now can be [forgotten](SemaphorePermit::forget) later.
    pub fn forget_permits(&self, count: usize) -> usize {
        self.permits.forget(count)
    }

    /// The number of free permits. Permits can be free while a task waits for a larger number.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Whether [`acquire`](Self::acquire) would wait now.
    ///
    /// It waits if no permit is free, or if a task is waiting or has been assigned permits and has
    /// not run since.
    pub fn locked(&self) -> bool {
        self.permits.locked()
    }

    /// The number of waiting tasks, including tasks that were assigned permits and have not run
    /// since.
    pub fn waiters(&self) -> usize {
        self.permits.waiters()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("locked", &self.locked())
            .field("available_permits", &self.available_permits())
            .field("waiters", &self.waiters())
            .finish()
    }
}

/// One or more permits of a [`Semaphore`], released when dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped is released at once"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl SemaphorePermit<'_> {
    /// The number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Splits off `count` permits; `None` if there are fewer.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Self {
            semaphore: self.semaphore,
            count,
        })
    }

    /// Removes the permits from the semaphore for good, instead of releasing them.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.permits.release(self.count);
    }
}

/// One or more permits of a [`Semaphore`] without a lifetime, from [`Semaphore::acquire_owned`].
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{OwnedSemaphorePermit, Semaphore};
/// use std::rc::Rc;
///
/// /// A connection counts towards the limit as long as it is open.
/// struct Connection { _permit: OwnedSemaphorePermit }
///
/// # futures::executor::block_on(async {
/// let limit = Rc::new(Semaphore::new(2));
/// let first = Connection { _permit: Rc::clone(&limit).acquire_owned().await };
/// let _second = Connection { _permit: Rc::clone(&limit).acquire_owned().await };
/// assert!(limit.locked());
///
/// drop(first);
/// assert_eq!(limit.available_permits(), 1);
/// # });
/// ```
#[derive(Debug)]
#[must_use = "a permit that is dropped is released at once"]
pub struct OwnedSemaphorePermit {
    semaphore: Rc<Semaphore>,
    count: usize,
}

impl OwnedSemaphorePermit {
    /// The number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Splits off `count` permits; `None` if there are fewer.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Self {
            semaphore: Rc::clone(&self.semaphore),
            count,
        })
    }

    /// Removes the permits from the semaphore for good, instead of releasing them.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for OwnedSemaphorePermit {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.permits.release(self.count);
    }
}
