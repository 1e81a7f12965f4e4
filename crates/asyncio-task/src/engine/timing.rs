//! The time that steps take, for debug mode: steps that hold their thread up are reported.
//!
//! `slow_steps.rs` measures. The step of a task that owns children contains theirs. Each is measured, and the owner's
//! time is what is left without them.

use std::cell::Cell;
use std::time::Duration;

/// How long a step may take, and what is needed to measure it.
#[derive(Default)]
pub(crate) struct Timing {
    pub(crate) limit: Cell<Option<Duration>>,
    /// The time of the steps within the one under way.
    pub(crate) within: Cell<Duration>,
}

impl Timing {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.limit.get().is_some()
    }
}
