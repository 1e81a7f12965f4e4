//! The event: something that has happened, or not yet.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::line::Place;
use crate::wait_queue::WaitQueue;

/// Something that happens, for which any number of tasks can wait.
///
/// asyncio's `Event`. [`set`](Self::set) releases everybody who waits at that moment, in order, even
/// if the event is [cleared](Self::clear) before they run. Who comes later and finds the event set
/// does not wait.
///
/// ```
/// use asyncio_sync::Event;
///
/// # futures::executor::block_on(async {
/// let ready = Event::new();
/// let worker = async |name: &'static str| {
///     ready.wait().await;
///     format!("{name} starts")
/// };
/// let (first, second, ()) = futures::join!(worker("ada"), worker("bob"), async {
///     // … what they all need is prepared here …
///     ready.set();
/// });
///
/// assert_eq!((first.as_str(), second.as_str()), ("ada starts", "bob starts"));
/// # });
/// ```
///
/// # Cancellation
///
/// A wait can be dropped at any time, as the loser of a race is, and takes nothing away from the others.
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue,
}

impl Event {
    /// An event that has not happened.
    pub const fn new() -> Self {
        Self {
            set: Cell::new(false),
            waiters: WaitQueue::new(),
        }
    }

    /// The event has happened: releases everybody who waits. Does nothing if it had.
    #[inline]
    pub fn set(&self) {
        if !self.set.replace(true) {
            self.waiters.wake_first(usize::MAX, |_| ());
        }
    }

    /// From now on, the event has not happened. Who was released already stays so.
    #[inline]
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the event has happened.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the event happens. Does not yield if it has.
    #[inline]
    pub fn wait(&self) -> impl Future<Output = ()> {
        let place = Place::Outside;
        Wait { event: self, place }
    }

    /// How many tasks wait, those included that were released and have not run yet.
    pub fn waiters(&self) -> usize {
        self.waiters.len()
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiters", &self.waiters())
            .finish()
    }
}

struct Wait<'a> {
    event: &'a Event,
    place: Place,
}

impl Future for Wait<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { event, place } = &mut *self;
        let waiters = &event.waiters;
        let serve = || {
            if event.is_set() {
                waiters.wake_first(usize::MAX, |_| ());
            }
        };
        waiters
            .poll_within_budget(place, cx, (), || event.is_set(), serve)
            .map(|_| ())
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(key) = self.place {
            drop(self.event.waiters.leave(key));
        }
    }
}
