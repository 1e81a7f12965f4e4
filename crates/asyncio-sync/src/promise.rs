//! The promise: a result that will be set later, and the future that waits for it.
//!
//! The two sides share one cell. Its outcome is set once and taken once: by the one future, or by
//! the shared state of several futures. Wakers and values are taken out of the cell before they are
//! woken or dropped.

mod error;
mod shared;
mod unretrieved;

use std::cell::{Cell, OnceCell};
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use asyncio_console::{Place, Resource, ResourceKind};
use futures_core::FusedFuture;

use crate::budget;
use crate::wait_list::POLLED_AGAIN;
use shared::Sharing;

pub use error::{PromiseError, SetError};
pub use shared::SharedAnswer;
pub use unretrieved::{UnretrievedError, set_unretrieved_hook};

/// Any error: the default error type of a promise. The facade's `BoxError` is the same type.
type BoxError = Box<dyn Error + Send + Sync>;

/// Creates a promise and its future.
///
/// This is asyncio's `loop.create_future()`, split into two halves. The code that will have the
/// result keeps the [`Promise`], and the code that needs the result awaits the [`Answer`]. The
/// promise can fail with any error. For one error type, use [`promise_or`].
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{Promise, promise};
/// use std::cell::RefCell;
/// use std::collections::HashMap;
///
/// /// The pending requests, by number.
/// #[derive(Default)]
/// struct Client { pending: RefCell<HashMap<u32, Promise<String>>> }
///
/// impl Client {
///     async fn ask(&self, number: u32) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
///         let (promise, answer) = promise();
///         self.pending.borrow_mut().insert(number, promise);
///         Ok(answer.await?)
///     }
///
///     /// Called with each message from the network.
///     fn received(&self, number: u32, text: &str) {
///         if let Some(promise) = self.pending.borrow_mut().remove(&number) {
///             // An error means that the request was cancelled.
///             let _ = promise.set_result(text.to_owned());
///         }
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let client = Client::default();
/// let (first, second, ()) = futures::join!(client.ask(1), client.ask(2), async {
///     client.received(2, "two");
///     client.received(1, "one");
/// });
/// assert_eq!((first?.as_str(), second?.as_str()), ("one", "two"));
/// # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(()) }).unwrap();
/// ```
#[doc(alias("create_future", "oneshot"))]
#[track_caller]
pub fn promise<T>() -> (Promise<T>, Answer<T>) {
    promise_or()
}

/// Creates a [`promise`] that can fail with an `E`.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{PromiseError, promise_or};
///
/// # futures::executor::block_on(async {
/// let (promise, answer) = promise_or::<u32, &str>();
/// promise.set_error("no such page").unwrap();
/// assert_eq!(answer.await, Err(PromiseError::Failed("no such page")));
/// # });
/// ```
#[track_caller]
pub fn promise_or<T, E>() -> (Promise<T, E>, Answer<T, E>) {
    let cell = Rc::new(PromiseCell {
        state: Cell::new(State::Pending),
        result: Cell::new(None),
        failure: Cell::new(None),
        waker: Cell::new(None),
        sharing: OnceCell::new(),
        created: Location::caller(),
    });
    let promise = Promise {
        cell: Rc::clone(&cell),
    };
    let handle = Handle { cell };
    let shown = Resource::new(KIND, Place::caller());
    (promise, Answer { handle, shown })
}

/// The state that the two sides share.
struct PromiseCell<T, E> {
    state: Cell<State>,
    /// Set in the state [`Result`](State::Result).
    result: Cell<Option<T>>,
    /// Set in the state [`Error`](State::Error).
    failure: Cell<Option<Failure<E>>>,
    /// The waker of the one waiting task, in the state [`Pending`](State::Pending).
    waker: Cell<Option<Waker>>,
    /// The shared state of the clones, if the future is shared. Then `waker` is empty.
    sharing: OnceCell<Weak<Sharing<T, E>>>,
    created: &'static Location<'static>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Result,
    Error,
    Cancelled,
    /// The promise was dropped.
    Broken,
    /// The outcome was taken, or dropped with the last future.
    Taken,
    /// As `Taken`, and the promise was cancelled.
    TakenCancelled,
}

struct Failure<E> {
    error: E,
    /// Reports the error if it is not retrieved.
    report: fn(&E, &'static Location<'static>),
}

impl<T, E> PromiseCell<T, E> {
    #[inline]
    fn done(&self) -> bool {
        self.state.get() != State::Pending
    }

    /// Leaves the state `Pending` and wakes the waiting tasks. The outcome has been stored before.
    #[inline]
    fn complete(&self, state: State) {
        self.state.set(state);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        } else if let Some(sharing) = self.sharing.get().and_then(Weak::upgrade) {
            sharing.wake_all();
        }
    }

    /// Cancels the promise; `false` if there is already an outcome.
    fn cancel(&self) -> bool {
        let pending = !self.done();
        if pending {
            self.complete(State::Cancelled);
        }
        pending
    }

    /// Takes the outcome, if there is one.
    ///
    /// # Panics
    ///
    /// If the outcome was taken before.
    #[inline]
    fn take(&self) -> Option<Result<T, PromiseError<E>>> {
        let outcome = match self.state.get() {
            State::Pending => return None,
            State::Result => Ok(self.result.take().expect(HERE)),
            State::Error => Err(PromiseError::Failed(self.failure.take().expect(HERE).error)),
            State::Cancelled => Err(PromiseError::Cancelled),
            State::Broken => Err(PromiseError::Broken),
            State::Taken | State::TakenCancelled => panic!("{POLLED_AGAIN}"),
        };
        self.state.set(match outcome {
            Err(PromiseError::Cancelled) => State::TakenCancelled,
            _ => State::Taken,
        });
        Some(outcome)
    }

    fn cancelled(&self) -> bool {
        matches!(self.state.get(), State::Cancelled | State::TakenCancelled)
    }

    /// The number of tasks that wait for the outcome.
    fn waiters(&self) -> usize {
        if self.done() {
            return 0;
        }
        let waker = self.waker.take();
        let one = usize::from(waker.is_some());
        self.waker.set(waker);
        let sharing = self.sharing.get().and_then(Weak::upgrade);
        sharing.map_or(one, |all| all.waiters())
    }

    /// Whether the outcome was taken.
    fn is_taken(&self) -> bool {
        matches!(self.state.get(), State::Taken | State::TakenCancelled)
    }

    /// The state in a word, for `Debug`.
    fn state(&self) -> &'static str {
        match self.state.get() {
            State::Pending => "pending",
            State::Result => "result",
            State::Error => "error",
            State::Broken => "broken",
            State::Cancelled | State::TakenCancelled => "cancelled",
            State::Taken => "taken",
        }
    }
}

const HERE: &str = "the outcome is stored in its state";

/// The side of a [`promise`] that sets the result.
///
/// This is the setter's side of asyncio's `Answer`. If it is dropped without a result, waiting
/// tasks get [`PromiseError::Broken`].
#[must_use = "a promise that is dropped is broken"]
pub struct Promise<T, E = BoxError> {
    cell: Rc<PromiseCell<T, E>>,
}

impl<T, E> Promise<T, E> {
    /// Sets the result, and wakes the waiting tasks.
    ///
    /// # Errors
    ///
    /// If there is already an outcome, or all futures were dropped. The error contains `result`.
    pub fn set_result(&self, result: T) -> Result<(), SetError<T>> {
        if self.cell.done() {
            return Err(self.refusal(result));
        }
        self.cell.result.set(Some(result));
        self.cell.complete(State::Result);
        Ok(())
    }

    /// Sets an error, and wakes the waiting tasks.
    ///
    /// If all futures are dropped without retrieving the error, it is reported to the
    /// [hook](set_unretrieved_hook).
    ///
    /// # Errors
    ///
    /// If there is already an outcome, or all futures were dropped. The error contains `error`.
    #[doc(alias = "set_exception")]
    pub fn set_error(&self, error: impl Into<E>) -> Result<(), SetError<E>>
    where
        E: fmt::Debug,
    {
        let error = error.into();
        if self.cell.done() {
            return Err(self.refusal(error));
        }
        self.cell.failure.set(Some(Failure {
            error,
            report: |error, created| unretrieved::report(error, created),
        }));
        self.cell.complete(State::Error);
        Ok(())
    }

    /// Cancels the promise; `false` if there is already an outcome.
    ///
    /// Waiting tasks get [`PromiseError::Cancelled`].
    pub fn cancel(&self) -> bool {
        self.cell.cancel()
    }

    /// Whether there is an outcome.
    pub fn done(&self) -> bool {
        self.cell.done()
    }

    /// Whether the promise was cancelled from either side, or all its futures were dropped.
    ///
    /// Then no task needs the result.
    pub fn cancelled(&self) -> bool {
        self.cell.cancelled()
    }

    fn refusal<V>(&self, value: V) -> SetError<V> {
        if self.cancelled() {
            SetError::Cancelled(value)
        } else {
            SetError::AlreadySet(value)
        }
    }
}

impl<T, E> Drop for Promise<T, E> {
    #[inline]
    fn drop(&mut self) {
        if !self.cell.done() {
            self.cell.complete(State::Broken);
        }
    }
}

impl<T, E> fmt::Debug for Promise<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise")
            .field("state", &self.cell.state())
            .field("waiters", &self.cell.waiters())
            .field("created", &format_args!("{}", self.cell.created))
            .finish()
    }
}

/// The side of a [`promise`] that waits for the result.
///
/// This is the awaiting side of asyncio's `Answer`. It is for one task, which gets the result by
/// value. For several tasks, use [`shared`](Self::shared). Await it by value, or as `&mut future`
/// to be able to await it again.
///
/// # Cancellation
///
/// Dropping the future cancels the promise. A later `set_result` returns its value in an error.
///
/// # Panics
///
/// If it is awaited again after it has returned the outcome.
#[must_use = "a future that is dropped cancels its promise"]
#[doc(alias("asyncio.Future", "oneshot"))]
pub struct Answer<T, E = BoxError> {
    handle: Handle<T, E>,
    shown: Resource,
}

const KIND: &ResourceKind = &ResourceKind::sync("Promise", "wait");

/// The number of the wait for an answer, for a console. There is one at most.
const ENTRY: usize = 0;

/// The right to take the outcome. Dropping it cancels the promise.
struct Handle<T, E> {
    cell: Rc<PromiseCell<T, E>>,
}

impl<T, E> Handle<T, E> {
    fn cancel(&self) -> bool {
        if let Some(mut failure) = self.cell.failure.take() {
            // A cancelled promise does not report its error, as in asyncio.
            failure.report = |_, _| {};
            self.cell.failure.set(Some(failure));
        }
        self.cell.cancel()
    }
}

impl<T, E> Drop for Handle<T, E> {
    #[inline]
    fn drop(&mut self) {
        if self.cell.state.get() != State::Taken {
            self.discard();
        }
    }
}

impl<T, E> Handle<T, E> {
    /// Drops the outcome, which can no longer be taken, and reports an error.
    fn discard(&self) {
        let cell = &self.cell;
        cell.state.set(match cell.state.get() {
            State::Pending | State::Cancelled | State::TakenCancelled => State::TakenCancelled,
            State::Result | State::Error | State::Broken | State::Taken => State::Taken,
        });
        // Dropping each of these runs foreign code, so it happens after the state is set.
        let (waker, result, failure) = (cell.waker.take(), cell.result.take(), cell.failure.take());
        if let Some(Failure { error, report }) = &failure {
            report(error, cell.created);
        }
        drop((result, failure, waker));
    }
}

impl<T, E> Answer<T, E> {
    /// Takes the outcome, if there is one. Then this future must not be awaited.
    ///
    /// # Panics
    ///
    /// If the outcome was taken before.
    #[doc(alias("result", "exception"))]
    pub fn try_result(&mut self) -> Option<Result<T, PromiseError<E>>> {
        self.handle.cell.take()
    }

    /// Whether there is an outcome.
    pub fn done(&self) -> bool {
        self.handle.cell.done()
    }

    /// Whether the promise was cancelled.
    pub fn cancelled(&self) -> bool {
        self.handle.cell.cancelled()
    }

    /// Cancels the promise; `false` if there is already an outcome.
    ///
    /// If it was cancelled, awaiting this future returns [`PromiseError::Cancelled`]. If the
    /// outcome is an error that is not retrieved, it is not reported.
    pub fn cancel(&self) -> bool {
        self.handle.cancel()
    }

    /// Turns this future into a cloneable future for many tasks, each of which gets a clone of the
    /// result.
    ///
    /// # Panics
    ///
    /// If the outcome was taken before.
    pub fn shared(self) -> SharedAnswer<T, E> {
        assert!(!self.handle.cell.is_taken(), "{POLLED_AGAIN}");
        SharedAnswer::new(self.handle)
    }
}

impl<T, E> Future for Answer<T, E> {
    type Output = Result<T, PromiseError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = self.shown.operation();
        let watch = self.shown.begin(operation, Some(ENTRY));
        let polled = self.handle.poll(cx);
        let entry = polled.is_pending().then_some(ENTRY);
        self.shown.end(watch, operation, entry);
        polled
    }
}

impl<T, E> Handle<T, E> {
    #[inline]
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, PromiseError<E>>> {
        let cell = &self.cell;
        if !cell.done() {
            let kept = cell.waker.take();
            if kept.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                cell.waker.set(kept);
                return Poll::Pending;
            }
            cell.waker.set(Some(cx.waker().clone()));
            drop(kept);
            // Cloning and dropping wakers runs foreign code, so check again.
            if !cell.done() {
                return Poll::Pending;
            }
            drop(cell.waker.take());
        }
        if !budget::try_spend() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        cell.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T, E> FusedFuture for Answer<T, E> {
    /// Whether the outcome has been taken.
    fn is_terminated(&self) -> bool {
        self.handle.cell.is_taken()
    }
}

impl<T, E> fmt::Debug for Answer<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("state", &self.handle.cell.state())
            .field("waiters", &self.handle.cell.waiters())
            .field("created", &format_args!("{}", self.handle.cell.created))
            .finish()
    }
}
