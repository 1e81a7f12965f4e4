//! A number of permits, granted strictly in order: the base of `Lock`, `RwLock` and `Semaphore`.
//!
//! A lock has one permit. A reader takes one of many permits, and a writer takes all of them.
//!
//! - No task overtakes: while a task waits, no other task gets a permit, however many are free. A
//!   large request at the head of the list blocks smaller requests behind it.
//! - A granted task that has not run since is still in the list. A task that comes meanwhile joins
//!   the list too, even if its permits are free. It is granted at once and runs after the first
//!   task.
//! - A released permit is assigned to the next waiter at once, before that task runs. If the waiter
//!   is dropped before it runs, its permits go to the next waiter.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::wait_list::{Key, WaiterState};
use crate::wait_queue::WaitQueue;

pub(crate) struct Permits {
    free: Cell<usize>,
    /// The waiters. A request is the number of permits.
    waiters: WaitQueue<usize>,
}

impl Permits {
    #[track_caller]
    pub(crate) const fn new(count: usize, kind: &'static ResourceKind) -> Self {
        Self {
            free: Cell::new(count),
            waiters: WaitQueue::new(kind),
        }
    }

    /// The number of free permits.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.free.get()
    }

    /// The number of waiters, including granted waiters that have not run since.
    pub(crate) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// Whether an acquire of one permit would wait now, perhaps only for granted tasks to run.
    pub(crate) fn locked(&self) -> bool {
        self.free.get() == 0 || self.waiters.len() > 0
    }

    /// Takes `count` free permits, unless a task waits for permits.
    ///
    /// A granted task that has not run since does not count: its permits are already taken.
    #[inline]
    pub(crate) fn try_acquire(&self, count: usize) -> bool {
        let none_waits = self.waiters.len() == 0 || self.waiters.waiting() == 0;
        self.take_if(count, none_waits)
    }

    /// Takes `count` free permits, unless a task is in the list.
    #[inline]
    fn acquire_now(&self, count: usize) -> bool {
        self.take_if(count, self.waiters.len() == 0)
    }

    #[inline]
    fn take_if(&self, count: usize, allowed: bool) -> bool {
        let free = self.free.get();
        // A request for no permits never waits.
        let at_once = count == 0 || count <= free && allowed;
        if at_once {
            self.free.set(free - count);
        }
        at_once
    }

    /// Waits for `count` permits.
    #[inline]
    pub(crate) fn acquire(&self, count: usize) -> Acquire<'_> {
        Acquire {
            permits: self,
            count,
            waiter: WaiterState::New,
        }
    }

    /// Adds free permits, up to `usize::MAX`, and grants them to waiters.
    #[inline]
    pub(crate) fn release(&self, count: usize) {
        self.free.set(self.free.get().saturating_add(count));
        if self.waiters.len() > 0 {
            self.grant_waiters();
        }
    }

    /// Removes at most `count` free permits for good, and returns how many.
    ///
    /// Waiters keep waiting for the permits that they requested.
    pub(crate) fn forget(&self, count: usize) -> usize {
        let forgotten = count.min(self.free.get());
        self.free.set(self.free.get() - forgotten);
        forgotten
    }

    /// Grants free permits to waiters, in order, as long as they suffice.
    #[inline(never)]
    fn grant_waiters(&self) {
        self.waiters.wake_each(|list| {
            let free = self.free.get();
            // The usual case after a grant.
            if free == 0 {
                return None;
            }
            self.free.set(free.checked_sub(list.first_request()?)?);
            list.grant_first()
        });
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("free", &self.free())
            .field("waiters", &self.waiters())
            .finish()
    }
}

/// A future that waits for permits. When it is ready, the permits belong to the caller.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    count: usize,
    waiter: WaiterState,
}

impl Future for Acquire<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            permits,
            count,
            waiter,
        } = &mut *self;
        if *count == 0 && *waiter == WaiterState::New {
            // A request for no permits does not enter the list, even if the budget is spent: the
            // list may be blocked by a large request.
            *waiter = WaiterState::Done;
            return Poll::Ready(());
        }
        let try_now = || permits.acquire_now(*count);
        // A waiter that yields gets free permits at once, and runs after the waiters before it.
        let grant_waiters = || permits.grant_waiters();
        let polled = permits
            .waiters
            .poll_within_budget(waiter, cx, *count, try_now, grant_waiters);
        polled.map(|_grant| ())
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            self.leave_list(key);
        }
    }
}

impl<'a> Acquire<'a> {
    /// Removes the waiter. Its permits, if granted, go to the next waiter.
    #[inline(never)]
    fn leave_list(&self, key: Key) {
        let removed = self.permits.waiters.remove(key);
        if removed.was_granted {
            self.permits.release(self.count);
        } else {
            // Its request may have blocked smaller requests behind it.
            self.permits.grant_waiters();
        }
    }

    /// Waits for the permits, and returns `make(count)`.
    #[inline]
    pub(crate) fn and_then<G>(self, make: impl Fn(usize) -> G) -> impl FusedFuture<Output = G> {
        let acquire = self;
        Acquired { acquire, make }
    }
}

/// The future of [`Acquire::and_then`].
///
/// Written by hand: without contention, the state of an `async fn` would cost more than the
/// operation.
struct Acquired<'a, F> {
    acquire: Acquire<'a>,
    make: F,
}

// The closure is never pinned, only called.
impl<F> Unpin for Acquired<'_, F> {}

impl<G, F: Fn(usize) -> G> Future for Acquired<'_, F> {
    type Output = G;

    // Always: a guard that a call returns in memory is stored in parts and loaded as a whole, which
    // waits for the stores. That made a lock three times as slow.
    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G> {
        let Self { acquire, make } = &mut *self;
        let count = acquire.count;
        Pin::new(acquire).poll(cx).map(|()| make(count))
    }
}

impl<G, F: Fn(usize) -> G> FusedFuture for Acquired<'_, F> {
    fn is_terminated(&self) -> bool {
        self.acquire.waiter.is_done()
    }
}
