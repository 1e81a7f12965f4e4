//! Debug mode: reports slow steps with their task and its spawn location, tasks that were dropped before they began,
//! and errors that were never taken.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::core::Core;
use crate::current;

/// The default limit of a step before debug mode reports it.
pub(crate) const SLOW_STEP: Duration = Duration::from_millis(100);

impl Core {
    /// Whether debug mode is on. Other threads may switch it.
    pub(crate) fn is_debugging(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Applies debug mode: steps are timed and lost work is reported from now on, or not.
    pub(crate) fn refresh_debug(&self) {
        let limit = self.is_debugging().then(|| self.slow_step.get());
        self.tasks.set_slow_step(limit);
        self.tasks.report_forgotten(self.is_debugging());
    }
}

/// Whether the running loop is in debug mode.
pub(crate) fn is_on_here() -> bool {
    current::try_with(Core::is_debugging).unwrap_or(false)
}

/// Whether `ASYNCIO_DEBUG` requests debug mode: set, and neither empty nor `0`.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("ASYNCIO_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}
