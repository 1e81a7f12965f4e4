//! The loop that runs on this thread.

use std::rc::Rc;
use std::time::Instant;

use asyncio_reactor::Reactor;
use asyncio_task::{NoRunningLoop, with_companion};

use crate::attachments::Attachment;
use crate::core::Core;
use crate::timers::Timers;

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

/// The attachment of this type of the loop that runs here. It is made if there is none.
///
/// # Errors
///
/// Without a running loop.
pub fn attached<A: Attachment + Default>() -> Result<Rc<A>, NoRunningLoop> {
    try_with(|core| {
        let attachments = &core.attachments;
        attachments
            .find()
            .unwrap_or_else(|| attachments.put(A::default()))
    })
}

/// Whether these are the timers of the loop that runs here.
pub(crate) fn has_timers(timers: &Timers) -> bool {
    try_with(|core| std::ptr::eq(&raw const *core.timers, timers)).unwrap_or(false)
}
