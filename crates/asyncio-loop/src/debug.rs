//! Debug mode: steps that hold the loop up are reported with the task and where it was spawned, and so are tasks
//! that were let go of before they began, and errors of tasks that nobody looked at.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, Unhandled};

use crate::current;
use crate::event_loop::Core;

/// How long a step may take before debug mode reports it, unless it is told otherwise.
pub(crate) const SLOW_STEP: Duration = Duration::from_millis(100);

/// See the head of this file. Whether it is on is in `crate::loop_handle::Shared`, for all threads to see.
#[derive(Debug)]
pub(crate) struct Debug {
    pub(crate) slow_step: Cell<Duration>,
}

impl Core {
    pub(crate) fn is_debugging(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Takes note of whether steps are to run under somebody's eyes.
    pub(crate) fn refresh_observed(&self) {
        self.observed
            .set(self.order.is_some() || self.is_debugging());
        self.tasks.report_forgotten(self.is_debugging());
    }

    /// Runs a step and, in debug mode, takes its time.
    pub(crate) fn debug_step(&self) {
        if !self.is_debugging() {
            self.tasks.run_one();
            return;
        }
        let task = self.tasks.next_ready();
        let start = Instant::now();
        self.tasks.run_one();
        let took = start.elapsed();
        if took >= self.debug.slow_step.get() {
            let message = if task.as_ref().is_some_and(|task| task.is_callback()) {
                "a callback held up the event loop"
            } else {
                "a step of a task held up the event loop"
            };
            let cause = Cause::Slow(took);
            self.tasks
                .report(&Unhandled::new(message, task.as_ref(), cause));
        }
    }
}

/// Whether the loop that runs here is in debug mode.
pub(crate) fn is_on_here() -> bool {
    current::try_with(Core::is_debugging).unwrap_or(false)
}

/// Whether `ASYNCIO_DEBUG` asks for debug mode: set, and neither empty nor `0`.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("ASYNCIO_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}
