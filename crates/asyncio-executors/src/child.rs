//! The handle of a child in a task group.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_task::{JoinError, Task, TaskName, TaskRef};

use crate::task_group::refused;

/// A child of a [`task_group`](crate::task_group), for those who want its value or want to cancel it.
///
/// Dropping it means nothing: the child belongs to its group. Awaiting it gives what it returned.
///
/// # Panics
///
/// Awaiting it again after it gave its outcome panics.
pub struct Child<'env, U> {
    /// `None`: the group took no more children.
    task: Option<Task<Option<U>>>,
    env: PhantomData<&'env ()>,
}

impl<U> Child<'_, U> {
    pub(crate) fn new(task: Task<Option<U>>) -> Self {
        Self {
            task: Some(task),
            env: PhantomData,
        }
    }

    pub(crate) fn refused() -> Self {
        Self {
            task: None,
            env: PhantomData,
        }
    }

    /// Asks the child to end. The group goes on. See [`Task::cancel`].
    pub fn cancel(&self) -> bool {
        self.task.as_ref().is_some_and(Task::cancel)
    }

    /// Whether it has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(Task::is_finished)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<TaskName> {
        self.task.as_ref().map(Task::name)
    }

    /// The child without its type; `None` if the group took no more.
    #[must_use]
    pub fn as_ref(&self) -> Option<TaskRef> {
        self.task.as_ref().map(Task::as_ref)
    }

    /// The outcome, if the child has ended and nobody has taken it.
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

fn result<U>(
    task: &Task<Option<U>>,
    outcome: Result<Option<U>, JoinError>,
) -> Result<U, JoinError> {
    outcome?.ok_or_else(|| JoinError::Failed(task.name()))
}

impl<U> Future for Child<'_, U> {
    type Output = Result<U, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else {
            return Poll::Ready(Err(refused()));
        };
        let outcome = std::task::ready!(Pin::new(&mut *task).poll(cx));
        Poll::Ready(result(task, outcome))
    }
}

impl<U> Drop for Child<'_, U> {
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
