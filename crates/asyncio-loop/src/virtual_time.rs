//! Virtual time: a clock that jumps to the next deadline as soon as nothing else can happen.
//!
//! Nothing else can happen when no task is ready, nothing is in the mailbox, and nothing outside is
//! pending: no source is registered with the reactor and no [`OutsideWork`](crate::OutsideWork) is under way. While
//! something is, the loop waits for it, and virtual time passes as real time does: slower than one
//! might like, but never so that a timeout fires before an answer that was on its way. While tasks run,
//! virtual time stands still.
//!
//! Where no deadline is set either, that is a standstill: only a thread that the loop does not know of can
//! wake anybody, and most often there is none, and the tasks wait for each other. The loop reports it once
//! a run, and waits.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, Unhandled};

use crate::clock::NEVER;
use crate::core::Core;

/// How long a standstill lasts before it is reported, in real time, and how long virtual time passes as real time
/// does.
pub(crate) const REPORTED_AFTER: Duration = Duration::from_secs(1);

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

    /// How many pieces of [`OutsideWork`](crate::OutsideWork) are under way.
    pub(crate) fn outside_work(&self) -> usize {
        self.shared.outside.load(Ordering::Acquire)
    }

    fn is_anything_outside(&self) -> bool {
        self.outside_work() > 0 || !self.reactor.is_empty()
    }
}
