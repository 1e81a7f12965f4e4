//! Queues: the ready queue, the list of tasks that have not ended, and the way in from other threads.

pub(crate) mod mailbox;
pub(crate) mod ready;
pub(crate) mod registry;
pub(crate) mod remote;
pub(crate) mod schedule;
