//! The deadline of a cancel scope.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_task::ScopeHandle;
use asyncio_timer::TimerKey;

use crate::clock::NEVER;
use crate::current;
use crate::timers::Timers;

/// A timer that cancels a scope instead of waking a task. A building block of timeouts.
///
/// Dropping it removes the timer.
pub struct Deadline {
    timers: Rc<Timers>,
    /// In nanoseconds of loop time.
    at: u64,
    timer: Option<TimerKey>,
}

impl Deadline {
    /// Creates a deadline `duration` after this call.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[must_use]
    #[inline]
    #[track_caller]
    pub fn after(duration: Duration) -> Self {
        current::with(|core| {
            let at = core.timers.clock.after(duration);
            Self::new(&core.timers, at)
        })
    }

    /// Creates a deadline at a time of the running loop, or never.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    #[must_use]
    #[track_caller]
    pub fn at(when: Option<Instant>) -> Self {
        current::with(|core| {
            let at = when.map_or(NEVER, |when| core.timers.clock.nanos_of(when));
            Self::new(&core.timers, at)
        })
    }

    #[inline]
    fn new(timers: &Rc<Timers>, at: u64) -> Self {
        Self {
            timers: timers.clone(),
            at,
            timer: None,
        }
    }

    /// Sets the timer for a scope. `false` if the deadline had passed when this turn of the loop
    /// began.
    pub fn arm(&mut self, scope: &ScopeHandle) -> bool {
        self.disarm();
        if self.at == NEVER {
            return true;
        }
        // The time of the turn is exact enough: a deadline that has passed since then fires in the
        // next turn.
        if self.at <= self.timers.turn_time() {
            return false;
        }
        self.timer = Some(self.timers.arm_scope(self.at, scope.clone()));
        true
    }

    /// Whether [`arm`](Self::arm) may be delayed until the scope waits, for a deadline from
    /// [`after`](Self::after). True if the deadline has not passed and the clock is real. On a real
    /// clock no later timer has the same deadline, so the delay cannot change the order of timers.
    #[must_use]
    #[inline]
    pub fn may_be_armed_late(&self) -> bool {
        !self.timers.clock.is_virtual() && self.at > self.timers.turn_time()
    }

    /// Whether it is never, or belongs to the running loop. On another loop it would never fire.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        self.at == NEVER || current::has_timers(&self.timers)
    }

    /// Removes the timer.
    pub fn disarm(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.timers.disarm(timer);
        }
    }

    /// Sets another deadline, for the next [`arm`](Self::arm).
    pub fn set(&mut self, when: Option<Instant>) {
        self.at = when.map_or(NEVER, |when| self.timers.clock.nanos_of(when));
    }

    /// The deadline; `None` means never.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        (self.at != NEVER).then(|| self.timers.clock.instant_of(self.at))
    }

    /// Whether the timer was set and has expired.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.timer
            .is_some_and(|timer| !self.timers.is_pending(timer))
    }
}

impl Drop for Deadline {
    #[inline]
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("when", &self.when())
            .field("has_come", &self.has_come())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use asyncio_task::Scope;

    use super::*;
    use crate::EventLoop;
    use crate::core::Core;

    #[test]
    fn a_deadline_that_is_due_now_is_not_armed_late() {
        fn stands_still() -> Instant {
            static NOW: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            *NOW
        }
        let builder = EventLoop::builder().host_clock(stands_still);
        let mut event_loop = builder.build_loop().unwrap();
        let run = event_loop.run_until_complete(async {
            let may_be_late = |after| Deadline::after(after).may_be_armed_late();
            assert!(!may_be_late(Duration::ZERO));
            assert!(may_be_late(Duration::from_nanos(1)));
        });
        run.unwrap();
    }

    #[test]
    fn a_dropped_deadline_removes_its_timer() {
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        let run = event_loop.run_until_complete(async {
            let timers = || current::with(|core: &Core| core.timers.len());
            let scope = pin!(Scope::new(pending::<()>())).open().unwrap();
            let mut deadline = Deadline::after(Duration::from_secs(1));
            assert!(deadline.arm(&scope));
            assert_eq!(timers(), 1);
            drop(deadline);
            assert_eq!(timers(), 0);
        });
        run.unwrap();
    }
}
