//! A value that any thread sets, once, and for which one task or thread waits.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::block_on::block_on;
use crate::budget;
use crate::promise::{PromiseError, SetError};
use crate::thread_hooks::ThreadWait;

/// A promise that any thread may keep, and the answer that a task or a thread waits for.
///
/// [`promise`](crate::promise()) across threads: the [`ThreadPromise`] goes to the thread that has the value one day, the
/// [`ThreadAnswer`] to the code that asked. What can go wrong is the value's business: let it be a `Result`.
///
/// ```
/// use asyncio_sync::thread_promise;
///
/// let (promise, answer) = thread_promise();
/// let thread = std::thread::spawn(move || promise.set_result(6 * 7));
/// # futures::executor::block_on(async {
/// assert_eq!(answer.await, Ok(42));
/// # });
/// thread.join().unwrap().unwrap();
/// ```
///
/// On an event loop with virtual time, a task that waits for the answer holds the clock.
///
/// # Cancellation
///
/// An answer that is dropped says to the other side that nobody wants it:
/// [`is_cancelled`](ThreadPromise::is_cancelled).
pub fn thread_promise<T>() -> (ThreadPromise<T>, ThreadAnswer<T>) {
    let cell = Arc::new(Mutex::new(State::Pending(None)));
    let promise = ThreadPromise {
        cell: Some(cell.clone()),
    };
    let answer = ThreadAnswer {
        cell,
        held: None,
        stepped_back: false,
    };
    (promise, answer)
}

/// The side of a [`thread_promise`] that sets the value. If it is dropped without, the answer is
/// [`PromiseError::Broken`].
#[must_use = "a promise that is dropped is broken"]
pub struct ThreadPromise<T> {
    /// `None` once set.
    cell: Option<Cell<T>>,
}

/// The side of a [`thread_promise`] that waits for the value: await it, or block.
///
/// # Errors
///
/// [`PromiseError::Broken`]: the promise was dropped.
///
/// # Panics
///
/// If it is awaited again after it gave the value.
#[must_use = "the promise is cancelled when its answer is dropped"]
pub struct ThreadAnswer<T> {
    cell: Cell<T>,
    held: Option<ThreadWait>,
    stepped_back: bool,
}

type Cell<T> = Arc<Mutex<State<T>>>;

enum State<T> {
    /// With the waker of the one that waits.
    Pending(Option<Waker>),
    Set(T),
    /// The promise was dropped.
    Broken,
    /// The answer was dropped, or has been given.
    Over,
}

fn lock<T>(cell: &Cell<T>) -> MutexGuard<'_, State<T>> {
    // No foreign code runs under the lock; what panicked there is a bug, but not of the state.
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> ThreadPromise<T> {
    /// Sets the value, and wakes the task or thread that waits for it.
    ///
    /// # Errors
    ///
    /// The answer was dropped: nobody wants the value, which comes back.
    pub fn set_result(mut self, value: T) -> Result<(), SetError<T>> {
        match self.settle(State::Set(value)) {
            Some(State::Set(value)) => Err(SetError::Cancelled(value)),
            _ => Ok(()),
        }
    }

    /// Whether the answer was dropped: nobody wants the value.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let cell = self.cell.as_ref();
        cell.is_some_and(|cell| matches!(*lock(cell), State::Over))
    }

    /// Gives `end` back if nobody wants it.
    fn settle(&mut self, end: State<T>) -> Option<State<T>> {
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
        self.settle(State::Broken);
    }
}

impl<T> ThreadAnswer<T> {
    /// Blocks until the value is there. For threads: it would block an event loop.
    ///
    /// # Errors
    ///
    /// [`PromiseError::Broken`]: the promise was dropped.
    pub fn wait(mut self) -> Result<T, PromiseError<Infallible>> {
        block_on(&mut self, None).unwrap_or(Err(PromiseError::Broken))
    }

    /// Blocks until the value is there, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Itself, if the time is over. The inner result is that of [`wait`](Self::wait).
    pub fn wait_timeout(
        mut self,
        timeout: Duration,
    ) -> Result<Result<T, PromiseError<Infallible>>, Self> {
        let deadline = Instant::now().checked_add(timeout);
        block_on(&mut self, deadline).ok_or(self)
    }

    /// The value, if it is there.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, PromiseError<Infallible>>> {
        take(&mut lock(&self.cell))
    }

    /// Whether the value is there, or never will be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !matches!(*lock(&self.cell), State::Pending(_))
    }
}

fn take<T>(state: &mut State<T>) -> Option<Result<T, PromiseError<Infallible>>> {
    match std::mem::replace(state, State::Over) {
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
        if self.held.is_none() && !self.stepped_back && !budget::draw() {
            self.stepped_back = true;
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
            panic!("awaited again after it gave its value");
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

impl<T> Drop for ThreadAnswer<T> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.cell), State::Over);
        drop(state); // without the lock: its value or waker is foreign
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
