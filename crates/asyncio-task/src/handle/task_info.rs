//! A snapshot of a task.

use std::panic::Location;

use crate::cell::cell_ref::LocalRef;
use crate::cell::state::TaskState;
use crate::handle::id::{TaskId, TaskName};

/// A snapshot of a task: its number, name, parent, place of its spawn, and state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The number of the task.
    pub id: TaskId,
    /// The name of the task.
    pub name: TaskName,
    /// The task that spawned it. `None` if no task did.
    pub parent: Option<TaskId>,
    /// The place of the spawn.
    pub location: &'static Location<'static>,
    /// The state of the task at that moment.
    pub state: TaskState,
}

impl TaskInfo {
    pub(crate) fn of(cell: &LocalRef) -> Self {
        Self {
            id: cell.id,
            name: cell.name(),
            parent: cell.parent,
            location: cell.location,
            state: cell.state.shown(),
        }
    }
}
