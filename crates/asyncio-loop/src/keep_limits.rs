//! Enforcement of a run's limits: bounds on real and on virtual time, and no standstill.
//!
//! A run that exceeds a limit ends: its main task is dropped at its current await. The loop then
//! closes within limits of the same length, and the test fails with a list of the tasks. Only tests
//! have limits.

use std::time::Instant;

use crate::clock::nanos;
use crate::core::Core;
use crate::limits::Limits;

impl Core {
    /// Starts the limits of a run or of closing.
    pub(crate) fn start_limits(&self) {
        let Some(active_limits) = &self.active_limits else {
            return;
        };
        let Limits { real, virtual_time } = active_limits.limits;
        let real_end = real.and_then(|limit| Instant::now().checked_add(limit));
        active_limits.real_end.set(real_end);
        let now = self.timers.clock.now();
        let virtual_end = virtual_time.map(|limit| now.saturating_add(nanos(limit)));
        let is_virtual = self.timers.clock.is_virtual();
        active_limits
            .virtual_end
            .set(virtual_end.filter(|_| is_virtual));
        self.set_wait_deadline(real_end);
    }

    /// The real time at which the limits end.
    pub(crate) fn limits_deadline(&self) -> Option<Instant> {
        self.active_limits.as_ref()?.real_end.get()
    }

    /// Whether the run has exceeded a limit and must end.
    pub(crate) fn has_exceeded_limits(&self) -> bool {
        let Some(active_limits) = &self.active_limits else {
            return false;
        };
        if active_limits
            .real_end
            .get()
            .is_some_and(|end| Instant::now() >= end)
        {
            let limit = active_limits.limits.real.unwrap_or_default();
            self.fail(&format!("the test is not over after {limit:?}"));
        }
        active_limits.failure.borrow().is_some()
    }

    /// Whether `deadline` exceeds the limit of virtual time. If so, the run fails.
    pub(crate) fn exceeds_virtual_limit(&self, deadline: u64) -> bool {
        let active_limits = self.active_limits.as_ref();
        let Some(end) = active_limits.and_then(|active_limits| active_limits.virtual_end.get())
        else {
            return false;
        };
        if deadline <= end {
            return false;
        }
        let limit = active_limits.and_then(|active_limits| active_limits.limits.virtual_time);
        let limit = limit.unwrap_or_default();
        self.fail(&format!(
            "the test is not over after {limit:?} of virtual time"
        ));
        true
    }

    /// Marks a run with limits as failed. `false` if this run has no limits.
    pub(crate) fn fail(&self, why: &str) -> bool {
        let Some(active_limits) = &self.active_limits else {
            return false;
        };
        if active_limits.failure.borrow().is_none() {
            let failure = format!("{why}\n{}", self.list_tasks());
            active_limits.failure.replace(Some(failure));
        }
        true
    }

    /// Takes the reason of the failure, once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.active_limits.as_ref()?.failure.take()
    }
}
