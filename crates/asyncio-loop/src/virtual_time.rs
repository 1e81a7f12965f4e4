//! Virtual time: a clock that jumps to the next deadline as soon as nothing else can happen.
//!
//! Nothing else can happen when no task is ready, the inbox is empty, and nothing outside is
//! pending. Pending outside are the sources of the reactor and any
//! [`OutsideWork`](crate::OutsideWork). While they exist, the loop waits for them, and virtual time
//! passes at the pace of real time. That is slow, but a timeout never fires before an answer that is on its
//! way. While tasks run, virtual time stands still.
//!
//! If no deadline is set either, the loop is at a standstill. Only a thread that the loop does not know of can wake a
//! task then. Usually there is no such thread, and the tasks wait for each other. The loop reports a standstill once
//! per run, and waits.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, Unhandled};

use crate::clock::NEVER;
use crate::core::Core;

/// How long a standstill, or virtual time at the pace of real time, lasts before it is reported, in
/// real time.
pub(crate) const REPORT_AFTER: Duration = Duration::from_secs(1);

impl Core {
    /// How long to wait for `deadline`, the next one. Moves the clock there if nothing else can
    /// happen.
    pub(crate) fn virtual_timeout(&self, deadline: u64) -> Duration {
        self.report_foreign_instant();
        let clock = &self.timers.clock;
        if self.is_pending_outside() {
            return Duration::from_nanos(deadline.saturating_sub(clock.now()));
        }
        // A message that has arrived since the turn began comes before the deadline.
        if !self.tasks.has_messages() && !self.exceeds_virtual_limit(deadline) {
            clock.advance_to(deadline);
        }
        Duration::ZERO
    }

    /// Whether time is virtual and passes while the loop waits.
    pub(crate) fn is_time_passing(&self) -> bool {
        self.timers.clock.is_virtual() && self.is_pending_outside()
    }

    /// Moves virtual time forward by a wait in real time, at most to the next deadline.
    pub(crate) fn pass_time(&self, waited: Duration) {
        let clock = &self.timers.clock;
        let latest = self.timers.next_deadline().unwrap_or(NEVER - 1);
        clock.advance_to(clock.after(waited).min(latest));
        if self.may_report_passing() {
            let passed = self.time_reports.passed.get() + waited;
            self.time_reports.passed.set(passed);
            if passed >= REPORT_AFTER {
                self.report_passing();
            }
        }
    }

    /// Whether a deadline waits for real time because of a source, and that has not been reported.
    #[inline]
    pub(crate) fn may_report_passing(&self) -> bool {
        self.timers.clock.is_virtual()
            && !self.time_reports.passing.get()
            && !self.reactor.is_empty()
            && self.timers.next_deadline().is_some()
    }

    #[cold]
    fn report_passing(&self) {
        self.time_reports.passing.set(true);
        let message = "virtual time passes as real time does while a socket or another source is registered; \
            use the real clock, or no sockets";
        self.tasks
            .report(&Unhandled::new(message, None, Cause::Message));
    }

    /// The current time, if a standstill begins here and has not been reported in this run.
    pub(crate) fn begin_standstill(&self, park_timeout: Option<Duration>) -> Option<Instant> {
        let stands_still = park_timeout.is_none()
            && self.timers.clock.is_virtual()
            && !self.is_pending_outside()
            && (!self.time_reports.standstill.get() || self.active_limits.is_some());
        stands_still.then(Instant::now)
    }

    /// Reports the standstill since `since`, unless it has ended.
    pub(crate) fn end_standstill(&self, since: Instant) {
        if since.elapsed() < REPORT_AFTER || self.tasks.ready() > 0 || self.is_pending_outside() {
            return;
        }
        if self.fail("no task can run, no timer is set, and nothing outside is pending") {
            return;
        }
        self.time_reports.standstill.set(true);
        let message = "virtual time stands still: no task can run, no timer is set, and nothing outside is \
            pending; a task that another thread will wake must hold `LoopHandle::outside_work()` meanwhile";
        let report = Unhandled::new(message, None, Cause::Message);
        self.tasks.report(&report);
    }

    /// Reports a deadline that was given as an instant of the machine's clock.
    pub(crate) fn report_foreign_instant(&self) {
        let Some(task) = self.timers.clock.take_foreign() else {
            return;
        };
        let message = "a deadline on virtual time was given as an instant of the machine's clock, as that of \
            `Instant::now()`, which is long past there: count from `asyncio::time()`";
        self.tasks
            .report(&Unhandled::new(message, task.as_ref(), Cause::Message));
    }

    /// The number of [`OutsideWork`](crate::OutsideWork) guards.
    pub(crate) fn outside_work(&self) -> usize {
        self.shared.outside.load(Ordering::Acquire)
    }

    fn is_pending_outside(&self) -> bool {
        self.outside_work() > 0 || !self.reactor.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    #[cfg(unix)]
    use std::task::Waker;

    use super::*;
    use crate::EventLoop;

    /// Has code look at a loop from within, and returns the reports.
    fn reports(is_virtual: bool, look: impl FnOnce(&Core)) -> usize {
        let builder = EventLoop::builder().virtual_time(is_virtual);
        let mut event_loop = builder.build_loop().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        event_loop.set_exception_handler(move |report| noted.borrow_mut().push(report.to_string()));
        let run = event_loop.run_until_complete(async { crate::current::with(look) });
        run.unwrap();
        seen.take().len()
    }

    #[test]
    fn a_standstill_begins_when_nothing_can_end_the_wait() {
        reports(true, |core| {
            let begins = |park_timeout| core.begin_standstill(park_timeout).is_some();
            assert!(begins(None));
            assert!(!begins(Some(REPORT_AFTER)), "a timer is set");
            core.shared.outside.store(1, Ordering::Relaxed);
            assert!(!begins(None), "a thread may end it");
            core.shared.outside.store(0, Ordering::Relaxed);
            core.time_reports.standstill.set(true);
            assert!(!begins(None), "it was reported");
        });
        reports(false, |core| {
            assert!(core.begin_standstill(None).is_none());
        });
    }

    #[test]
    fn a_standstill_that_has_ended_is_not_reported() {
        let since = Instant::now().checked_sub(2 * REPORT_AFTER).unwrap();
        assert_eq!(reports(true, |core| core.end_standstill(since)), 1);
        let is_short = |core: &Core| core.end_standstill(Instant::now());
        let is_ready = |core: &Core| {
            crate::spawn(async {}).detach();
            core.end_standstill(since);
        };
        let is_outside = |core: &Core| {
            core.shared.outside.store(1, Ordering::Relaxed);
            core.end_standstill(since);
            core.shared.outside.store(0, Ordering::Relaxed);
        };
        assert_eq!(reports(true, is_short), 0);
        assert_eq!(reports(true, is_ready), 0);
        assert_eq!(reports(true, is_outside), 0);
    }

    #[test]
    fn time_passes_to_the_end_of_the_scale_at_most() {
        reports(true, |core| {
            core.pass_time(Duration::MAX);
            assert_eq!(core.timers.clock.now(), NEVER - 1);
        });
    }

    #[test]
    #[cfg(unix)]
    fn time_that_passes_beside_a_source_is_reported_once_a_run() {
        let with_source = |core: &Core, look: &dyn Fn()| {
            let (_sender, receiver) = mio::unix::pipe::new().unwrap();
            let interest = asyncio_reactor::Interest::READABLE;
            let _source = core.reactor.register(receiver, interest).unwrap();
            look();
        };
        let far = |core: &Core| core.timers.clock.after(10 * REPORT_AFTER);
        let seen = reports(true, |core| {
            let may = || core.may_report_passing();
            with_source(core, &|| assert!(!may(), "there is no deadline"));
            core.timers.arm(far(core), Waker::noop());
            assert!(!may(), "there is no source");
            with_source(core, &|| {
                assert!(may());
                let before = core.timers.clock.now();
                core.pass_time(REPORT_AFTER / 2);
                assert!(may());
                core.pass_time(REPORT_AFTER / 2);
                assert!(!may(), "it was reported");
                core.pass_time(REPORT_AFTER);
                assert_eq!(core.timers.clock.now() - before, 2_000_000_000);
            });
        });
        assert_eq!(seen, 1);
        reports(false, |core| {
            let timer = core.timers.arm(far(core), Waker::noop());
            with_source(core, &|| assert!(!core.may_report_passing()));
            core.timers.disarm(timer);
        });
    }
}
