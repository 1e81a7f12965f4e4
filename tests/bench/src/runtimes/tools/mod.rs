//! Groups, locks and queues: the runtimes' own, and those of libraries that work on any runtime.

pub(super) mod async_lock;
pub(super) mod futures;
pub(super) mod groups;
pub(super) mod local_sync;
pub(super) mod ours;
pub(super) mod rayon;
pub(super) mod tokio;
