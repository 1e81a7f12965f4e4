//! What time it is on a loop: the machine's monotonic clock, or a virtual one that tests move.
//!
//! Loop time is a `std::time::Instant` for users and a number of nanoseconds for the wheel, which is [`START`]
//! at the instant the loop was made. Times before that instant have numbers of their own, so deadlines in the
//! past keep their order. The highest number is [`NEVER`]: a deadline that the scale cannot say does not come.
//! A virtual clock starts at the instant the loop was made and stands still until the loop moves it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The instant the loop was made, in nanoseconds of loop time: 36 years after the beginning of the scale and
/// 548 years before its end.
pub(crate) const START: u64 = 1 << 60;

/// The deadline that does not come, on any clock.
pub(crate) const NEVER: u64 = u64::MAX;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The clock of one loop.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When the loop was made.
    start: Instant,
    /// Loop time, if it is virtual. Never [`NEVER`].
    virtual_now: Option<Cell<u64>>,
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self {
            start: Instant::now(),
            virtual_now: None,
        }
    }

    pub(crate) fn virtual_time() -> Self {
        Self {
            start: Instant::now(),
            virtual_now: Some(Cell::new(START)),
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    /// The present.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.virtual_now {
            None => START.saturating_add(nanos(self.start.elapsed())),
            Some(now) => now.get(),
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.instant_of(self.now())
    }

    /// The time that comes `delay` from now.
    #[inline]
    pub(crate) fn after(&self, delay: Duration) -> u64 {
        self.now().saturating_add(nanos(delay))
    }

    pub(crate) fn instant_of(&self, nanos: u64) -> Instant {
        let instant = match nanos.checked_sub(START) {
            Some(after) => self.start.checked_add(Duration::from_nanos(after)),
            None => self.start.checked_sub(Duration::from_nanos(START - nanos)),
        };
        // Only where the system's instants have a shorter scale than loop time.
        let far = || self.start.checked_add(CENTURY);
        instant.or_else(far).unwrap_or(self.start)
    }

    /// [`NEVER`] for an instant beyond the end of the scale. One before its beginning counts as the beginning.
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.start) {
            Some(after) => START.saturating_add(nanos(after)),
            None => {
                let before = nanos(self.start.saturating_duration_since(instant));
                START.saturating_sub(before).max(1)
            }
        }
    }

    /// The instant that comes `delay` after `instant`. One that an `Instant` cannot say is that of [`NEVER`].
    pub(crate) fn later(&self, instant: Instant, delay: Duration) -> Instant {
        let later = instant.checked_add(delay);
        later.unwrap_or_else(|| self.instant_of(NEVER))
    }

    /// Moves virtual time on.
    pub(crate) fn advance_to(&self, nanos: u64) {
        debug_assert_ne!(nanos, NEVER);
        if let Some(now) = &self.virtual_now {
            now.set(now.get().max(nanos));
        }
    }
}

/// More than a `u64` holds is as good as for ever: added to a time, it gives [`NEVER`].
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    #[test]
    fn an_instant_reads_back_as_it_was_before_and_after_the_loop_was_made() {
        let clock = Clock::virtual_time();
        let start = clock.instant();
        for instant in [
            start - 30 * YEAR,
            start - YEAR,
            start,
            start + YEAR,
            start + 500 * YEAR,
        ] {
            assert_eq!(clock.instant_of(clock.nanos_of(instant)), instant);
        }
    }

    #[test]
    fn what_the_scale_cannot_say_is_never() {
        for clock in [Clock::real(), Clock::virtual_time()] {
            let start = clock.instant();
            assert_eq!(clock.after(Duration::MAX), NEVER);
            assert_eq!(clock.after(Duration::from_nanos(u64::MAX)), NEVER);
            assert_eq!(clock.nanos_of(start + 1000 * YEAR), NEVER);
            assert_eq!(clock.nanos_of(clock.instant_of(NEVER)), NEVER);
            let later = clock.later(start, Duration::MAX);
            assert_eq!(clock.nanos_of(later), NEVER);
            assert!(clock.nanos_of(start - 100 * YEAR) < clock.nanos_of(start - YEAR));
        }
    }
}
