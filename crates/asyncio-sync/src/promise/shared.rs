//! One promise, awaited by many.

use std::cell::OnceCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::line::Place;
use crate::promise::{BoxError, Handle, PromiseError};
use crate::wait_queue::WaitQueue;

/// A future of a promise for many tasks: from [`Future::shared`](crate::Future::shared).
///
/// Every clone can be awaited once, before or after there is an outcome; who waits is woken in the
/// order in which they came. The result is cloned for each, so what is large or cannot be cloned is
/// best put into an `Rc`; an error is the same one for all.
///
/// ```
/// use asyncio_sync::promise;
///
/// # futures::executor::block_on(async {
/// let (promise, answer) = promise::<&str>();
/// let answer = answer.shared();
/// let (ada, bob, ()) = futures::join!(answer.clone(), answer, async {
///     promise.set_result("to all of you").unwrap();
/// });
/// assert_eq!((ada.unwrap(), bob.unwrap()), ("to all of you", "to all of you"));
/// # });
/// ```
///
/// # Cancellation
///
/// A clone can be dropped at any time and takes nothing away from the others. Dropping the last
/// one cancels the promise.
///
/// # Panics
///
/// If one clone is awaited again after it has given the outcome.
#[must_use = "a future does nothing unless it is awaited"]
pub struct SharedFuture<T, E = BoxError> {
    sharing: Rc<Sharing<T, E>>,
    place: Place,
}

/// What the clones have in common.
pub(super) struct Sharing<T, E> {
    handle: Handle<T, E>,
    /// The outcome, once somebody has looked.
    outcome: OnceCell<Result<T, PromiseError<Rc<E>>>>,
    waiters: WaitQueue,
}

impl<T, E> Sharing<T, E> {
    pub(super) fn wake_all(&self) {
        self.waiters.wake_first(usize::MAX, |_| ());
    }

    /// How many wait, those included that were woken and have not run yet.
    pub(super) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// The state in a word, for `Debug`. To the promise, what somebody has looked at is taken.
    fn state(&self) -> &'static str {
        match self.outcome.get() {
            None => self.handle.cell.state(),
            Some(Ok(_)) => "result",
            Some(Err(PromiseError::Failed(_))) => "error",
            Some(Err(PromiseError::Cancelled)) => "cancelled",
            Some(Err(PromiseError::Broken)) => "broken",
        }
    }

    fn outcome(&self) -> Option<&Result<T, PromiseError<Rc<E>>>> {
        if self.outcome.get().is_none() {
            let outcome = self.handle.cell.take()?;
            let outcome = outcome.map_err(|error| match error {
                PromiseError::Failed(error) => PromiseError::Failed(Rc::new(error)),
                PromiseError::Cancelled => PromiseError::Cancelled,
                PromiseError::Broken => PromiseError::Broken,
            });
            return Some(self.outcome.get_or_init(|| outcome));
        }
        self.outcome.get()
    }
}

impl<T, E> SharedFuture<T, E> {
    pub(super) fn new(handle: Handle<T, E>) -> Self {
        let sharing = Rc::new(Sharing {
            handle,
            outcome: OnceCell::new(),
            waiters: WaitQueue::new(),
        });
        let cell = &sharing.handle.cell;
        let first = cell.sharing.set(Rc::downgrade(&sharing));
        first.expect("a future is given away to be shared");
        // If somebody has awaited the future before, its task no longer does.
        drop(cell.waker.take());
        let place = Place::Outside;
        Self { sharing, place }
    }

    /// The outcome, if there is one.
    #[doc(alias("result", "exception"))]
    pub fn try_result(&self) -> Option<Result<T, PromiseError<Rc<E>>>>
    where
        T: Clone,
    {
        self.sharing.outcome().cloned()
    }

    /// Whether there is an outcome.
    pub fn done(&self) -> bool {
        self.sharing.handle.cell.done()
    }

    /// Whether the promise was cancelled.
    pub fn cancelled(&self) -> bool {
        self.sharing.handle.cell.cancelled()
    }

    /// Cancels the promise, for all. False if there is an outcome already; an error at which nobody
    /// looks is not reported then.
    pub fn cancel(&self) -> bool {
        self.sharing.handle.cancel()
    }

    /// How many tasks wait, those included that were woken and have not run yet.
    pub fn waiters(&self) -> usize {
        self.sharing.waiters()
    }
}

impl<T: Clone, E> Future for SharedFuture<T, E> {
    type Output = Result<T, PromiseError<Rc<E>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sharing, place } = &mut *self;
        let settled = || sharing.outcome().is_some();
        let serve = || {
            if settled() {
                sharing.wake_all();
            }
        };
        let waiting = sharing
            .waiters
            .poll_within_budget(place, cx, (), settled, serve);
        match sharing.outcome() {
            Some(outcome) if waiting.is_ready() => Poll::Ready(outcome.clone()),
            _ => Poll::Pending,
        }
    }
}

impl<T, E> Clone for SharedFuture<T, E> {
    /// A future that has not been awaited.
    fn clone(&self) -> Self {
        Self {
            sharing: Rc::clone(&self.sharing),
            place: Place::Outside,
        }
    }
}

impl<T, E> Drop for SharedFuture<T, E> {
    fn drop(&mut self) {
        if let Place::InLine(key) = self.place {
            let _departed = self.sharing.waiters.leave(key);
        }
    }
}

impl<T, E> fmt::Debug for SharedFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFuture")
            .field("state", &self.sharing.state())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}
