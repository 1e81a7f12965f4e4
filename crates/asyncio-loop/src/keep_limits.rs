//! How a run keeps its limits: bounds on real and on virtual time, and no standstill.
//!
//! A run that exceeds a limit ends: its main task is dropped where it waits, the loop closes within limits of the
//! same length, and the test fails with a list of the tasks. Other runs have no limits.

use std::time::Instant;

use crate::clock::nanos;
use crate::core::Core;
use crate::limits::Limits;

impl Core {
    /// Begins a stretch that may take as long as the limits say: a run, or closing.
    pub(crate) fn begin_limits(&self) {
        let Some(limited) = &self.limited else { return };
        let Limits { real, virtual_time } = limited.limits;
        let real_end = real.and_then(|limit| Instant::now().checked_add(limit));
        limited.real_end.set(real_end);
        let now = self.timers.clock.now();
        let virtual_end = virtual_time.map(|limit| now.saturating_add(nanos(limit)));
        let is_virtual = self.timers.clock.is_virtual();
        limited.virtual_end.set(virtual_end.filter(|_| is_virtual));
        self.return_by(real_end);
    }

    /// When the limits end, in real time.
    pub(crate) fn end_of_limits(&self) -> Option<Instant> {
        self.limited.as_ref()?.real_end.get()
    }

    /// Whether the run is to end because it has exceeded a limit.
    pub(crate) fn is_out_of_limits(&self) -> bool {
        let Some(limited) = &self.limited else {
            return false;
        };
        if limited
            .real_end
            .get()
            .is_some_and(|end| Instant::now() >= end)
        {
            let limit = limited.limits.real.unwrap_or_default();
            self.fail(&format!("the test is not over after {limit:?}"));
        }
        limited.failure.borrow().is_some()
    }

    /// Whether virtual time must not come to `deadline`. Then the run has failed.
    pub(crate) fn is_beyond_limits(&self, deadline: u64) -> bool {
        let limited = self.limited.as_ref();
        let Some(end) = limited.and_then(|limited| limited.virtual_end.get()) else {
            return false;
        };
        if deadline <= end {
            return false;
        }
        let limit = limited.and_then(|limited| limited.limits.virtual_time);
        let limit = limit.unwrap_or_default();
        self.fail(&format!(
            "the test is not over after {limit:?} of virtual time"
        ));
        true
    }

    /// Has a run with limits fail. `false` if this one has none.
    pub(crate) fn fail(&self, why: &str) -> bool {
        let Some(limited) = &self.limited else {
            return false;
        };
        if limited.failure.borrow().is_none() {
            let failure = format!("{why}\n{}", self.list_tasks());
            limited.failure.replace(Some(failure));
        }
        true
    }

    /// Why the run failed, once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.limited.as_ref()?.failure.take()
    }
}
