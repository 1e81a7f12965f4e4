//! Access to the loop that runs on this thread.

use std::rc::Rc;
use std::time::Instant;

use asyncio_reactor::Reactor;
use asyncio_task::{NoRunningLoop, with_driver};

use crate::attachments::Attachment;
use crate::core::Core;
use crate::timers::Timers;

/// Calls `f` with the running loop.
pub(crate) fn try_with<R>(f: impl FnOnce(&Core) -> R) -> Result<R, NoRunningLoop> {
    with_driver(|core: Option<&Core>| core.map(f).ok_or(NoRunningLoop))
}

/// Calls `f` with the running loop, for functions that panic without one.
#[track_caller]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> R {
    match try_with(f) {
        Ok(result) => result,
        Err(no_loop) => panic!("{no_loop}"),
    }
}

/// The time of the running loop: the machine's monotonic clock, or virtual time.
///
/// # Panics
///
/// Without a running loop.
#[must_use]
#[track_caller]
pub fn time() -> Instant {
    with(|core| core.timers.clock.instant())
}

/// The reactor of the running loop, to register sources of your own.
///
/// # Panics
///
/// Without a running loop; [`try_reactor`] does not.
#[must_use]
#[track_caller]
pub fn reactor() -> Reactor {
    with(|core| core.reactor.clone())
}

/// The reactor of the running loop.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
pub fn try_reactor() -> Result<Reactor, NoRunningLoop> {
    try_with(|core| core.reactor.clone())
}

/// The running loop's attachment of type `A`. Creates it if there is none.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
pub fn attached<A: Attachment + Default>() -> Result<Rc<A>, NoRunningLoop> {
    try_with(|core| {
        let attachments = &core.attachments;
        attachments
            .find()
            .unwrap_or_else(|| attachments.insert(A::default()))
    })
}

/// Refuses to run a loop while another one runs on this thread.
#[track_caller]
pub(crate) fn assert_no_running_loop() {
    assert!(
        try_with(|_| ()).is_err(),
        "an event loop runs on this thread already: await here instead of running another loop, or run it on a thread of its own"
    );
}

/// Whether `timers` belong to the running loop.
pub(crate) fn has_timers(timers: &Timers) -> bool {
    try_with(|core| std::ptr::eq(&raw const *core.timers, timers)).unwrap_or(false)
}
