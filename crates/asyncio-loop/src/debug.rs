//! Debug mode: steps that hold the loop up are reported with the task and where it was spawned, and so are tasks
//! that were let go of before they began, and errors of tasks that nobody looked at.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::Core;
use crate::current;

/// How long a step may take before debug mode reports it, unless it is told otherwise.
pub(crate) const SLOW_STEP: Duration = Duration::from_millis(100);

impl Core {
    /// Whether debug mode is on. That is shared with other threads.
    pub(crate) fn is_debugging(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Has steps timed and losses reported from now on, or not, as debug mode says.
    pub(crate) fn refresh_debug(&self) {
        let limit = self.is_debugging().then(|| self.slow_step.get());
        self.tasks.set_slow_step(limit);
        self.tasks.report_forgotten(self.is_debugging());
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
