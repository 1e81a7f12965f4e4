//! Handles of tasks, names for them, and ways to spawn.

// Data.
pub(crate) mod circle;
pub(crate) mod id;
pub(crate) mod join_error;
pub(crate) mod outcome;
pub(crate) mod panic_payload;
pub(crate) mod spawn_options;
pub(crate) mod task_info;

// Handles.
pub(crate) mod circles;
pub(crate) mod detach;
pub(crate) mod remote;
pub(crate) mod schedule;
pub(crate) mod spawn;
pub(crate) mod step_back;
pub(crate) mod task;
pub(crate) mod task_ref;
