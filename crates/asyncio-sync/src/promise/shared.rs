//! The shared future: one promise, awaited by many tasks.

use std::cell::OnceCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_console::{Place, ResourceKind};
use futures_core::FusedFuture;

use crate::promise::{BoxError, Handle, PromiseError};
use crate::wait_list::WaiterState;
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("SharedAnswer", "wait");

/// A cloneable future of a promise, for many tasks; from [`Answer::shared`](crate::Answer::shared).
///
/// Each clone can be awaited once, before or after the promise has its outcome. Waiting tasks are
/// woken in the order in which they began to wait. Each task gets a clone of the result: put a
/// large result into an `Rc`. All tasks share one error.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::promise;
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
/// A clone can be dropped at any time, without effect on the others. Dropping the last clone
/// cancels the promise.
///
/// # Panics
///
/// If one clone is awaited again after it has returned the outcome.
#[must_use = "a future does nothing unless it is awaited"]
pub struct SharedAnswer<T, E = BoxError> {
    sharing: Rc<Sharing<T, E>>,
    waiter: WaiterState,
}

/// The state that the clones share.
pub(super) struct Sharing<T, E> {
    handle: Handle<T, E>,
    /// The outcome, moved here from the promise's cell at the first access.
    outcome: OnceCell<Result<T, PromiseError<Rc<E>>>>,
    waiters: WaitQueue,
}

impl<T, E> Sharing<T, E> {
    pub(super) fn wake_all(&self) {
        self.waiters.grant_and_wake(usize::MAX, |_| ());
    }

    /// The number of waiting tasks, including woken tasks that have not run since.
    pub(super) fn waiters(&self) -> usize {
        self.waiters.len()
    }

    /// The state in a word, for `Debug`. (The cell's own state is `taken` after the first access.)
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

impl<T, E> SharedAnswer<T, E> {
    pub(super) fn new(handle: Handle<T, E>) -> Self {
        let created = Place::of(handle.cell.created);
        let sharing = Rc::new(Sharing {
            handle,
            outcome: OnceCell::new(),
            waiters: WaitQueue::at(KIND, created),
        });
        let cell = &sharing.handle.cell;
        let first = cell.sharing.set(Rc::downgrade(&sharing));
        first.expect("a future is shared once, because `shared` consumes it");
        // A task that awaited the future before it was shared no longer awaits it.
        drop(cell.waker.take());
        let waiter = WaiterState::New;
        Self { sharing, waiter }
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

    /// Cancels the promise, for all clones; `false` if there is already an outcome.
    ///
    /// If that outcome is an error that no task retrieves, it is not reported.
    pub fn cancel(&self) -> bool {
        self.sharing.handle.cancel()
    }

    /// The number of waiting tasks, including woken tasks that have not run since.
    pub fn waiters(&self) -> usize {
        self.sharing.waiters()
    }
}

impl<T: Clone, E> Future for SharedAnswer<T, E> {
    type Output = Result<T, PromiseError<Rc<E>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sharing, waiter } = &mut *self;
        let is_done = || sharing.outcome().is_some();
        let grant_waiters = || {
            if is_done() {
                sharing.wake_all();
            }
        };
        let waiting = sharing
            .waiters
            .poll_within_budget(waiter, cx, (), is_done, grant_waiters);
        match sharing.outcome() {
            Some(outcome) if waiting.is_ready() => Poll::Ready(outcome.clone()),
            _ => Poll::Pending,
        }
    }
}

impl<T: Clone, E> FusedFuture for SharedAnswer<T, E> {
    /// Whether this clone has returned the outcome.
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<T, E> Clone for SharedAnswer<T, E> {
    /// Returns another future of the same promise, which has not been awaited.
    fn clone(&self) -> Self {
        Self {
            sharing: Rc::clone(&self.sharing),
            waiter: WaiterState::New,
        }
    }
}

impl<T, E> Drop for SharedAnswer<T, E> {
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            let _removed = self.sharing.waiters.remove(key);
        }
    }
}

impl<T, E> fmt::Debug for SharedAnswer<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAnswer")
            .field("state", &self.sharing.state())
            .field("waiters", &self.waiters())
            .finish_non_exhaustive()
    }
}
