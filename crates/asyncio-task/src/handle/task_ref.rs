//! A task whose type is not known: to list it, to name it, to cancel it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;

use crate::cell::cell_ref::CellRef;
use crate::cell::marks::Mark;
use crate::cell::state::TaskState;
use crate::cell::waker;
use crate::context::Context;
use crate::engine::current;
use crate::engine::tasks;
use crate::handle::id::{TaskId, TaskName};

/// A reference to a task, whatever its type. It keeps the task's name and number, not its future.
#[derive(Clone, PartialEq)]
pub struct TaskRef {
    cell: CellRef,
}

/// What is known of a task at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub name: TaskName,
    /// The task that spawned it, unless that was no task.
    pub parent: Option<TaskId>,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// What it was at.
    pub state: TaskState,
}

impl TaskRef {
    pub(crate) fn new(cell: CellRef) -> Self {
        Self { cell }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell.id
    }

    /// Its name: the one it was given, or `Task-N`.
    #[must_use]
    #[doc(alias = "get_name")]
    pub fn name(&self) -> TaskName {
        self.cell.name()
    }

    /// Gives it a name.
    pub fn set_name(&self, name: impl Into<Arc<str>>) {
        self.cell.aside_or_new().set_name(name.into());
    }

    /// All that is known of it.
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        TaskInfo {
            id: self.cell.id,
            name: self.name(),
            parent: self.cell.parent,
            location: self.cell.location,
            state: self.cell.state.shown(),
        }
    }

    /// Whether it has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.cell.state.is_done()
    }

    /// The context it runs in; empty if none was ever set there.
    #[must_use]
    #[doc(alias = "get_context")]
    pub fn context(&self) -> Context {
        self.cell
            .aside()
            .and_then(|aside| aside.context())
            .unwrap_or_default()
    }

    /// What wakes it, from any thread: a task that was spawned [dormant](crate::SpawnOptions::dormant)
    /// takes its first step after this is woken. Waking a task that has ended does nothing.
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
        let Some(joiner) = self.cell.joiner.take() else {
            return false;
        };
        let is_awaited = joiner.will_wake(waiting);
        self.cell.joiner.set(Some(joiner));
        is_awaited
    }

    /// Asks the task to end. See [`Task::cancel`](crate::Task::cancel).
    pub fn cancel(&self) -> bool {
        tasks::cancel(&self.cell, None)
    }

    /// Asks the task to end, and says why. See [`Task::cancel_with`](crate::Task::cancel_with).
    pub fn cancel_with(&self, message: impl Into<Arc<str>>) -> bool {
        tasks::cancel(&self.cell, Some(message.into()))
    }

    /// Asks the task to end, unless a request to it is open. See
    /// [`Task::cancel_once`](crate::Task::cancel_once).
    pub fn cancel_once(&self) -> bool {
        tasks::let_go(&self.cell)
    }

    /// How many requests to cancel it are open. See [`Task::cancelling`](crate::Task::cancelling).
    #[must_use]
    pub fn cancelling(&self) -> usize {
        tasks::cancelling(&self.cell)
    }

    pub(crate) fn cell(&self) -> &CellRef {
        &self.cell
    }

    /// Its context, made if need be.
    pub(crate) fn own_context(&self, make: bool) -> Option<Context> {
        if make {
            return Some(self.cell.aside_or_new().context_or_new());
        }
        self.cell.aside()?.context()
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

/// The task that runs right now on this thread. `None` outside of any, and in callbacks.
#[must_use]
pub fn current_task() -> Option<TaskRef> {
    current::tasks(|tasks| tasks?.running_task().filter(|task| !task.is_callback()))
}

/// All tasks of the loop that runs on this thread which have not ended, oldest first. Empty without one.
#[must_use]
pub fn all_tasks() -> Vec<TaskRef> {
    current::tasks(|tasks| tasks.map(|tasks| tasks.all()).unwrap_or_default())
}
