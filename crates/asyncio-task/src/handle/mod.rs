//! The side of a task that user code holds: handles, names, errors, and the means to spawn.

pub(crate) mod detach;
pub(crate) mod id;
pub(crate) mod join_error;
pub(crate) mod spawn;
pub(crate) mod spawn_options;
pub(crate) mod step_back;
pub(crate) mod task;
pub(crate) mod task_ref;
