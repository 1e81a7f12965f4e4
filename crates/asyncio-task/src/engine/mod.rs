//! The executor: runs steps, ends tasks, and finds itself on its thread.

pub(crate) mod budget;
pub(crate) mod current;
pub(crate) mod order;
pub(crate) mod pulse;
pub(crate) mod tasks;
pub(crate) mod timing;
pub(crate) mod turn;
pub(crate) mod unhandled;
