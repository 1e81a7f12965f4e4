//! A task whose type is not known: to list it, to name it, to cancel it.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use crate::cancel::Origin;
use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::cell::state::LastPoll;
use crate::cell::waker;
use crate::context::values::Context;
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::request;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::id::{TaskId, TaskName};
use crate::handle::task_info::TaskInfo;

/// A reference to a task, whatever its type. It keeps the task's name and number, not its future.
#[derive(Clone, PartialEq)]
pub struct TaskRef {
    cell: LocalRef,
}

impl TaskRef {
    pub(crate) fn new(cell: LocalRef) -> Self {
        Self { cell }
    }

    /// The number of the task.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell.id
    }

    /// The name of the task: the given one, or `Task-N`.
    #[must_use]
    #[doc(alias = "get_name")]
    pub fn name(&self) -> TaskName {
        self.cell.name()
    }

    /// Sets the name of the task.
    pub fn set_name(&self, name: impl Into<Arc<str>>) {
        self.cell.extra_or_new().set_name(name.into());
    }

    /// A snapshot of the task.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(&self.cell)
    }

    /// Whether the task has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.cell.state.is_done()
    }

    /// The context of the task; empty if none was ever set there.
    #[must_use]
    #[doc(alias = "get_context")]
    pub fn context(&self) -> Context {
        self.cell
            .extra()
            .and_then(|extra| extra.context())
            .unwrap_or_default()
    }

    /// A waker of the task, for any thread. A task that was spawned [dormant](crate::SpawnOptions::dormant)
    /// takes its first step after this waker is woken. Waking a task that has ended does nothing.
    ///
    /// ```
    /// # use asyncio_task::{SpawnOptions, Tasks};
    /// # let tasks = Tasks::new(|| ());
    /// # tasks.enter(&(), || {
    /// let task = tasks.spawn_with(SpawnOptions::new().dormant(), async { "at last" });
    /// assert!(!tasks.run_one(), "it waits");
    /// task.as_ref().waker().wake();
    /// assert!(tasks.run_one());
    /// assert!(task.is_finished());
    /// # });
    /// ```
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.cell.span_id.note_clone();
        waker::owned(self.cell.clone())
    }

    /// Whether `waiting` is what is woken when this has ended: a task that awaits this one has its waker there.
    #[must_use]
    pub fn is_awaited_by(&self, waiting: &Waker) -> bool {
        let is_it = |joiner: Option<&Waker>| joiner.is_some_and(|joiner| joiner.will_wake(waiting));
        self.cell.look_at_joiner(is_it)
    }

    /// Asks the task to end. See [`Task::cancel`](crate::Task::cancel).
    pub fn cancel(&self) -> bool {
        request::request(&self.cell, Origin::ANEW, None, LastPoll::Allowed)
    }

    /// Asks the task to end, with a message. See [`Task::cancel_with`](crate::Task::cancel_with).
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        let message = Some(message.into());
        request::request(&self.cell, Origin::ANEW, message, LastPoll::Allowed)
    }

    /// Asks the task to end, unless a request to it is open. See
    /// [`Task::cancel_once`](crate::Task::cancel_once).
    pub fn cancel_once(&self) -> bool {
        request::cancel_once(&self.cell)
    }

    /// The number of open requests to cancel the task. See [`Task::cancelling`](crate::Task::cancelling).
    #[must_use]
    pub fn cancelling(&self) -> usize {
        request::cancelling(&self.cell)
    }

    pub(crate) fn cell(&self) -> &LocalRef {
        &self.cell
    }

    /// Whether this is a callback that runs in a task's cell, not a task.
    #[must_use]
    pub fn is_callback(&self) -> bool {
        self.cell.marks.has(Mark::Callback)
    }
}

impl TaskRef {
    /// Whether it is a child of [`Children`](crate::Children), which alone run and end it.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.cell.borrows()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRef({:?})", self.cell)
    }
}

impl Unhandled {
    /// A report that concerns `task`, if there is one.
    #[must_use]
    pub fn new(message: &'static str, task: Option<&TaskRef>, cause: Cause) -> Self {
        Self::about(message, task.map(TaskRef::info), cause)
    }
}

/// The running task of this thread. `None` outside of any task, and in callbacks.
#[must_use]
pub fn current_task() -> Option<TaskRef> {
    let running = current::tasks(|tasks| tasks?.step.task().map(TaskRef::new));
    running.filter(|task| !task.is_callback())
}

/// All tasks of the running loop that have not ended, oldest first. Empty without a running loop.
#[must_use]
pub fn all_tasks() -> Vec<TaskRef> {
    current::tasks(|tasks| tasks.map(all_of).unwrap_or_default())
}

/// All tasks of a loop that have not ended, oldest first, without callbacks.
pub(crate) fn all_of(tasks: &Local) -> Vec<TaskRef> {
    let all = tasks.cells().into_iter().map(TaskRef::new);
    all.filter(|task| !task.is_callback()).collect()
}
