//! Virtual time: a clock that jumps to the next deadline as soon as nothing else can happen.
//!
//! Nothing else can happen when no task is ready, nothing is in the mailbox, and nothing outside is
//! pending: no source is registered with the reactor and no [`OutsideWork`] is under way. While
//! something is, the loop waits for it, and virtual time passes as real time does: slower than one
//! might like, but never so that a timeout fires before an answer that was on its way. While tasks run,
//! virtual time stands still.
//!
//! Where no deadline is set either, that is a standstill: only a thread that the loop does not know of can
//! wake anybody, and most often there is none, and the tasks wait for each other. The loop reports it once
//! a run, and waits.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, Unhandled};

use crate::clock::NEVER;
use crate::event_loop::Core;
use crate::loop_handle::LoopHandle;

/// How long a standstill lasts before it is reported, in real time, and how long virtual time passes as real time
/// does.
pub(crate) const REPORTED_AFTER: Duration = Duration::from_secs(1);

/// What the exception handler has been told of virtual time in a run.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// That it stands still.
    pub(crate) standstill: Cell<bool>,
    /// That it passes as real time does.
    passing: Cell<bool>,
    /// How long it has passed so.
    passed: Cell<Duration>,
}

impl Reported {
    pub(crate) fn forget(&self) {
        self.standstill.set(false);
        self.passing.set(false);
        self.passed.set(Duration::ZERO);
    }
}

/// Something under way outside of the loop, on another thread or in another process, that will come
/// back to it. While one exists, virtual time does not jump. Without virtual time it does nothing.
#[must_use = "virtual time is held for as long as this lives"]
pub struct OutsideWork {
    event_loop: LoopHandle,
}

impl OutsideWork {
    pub(crate) fn new(event_loop: &LoopHandle) -> Self {
        event_loop.shared().outside.fetch_add(1, Ordering::AcqRel);
        Self {
            event_loop: event_loop.clone(),
        }
    }
}

impl Clone for OutsideWork {
    fn clone(&self) -> Self {
        Self::new(&self.event_loop)
    }
}

impl Drop for OutsideWork {
    fn drop(&mut self) {
        let shared = self.event_loop.shared();
        let was_the_last = shared.outside.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_the_last && shared.is_virtual && !self.event_loop.is_here() {
            // The loop may be waiting for a deadline in real time. It need not any more.
            self.event_loop.nudge();
        }
    }
}

impl fmt::Debug for OutsideWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideWork")
            .field("event_loop", &self.event_loop)
            .finish()
    }
}

impl Core {
    /// How long to wait for `deadline`, the next one. Moves the clock there if nothing else can happen.
    pub(crate) fn virtual_patience(&self, deadline: u64) -> Duration {
        let clock = &self.timers.clock;
        if self.is_anything_outside() {
            return Duration::from_nanos(deadline.saturating_sub(clock.now()));
        }
        // What came in since the turn began is older than the deadline.
        if !self.tasks.has_mail() && !self.is_beyond_limits(deadline) {
            clock.advance_to(deadline);
        }
        Duration::ZERO
    }

    /// Whether time is virtual and passes while the loop waits.
    pub(crate) fn is_time_passing(&self) -> bool {
        self.timers.clock.is_virtual() && self.is_anything_outside()
    }

    /// Moves virtual time by what the loop has waited in real time, but not beyond the next deadline.
    pub(crate) fn let_time_pass(&self, waited: Duration) {
        let clock = &self.timers.clock;
        let latest = self.timers.next_deadline().unwrap_or(NEVER - 1);
        clock.advance_to(clock.after(waited).min(latest));
        if self.may_report_passing() {
            let passed = self.reported.passed.get() + waited;
            self.reported.passed.set(passed);
            if passed >= REPORTED_AFTER {
                self.report_passing();
            }
        }
    }

    /// Whether a deadline waits for real time to pass because of a source, and nobody has been told.
    #[inline]
    pub(crate) fn may_report_passing(&self) -> bool {
        self.timers.clock.is_virtual()
            && !self.reported.passing.get()
            && !self.reactor.is_empty()
            && self.timers.next_deadline().is_some()
    }

    #[cold]
    fn report_passing(&self) {
        self.reported.passing.set(true);
        let message = "virtual time passes as real time does while a socket or another source is registered; \
            use the real clock, or no sockets";
        self.tasks
            .report(&Unhandled::new(message, None, Cause::Message));
    }

    /// If this is the beginning of a standstill, and nobody has been told of one in this run: now.
    pub(crate) fn begin_standstill(&self, patience: Option<Duration>) -> Option<Instant> {
        let stands_still = patience.is_none()
            && self.timers.clock.is_virtual()
            && !self.is_anything_outside()
            && (!self.reported.standstill.get() || self.limited.is_some());
        stands_still.then(Instant::now)
    }

    /// Reports the standstill that began then, unless something has ended it.
    pub(crate) fn end_standstill(&self, since: Instant) {
        if since.elapsed() < REPORTED_AFTER || self.tasks.ready() > 0 || self.is_anything_outside()
        {
            return;
        }
        if self.fail("no task can run, no timer is set, and nothing outside is pending") {
            return;
        }
        self.reported.standstill.set(true);
        let message = "virtual time stands still: no task can run, no timer is set, and nothing outside is \
            pending; what another thread is to wake holds `LoopHandle::outside_work()` meanwhile";
        let report = Unhandled::new(message, None, Cause::Message);
        self.tasks.report(&report);
    }

    /// How many pieces of [`OutsideWork`] are under way.
    pub(crate) fn outside_work(&self) -> usize {
        self.shared.outside.load(Ordering::Acquire)
    }

    fn is_anything_outside(&self) -> bool {
        self.outside_work() > 0 || !self.reactor.is_empty()
    }
}
