//! Debug mode: steps that hold the loop up are reported with the task and where it was spawned.

use std::cell::Cell;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, Unhandled};

use crate::event_loop::Core;

/// How long a step may take before debug mode reports it, unless it is told otherwise.
pub(crate) const SLOW_STEP: Duration = Duration::from_millis(100);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Debug {
    pub(crate) on: bool,
    pub(crate) slow_step: Cell<Duration>,
}

impl Debug {
    /// Runs a step and, in debug mode, takes its time.
    pub(crate) fn step(&self, core: &Core, run: impl FnOnce() -> bool) {
        if !self.on {
            run();
            return;
        }
        let task = core.tasks.next_ready();
        let start = Instant::now();
        run();
        let took = start.elapsed();
        if took >= self.slow_step.get() {
            let message = if task.as_ref().is_some_and(|task| task.is_callback()) {
                "a callback held up the event loop"
            } else {
                "a step of a task held up the event loop"
            };
            let cause = Cause::Slow(took);
            core.tasks
                .report(&Unhandled::new(message, task.as_ref(), cause));
        }
    }
}

/// Whether `ASYNCIO_DEBUG` asks for debug mode: set, and neither empty nor `0`.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("ASYNCIO_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}
