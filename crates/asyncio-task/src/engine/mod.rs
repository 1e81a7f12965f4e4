//! Steps, turns and ends of tasks, on the half of a loop that its thread has for itself.

// The parts of the engine.
pub(crate) mod budget;
pub(crate) mod order;
pub(crate) mod pulse;
pub(crate) mod timing;
pub(crate) mod turn;
pub(crate) mod unhandled;

// The tasks of a loop, and those that run on this thread.
pub(crate) mod current;
pub(crate) mod local;

// The operations on these parts.
pub(crate) mod complete;
pub(crate) mod deliver;
pub(crate) mod forgotten;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod run_turn;
pub(crate) mod slow_steps;
pub(crate) mod step;
