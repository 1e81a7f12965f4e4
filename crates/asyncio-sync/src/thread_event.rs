//! An event that any thread sets, and for which tasks and threads wait.
//!
//! The state is in a mutex, which is held for a few instructions and never while foreign code runs. A waiter is
//! released by being taken off the list: so an event that is set and cleared at once releases all that waited, as
//! [`Event`](crate::Event) does.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::block_on::block_on;
use crate::budget;
use crate::thread_hooks::ThreadWait;

/// Something that happens on any thread, and for which any number of tasks and threads can wait.
///
/// asyncio's `threading.Event` beside a loop, without `call_soon_threadsafe`. Clones are the same event.
/// [`set`](Self::set) releases all that wait at that moment, in order, even if the event is [cleared](Self::clear) before
/// they run.
///
/// ```
/// use asyncio_sync::ThreadEvent;
///
/// let ready = ThreadEvent::new();
/// let there = ready.clone();
/// let thread = std::thread::spawn(move || {
///     // … what the tasks need is prepared here …
///     there.set();
/// });
/// # futures::executor::block_on(async {
/// ready.wait().await;
/// # });
/// assert!(ready.is_set());
/// thread.join().unwrap();
/// ```
///
/// On an event loop with virtual time, a task that waits here holds the clock.
///
/// # Cancellation
///
/// A wait can be dropped at any time and takes nothing away from the others.
#[derive(Clone, Default)]
#[doc(alias = "threading.Event")]
pub struct ThreadEvent {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    set: bool,
    next_key: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl ThreadEvent {
    /// An event that has not happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No foreign code runs under the lock; what panicked there is a bug, but not of the state.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event has happened: releases all that wait. Does nothing if it had.
    pub fn set(&self) {
        let mut shared = self.lock();
        shared.set = true;
        let released = std::mem::take(&mut shared.waiting);
        drop(shared);
        // If one of them panics, the others are woken as it unwinds.
        let mut released = Released(released);
        while let Some((_, waker)) = released.0.pop_first() {
            waker.wake();
        }
    }

    /// The event has not happened, from now on.
    pub fn clear(&self) {
        self.lock().set = false;
    }

    /// Whether the event has happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().set
    }

    /// Waits until the event happens, in a task of any executor. Does not wait if it has.
    pub fn wait(&self) -> impl Future<Output = ()> + '_ {
        self.waiting()
    }

    /// Blocks until the event happens. For threads: it would block an event loop.
    pub fn wait_blocking(&self) {
        block_on(&mut self.waiting(), None);
    }

    /// Blocks until the event happens, for `timeout` at most. `false` if it did not.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        block_on(&mut self.waiting(), Instant::now().checked_add(timeout)).is_some()
    }

    fn waiting(&self) -> Wait<'_> {
        Wait {
            event: self,
            key: None,
            held: None,
            stepped_back: false,
        }
    }
}

/// Wakers that are all woken, whatever one of them does.
struct Released(BTreeMap<u64, Waker>);

impl Drop for Released {
    fn drop(&mut self) {
        while let Some((_, waker)) = self.0.pop_first() {
            waker.wake();
        }
    }
}

struct Wait<'a> {
    event: &'a ThreadEvent,
    /// Where it stands in line.
    key: Option<u64>,
    held: Option<ThreadWait>,
    stepped_back: bool,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.key.is_none() && !self.stepped_back && !budget::draw() {
            self.stepped_back = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A waker's clone and drop are foreign code.
        let waker = cx.waker().clone();
        let mut shared = self.event.lock();
        let is_released = match self.key {
            Some(key) => !shared.waiting.contains_key(&key),
            None => shared.set,
        };
        if is_released {
            drop(shared);
            self.key = None;
            self.held = None;
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or(shared.next_key);
        if self.key.is_none() {
            shared.next_key += 1;
        }
        let old = shared.waiting.insert(key, waker);
        drop(shared);
        drop(old);
        self.key = Some(key);
        if self.held.is_none() {
            self.held = Some(ThreadWait::begin());
        }
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.event.lock().waiting.remove(&key);
            drop(waker);
        }
    }
}

impl fmt::Debug for ThreadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.lock();
        f.debug_struct("ThreadEvent")
            .field("set", &shared.set)
            .field("waiting", &shared.waiting.len())
            .finish()
    }
}
