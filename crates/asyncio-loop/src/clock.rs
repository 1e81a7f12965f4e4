//! The clock of a loop: the machine's monotonic clock, or a virtual clock that jumps.
//!
//! Loop time is a `std::time::Instant` for users, and a number of nanoseconds for the timer wheel. The number is
//! [`START`] at the instant at which the loop was created. Instants before that have smaller numbers, so deadlines in
//! the past keep their order. The highest number is [`NEVER`]: a deadline beyond the scale never expires. Only the loop
//! moves a virtual clock, which starts ten years after the creation of the loop. So an instant of the machine's clock
//! differs from an instant of the loop. Code that takes a deadline from the wrong clock is
//! [reported](Clock::take_foreign).

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use asyncio_task::{TaskRef, current_task};

/// The creation of the loop, in nanoseconds of loop time: 36 years after the beginning of the scale
/// and 548 years before its end.
pub(crate) const START: u64 = 1 << 60;

/// The deadline that never expires, on any clock.
pub(crate) const NEVER: u64 = u64::MAX;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How far ahead of the machine's clock a virtual clock starts.
const AHEAD: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The clock of one loop.
#[derive(Debug)]
pub(crate) struct Clock {
    /// The instant at which the loop was created; of a virtual clock, ten years later.
    start: Instant,
    source: Source,
    /// The task that has given an instant of the machine's clock, on virtual time, if one has.
    foreign: RefCell<Option<Option<TaskRef>>>,
}

/// The source of the time.
#[derive(Debug)]
enum Source {
    Machine,
    /// Virtual loop time. Never [`NEVER`].
    Virtual(Cell<u64>),
    /// The clock of the host, which may stand still or jump.
    Host(fn() -> Instant),
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::of(Instant::now(), Source::Machine)
    }

    pub(crate) fn host(now: fn() -> Instant) -> Self {
        Self::of(now(), Source::Host(now))
    }

    fn of(start: Instant, source: Source) -> Self {
        Self {
            start,
            source,
            foreign: RefCell::new(None),
        }
    }

    pub(crate) fn virtual_time() -> Self {
        let source = Source::Virtual(Cell::new(START));
        Self::of(Self::ahead(Instant::now()), source)
    }

    /// Where the system's instants have a short scale, a virtual clock starts now.
    fn ahead(now: Instant) -> Instant {
        now.checked_add(AHEAD).unwrap_or(now)
    }

    /// The task that has given an instant of the machine's clock since the last call, on virtual time. There such an
    /// instant is long past.
    pub(crate) fn take_foreign(&self) -> Option<Option<TaskRef>> {
        self.foreign.take()
    }

    #[cold]
    fn note_foreign(&self) {
        let _earlier = self.foreign.replace(Some(current_task()));
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }

    /// Whether this is the clock of a host and differs from the machine's clock, which the reactor's alarm follows.
    pub(crate) fn differs(&self) -> bool {
        let Source::Host(now) = self.source else {
            return false;
        };
        let before = Instant::now();
        let now = now();
        now < before || Instant::now() < now
    }

    /// The current loop time.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.source {
            Source::Machine => START.saturating_add(nanos(self.start.elapsed())),
            Source::Virtual(now) => now.get(),
            Source::Host(now) => {
                let elapsed = now().saturating_duration_since(self.start);
                START.saturating_add(nanos(elapsed))
            }
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.instant_of(self.now())
    }

    /// The loop time `delay` from now.
    #[inline]
    pub(crate) fn after(&self, delay: Duration) -> u64 {
        self.now().saturating_add(nanos(delay))
    }

    pub(crate) fn instant_of(&self, nanos: u64) -> Instant {
        let instant = match nanos.checked_sub(START) {
            Some(after) => self.start.checked_add(Duration::from_nanos(after)),
            None => self.start.checked_sub(Duration::from_nanos(START - nanos)),
        };
        // Reached only where the system's instants have a shorter scale than loop time.
        let far = || self.start.checked_add(CENTURY);
        instant.or_else(far).unwrap_or(self.start)
    }

    /// The loop time of an instant: [`NEVER`] beyond the end of the scale, and the beginning of the
    /// scale before it.
    pub(crate) fn nanos_of(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.start) {
            Some(after) => START.saturating_add(nanos(after)),
            None => {
                let before = self.start.saturating_duration_since(instant);
                // Years before the loop began: this is no time of the loop, but one of the machine's clock.
                if self.is_virtual() && before > AHEAD / 2 && before < AHEAD + YEAR {
                    self.note_foreign();
                }
                let before = nanos(before);
                START.saturating_sub(before).max(1)
            }
        }
    }

    /// The instant `delay` after `instant`. An instant that `Instant` cannot represent becomes that
    /// of [`NEVER`].
    pub(crate) fn later(&self, instant: Instant, delay: Duration) -> Instant {
        let later = instant.checked_add(delay);
        later.unwrap_or_else(|| self.instant_of(NEVER))
    }

    /// Moves virtual time forward.
    pub(crate) fn advance_to(&self, nanos: u64) {
        debug_assert_ne!(nanos, NEVER);
        if let Source::Virtual(now) = &self.source {
            now.set(now.get().max(nanos));
        }
    }
}

/// A duration in nanoseconds. A duration that does not fit gives [`NEVER`] when it is added to a
/// time.
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_before_and_after_the_loop_round_trip() {
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
    fn an_instant_of_the_machine_is_foreign_to_a_virtual_clock_only() {
        let later = Instant::now() + Duration::from_secs(5);
        let of_real = Clock::real();
        of_real.nanos_of(later);
        assert!(of_real.take_foreign().is_none());

        let of_virtual = Clock::virtual_time();
        of_virtual.nanos_of(of_virtual.instant() - Duration::from_secs(3600));
        assert!(of_virtual.take_foreign().is_none());
        of_virtual.nanos_of(later);
        assert!(of_virtual.take_foreign().is_some());
        assert!(of_virtual.take_foreign().is_none());
    }

    /// A virtual clock is ten years ahead of the machine's, which tells a deadline of up to five years from a time of
    /// the loop.
    #[test]
    fn an_instant_is_foreign_from_five_to_eleven_years_before_the_loop() {
        let clock = Clock::virtual_time();
        let is_foreign = |before| {
            clock.nanos_of(clock.instant() - before);
            clock.take_foreign().is_some()
        };
        let moment = Duration::from_nanos(1);
        assert!(!is_foreign(AHEAD / 2) && is_foreign(AHEAD / 2 + moment));
        assert!(is_foreign(AHEAD + YEAR - moment) && !is_foreign(AHEAD + YEAR));
    }

    #[test]
    fn a_host_clock_beside_that_of_the_machine_differs() {
        let hour = Duration::from_secs(3600);
        let beside: [fn() -> Instant; 2] = [
            || Instant::now() - Duration::from_secs(3600),
            || Instant::now() + Duration::from_secs(3600),
        ];
        for now in beside {
            let clock = Clock::host(now);
            assert!(clock.differs());
            assert!(clock.now() < START + super::nanos(hour), "it began now");
        }
        let clocks = [
            Clock::host(Instant::now),
            Clock::real(),
            Clock::virtual_time(),
        ];
        assert!(!clocks.iter().any(Clock::differs));
    }

    #[test]
    fn a_time_beyond_the_scale_is_never() {
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
