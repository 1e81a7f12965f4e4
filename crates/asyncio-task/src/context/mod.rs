//! Context variables: values that follow the flow of a program from task to task.
//!
//! A task runs in a copy of the context that it was spawned in. So the code that it calls, and the tasks that it
//! spawns, see the values that it sets; other code does not. Copies share their values until one of them changes.
//!
//! Values stay on their thread and need not be `Send`. Those of a [shared](crate::ContextVar::shared) variable are
//! `Send` and `Sync`, and follow the work that a task hands to another thread
//! ([`SharedContext`](crate::SharedContext)).

pub(crate) mod context_var;
pub(crate) mod shared_context;
pub(crate) mod values;
