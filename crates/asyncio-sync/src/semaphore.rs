//! The semaphore: so many at a time, in the order in which they asked.

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use crate::permits::Permits;

/// Lets a number of tasks do something at the same time, and no more.
///
/// asyncio's `Semaphore`; [`SemaphorePermit`] is the `async with`. Since a permit can only be given
/// back by dropping it, there is nothing to bound: asyncio's `BoundedSemaphore` is this, too.
///
/// Strictly in order: a permit that comes free belongs to the first in line at that moment, before
/// its task has run, and nobody overtakes it. A task that comes while one in line has a permit and has
/// not run yet, such as one that has just given its own back, has its turn after that one. A task that
/// asks for many permits is not passed by tasks that ask for few.
///
/// ```
/// use asyncio_sync::Semaphore;
/// # async fn fetch(page: u32) -> u32 { page * 10 }
///
/// # futures::executor::block_on(async {
/// // Of a hundred downloads at most eight at a time.
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
/// A wait can be dropped at any time, as the loser of a race is, and holds nothing then; permits that it had already been given go to the next in
/// line in the same instant. If a future that waits is leaked with
/// [`mem::forget`](std::mem::forget), those behind it wait until its turn has come, and its permits
/// are gone.
#[doc(alias = "BoundedSemaphore")]
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// A semaphore with that many permits.
    pub const fn new(permits: usize) -> Self {
        Self {
            permits: Permits::new(permits),
        }
    }

    /// Waits for a permit. Does not yield if one is free and [`waiters`](Self::waiters) are 0.
    #[inline]
    pub fn acquire(&self) -> impl Future<Output = SemaphorePermit<'_>> {
        self.acquire_many(1)
    }

    /// Waits for `count` permits, which come together.
    ///
    /// If there are never that many, it waits forever, and everybody behind it does. Who asks for 0 does
    /// not wait, whoever else does.
    #[inline]
    pub fn acquire_many(&self, count: usize) -> impl Future<Output = SemaphorePermit<'_>> {
        let permits = self.permits.acquire(count);
        permits.and_then(move |count| SemaphorePermit {
            semaphore: self,
            count,
        })
    }

    /// A permit, if one is free and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// `count` permits, if as many are free and nobody waits.
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

    /// Waits like [`acquire`](Self::acquire), for a permit that borrows nothing.
    #[inline]
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1).await
    }

    /// Waits like [`acquire_many`](Self::acquire_many), for a permit that borrows nothing.
    #[inline]
    pub async fn acquire_many_owned(self: Rc<Self>, count: usize) -> OwnedSemaphorePermit {
        self.permits.acquire(count).await;
        OwnedSemaphorePermit {
            semaphore: self,
            count,
        }
    }

    /// Like [`try_acquire_many`](Self::try_acquire_many), for a permit that borrows nothing.
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

    /// Makes `count` new permits. They go to those who wait, in order, and the rest is free.
    ///
    /// More than `usize::MAX` free permits are as good as `usize::MAX`.
    #[doc(alias = "release")]
    pub fn add_permits(&self, count: usize) {
        self.permits.release(count);
    }

    /// Takes at most `count` free permits out of the world, and says how many these were.
    ///
    /// Together with [`add_permits`](Self::add_permits), this changes a limit while it is in use:
    /// what could not be taken yet can be [forgotten](SemaphorePermit::forget) later.
    pub fn forget_permits(&self, count: usize) -> usize {
        self.permits.forget(count)
    }

    /// How many permits are free. More than none may be free while somebody waits for more.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Whether [`acquire`](Self::acquire) would have to wait now, if only for the turn of a task that has
    /// its permits and has not run yet.
    pub fn locked(&self) -> bool {
        self.permits.locked()
    }

    /// How many tasks wait, those included that have been given permits and have not run yet.
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

/// Permits of a [`Semaphore`]; dropping them gives them back.
#[derive(Debug)]
#[must_use = "permits that are dropped are given back at once"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl SemaphorePermit<'_> {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Splits off `count` permits, if there are that many.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Self {
            semaphore: self.semaphore,
            count,
        })
    }

    /// The permits are not given back: the semaphore has fewer from now on.
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

/// [`SemaphorePermit`]s without a lifetime, from [`Semaphore::acquire_owned`].
///
/// ```
/// use std::rc::Rc;
/// use asyncio_sync::{OwnedSemaphorePermit, Semaphore};
///
/// /// A client who counts towards the limit as long as the connection is open.
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
#[must_use = "permits that are dropped are given back at once"]
pub struct OwnedSemaphorePermit {
    semaphore: Rc<Semaphore>,
    count: usize,
}

impl OwnedSemaphorePermit {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Splits off `count` permits, if there are that many.
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Self {
            semaphore: Rc::clone(&self.semaphore),
            count,
        })
    }

    /// The permits are not given back: the semaphore has fewer from now on.
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
