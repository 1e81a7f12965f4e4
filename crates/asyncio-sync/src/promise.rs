//! The promise: a result that somebody will set, and the future of those who wait for it.
//!
//! One cell is between the two sides. Its outcome is settled once, and taken once: by the one future,
//! or by the sharing of several. Whatever is woken or dropped is taken out of the cell first.

mod error;
mod shared;
mod unretrieved;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

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
        outcome: RefCell::new(Outcome::Pending),
        listener: Cell::new(Listener::Nobody),
        created: Location::caller(),
    });
    let promise = Promise {
        cell: Rc::clone(&cell),
    };
    let handle = Handle { cell };
    (promise, Future { handle })
}

struct PromiseCell<T, E> {
    outcome: RefCell<Outcome<T, E>>,
    listener: Cell<Listener<T, E>>,
    created: &'static Location<'static>,
}

enum Outcome<T, E> {
    Pending,
    Result(T),
    /// With the way to report it, should nobody look.
    Error(E, fn(&E, &'static Location<'static>)),
    Cancelled,
    /// The promise was dropped.
    Broken,
    /// It has been taken, or nobody is left to take it.
    Taken {
        cancelled: bool,
    },
}

/// Who is to be woken.
#[derive(Default)]
enum Listener<T, E> {
    #[default]
    Nobody,
    One(Waker),
    Several(Weak<Sharing<T, E>>),
}

impl<T, E> PromiseCell<T, E> {
    /// Sets the outcome and wakes who waits, or gives it back if there is one already.
    #[inline]
    fn settle(&self, outcome: Outcome<T, E>) -> Result<(), Outcome<T, E>> {
        {
            let mut now = self.outcome.borrow_mut();
            if !matches!(*now, Outcome::Pending) {
                return Err(outcome);
            }
            *now = outcome;
        }
        match self.listener.take() {
            Listener::Nobody => {}
            Listener::One(waker) => waker.wake(),
            Listener::Several(sharing) => {
                if let Some(sharing) = sharing.upgrade() {
                    sharing.wake_all();
                }
            }
        }
        Ok(())
    }

    /// Takes the outcome, if there is one.
    ///
    /// # Panics
    ///
    /// If it was taken already.
    #[inline]
    fn take(&self) -> Option<Result<T, PromiseError<E>>> {
        let outcome = {
            let mut now = self.outcome.borrow_mut();
            let cancelled = match *now {
                Outcome::Pending => return None,
                Outcome::Cancelled => true,
                _ => false,
            };
            mem::replace(&mut *now, Outcome::Taken { cancelled })
        };
        match outcome {
            Outcome::Result(value) => Some(Ok(value)),
            Outcome::Error(error, _) => Some(Err(PromiseError::Failed(error))),
            Outcome::Cancelled => Some(Err(PromiseError::Cancelled)),
            Outcome::Broken => Some(Err(PromiseError::Broken)),
            Outcome::Pending | Outcome::Taken { .. } => panic!("{POLLED_AGAIN}"),
        }
    }

    fn done(&self) -> bool {
        !matches!(*self.outcome.borrow(), Outcome::Pending)
    }

    fn cancelled(&self) -> bool {
        matches!(
            *self.outcome.borrow(),
            Outcome::Cancelled | Outcome::Taken { cancelled: true }
        )
    }

    /// How many wait to be woken.
    fn waiters(&self) -> usize {
        let listener = self.listener.take();
        let waiters = match &listener {
            Listener::Nobody => 0,
            Listener::One(_) => 1,
            Listener::Several(sharing) => sharing.upgrade().map_or(0, |all| all.waiters()),
        };
        self.listener.set(listener);
        waiters
    }

    /// The state in a word, for `Debug`.
    fn state(&self) -> &'static str {
        match *self.outcome.borrow() {
            Outcome::Pending => "pending",
            Outcome::Result(_) => "result",
            Outcome::Error(..) => "error",
            Outcome::Broken => "broken",
            Outcome::Cancelled | Outcome::Taken { cancelled: true } => "cancelled",
            Outcome::Taken { cancelled: false } => "taken",
        }
    }
}

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
        match self.cell.settle(Outcome::Result(result)) {
            Err(Outcome::Result(result)) => Err(self.refuse(result)),
            _ => Ok(()),
        }
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
        let outcome = Outcome::Error(error.into(), |error, created| {
            unretrieved::report(error, created);
        });
        match self.cell.settle(outcome) {
            Err(Outcome::Error(error, _)) => Err(self.refuse(error)),
            _ => Ok(()),
        }
    }

    /// Cancels the promise: who waits for it is told so. False if there is an outcome already.
    pub fn cancel(&self) -> bool {
        self.cell.settle(Outcome::Cancelled).is_ok()
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
        // Unless there is an outcome.
        let _ = self.cell.settle(Outcome::Broken);
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
        let cancelled = self.cell.settle(Outcome::Cancelled).is_ok();
        if let Outcome::Error(_, report) = &mut *self.cell.outcome.borrow_mut() {
            // Whoever waits has said that the outcome is not wanted, as in asyncio.
            *report = |_, _| {};
        }
        cancelled
    }
}

impl<T, E> Drop for Handle<T, E> {
    #[inline]
    fn drop(&mut self) {
        let (outcome, listener) = {
            let mut now = self.cell.outcome.borrow_mut();
            let cancelled = matches!(
                *now,
                Outcome::Pending | Outcome::Cancelled | Outcome::Taken { cancelled: true }
            );
            let outcome = mem::replace(&mut *now, Outcome::Taken { cancelled });
            (outcome, self.cell.listener.take())
        };
        if let Outcome::Error(error, report) = &outcome {
            report(error, self.cell.created);
        }
        drop((outcome, listener));
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
        let given = matches!(*self.handle.cell.outcome.borrow(), Outcome::Taken { .. });
        assert!(!given, "{POLLED_AGAIN}");
        SharedFuture::new(self.handle)
    }
}

impl<T, E> std::future::Future for Future<T, E> {
    type Output = Result<T, PromiseError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let cell = &self.handle.cell;
        if let Some(outcome) = cell.take() {
            return Poll::Ready(outcome);
        }
        let outdated = match cell.listener.take() {
            Listener::One(waker) if waker.will_wake(cx.waker()) => {
                cell.listener.set(Listener::One(waker));
                return Poll::Pending;
            }
            outdated => outdated,
        };
        cell.listener.set(Listener::One(cx.waker().clone()));
        drop(outdated);
        // Cloning and dropping wakers is foreign code: look again.
        match cell.take() {
            Some(outcome) => {
                drop(cell.listener.take());
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
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
