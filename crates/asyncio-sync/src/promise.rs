//! The promise: a result that somebody will set, and the future of those who wait for it.
//!
//! One cell is between the two sides. Its outcome is settled once, and taken once: by the one future,
//! or by the sharing of several. Whatever is woken or dropped is taken out of the cell first.

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

use crate::budget;
use crate::line::POLLED_AGAIN;
use shared::Sharing;

pub use error::{PromiseError, SetError};
pub use shared::SharedFuture;
pub use unretrieved::{UnretrievedError, set_unretrieved_hook};

/// Any error, for promises that do not say which.
pub type BoxError = Box<dyn Error>;

/// A promise, and the future that is ready once it is kept or broken.
///
/// asyncio's `loop.create_future()`, in its two halves: the [`Promise`] goes to who has the answer
/// one day, the [`Future`] to who asked. The error can be of any type; for one in particular, see
/// [`promise_or`].
///
/// ```
/// use std::cell::RefCell;
/// use std::collections::HashMap;
/// use asyncio_sync::{Promise, promise};
///
/// /// Requests on their way, by number.
/// #[derive(Default)]
/// struct Client { asked: RefCell<HashMap<u32, Promise<String>>> }
///
/// impl Client {
///     async fn ask(&self, number: u32) -> Result<String, Box<dyn std::error::Error>> {
///         let (promise, answer) = promise();
///         self.asked.borrow_mut().insert(number, promise);
///         Ok(answer.await?)
///     }
///
///     /// Called with what comes in from the network.
///     fn received(&self, number: u32, text: &str) {
///         if let Some(promise) = self.asked.borrow_mut().remove(&number) {
///             // An error says that nobody waits any more.
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
/// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[doc(alias = "create_future")]
#[track_caller]
pub fn promise<T>() -> (Promise<T>, Future<T>) {
    promise_or()
}

/// A [`promise`] that can fail with an `E`.
///
/// ```
/// use asyncio_sync::{PromiseError, promise_or};
///
/// # futures::executor::block_on(async {
/// let (promise, answer) = promise_or::<u32, &str>();
/// promise.set_error("no such page").unwrap();
/// assert_eq!(answer.await, Err(PromiseError::Failed("no such page")));
/// # });
/// ```
#[track_caller]
pub fn promise_or<T, E>() -> (Promise<T, E>, Future<T, E>) {
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
    (promise, Future { handle })
}

/// What is between the two sides.
struct PromiseCell<T, E> {
    state: Cell<State>,
    /// Here in the state [`Result`](State::Result).
    result: Cell<Option<T>>,
    /// Here in the state [`Error`](State::Error).
    failure: Cell<Option<Failure<E>>>,
    /// Of the one task that waits, while the state is [`Pending`](State::Pending).
    waker: Cell<Option<Waker>>,
    /// Where those wait who share the future. A task that has waited before they did no longer does.
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
    /// The outcome has been taken, or was dropped with whoever could have.
    Taken,
    /// The same, and nobody is left who wants an answer.
    TakenCancelled,
}

struct Failure<E> {
    error: E,
    /// The way to report it, should nobody look.
    report: fn(&E, &'static Location<'static>),
}

impl<T, E> PromiseCell<T, E> {
    #[inline]
    fn done(&self) -> bool {
        self.state.get() != State::Pending
    }

    /// Leaves the state `Pending`, with the outcome in its place, and wakes who waits.
    #[inline]
    fn settle(&self, state: State) {
        self.state.set(state);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        } else if let Some(sharing) = self.sharing.get().and_then(Weak::upgrade) {
            sharing.wake_all();
        }
    }

    /// Cancels, unless there is an outcome.
    fn cancel(&self) -> bool {
        let pending = !self.done();
        if pending {
            self.settle(State::Cancelled);
        }
        pending
    }

    /// Takes the outcome, if there is one.
    ///
    /// # Panics
    ///
    /// If it was taken already.
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

    /// How many wait to be woken.
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

const HERE: &str = "what the state says is there";

/// The side of a [`promise`] that gives the answer.
///
/// asyncio's `Future`, as seen by who sets it. Dropped without an answer it is broken, and who waits
/// is told so.
#[must_use = "a promise that is dropped is broken"]
pub struct Promise<T, E = BoxError> {
    cell: Rc<PromiseCell<T, E>>,
}

impl<T, E> Promise<T, E> {
    /// Keeps the promise: who waits for it gets `result`.
    ///
    /// # Errors
    ///
    /// If there is an outcome already, or nobody is left to hear of it; `result` is in the error.
    pub fn set_result(&self, result: T) -> Result<(), SetError<T>> {
        if self.cell.done() {
            return Err(self.refuse(result));
        }
        self.cell.result.set(Some(result));
        self.cell.settle(State::Result);
        Ok(())
    }

    /// Lets the promise fail: who waits for it gets `error`.
    ///
    /// If all who could wait are dropped without having looked at it, it is reported to the
    /// [hook](set_unretrieved_hook).
    ///
    /// # Errors
    ///
    /// If there is an outcome already, or nobody is left to hear of it; `error` is in the error.
    #[doc(alias = "set_exception")]
    pub fn set_error(&self, error: impl Into<E>) -> Result<(), SetError<E>>
    where
        E: fmt::Debug,
    {
        let error = error.into();
        if self.cell.done() {
            return Err(self.refuse(error));
        }
        self.cell.failure.set(Some(Failure {
            error,
            report: |error, created| unretrieved::report(error, created),
        }));
        self.cell.settle(State::Error);
        Ok(())
    }

    /// Cancels the promise: who waits for it is told so. False if there is an outcome already.
    pub fn cancel(&self) -> bool {
        self.cell.cancel()
    }

    /// Whether there is an outcome.
    pub fn done(&self) -> bool {
        self.cell.done()
    }

    /// Whether the promise was cancelled, from either side, or nobody is left who could wait for it.
    ///
    /// Then the answer is wanted by nobody.
    pub fn cancelled(&self) -> bool {
        self.cell.cancelled()
    }

    fn refuse<V>(&self, value: V) -> SetError<V> {
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
            self.cell.settle(State::Broken);
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

/// The side of a [`promise`] that waits for the answer.
///
/// asyncio's `Future`, as seen by who awaits it. It is for one task, and gives the result itself; for
/// several, see [`shared`](Self::shared). It is awaited by value, or as `&mut future` to try again
/// later.
///
/// # Cancellation
///
/// Dropping it cancels the promise: who comes to set it is told so, and gets the result back.
///
/// # Panics
///
/// If it is awaited again after it has given the outcome.
#[must_use = "a future that is dropped cancels its promise"]
pub struct Future<T, E = BoxError> {
    handle: Handle<T, E>,
}

/// The right to the outcome. Dropping it says that nobody wants it.
struct Handle<T, E> {
    cell: Rc<PromiseCell<T, E>>,
}

impl<T, E> Handle<T, E> {
    fn cancel(&self) -> bool {
        if let Some(mut failure) = self.cell.failure.take() {
            // Whoever waits has said that the outcome is not wanted, as in asyncio.
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
            self.give_up();
        }
    }
}

impl<T, E> Handle<T, E> {
    /// Nobody is left to take the outcome.
    fn give_up(&self) {
        let cell = &self.cell;
        cell.state.set(match cell.state.get() {
            State::Pending | State::Cancelled | State::TakenCancelled => State::TakenCancelled,
            State::Result | State::Error | State::Broken | State::Taken => State::Taken,
        });
        // All of these may be dropped by code that is not ours.
        let (waker, result, failure) = (cell.waker.take(), cell.result.take(), cell.failure.take());
        if let Some(Failure { error, report }) = &failure {
            report(error, cell.created);
        }
        drop((result, failure, waker));
    }
}

impl<T, E> Future<T, E> {
    /// The outcome, if there is one already; then this future has given it.
    ///
    /// # Panics
    ///
    /// If it has given it before.
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

    /// Cancels the promise. False if there is an outcome already; an error at which nobody looks is
    /// not reported then.
    ///
    /// Awaiting this future then gives [`PromiseError::Cancelled`], if it did cancel.
    pub fn cancel(&self) -> bool {
        self.handle.cancel()
    }

    /// A future that can be cloned and awaited by many tasks, each of which gets a clone of the
    /// result.
    ///
    /// # Panics
    ///
    /// If it has given the outcome already.
    pub fn shared(self) -> SharedFuture<T, E> {
        let state = self.handle.cell.state.get();
        let given = matches!(state, State::Taken | State::TakenCancelled);
        assert!(!given, "{POLLED_AGAIN}");
        SharedFuture::new(self.handle)
    }
}

impl<T, E> std::future::Future for Future<T, E> {
    type Output = Result<T, PromiseError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cell = &self.handle.cell;
        if !cell.done() {
            let kept = cell.waker.take();
            if kept.as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
                cell.waker.set(kept);
                return Poll::Pending;
            }
            cell.waker.set(Some(cx.waker().clone()));
            drop(kept);
            // Cloning and dropping wakers is foreign code: look again.
            if !cell.done() {
                return Poll::Pending;
            }
            drop(cell.waker.take());
        }
        if !budget::draw() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        cell.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T, E> fmt::Debug for Future<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Future")
            .field("state", &self.handle.cell.state())
            .field("waiters", &self.handle.cell.waiters())
            .field("created", &format_args!("{}", self.handle.cell.created))
            .finish()
    }
}
