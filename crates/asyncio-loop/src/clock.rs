//! What time it is on a loop: the machine's monotonic clock, or a virtual one that tests move.
//!
//! Loop time is a `std::time::Instant` for users and nanoseconds since the loop began for the wheel.
//! A virtual clock starts at the instant the loop was made and stands still until the loop moves it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Nanoseconds since `start`, if time is virtual.
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
            virtual_now: Some(Cell::new(0)),
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    /// Nanoseconds since the loop began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.virtual_now {
            None => nanos(self.start.elapsed()),
            Some(now) => now.get(),
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.instant_of(self.now())
    }

    pub(crate) fn instant_of(&self, nanos: u64) -> Instant {
        later(self.start, Duration::from_nanos(nanos))
    }

    /// The instant that comes `delay` from now.
    pub(crate) fn after(&self, delay: Duration) -> Instant {
        later(self.instant(), delay)
    }

    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start))
    }

    /// Moves virtual time on.
    pub(crate) fn advance_to(&self, nanos: u64) {
        if let Some(now) = &self.virtual_now {
            now.set(now.get().max(nanos));
        }
    }
}

/// `delay` after `instant`. Beyond what an `Instant` can say is as good as never.
pub(crate) fn later(instant: Instant, delay: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let latest = || instant.checked_add(CENTURY);
    instant
        .checked_add(delay)
        .or_else(latest)
        .unwrap_or(instant)
}

/// 584 years at most: longer is never.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
