//! Files and child processes, runtime by runtime.

pub(super) mod blocking;
pub(super) mod compio;
pub(super) mod ours;
pub(super) mod smol;
pub(super) mod tokio;
