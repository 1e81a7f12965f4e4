//! Enforcement of a run's limits: bounds on real and on virtual time, and no standstill.
//!
//! A run that exceeds a limit ends: its main task is dropped at its current await. The loop then
//! closes within limits of the same length, and the test fails with a list of the tasks. Only tests
//! have limits.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::clock::nanos;
use crate::core::Core;
use crate::limits::{ActiveLimits, Limits};

/// The real time after which a run on virtual time prints its progress.
const SILENT: Duration = Duration::from_secs(5);

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
        if is_virtual {
            let began = Instant::now();
            let progress = &active_limits.progress;
            progress.began.set(Some(began));
            progress.next.set(Some(began + SILENT));
            progress.from.set(now);
        }
    }

    /// Prints the progress of a long run on virtual time, on standard error: after 5 seconds, and whenever the run has
    /// taken twice as long.
    #[cold]
    fn show_progress(&self, began: Instant, now: Instant) {
        let Some(active_limits) = &self.active_limits else {
            return;
        };
        let took = now.duration_since(began);
        let progress = &active_limits.progress;
        progress.next.set(now.checked_add(took));
        let passed = self.timers.clock.now() - progress.from.get();
        let passed = Duration::from_nanos(passed);
        let steps = self.tasks.steps();
        let _ = writeln!(
            std::io::stderr(),
            "asyncio: a test on virtual time runs for {took:.1?}: {passed:?} of virtual time, {steps} steps"
        );
    }

    /// The real time at which the limits end.
    pub(crate) fn limits_deadline(&self) -> Option<Instant> {
        self.active_limits.as_ref()?.real_end.get()
    }

    /// Whether the run has exceeded a limit and must end.
    #[inline]
    pub(crate) fn has_exceeded_limits(&self) -> bool {
        self.active_limits
            .as_ref()
            .is_some_and(|active_limits| self.has_exceeded(active_limits))
    }

    #[inline(never)]
    fn has_exceeded(&self, active_limits: &ActiveLimits) -> bool {
        let ends = [
            active_limits.real_end.get(),
            active_limits.progress.next.get(),
        ];
        if ends == [None; 2] {
            return active_limits.failure.borrow().is_some();
        }
        let now = Instant::now();
        if let Some(began) = active_limits.progress.began.get()
            && ends[1].is_some_and(|next| now >= next)
        {
            self.show_progress(began, now);
        }
        if ends[0].is_some_and(|end| now >= end) {
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

    /// The reports to the exception handler of a test since the last call.
    pub(crate) fn take_reports(&self) -> Option<Vec<String>> {
        Some(self.active_limits.as_ref()?.reports.take())
    }

    /// Takes the reason of the failure, once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.active_limits.as_ref()?.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, EventLoop};

    #[test]
    fn a_long_run_on_virtual_time_shows_its_progress_when_it_has_taken_twice_as_long() {
        let builder: Builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.with_limits(Limits::DEFAULT).build_loop().unwrap();
        let run = event_loop.run_until_complete(async {
            crate::current::with(|core: &Core| {
                let active = core.active_limits.as_ref().unwrap();
                let progress = &active.progress;
                let began = progress.began.get().unwrap();
                assert_eq!(progress.next.get(), Some(began + SILENT));
                core.show_progress(began, began + 2 * SILENT);
                assert_eq!(progress.next.get(), Some(began + 4 * SILENT));
                // A look at the limits shows it when it is due.
                let began = began - 3 * SILENT;
                progress.began.set(Some(began));
                progress.next.set(Some(began));
                assert!(!core.has_exceeded_limits());
                assert!(progress.next.get() >= Some(began + 6 * SILENT));
            });
        });
        run.unwrap();
    }
}
