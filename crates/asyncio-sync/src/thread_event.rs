//! The thread event: any thread sets it, and tasks and threads wait for it.
//!
//! The state is in a mutex, which is held for a few instructions and never while foreign code runs.
//! A waiter is released when its waker is removed from the map. So an event that is set and cleared
//! at once releases all waiters, as [`Event`](crate::Event) does.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asyncio_console::{Place, Resource, ResourceKind};
use futures_core::FusedFuture;

use crate::block_on::block_on;
use crate::budget;
use crate::thread_hooks::ThreadWait;

/// A flag that any thread can set, and for which any number of tasks and threads can wait.
///
/// This is Python's `threading.Event`, which a task can await without `call_soon_threadsafe`.
/// Clones are handles of one event. [`set`](Self::set) releases all tasks and threads that wait at
/// that moment, in order, even if the event is [cleared](Self::clear) before they run.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::ThreadEvent;
///
/// let ready = ThreadEvent::new();
/// let there = ready.clone();
/// let thread = std::thread::spawn(move || {
///     // … prepare the data of the tasks …
///     there.set();
/// });
/// # futures::executor::block_on(async {
/// ready.wait().await;
/// # });
/// assert!(ready.is_set());
/// thread.join().unwrap();
/// ```
///
/// While a task waits, virtual time passes at the rate of real time.
///
/// # Cancellation
///
/// A wait can be cancelled at any time, without effect on other tasks.
#[derive(Clone)]
#[doc(alias = "threading.Event")]
pub struct ThreadEvent {
    inner: Arc<Inner>,
}

const KIND: &ResourceKind = &ResourceKind::sync("ThreadEvent", "wait");

struct Inner {
    shared: Mutex<Shared>,
    shown: Resource,
}

#[derive(Default)]
struct Shared {
    set: bool,
    next_key: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl ThreadEvent {
    /// Creates an event that is not set.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                shared: Mutex::default(),
                shown: Resource::new(KIND, Place::caller()),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No foreign code runs under the lock, so a poisoned lock does not mean a broken state.
        self.inner
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the event, and releases all waiting tasks and threads. Does nothing if the event is
    /// set.
    pub fn set(&self) {
        let mut shared = self.lock();
        shared.set = true;
        let released = std::mem::take(&mut shared.waiting);
        drop(shared);
        // If a waker panics, `Released` wakes the others during unwinding.
        let mut released = Released(released);
        while let Some((_, waker)) = released.0.pop_first() {
            waker.wake();
        }
    }

    /// Clears the event. Tasks and threads that were released stay released.
    pub fn clear(&self) {
        self.lock().set = false;
    }

    /// Whether the event is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.lock().set
    }

    /// Waits until the event is set, in a task of any executor. Does not wait if it is set.
    pub fn wait(&self) -> impl FusedFuture<Output = ()> {
        self.waiting()
    }

    /// Blocks until the event is set. Not for tasks: it would block their event loop.
    pub fn wait_blocking(&self) {
        block_on(&mut self.waiting(), None);
    }

    /// Blocks until the event is set, for at most `timeout`; `false` if the time runs out first.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        block_on(&mut self.waiting(), Instant::now().checked_add(timeout)).is_some()
    }

    fn waiting(&self) -> Wait<'_> {
        Wait {
            event: self,
            key: None,
            held: None,
            has_yielded: false,
            is_over: false,
        }
    }
}

/// The wakers of released waiters. Dropping it wakes the rest.
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
    /// The key in `waiting`. `None` before the first wait and after the release.
    key: Option<u64>,
    held: Option<ThreadWait>,
    has_yielded: bool,
    /// It has returned.
    is_over: bool,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let event = self.event;
        let shown = &event.inner.shown;
        let watch = shown.begin(shown.operation(), self.entry());
        let polled = self.poll_unwatched(cx);
        shown.end(watch, shown.operation(), self.entry());
        polled
    }
}

impl Wait<'_> {
    /// Its number among the waits, for a console. `None`: it does not wait.
    fn entry(&self) -> Option<usize> {
        self.key.map(|key| key as usize)
    }

    fn poll_unwatched(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.key.is_none() && !self.has_yielded && !budget::try_spend() {
            self.has_yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Cloning and dropping a waker runs foreign code, so both happen without the lock.
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
            self.is_over = true;
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

impl FusedFuture for Wait<'_> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.event.lock().waiting.remove(&key);
            drop(waker);
            let shown = &self.event.inner.shown;
            shown.leave(shown.operation(), key as usize);
        }
    }
}

impl Default for ThreadEvent {
    #[track_caller]
    fn default() -> Self {
        Self::new()
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
