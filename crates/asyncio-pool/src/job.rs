//! The handle of a job: to await it, to cancel it, to let it run on.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use asyncio_loop::{LoopHandle, Outcome, OutsideWork, shared_context, try_running_loop};
use asyncio_task::{StepBack, failure_of};

use futures_core::FusedFuture;

use crate::block_on::{block_on, block_on_for};
use crate::cell::{Awaited, Cell, Orphan};
use crate::crew::{Crew, Entered, Entry, ShareOf, Ticket};
use crate::error::{JobError, TryRunError};

/// The handle of a call on a thread of a [`ThreadPool`](crate::ThreadPool): a future of the outcome.
///
/// The job needs no await to run. It can be awaited on any executor, and a thread can block until its
/// [end](Self::wait).
///
/// # Cancellation
///
/// A dropped handle cancels its job if the job has not begun. The closure is dropped here, and never runs. A cancelled
/// task drops the handle that it awaits. A job that has begun cannot be stopped: it runs on, its value is dropped on
/// its thread, and the exception handler receives a panic. A `shield` waits for the job.
///
/// # Errors
///
/// [`JobError`]: the job panicked, was cancelled before it began, came to a pool that is shut down, or found no thread.
///
/// # Panics
///
/// If it is polled after it has given its outcome.
#[must_use = "a job whose handle is dropped is cancelled if it has not begun: await it, or detach it"]
#[doc(alias = "concurrent.futures.Future")]
pub struct Job<T> {
    cell: Arc<dyn Awaited<T>>,
    crew: Arc<Crew>,
    /// The place of the job in the crew. `None` if the pool did not take it.
    ticket: Option<Ticket>,
    accepted: bool,
    /// The loop on which the job was started.
    home: Option<LoopHandle>,
    /// Held while another loop awaits it, whose virtual time must not jump.
    away: Option<OutsideWork>,
    /// Whether the cell has been left.
    left: bool,
    /// Whether the outcome was taken, so that the cell is empty.
    is_over: bool,
    step_back: StepBack,
}

impl<T: Send + 'static> Job<T> {
    pub(crate) fn start<F>(crew: &Arc<Crew>, share: Option<ShareOf>, job: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let (cell, home) = Self::prepare(job);
        let entered = enter(crew, share, cell.clone(), true);
        if !matches!(entered, Entered::Here { .. }) {
            crate::work::Work::refuse(&*cell, JobError::Closed, &crew.settings);
        }
        Self::of(crew, cell, home, entered)
    }

    pub(crate) fn try_start<F>(
        crew: &Arc<Crew>,
        share: Option<ShareOf>,
        job: F,
    ) -> Result<Self, TryRunError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let (cell, home) = Self::prepare(job);
        let back = || cell.take_job().expect("nobody else has the job");
        match enter(crew, share, cell.clone(), false) {
            Entered::Full => Err(TryRunError::Full(back())),
            Entered::Closed => Err(TryRunError::Closed(back())),
            here => Ok(Self::of(crew, cell, home, here)),
        }
    }

    fn prepare<F>(job: F) -> (Arc<Cell<F, T>>, Option<LoopHandle>) {
        let home = try_running_loop().ok();
        let away = home.as_ref().map(LoopHandle::outside_work);
        (Arc::new(Cell::new(job, shared_context(), away)), home)
    }

    fn of<F>(
        crew: &Arc<Crew>,
        cell: Arc<Cell<F, T>>,
        home: Option<LoopHandle>,
        entered: Entered,
    ) -> Self
    where
        F: Send + 'static,
    {
        let (ticket, accepted) = match entered {
            Entered::Here { ticket, accepted } => (Some(ticket), accepted),
            Entered::Full | Entered::Closed => (None, true),
        };
        Self {
            cell,
            crew: crew.clone(),
            ticket,
            accepted,
            home,
            away: None,
            left: false,
            is_over: false,
            step_back: StepBack::new(),
        }
    }
}

fn enter<F, T>(
    crew: &Arc<Crew>,
    share: Option<ShareOf>,
    cell: Arc<Cell<F, T>>,
    wait: bool,
) -> Entered
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    crew.enter(Entry { work: cell, share }, wait)
}

impl<T> Job<T> {
    /// Cancels the job if it has not begun, and drops its closure here. Awaiting it then gives [`JobError::Cancelled`].
    /// `false` if the job has begun, and runs on.
    pub fn cancel(&self) -> bool {
        let cancelled = self.cell.cancel(&self.crew.settings);
        if cancelled {
            self.forget();
        }
        cancelled
    }

    fn forget(&self) {
        if let Some(ticket) = self.ticket {
            self.crew.forget(ticket);
        }
    }

    /// Whether a thread has begun the job, or the job was refused or cancelled.
    #[must_use]
    #[doc(alias = "running")]
    pub fn has_begun(&self) -> bool {
        self.cell.has_begun()
    }

    /// Whether the job has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.cell.has_ended()
    }

    /// Waits until the job is accepted: there is room for it in a pool with a
    /// [limit](crate::ThreadPoolBuilder::queue_limit). So a task that starts jobs without awaiting them is not faster
    /// than the pool.
    ///
    /// # Cancellation
    ///
    /// Loses nothing. The job keeps its place.
    pub async fn accepted(&mut self) {
        if !self.accepted {
            poll_fn(|cx| {
                self.stay_away();
                self.cell.poll_accepted(cx)
            })
            .await;
            self.accepted = true;
        }
    }

    /// The outcome, if the job has ended.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<T, JobError>> {
        match self.cell.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                self.is_over = true;
                outcome
            }
            Poll::Pending => None,
        }
    }

    /// Blocks until the job has ended. For threads without an event loop.
    ///
    /// On the thread of an event loop it blocks all tasks, and a job that needs that loop never ends. In another job of
    /// the same pool it occupies a thread that the awaited job may need. Await the job in these places.
    ///
    /// # Errors
    ///
    /// As for awaiting it.
    #[doc(alias = "result")]
    pub fn wait(self) -> Result<T, JobError> {
        block_on(self)
    }

    /// Blocks until the job has ended, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The handle, if the job has not ended by then. The inner result is that of [`wait`](Self::wait).
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<Result<T, JobError>, Self> {
        block_on_for(&mut self, timeout).ok_or(self)
    }

    /// Lets the job run without a handle. The exception handler of the loop where it was started receives a panic or an
    /// `Err`.
    pub fn detach(self)
    where
        T: Outcome,
    {
        self.run_on(failure_of);
    }

    /// Lets the job run without a handle, and ignores its value. The exception handler of the loop where it was started
    /// receives a panic.
    pub fn discard(self) {
        self.run_on(|_| None);
    }

    fn run_on(mut self, review: fn(&T) -> Option<String>) {
        self.leave(review, true);
    }

    fn leave(&mut self, review: fn(&T) -> Option<String>, kept: bool) {
        self.left = true;
        let home = self.home.take();
        let orphan = Orphan { home, review, kept };
        if self.cell.leave(orphan, &self.crew.settings) {
            self.forget();
        }
    }

    /// Holds the virtual time of the awaiting loop, if the job was started on another loop.
    fn stay_away(&mut self) {
        let is_known = self.away.is_some() || self.home.as_ref().is_some_and(LoopHandle::is_here);
        if !is_known && let Ok(here) = try_running_loop() {
            self.away = Some(here.outside_work());
        }
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(Pin::new(&mut self.step_back).poll(cx));
        self.stay_away();
        let outcome = ready!(self.cell.poll(cx));
        self.away = None;
        self.is_over = true;
        Poll::Ready(outcome.expect("a `Job` was awaited again after it gave its outcome"))
    }
}

impl<T> FusedFuture for Job<T> {
    /// Whether the outcome has been taken.
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if !self.left && !self.is_over {
            self.leave(|_| None, false);
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("begun", &self.has_begun())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
