//! The handle of a child in a task group.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use asyncio_task::{
    HeardRequest, JoinError, Listener, StepBack, Task, TaskName, TaskRef, TaskState,
};

use futures_core::FusedFuture;

/// The handle of a child of a [`task_group`](crate::task_group), to await or cancel it.
///
/// Dropping the handle does nothing: the child belongs to its group. Awaiting it gives the value that the child
/// returned.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; }
/// use asyncio::{BoxError, TaskGroup, task_group};
/// # asyncio_loop::run(async {
/// let both = task_group(async |tg: TaskGroup| {
///     let left = tg.spawn(async { Ok(20) });
///     let right = tg.spawn(async { Ok(22) });
///     Ok(left.await? + right.await?)
/// });
/// assert_eq!(both.await?, 42);
/// # Ok::<(), BoxError>(()) }).unwrap();
/// ```
///
/// # Errors
///
/// [`JoinError::Failed`]: its error, or its panic, went to the group. Body and siblings do not see that error, because
/// the failure cancels them. They are cut where they await the child, unless they clean up already.
/// [`JoinError::Cancelled`]: it was cancelled, or the group took no more children. [`JoinError::AwaitsItself`],
/// [`JoinError::InCircle`] and [`JoinError::Elsewhere`], as with a task.
///
/// # Cancellation
///
/// A request that comes meanwhile is passed to the child, and the await goes on until the child has ended. If the group
/// has asked the child already for the same cause, the child is not asked again. So one cause never interrupts the
/// cleanup that it began.
///
/// # Panics
///
/// If it is awaited again after it has given its outcome.
pub struct Child<'env, U> {
    /// `None`: the group took no more children.
    task: Option<Task<Option<U>>>,
    /// The last request was passed on to it.
    passed_on: bool,
    /// It has failed, and the request that this made has had its turn.
    gave_way: bool,
    /// For a child that the group did not take, whose error is ready at once.
    step_back: StepBack,
    env: PhantomData<&'env ()>,
}

impl<U> Child<'_, U> {
    pub(crate) fn new(task: Task<Option<U>>) -> Self {
        Self {
            task: Some(task),
            passed_on: false,
            gave_way: false,
            step_back: StepBack::new(),
            env: PhantomData,
        }
    }

    pub(crate) fn refused() -> Self {
        Self {
            task: None,
            passed_on: false,
            gave_way: false,
            step_back: StepBack::new(),
            env: PhantomData,
        }
    }

    /// Asks the child to end. The group goes on. See [`Task::cancel`].
    #[doc(alias = "abort")]
    pub fn cancel(&self) -> bool {
        self.task.as_ref().is_some_and(Task::cancel)
    }

    /// Asks the child to end, with a message. See [`Task::cancel_with`].
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        self.task
            .as_ref()
            .is_some_and(|task| task.cancel_with(message))
    }

    /// Asks the child to end, unless a request to it is open. See [`Task::cancel_once`].
    pub fn cancel_once(&self) -> bool {
        self.task.as_ref().is_some_and(Task::cancel_once)
    }

    /// The number of open requests to cancel the child, that of its group included. See [`Task::cancelling`].
    #[must_use]
    pub fn cancelling(&self) -> usize {
        self.task.as_ref().map_or(0, Task::cancelling)
    }

    /// Whether the child has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(Task::is_finished)
    }

    /// The name of the child.
    #[must_use]
    pub fn name(&self) -> Option<TaskName> {
        self.task.as_ref().map(Task::name)
    }

    /// The child without its type. `None` if the group took no more children.
    #[must_use]
    pub fn as_ref(&self) -> Option<TaskRef> {
        self.task.as_ref().map(Task::as_ref)
    }

    /// The outcome, if the child has ended and the outcome was not taken.
    pub fn try_take(&mut self) -> Option<Result<U, JoinError>> {
        match &mut self.task {
            None => Some(Err(refused())),
            Some(task) => {
                let outcome = task.try_take()?;
                Some(result(task, outcome))
            }
        }
    }
}

/// The error of a handle whose group refused the child.
fn refused() -> JoinError {
    JoinError::Cancelled("(not spawned)".into(), None)
}

fn result<U>(
    task: &Task<Option<U>>,
    outcome: Result<Option<U>, JoinError>,
) -> Result<U, JoinError> {
    match outcome {
        Ok(Some(value)) => Ok(value),
        Ok(None) | Err(JoinError::Panicked(..)) => Err(JoinError::Failed(task.name())),
        Err(error) => Err(error),
    }
}

const TAKEN: &str = "a child was awaited again after it gave its outcome";

/// Whether its error, or its panic, went to the group.
fn has_failed<U>(task: &mut Task<Option<U>>) -> bool {
    match task.peek() {
        Some(value) => value.is_none(),
        None => task.as_ref().info().state == TaskState::Panicked,
    }
}

fn was_cancelled<U>(task: &mut Task<Option<U>>) -> bool {
    task.peek().is_none() && task.as_ref().info().state == TaskState::Cancelled
}

/// Passes a request on to a child. Whether a value of the child then answers this request.
fn pass_on<U>(task: &Task<Option<U>>, request: &HeardRequest) -> bool {
    // If it was cancelled before, its value answers that request.
    let asked = task.as_ref().info().state == TaskState::Cancelling;
    !asked && task.pass_on(request)
}

impl<U> Future for Child<'_, U> {
    type Output = Result<U, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(task) = &mut this.task else {
            ready!(Pin::new(&mut this.step_back).poll(cx));
            return Poll::Ready(Err(refused()));
        };
        if task.has_ended_await() {
            return Poll::Pending;
        }
        // Most often the child has come to a value, and nothing was asked of its awaiter meanwhile.
        if task.is_finished() && (this.gave_way || !has_failed(task)) {
            if task.steps_back(cx) {
                return Poll::Pending;
            }
            if task.conclude_unasked() {
                let outcome = task.try_take().expect(TAKEN);
                return Poll::Ready(result(task, outcome));
            }
        }
        let heard = task.with_listener(Listener::heard);
        if (heard || task.closes_circle())
            && !task.is_finished()
            && let Some(error) = task.circle()
        {
            task.with_listener(Listener::release);
            return Poll::Ready(Err(error));
        }
        if heard {
            let request = task.with_listener(|listener| listener.request());
            this.passed_on = pass_on(task, &request);
        }
        if task.poll_finished(cx).is_pending() {
            if let Some(error) = task.unawaitable() {
                return Poll::Ready(Err(error));
            }
            task.with_listener(|listener| listener.wait(cx));
            return Poll::Pending;
        }
        if task.with_listener(|listener| listener.is_dismissed()) {
            // Nothing can take the value of the awaiting code, so the outcome stays where it is.
            task.with_listener(|listener| listener.conclude(false));
            task.end_await();
            return Poll::Pending;
        }
        if !this.gave_way && has_failed(task) {
            // The awaiter was woken before the child failed, so the group's cancellation has not reached it yet.
            // It yields once, to be cancelled here. Otherwise the failure would be reported twice: by the group,
            // and by the awaiter.
            this.gave_way = true;
            task.with_listener(|listener| listener.wait(cx));
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let propagates = was_cancelled(task) || (this.gave_way && !this.passed_on);
        let heard = match this.passed_on || propagates {
            true => task.with_listener(|listener| listener.conclude(!propagates)),
            false => task.with_listener(Listener::release),
        };
        if heard && propagates {
            task.end_await();
            return Poll::Pending;
        }
        let outcome = task.try_take().expect(TAKEN);
        Poll::Ready(result(task, outcome))
    }
}

impl<U> FusedFuture for Child<'_, U> {
    /// Whether the outcome has been taken. A child that was refused gives its error at each await.
    fn is_terminated(&self) -> bool {
        self.task.as_ref().is_some_and(Task::is_terminated)
    }
}

impl<U> Drop for Child<'_, U> {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.leave();
        }
    }
}

impl<U> fmt::Debug for Child<'_, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "Child({:?})", task.as_ref()),
            None => f.write_str("Child(refused)"),
        }
    }
}
