//! How hard a worker works: for a while, or an exact number of times.

use std::time::Duration;

/// What a worker was asked to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Smaller sizes and shorter windows, for a look rather than a verdict.
    pub(crate) quick: bool,
    /// Do the work this many times and measure nothing else, so that a tool which counts
    /// instructions or system calls sees a known amount of it.
    pub(crate) exactly: Option<u64>,
}

impl Effort {
    /// How long the measured part of a worker's run lasts.
    pub(crate) fn measured(self) -> Duration {
        Duration::from_millis(if self.quick { 150 } else { 500 })
    }

    /// How long a worker runs before anything counts: caches, branch predictors and the
    /// allocator settle within it.
    pub(crate) fn warm_up(self) -> Duration {
        Duration::from_millis(if self.quick { 30 } else { 100 })
    }

    /// The number to use for a workload that is a single pass over so many things.
    pub(crate) fn size(self, full: u64) -> u64 {
        match (self.exactly, self.quick) {
            (Some(exactly), _) => exactly,
            (None, true) => full / 5,
            (None, false) => full,
        }
    }
}
