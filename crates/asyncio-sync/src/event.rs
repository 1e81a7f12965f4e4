//! The event: a flag that tasks wait for.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::wait_list::WaiterState;
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("Event", "wait");

/// A flag for which any number of tasks can wait.
///
/// This is asyncio's `Event`. [`set`](Self::set) releases all tasks that wait at that moment, in
/// order, even if the event is [cleared](Self::clear) before they run. While the event is set, no
/// task waits.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Event;
///
/// # futures::executor::block_on(async {
/// let ready = Event::new();
/// let worker = async |name: &'static str| {
///     ready.wait().await;
///     format!("{name} starts")
/// };
/// let (first, second, ()) = futures::join!(worker("ada"), worker("bob"), async {
///     // … prepare the shared data …
///     ready.set();
/// });
///
/// assert_eq!((first.as_str(), second.as_str()), ("ada starts", "bob starts"));
/// # });
/// ```
///
/// # Cancellation
///
/// A wait can be cancelled at any time, without effect on other tasks.
#[doc(alias = "Notify")]
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue,
}

impl Event {
    /// Creates an event that is not set.
    #[track_caller]
    pub const fn new() -> Self {
        Self {
            set: Cell::new(false),
            waiters: WaitQueue::new(KIND),
        }
    }

    /// Sets the event and releases all waiting tasks. Does nothing if the event is set.
    #[inline]
    pub fn set(&self) {
        if !self.set.replace(true) {
            self.waiters.grant_and_wake(usize::MAX, |_| ());
        }
    }

    /// Clears the event. Tasks that were released stay released.
    #[inline]
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the event is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the event is set. Does not yield if it is set.
    #[inline]
    pub fn wait(&self) -> impl FusedFuture<Output = ()> {
        let waiter = WaiterState::New;
        Wait {
            event: self,
            waiter,
        }
    }

    /// The number of waiting tasks, including released tasks that have not run since.
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
    waiter: WaiterState,
}

impl Future for Wait<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { event, waiter } = &mut *self;
        let waiters = &event.waiters;
        let grant_waiters = || {
            if event.is_set() {
                waiters.grant_and_wake(usize::MAX, |_| ());
            }
        };
        waiters
            .poll_within_budget(waiter, cx, (), || event.is_set(), grant_waiters)
            .map(|_| ())
    }
}

impl FusedFuture for Wait<'_> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            drop(self.event.waiters.remove(key));
        }
    }
}
