//! Spinning before parking: a short check of the inbox where a message is likely to arrive at once.
//!
//! A thread that answers at once would find the loop already parked. It would pay a system call to
//! wake the loop, and the loop would pay for the wait and for the scheduler. Checking the inbox for
//! a moment saves both. But a spin keeps the core busy, so the loop spins only if spinning has
//! succeeded lately:
//!
//! ```text
//!              a short park ended by a message: +1           no message: needed × 2
//!  counting ────────────────────────────────────► counted ──────────────────────────────► counting from 0
//!     ▲  any other park: from 0                 needed parks        message: needed ÷ 2
//!     └──────────────┘                           in a row ◄───────────────────┐
//!                                                    └── spin before parking ─┘
//! ```
//!
//! - A loop that no other thread wakes never spins, and does not time its parks.
//! - A spin takes at most [`MAX_SPIN`], which is less than a park costs.
//! - Where spinning never succeeds, as on a single core, it becomes rare: once in [`MAX_NEEDED`]
//!   parks in the end.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest spin. Parking and being woken at once takes at least 4 µs.
const MAX_SPIN: Duration = Duration::from_micros(3);
/// How often the inbox is checked between two reads of the clock.
const CHECKS_PER_CLOCK_READ: u32 = 16;
/// A park that a message ended within this time, in nanoseconds, counts as short: a spin might have
/// saved it. Most of this time is the system's, which wakes a thread.
const SHORT_PARK: u64 = 50_000;
/// How many short parks in a row are needed before a spin, at least (and at first) and at most.
const MIN_NEEDED: u32 = 4;
const MAX_NEEDED: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Spin {
    /// How many parks in a row were short.
    short_parks: Cell<u32>,
    /// How many short parks are needed before a spin.
    needed: Cell<u32>,
    /// Whether a message ended the last park.
    is_woken_by_message: Cell<bool>,
    /// How many spins found a message, and how many did not.
    paid: Cell<u64>,
    wasted: Cell<u64>,
}

impl Default for Spin {
    fn default() -> Self {
        Spin {
            short_parks: Cell::new(0),
            needed: Cell::new(MIN_NEEDED),
            is_woken_by_message: Cell::new(false),
            paid: Cell::new(0),
            wasted: Cell::new(0),
        }
    }
}

impl Spin {
    /// Spins, if a message is likely and the park timeout leaves time. True if the inbox has a
    /// message.
    #[inline]
    pub(crate) fn spin_for_message(
        &self,
        park_timeout: Option<Duration>,
        has_messages: impl Fn() -> bool,
    ) -> bool {
        let has_time = || park_timeout.is_none_or(|park_timeout| park_timeout > 4 * MAX_SPIN);
        self.is_worth_it() && has_time() && self.spin(has_messages)
    }

    #[inline]
    fn is_worth_it(&self) -> bool {
        self.short_parks.get() >= self.needed.get()
    }

    #[cold]
    fn spin(&self, has_messages: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..CHECKS_PER_CLOCK_READ {
                if has_messages() {
                    self.record_success();
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= MAX_SPIN {
                self.record_failure();
                return false;
            }
        }
    }

    fn record_success(&self) {
        self.paid.set(self.paid.get() + 1);
        self.needed.set(MIN_NEEDED.max(self.needed.get() / 2));
    }

    fn record_failure(&self) {
        self.wasted.set(self.wasted.get() + 1);
        self.needed.set(MAX_NEEDED.min(self.needed.get() * 2));
        self.short_parks.set(0);
    }

    /// Whether the next park must be timed.
    #[inline]
    pub(crate) fn times_parks(&self) -> bool {
        self.is_woken_by_message.get()
    }

    /// Records a park that ends now. Its beginning is known if it was timed. Times are in nanoseconds.
    #[inline]
    pub(crate) fn record_park(&self, parked_at: Option<u64>, now: u64, is_woken_by_message: bool) {
        self.is_woken_by_message.set(is_woken_by_message);
        let is_short = |parked_at| now - parked_at <= SHORT_PARK;
        let was_short = is_woken_by_message && parked_at.is_some_and(is_short);
        self.short_parks.set(if was_short {
            self.short_parks.get().saturating_add(1)
        } else {
            0
        });
    }

    /// How many spins found a message, and how many did not.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.paid.get(), self.wasted.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parks until a message ends the park, after so many nanoseconds.
    fn park(spin: &Spin, took: u64) {
        let parked_at = 1 << 60;
        spin.record_park(
            spin.times_parks().then_some(parked_at),
            parked_at + took,
            true,
        );
    }

    /// Parks again and again, and a message ends each park at once, unless a spin saves the park.
    fn lockstep(spin: &Spin, is_of_use: impl Fn() -> bool) {
        if !spin.spin_for_message(None, is_of_use) {
            park(spin, 5_000);
        }
    }

    #[test]
    fn without_mail_there_is_no_spin_and_no_timing() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            assert!(!spin.spin_for_message(None, || panic!("the inbox must not be checked")));
            assert!(!spin.times_parks());
            spin.record_park(None, 0, false);
        }
    }

    #[test]
    fn a_late_message_causes_no_spin() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            assert!(!spin.spin_for_message(None, || panic!("the inbox must not be checked")));
            park(&spin, SHORT_PARK + 1);
        }
    }

    #[test]
    fn a_prompt_message_is_found_after_some_parks() {
        let spin = Spin::default();
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        // The first park is not timed.
        assert_eq!(spin.counts(), (100 - 1 - u64::from(MIN_NEEDED), 0));
    }

    #[test]
    fn a_futile_spin_lasts_as_long_as_it_may() {
        let start = Instant::now();
        assert!(!Spin::default().spin(|| false));
        assert!(start.elapsed() >= MAX_SPIN);
    }

    #[test]
    fn on_a_single_core_spins_become_rare() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            lockstep(&spin, || false);
        }
        // At 4, 8, 16, … 4096 parks.
        assert_eq!(spin.counts(), (0, 11));
        for _ in 0..10 * MAX_NEEDED {
            lockstep(&spin, || false);
        }
        assert_eq!(spin.counts(), (0, 21));
    }

    #[test]
    fn a_useless_spin_is_abandoned_and_resumed() {
        let spin = Spin::default();
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        let (paid, _) = spin.counts();
        for _ in 0..100 {
            assert!(!spin.spin_for_message(None, || false));
            park(&spin, SHORT_PARK + 1);
        }
        assert_eq!(spin.counts(), (paid, 1));
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        assert_eq!(spin.counts(), (paid + 100 - 2 * u64::from(MIN_NEEDED), 1));
    }

    #[test]
    fn a_near_deadline_prevents_a_spin() {
        let spin = Spin::default();
        for _ in 0..10 {
            lockstep(&spin, || true);
        }
        let near = 4 * MAX_SPIN;
        assert!(!spin.spin_for_message(Some(near), || panic!("the inbox must not be checked")));
        assert!(spin.spin_for_message(Some(near + Duration::from_nanos(1)), || true));
    }

    #[test]
    fn a_spin_that_finds_a_message_halves_the_parks_before_the_next() {
        let spin = Spin::default();
        spin.needed.set(64);
        spin.record_success();
        assert_eq!(spin.needed.get(), 32);
        spin.record_failure();
        assert_eq!(spin.needed.get(), 64);
    }
}
