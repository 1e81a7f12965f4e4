//! A turn of a loop that has a host, and what the loop keeps between two of them.
//!
//! Nothing here is a part of an ordinary run.
//!
//! - Between two turns the loop is parked, so a wake-up is a message and unparks the host. Otherwise the host would
//!   wait with ready tasks.
//! - The reactor is not at rest between two turns, because the host waits for its events.
//! - A turn never waits.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use asyncio_reactor::{Reactor, Unparker};
use asyncio_task::Tasks;

use crate::attachments::ClosingAttachments;
use crate::clock::NEVER;
use crate::closing::ClosePass;
use crate::core::Core;
use crate::exceptions;
use crate::run_once::{COALESCED_TIMERS, MILLISECOND};

/// When the host must turn its loop again, from [`EventLoop::turn`](crate::EventLoop::turn).
///
/// In each case the host may turn the loop earlier. It must do so when the descriptor of the loop is readable, and when
/// [`Builder::unpark`](crate::Builder::unpark) is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a loop that is not turned again stands still"]
pub enum Next {
    /// As soon as the host has looked at its own events: tasks are ready.
    Now,
    /// At this time, on the machine's clock or that of the [host](crate::Builder::host_clock). A host that waits in
    /// milliseconds may be a millisecond late: the loop measures the rest itself.
    At(Instant),
    /// When the descriptor is readable or the loop is unparked, and not before.
    Event,
}

/// A deadline within this time is measured by the loop, because hosts wait in milliseconds.
const MEASURED_HERE: u64 = 3 * MILLISECOND;

/// How long before a later deadline the host comes back.
const AHEAD: u64 = 3 * MILLISECOND / 2;

/// How often a host that has no descriptor to wait for asks the system for events.
#[cfg(not(unix))]
const WITHOUT_DESCRIPTOR: Duration = Duration::from_millis(10);

/// The state of a loop between two turns of its host.
#[derive(Debug, Default)]
pub(crate) struct Hosted {
    /// Whether a host has turned the loop.
    pub(crate) is_on: bool,
    /// Whether the last turn has parked the loop.
    pub(crate) is_parked: bool,
    /// The loop time at which the last turn began, or [`NEVER`] if it did not need to know.
    turn_began: u64,
    /// The loop time for which the reactor's alarm is set.
    alarm: u64,
    /// The end of the last turn, if virtual time passes meanwhile.
    passing_since: Option<Instant>,
    /// Whether the loop was stopped.
    pub(crate) has_stopped: bool,
    pub(crate) closing: Option<Closing>,
    /// The reason why a test has failed.
    pub(crate) failure: Option<String>,
    pub(crate) unpark: Option<Arc<HostUnpark>>,
}

/// How far closing has come.
#[derive(Debug)]
pub(crate) enum Closing {
    Tasks {
        pass: ClosePass,
        /// How many passes follow.
        left: usize,
    },
    Attachments {
        left: ClosingAttachments,
        until: Instant,
        pause: Duration,
        /// Keeps the descriptor, for which the host waits.
        reactor: Reactor,
    },
}

impl Hosted {
    pub(crate) fn new(unpark: Option<Arc<HostUnpark>>) -> Self {
        Self {
            unpark,
            ..Self::default()
        }
    }

    /// Ends the host's wait, before the loop runs by itself.
    pub(crate) fn leave(&mut self, core: &Core) {
        if mem::take(&mut self.is_parked) {
            core.tasks.unpark();
        }
        if let Some(since) = self.passing_since.take() {
            core.pass_time(since.elapsed());
        }
    }

    /// Declares that the loop waits for itself while the result lives.
    pub(crate) fn run_alone(&self) -> Option<RunsAlone> {
        let unpark = self.unpark.clone()?;
        // A thread that finds the loop parked from here on sees it: parking releases it, and finding acquires.
        unpark.runs_alone.store(true, Ordering::Relaxed);
        Some(RunsAlone(unpark))
    }

    /// Stops waiting for attachments.
    pub(crate) fn abandon_closing(&mut self) {
        if let Some(Closing::Attachments { left, .. }) = self.closing.take() {
            left.abandon(exceptions::attachment_panicked);
        }
    }

    pub(crate) fn turn(
        &mut self,
        core: &Core,
        look: bool,
        enough: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
    ) -> Next {
        let was_parked = self.is_parked;
        self.leave(core);
        let was_timed = mem::replace(&mut self.turn_began, NEVER) != NEVER;
        let now = core.begin_hosted_turn(look, was_parked, was_timed);
        self.turn_began = now.unwrap_or(NEVER);
        if let Some(now) = now {
            core.timers
                .expire(now, |payload| core.waker_panicked(payload));
        }
        core.is_first_turn.set(false);
        core.tasks
            .run_turn_until(core.budget, enough, || core.stopping.get() || is_over());
        self.has_stopped |= core.has_stopped();
        self.park(core)
    }

    /// Parks the loop, unless it has something to do.
    fn park(&mut self, core: &Core) -> Next {
        if core.tasks.ready() > 0 || core.reactor.has_soon() {
            return Next::Now;
        }
        let next = if core.timers.clock.is_virtual() {
            Self::next_virtual(core)
        } else {
            self.next_real(core)
        };
        if next == Next::Now || !core.tasks.park() {
            return Next::Now;
        }
        self.is_parked = true;
        self.passing_since = core.is_time_passing().then(Instant::now);
        let next = match (next, core.wait_deadline.get()) {
            (Next::At(time), Some(end)) => Next::At(time.min(end)),
            (_, Some(end)) => Next::At(end),
            (next, None) => next,
        };
        #[cfg(not(unix))]
        let next = Self::without_descriptor(core, next);
        next
    }

    fn next_virtual(core: &Core) -> Next {
        match core.park_timeout() {
            Some(Duration::ZERO) => Next::Now,
            Some(timeout) => Instant::now()
                .checked_add(timeout)
                .map_or(Next::Event, Next::At),
            None => Next::Event,
        }
    }

    fn next_real(&mut self, core: &Core) -> Next {
        let Some(mut deadline) = core.timers.next_deadline() else {
            return Next::Event;
        };
        let clock = &core.timers.clock;
        // The beginning of the turn suffices if it is known, for this is an absolute time.
        if deadline.saturating_sub(self.turn_began) > MEASURED_HERE {
            return Next::At(clock.instant_of(deadline - AHEAD));
        }
        let now = clock.now();
        if deadline <= now {
            return Next::Now;
        }
        if clock.differs() {
            return Next::At(clock.instant_of(deadline));
        }
        let together = now.saturating_add(MILLISECOND);
        if deadline < together && core.timers.are_due_by(together, COALESCED_TIMERS) {
            deadline = together;
        }
        // An alarm that comes earlier suffices: the turn after it sets the next one.
        let is_set = now < self.alarm && self.alarm <= deadline;
        if !is_set {
            if !core.reactor.set_alarm(Duration::from_nanos(deadline - now)) {
                return Next::At(clock.instant_of(deadline));
            }
            self.alarm = deadline;
        }
        Next::Event
    }

    #[cfg(not(unix))]
    fn without_descriptor(core: &Core, next: Next) -> Next {
        if core.reactor.is_empty() {
            return next;
        }
        let soon = Instant::now() + WITHOUT_DESCRIPTOR;
        match next {
            Next::Now => Next::Now,
            Next::At(time) => Next::At(time.min(soon)),
            Next::Event => Next::At(soon),
        }
    }
}

impl Core {
    /// Takes messages, and asks the system for events if need be. Returns the time, unless nothing depends on it: the
    /// clock is a large part of a turn for one message.
    fn begin_hosted_turn(&self, look: bool, was_parked: bool, was_timed: bool) -> Option<u64> {
        if let Some(watched) = &self.watched {
            watched.begin_turn();
        }
        self.drain_inbox();
        let look = look || self.reactor.has_soon();
        let is_virtual = self.timers.clock.is_virtual();
        if !look && !was_parked && (was_timed || is_virtual) {
            // The host may not have looked at the descriptor since.
            return Some(self.poll_io());
        }
        if !look && was_parked && self.timers.is_empty() && !is_virtual {
            return None;
        }
        let now = self.timers.clock.now();
        self.last_io_poll.set(now);
        if look {
            self.turn_reactor(Some(Duration::ZERO));
        }
        Some(now)
    }

    /// Calls `f` while this loop is the running one, for a turn of its host.
    pub(crate) fn host<R>(&self, f: impl FnOnce() -> R) -> R {
        struct RestOnDrop<'a>(&'a Core);
        impl Drop for RestOnDrop<'_> {
            fn drop(&mut self) {
                self.0.rest();
            }
        }
        crate::current::assert_no_running_loop();
        self.reactor.resume();
        let _rest = RestOnDrop(self);
        self.work();
        self.make_current(f)
    }
}

/// The unparker of a loop that has a host: calls the host's closure, and ends the loop's own wait while it runs alone.
pub(crate) struct HostUnpark {
    host: Arc<dyn Fn() + Send + Sync>,
    reactor: Unparker,
    runs_alone: AtomicBool,
}

impl HostUnpark {
    pub(crate) fn new(host: Arc<dyn Fn() + Send + Sync>, reactor: Unparker) -> Arc<Self> {
        Arc::new(Self {
            host,
            reactor,
            runs_alone: AtomicBool::new(false),
        })
    }

    /// The tasks of a loop whose waits this ends.
    pub(crate) fn tasks(self: &Arc<Self>) -> Tasks {
        let unpark = self.clone();
        Tasks::new(move || unpark.unpark())
    }

    pub(crate) fn unpark(&self) {
        if self.runs_alone.load(Ordering::Relaxed) {
            self.reactor.unpark();
        } else {
            (self.host)();
        }
    }
}

impl fmt::Debug for HostUnpark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostUnpark(..)")
    }
}

/// While it lives, the loop waits for itself.
pub(crate) struct RunsAlone(Arc<HostUnpark>);

impl Drop for RunsAlone {
    fn drop(&mut self) {
        self.0.runs_alone.store(false, Ordering::Relaxed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::EventLoop;

    /// The last time of the loop's alarm, and of that after a turn with timers after so many microseconds, from now on.
    fn alarm(core: &Core, before: i64, after: &[u64]) -> (Next, i64) {
        let now = core.timers.clock.now();
        let arm = |after| core.timers.arm(now + 1_000 * after, Waker::noop());
        let keys: Vec<_> = after.iter().map(arm).collect();
        let mut hosted = Hosted {
            turn_began: now,
            alarm: now.saturating_add_signed(1_000 * before),
            ..Hosted::default()
        };
        let next = hosted.next_real(core);
        keys.into_iter().for_each(|key| core.timers.disarm(key));
        (
            next,
            hosted.alarm.cast_signed().wrapping_sub(now.cast_signed()) / 1_000,
        )
    }

    /// The thread may lose some time between two looks at the clock, but not each time.
    #[test]
    fn the_alarm_is_that_of_the_next_deadline_or_an_earlier_one() {
        let mut event_loop = EventLoop::new().unwrap();
        let run = event_loop.run_until_complete(async {
            crate::current::with(|core: &Core| {
                let is_set = |before, after: &[u64], expected| {
                    let mut tries = (0..10_000).map(|_| alarm(core, before, after));
                    assert!(
                        tries.any(|found| found == (Next::Event, expected)),
                        "{after:?}"
                    );
                };
                is_set(-1, &[700], 700);
                is_set(900, &[700], 700);
                is_set(600, &[700], 600);
                is_set(700, &[700], 700);
                is_set(-1, &[700, 701, 702], 700);
                is_set(-1, &[2_000, 2_001, 2_002, 2_003], 2_000);
                // Four in the next millisecond are taken together at its end, a moment after this began.
                let mut tries = (0..10_000).map(|_| alarm(core, -1, &[700, 701, 702, 703]));
                assert!(tries.any(|found| found.0 == Next::Event && found.1 >= 1_000));
            });
        });
        run.unwrap();
    }
}
