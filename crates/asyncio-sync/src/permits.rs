//! A number of permits, handed out strictly in order. Lock, RwLock and Semaphore are made of it:
//! a lock is one permit, a reader is one of many, a writer takes them all.
//!
//! - Nobody overtakes: while a task waits, no other gets a permit, however many are free. A first in
//!   line that asks for many is waited for by those that ask for few.
//! - A task that was given permits and has not run yet is still in line. Another one that comes meanwhile
//!   joins the line too, even if it can be served there and then: it has its turn later.
//! - Permits are handed over, not thrown in the air: whoever is chosen owns its permits from that
//!   moment, before its task has run. Dropped before that, it gives them to the next.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::line::{Key, Place};
use crate::wait_queue::WaitQueue;

pub(crate) struct Permits {
    free: Cell<usize>,
    /// Each with the number it asks for.
    waiters: WaitQueue<usize>,
}

impl Permits {
    pub(crate) const fn new(count: usize) -> Self {
        Self {
            free: Cell::new(count),
            waiters: WaitQueue::new(),
        }
    }

    /// How many could be had at once, if nobody waited.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.free.get()
    }

    /// How many wait, those included that have been given permits and have not run yet.
    pub(crate) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// Whether a task that comes now for one permit has to wait, if only for the turns of others.
    pub(crate) fn locked(&self) -> bool {
        self.free.get() == 0 || self.waiters.len() > 0
    }

    /// Takes permits that are free, unless a task waits. One that was given its own and has not run yet
    /// does not count: nothing of it is taken.
    #[inline]
    pub(crate) fn try_acquire(&self, count: usize) -> bool {
        let nobody_waits = self.waiters.len() == 0 || self.waiters.waiting() == 0;
        self.take_if(count, nobody_waits)
    }

    /// Takes permits that are free, unless a task is in line.
    #[inline]
    fn pass(&self, count: usize) -> bool {
        self.take_if(count, self.waiters.len() == 0)
    }

    #[inline]
    fn take_if(&self, count: usize, allowed: bool) -> bool {
        let free = self.free.get();
        // Who asks for nothing waits for nothing.
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
            place: Place::Outside,
        }
    }

    /// Gives permits back, or new ones. More than `usize::MAX` are as good as `usize::MAX`.
    #[inline]
    pub(crate) fn release(&self, count: usize) {
        self.free.set(self.free.get().saturating_add(count));
        if self.waiters.len() > 0 {
            self.serve();
        }
    }

    /// Takes free permits out of the world, at most `count`, and says how many. What those who
    /// wait still need they go on waiting for.
    pub(crate) fn forget(&self, count: usize) -> usize {
        let forgotten = count.min(self.free.get());
        self.free.set(self.free.get() - forgotten);
        forgotten
    }

    /// Hands free permits to those who wait, as far as they go.
    #[inline(never)]
    fn serve(&self) {
        self.waiters.wake_each(|line| {
            let free = self.free.get();
            // Most often, there is none left.
            if free == 0 {
                return None;
            }
            self.free.set(free.checked_sub(line.first()?)?);
            line.choose_first()
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

/// Waits for permits. They are the caller's once this is ready.
#[derive(Debug)]
pub(crate) struct Acquire<'a> {
    permits: &'a Permits,
    count: usize,
    place: Place,
}

impl Future for Acquire<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            permits,
            count,
            place,
        } = &mut *self;
        if *count == 0 && *place == Place::Outside {
            // It waits for nothing, not even when the budget is spent: the line may stand still.
            *place = Place::Left;
            return Poll::Ready(());
        }
        let passes = || permits.pass(*count);
        // What is free is its own from now on, to be used when those before it have had their turns.
        let serve = || permits.serve();
        let polled = permits
            .waiters
            .poll_within_budget(place, cx, *count, passes, serve);
        polled.map(|_share| ())
    }
}

impl Drop for Acquire<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(key) = self.place {
            self.give_up(key);
        }
    }
}

impl<'a> Acquire<'a> {
    /// Leaves the line; what had been given goes to the next.
    #[inline(never)]
    fn give_up(&self, key: Key) {
        let departed = self.permits.waiters.leave(key);
        if departed.chosen {
            self.permits.release(self.count);
        } else {
            // It may have stood before others who ask for less.
            self.permits.serve();
        }
    }

    /// Waits, and makes of so many permits what they stand for.
    #[inline]
    pub(crate) fn and_then<G>(self, make: impl Fn(usize) -> G) -> impl Future<Output = G> {
        let acquire = self;
        Acquired { acquire, make }
    }
}

/// [`Acquire::and_then`]. A future by hand: where nobody has to wait, what an `async fn` prepares for a
/// wait is more than all the rest of the work.
struct Acquired<'a, F> {
    acquire: Acquire<'a>,
    make: F,
}

/// The closure is never pinned, only called.
impl<F> Unpin for Acquired<'_, F> {}

impl<G, F: Fn(usize) -> G> Future for Acquired<'_, F> {
    type Output = G;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G> {
        let Self { acquire, make } = &mut *self;
        let count = acquire.count;
        Pin::new(acquire).poll(cx).map(|()| make(count))
    }
}
