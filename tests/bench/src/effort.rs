//! The effort of a worker: for a while, or an exact number of operations.

use std::time::Duration;

/// The effort of a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Smaller sizes and shorter windows, for a first impression.
    pub(crate) quick: bool,
    /// This number of operations and no measurement, so that a counting tool sees a known amount of work.
    pub(crate) exactly: Option<u64>,
}

impl Effort {
    /// The length of the measured part of a worker's run.
    pub(crate) fn measured(self) -> Duration {
        Duration::from_millis(if self.quick { 150 } else { 500 })
    }

    /// The time that a worker warms up: caches, branch predictors and the allocator settle within it.
    pub(crate) fn warm_up(self) -> Duration {
        Duration::from_millis(if self.quick { 30 } else { 100 })
    }

    /// The size of a workload that is a single pass.
    pub(crate) fn size(self, full: u64) -> u64 {
        match (self.exactly, self.quick) {
            (Some(exactly), _) => exactly,
            (None, true) => full / 5,
            (None, false) => full,
        }
    }
}
