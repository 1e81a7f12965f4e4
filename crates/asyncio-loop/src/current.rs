//! The loop that runs on this thread.

use std::time::Instant;

use asyncio_reactor::Reactor;
use asyncio_task::{NoRunningLoop, with_companion};

use crate::event_loop::Core;
use crate::loop_handle::LoopHandle;

/// Calls `f` with the loop that runs on this thread.
pub(crate) fn try_with<R>(f: impl FnOnce(&Core) -> R) -> Result<R, NoRunningLoop> {
    with_companion(|core: Option<&Core>| core.map(f).ok_or(NoRunningLoop))
}

/// The same, for those who promise a panic without a loop.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> R {
    match try_with(f) {
        Ok(result) => result,
        Err(no_loop) => panic!("{no_loop}"),
    }
}

/// What time it is on the loop that runs here: the machine's monotonic clock, or virtual time.
///
/// # Panics
///
/// Without a running loop.
#[must_use]
#[track_caller]
pub fn time() -> Instant {
    with(|core| core.timers.clock.instant())
}

/// A handle of the loop that runs here, for any thread.
///
/// # Panics
///
/// Without a running loop; [`try_running_loop`] does not.
#[must_use]
#[track_caller]
#[doc(alias = "get_running_loop")]
pub fn running_loop() -> LoopHandle {
    with(Core::handle)
}

/// A handle of the loop that runs here.
///
/// # Errors
///
/// Without a running loop.
pub fn try_running_loop() -> Result<LoopHandle, NoRunningLoop> {
    try_with(Core::handle)
}

/// The reactor of the loop that runs here, for those who bring their own sources.
///
/// # Panics
///
/// Without a running loop; [`try_reactor`] does not.
#[must_use]
#[track_caller]
pub fn reactor() -> Reactor {
    with(|core| core.reactor.clone())
}

/// The reactor of the loop that runs here.
///
/// # Errors
///
/// Without a running loop.
pub fn try_reactor() -> Result<Reactor, NoRunningLoop> {
    try_with(|core| core.reactor.clone())
}
