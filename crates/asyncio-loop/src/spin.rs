//! Spinning before parking: a short look at the mailbox, where it is likely that mail comes at once.
//!
//! A thread that answers at once would find the loop just parked: it pays for a system call to wake it, and the
//! loop for one to wait and for the scheduler. Looking at the mailbox for a moment spares both. But while it
//! looks, the loop uses its core for nothing, so it looks only if that has been of use lately:
//!
//! ```text
//!              a park ended by mail, soon: +1                    no mail: needed × 2
//!  counting ────────────────────────────────────► counted ──────────────────────────────► counting from 0
//!     ▲  any other park: from 0                 needed parks        mail: needed ÷ 2
//!     └──────────────┘                           in a row ◄───────────────────┐
//!                                                    └── spin before parking ─┘
//! ```
//!
//! - A loop that no other thread wakes never spins, and its parks are not timed.
//! - A spin is never longer than [`LONGEST`], which is what a park costs at least.
//! - Where spinning is of no use, as on a single core, it is tried less and less: once in [`MOST_NEEDED`]
//!   parks at last.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long it spins at most. To park and to be woken at once takes 4 µs and more.
const LONGEST: Duration = Duration::from_micros(3);
/// Looks at the mailbox between two looks at the clock.
const LOOKS: u32 = 16;
/// A park that mail ended after no more than this, in nanoseconds, might have been spared. Most of it is the
/// time that the system takes to wake a thread.
const SOON: u64 = 50_000;
/// How many such parks in a row it takes to try, at first and at most.
const FIRST_NEEDED: u32 = 4;
const MOST_NEEDED: u32 = 4096;

#[derive(Debug)]
pub(crate) struct Spin {
    /// How many parks in a row were ended by mail, soon.
    soon: Cell<u32>,
    /// How many of those it takes to spin.
    needed: Cell<u32>,
    /// Whether mail ended the last park.
    is_woken_by_mail: Cell<bool>,
    /// How often mail came while it spun, and how often it did not.
    paid: Cell<u64>,
    wasted: Cell<u64>,
}

impl Default for Spin {
    fn default() -> Self {
        Spin {
            soon: Cell::new(0),
            needed: Cell::new(FIRST_NEEDED),
            is_woken_by_mail: Cell::new(false),
            paid: Cell::new(0),
            wasted: Cell::new(0),
        }
    }
}

impl Spin {
    /// Spins, if that is likely to pay and there is time for it. True if there is mail.
    #[inline]
    pub(crate) fn finds(&self, patience: Option<Duration>, has_mail: impl Fn() -> bool) -> bool {
        let has_time = patience.is_none_or(|patience| patience > 4 * LONGEST);
        self.is_worth_it() && has_time && self.spin(has_mail)
    }

    #[inline]
    fn is_worth_it(&self) -> bool {
        self.soon.get() >= self.needed.get()
    }

    #[cold]
    fn spin(&self, has_mail: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS {
                if has_mail() {
                    self.has_paid();
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= LONGEST {
                self.was_wasted();
                return false;
            }
        }
    }

    fn has_paid(&self) {
        self.paid.set(self.paid.get() + 1);
        self.needed.set(FIRST_NEEDED.max(self.needed.get() / 2));
    }

    fn was_wasted(&self) {
        self.wasted.set(self.wasted.get() + 1);
        self.needed.set(MOST_NEEDED.min(self.needed.get() * 2));
        self.soon.set(0);
    }

    /// Whether the park that begins is to be timed.
    #[inline]
    pub(crate) fn is_timing(&self) -> bool {
        self.is_woken_by_mail.get()
    }

    /// A park is over. `took` is how long it was in nanoseconds, if it was timed.
    #[inline]
    pub(crate) fn parked(&self, took: Option<u64>, is_woken_by_mail: bool) {
        self.is_woken_by_mail.set(is_woken_by_mail);
        let was_soon = is_woken_by_mail && took.is_some_and(|took| took <= SOON);
        self.soon.set(if was_soon {
            self.soon.get().saturating_add(1)
        } else {
            0
        });
    }

    /// How often mail came while it spun, and how often it did not.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.paid.get(), self.wasted.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A park that ends at once by mail, as long as it is not spared.
    fn lockstep(spin: &Spin, is_of_use: impl Fn() -> bool) {
        if !spin.finds(None, is_of_use) {
            let took = spin.is_timing().then_some(5_000);
            spin.parked(took, true);
        }
    }

    #[test]
    fn without_mail_it_never_spins_and_times_nothing() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            assert!(!spin.finds(None, || panic!("it looks")));
            assert!(!spin.is_timing());
            spin.parked(None, false);
        }
    }

    #[test]
    fn mail_that_comes_late_is_not_waited_for() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            assert!(!spin.finds(None, || panic!("it looks")));
            spin.parked(spin.is_timing().then_some(SOON + 1), true);
        }
    }

    #[test]
    fn mail_that_comes_at_once_is_found_after_some_parks() {
        let spin = Spin::default();
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        // The first park is not timed.
        assert_eq!(spin.counts(), (100 - 1 - u64::from(FIRST_NEEDED), 0));
    }

    #[test]
    fn on_a_single_core_it_is_tried_less_and_less() {
        let spin = Spin::default();
        for _ in 0..10_000 {
            lockstep(&spin, || false);
        }
        // At 4, 8, 16, … 4096 parks.
        assert_eq!(spin.counts(), (0, 11));
        for _ in 0..10 * MOST_NEEDED {
            lockstep(&spin, || false);
        }
        assert_eq!(spin.counts(), (0, 21));
    }

    #[test]
    fn what_has_become_useless_is_given_up_and_found_again() {
        let spin = Spin::default();
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        let (paid, _) = spin.counts();
        for _ in 0..100 {
            assert!(!spin.finds(None, || false));
            spin.parked(spin.is_timing().then_some(SOON + 1), true);
        }
        assert_eq!(spin.counts(), (paid, 1));
        for _ in 0..100 {
            lockstep(&spin, || true);
        }
        assert_eq!(spin.counts(), (paid + 100 - 2 * u64::from(FIRST_NEEDED), 1));
    }

    #[test]
    fn a_deadline_that_is_near_leaves_no_time() {
        let spin = Spin::default();
        for _ in 0..10 {
            lockstep(&spin, || true);
        }
        assert!(!spin.finds(Some(LONGEST), || panic!("it looks")));
        assert!(spin.finds(Some(100 * LONGEST), || true));
    }
}
