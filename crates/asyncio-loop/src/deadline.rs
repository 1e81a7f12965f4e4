//! The time by which a cancel scope has to end.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_task::ScopeHandle;
use asyncio_timer::TimerKey;

use crate::clock::NEVER;
use crate::current;
use crate::timers::Timers;

/// A timer that ends a cancel scope instead of waking a task. A building block of timeouts.
///
/// Dropping it takes the timer back.
pub struct Deadline {
    timers: Rc<Timers>,
    /// In nanoseconds of loop time.
    at: u64,
    timer: Option<TimerKey>,
}

impl Deadline {
    /// So long after this call.
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

    /// At that time of the loop that runs here, or never.
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

    /// Starts the timer for a scope. `false` if its time had come when this turn of the loop began.
    pub fn arm(&mut self, scope: &ScopeHandle) -> bool {
        self.disarm();
        if self.at == NEVER {
            return true;
        }
        // The time of the turn will do: a deadline that has passed since is due in the next.
        if self.at <= self.timers.turn_time() {
            return false;
        }
        self.timer = Some(self.timers.arm_scope(self.at, scope.clone()));
        true
    }

    /// Whether [`arm`](Self::arm) may wait until there is something to wait for, given that this was made by
    /// [`after`](Self::after): it is not past, and on a real clock nothing that is begun later has the same
    /// deadline, so none would come before it that should come after it.
    #[must_use]
    #[inline]
    pub fn may_be_armed_late(&self) -> bool {
        !self.timers.clock.is_virtual() && self.at > self.timers.turn_time()
    }

    /// Whether it is never, or its loop is the one that runs here. On any other it would not come.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        self.at == NEVER || current::has_timers(&self.timers)
    }

    /// Stops the timer.
    pub fn disarm(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.timers.disarm(timer);
        }
    }

    /// Sets another time, for the next [`arm`](Self::arm).
    pub fn set(&mut self, when: Option<Instant>) {
        self.at = when.map_or(NEVER, |when| self.timers.clock.nanos_of(when));
    }

    /// When it is; `None`: never.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        (self.at != NEVER).then(|| self.timers.clock.instant_of(self.at))
    }

    /// Whether the timer was started and has run out.
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
