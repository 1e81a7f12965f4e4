//! The thread promise: any thread sets its value once, and one task or thread waits for it.

use std::convert::Infallible;
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
use crate::promise::{PromiseError, SetError};
use crate::thread_hooks::ThreadWait;

/// Creates a promise that any thread can set, and the answer for which a task or a thread waits.
///
/// This is [`promise`](crate::promise()) across threads. The thread that will have the value keeps
/// the [`ThreadPromise`], and the code that needs the value keeps the [`ThreadAnswer`]. If the
/// thread can fail, let the value be a `Result`.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::thread_promise;
///
/// let (promise, answer) = thread_promise();
/// let thread = std::thread::spawn(move || promise.set_result(6 * 7));
/// # futures::executor::block_on(async {
/// assert_eq!(answer.await, Ok(42));
/// # });
/// thread.join().unwrap().unwrap();
/// ```
///
/// While a task waits for the answer, virtual time passes at the rate of real time.
///
/// # Cancellation
///
/// Dropping the answer cancels the promise, which its holder sees with
/// [`is_cancelled`](ThreadPromise::is_cancelled).
#[track_caller]
pub fn thread_promise<T>() -> (ThreadPromise<T>, ThreadAnswer<T>) {
    let cell = Arc::new(Mutex::new(State::Pending(None)));
    let promise = ThreadPromise {
        cell: Some(cell.clone()),
    };
    let answer = ThreadAnswer {
        cell,
        held: None,
        has_yielded: false,
        shown: Resource::new(KIND, Place::caller()),
    };
    (promise, answer)
}

/// The side of a [`thread_promise`] that sets the value.
///
/// If it is dropped without a value, the answer is [`PromiseError::Broken`].
#[must_use = "a promise that is dropped is broken"]
pub struct ThreadPromise<T> {
    /// `None` after the value has been set.
    cell: Option<Cell<T>>,
}

/// The side of a [`thread_promise`] that waits for the value: await it, or block.
///
/// # Errors
///
/// [`PromiseError::Broken`] if the promise was dropped.
///
/// # Panics
///
/// If it is awaited again after it has returned the value.
#[must_use = "the promise is cancelled when its answer is dropped"]
pub struct ThreadAnswer<T> {
    cell: Cell<T>,
    held: Option<ThreadWait>,
    has_yielded: bool,
    shown: Resource,
}

const KIND: &ResourceKind = &ResourceKind::sync("ThreadPromise", "wait");

/// The number of the wait, for a console. There is one at most.
const ENTRY: usize = 0;

type Cell<T> = Arc<Mutex<State<T>>>;

enum State<T> {
    /// No value yet. Contains the waker of the waiting task or thread.
    Pending(Option<Waker>),
    Set(T),
    /// The promise was dropped.
    Broken,
    /// The answer was dropped, or has returned its value.
    Finished,
}

fn lock<T>(cell: &Cell<T>) -> MutexGuard<'_, State<T>> {
    // No foreign code runs under the lock, so a poisoned lock does not mean a broken state.
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> ThreadPromise<T> {
    /// Sets the value, and wakes the waiting task or thread.
    ///
    /// # Errors
    ///
    /// If the answer was dropped. The error contains `value`.
    pub fn set_result(mut self, value: T) -> Result<(), SetError<T>> {
        match self.complete(State::Set(value)) {
            Some(State::Set(value)) => Err(SetError::Cancelled(value)),
            _ => Ok(()),
        }
    }

    /// Whether the answer was dropped, so that the value is not needed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let cell = self.cell.as_ref();
        cell.is_some_and(|cell| matches!(*lock(cell), State::Finished))
    }

    /// Sets the final state and wakes the waiter. Returns `end` if the answer was dropped.
    fn complete(&mut self, end: State<T>) -> Option<State<T>> {
        let cell = self.cell.take()?;
        let mut state = lock(&cell);
        match &mut *state {
            State::Pending(waker) => {
                let waker = waker.take();
                *state = end;
                drop(state);
                if let Some(waker) = waker {
                    waker.wake();
                }
                None
            }
            _ => {
                drop(state);
                Some(end)
            }
        }
    }
}

impl<T> Drop for ThreadPromise<T> {
    fn drop(&mut self) {
        self.complete(State::Broken);
    }
}

impl<T> ThreadAnswer<T> {
    /// Blocks until the value is set. Not for tasks: it would block their event loop.
    ///
    /// # Errors
    ///
    /// [`PromiseError::Broken`] if the promise was dropped.
    pub fn wait(mut self) -> Result<T, PromiseError<Infallible>> {
        block_on(&mut self, None).unwrap_or(Err(PromiseError::Broken))
    }

    /// Blocks until the value is set, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The answer itself, if the time runs out first. The inner result is that of
    /// [`wait`](Self::wait).
    pub fn wait_timeout(
        mut self,
        timeout: Duration,
    ) -> Result<Result<T, PromiseError<Infallible>>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        block_on(&mut self, deadline).ok_or(self)
    }

    /// Takes the value, if it is set.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, PromiseError<Infallible>>> {
        take(&mut lock(&self.cell))
    }

    /// Whether the value is set, or the promise was dropped.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !matches!(*lock(&self.cell), State::Pending(_))
    }
}

fn take<T>(state: &mut State<T>) -> Option<Result<T, PromiseError<Infallible>>> {
    match std::mem::replace(state, State::Finished) {
        State::Set(value) => Some(Ok(value)),
        State::Broken => Some(Err(PromiseError::Broken)),
        other => {
            *state = other;
            None
        }
    }
}

impl<T> Future for ThreadAnswer<T> {
    type Output = Result<T, PromiseError<Infallible>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = self.shown.operation();
        let watch = self.shown.begin(operation, Some(ENTRY));
        let polled = self.poll_unwatched(cx);
        let entry = polled.is_pending().then_some(ENTRY);
        self.shown.end(watch, operation, entry);
        polled
    }
}

impl<T> ThreadAnswer<T> {
    fn poll_unwatched(&mut self, cx: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        if self.held.is_none() && !self.has_yielded && !budget::try_spend() {
            self.has_yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A waker's clone and drop are foreign code.
        let new = cx.waker().clone();
        let mut state = lock(&self.cell);
        if let Some(outcome) = take(&mut state) {
            drop(state);
            self.held = None;
            return Poll::Ready(outcome);
        }
        let State::Pending(waker) = &mut *state else {
            drop(state);
            panic!("a `ThreadAnswer` was awaited again after it had returned its value");
        };
        let old = waker.replace(new);
        drop(state);
        drop(old);
        if self.held.is_none() {
            self.held = Some(ThreadWait::begin());
        }
        Poll::Pending
    }
}

impl<T> FusedFuture for ThreadAnswer<T> {
    /// Whether the value has been taken.
    fn is_terminated(&self) -> bool {
        matches!(*lock(&self.cell), State::Finished)
    }
}

impl<T> Drop for ThreadAnswer<T> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.cell), State::Finished);
        drop(state); // without the lock: dropping a value or a waker runs foreign code
    }
}

impl<T> fmt::Debug for ThreadPromise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPromise")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ThreadAnswer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadAnswer")
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}
