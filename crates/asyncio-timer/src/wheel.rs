//! The timer wheel: entries kept by deadline, taken out when their time has come.
//!
//! - Every entry is in the slot that [`slot_of`](slot::slot_of) names for its deadline and the
//!   present. Whenever the present moves, the slots it passed are emptied, and so is the one it
//!   entered: what is due there expires, the rest moves to finer slots.
//! - Entries with equal deadlines are therefore always in the same ring, in order of insertion.
//!
//! No clock is here, and nothing that waits: whoever owns a wheel tells it the time.

use std::fmt;

use crate::entries::Entries;
use crate::key::TimerKey;
use crate::slot;

/// Values that come due, each at its own deadline.
///
/// Times are `u64` nanoseconds on a scale of the caller's choosing, say since the program started:
/// the scale is long enough for 584 years. The wheel learns the present from [`new`](Self::new) and
/// [`expire`](Self::expire) and reads no clock.
///
/// ```
/// use asyncio_timer::TimerWheel;
///
/// const SECOND: u64 = 1_000_000_000;
///
/// let mut wheel = TimerWheel::new(0);
/// let tea = wheel.insert(180 * SECOND, "tea");
/// wheel.insert(300 * SECOND, "eggs");
///
/// assert_eq!(wheel.cancel(tea), Some("tea"));
/// assert_eq!(wheel.next_deadline(), Some(300 * SECOND));
///
/// let mut expired = Vec::new();
/// wheel.expire(300 * SECOND, &mut expired);
/// assert_eq!(expired, ["eggs"]);
/// ```
pub struct TimerWheel<T> {
    now: u64,
    entries: Entries<T>,
    /// What is due in the slot at hand; empty between calls, kept for its memory.
    due: Vec<Due>,
}

/// An entry that is due. In order of deadline, then of insertion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: u64,
    turn: u32,
    index: u32,
}

/// How many entries that are not due [`TimerWheel::due_by`] looks at before it gives up.
const PATIENCE: usize = 32;

impl<T> TimerWheel<T> {
    /// A wheel without timers, whose present is `now`, in nanoseconds.
    ///
    /// It takes 8 KiB from the start, and 40 bytes for each timer with a value of 16 bytes.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            now,
            entries: Entries::new(),
            due: Vec::new(),
        }
    }

    /// How many timers have neither expired nor been cancelled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The present, in nanoseconds: the latest time that this wheel has been told.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Adds a timer that comes due at `deadline`, in nanoseconds. One in the past is due at the
    /// next [`expire`](Self::expire). Takes constant time.
    ///
    /// # Panics
    ///
    /// If the wheel holds more than four thousand million timers already.
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let slot = slot::slot_of(deadline, self.now);
        self.entries.insert(slot, deadline, value)
    }

    /// Takes a timer out and gives its value back; `None` if it has expired or was cancelled
    /// before. Takes constant time.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.entries.remove(key)
    }

    /// Gives a timer another deadline, in nanoseconds, as if it had been cancelled and inserted
    /// anew under the same key. `false` if it has expired or was cancelled before. Takes constant
    /// time.
    ///
    /// ```
    /// # let mut wheel = asyncio_timer::TimerWheel::new(0);
    /// let idle = wheel.insert(1_000, "idle");
    /// assert!(wheel.rearm(idle, 2_000));
    ///
    /// let mut expired = Vec::new();
    /// wheel.expire(1_999, &mut expired);
    /// assert!(expired.is_empty());
    /// wheel.expire(2_000, &mut expired);
    /// assert_eq!(expired, ["idle"]);
    /// assert!(!wheel.rearm(idle, 3_000));
    /// ```
    #[must_use = "a timer that is gone cannot be re-armed"]
    pub fn rearm(&mut self, key: TimerKey, deadline: u64) -> bool {
        if self.entries.get(key).is_none() {
            return false;
        }
        let slot = slot::slot_of(deadline, self.now);
        self.entries.relink(key.index, slot, deadline);
        true
    }

    /// The value of a timer that has neither expired nor been cancelled.
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.entries.get(key)
    }

    /// The value of a timer that has neither expired nor been cancelled, to change it.
    #[must_use]
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.entries.get_mut(key)
    }

    /// When a timer comes due, in nanoseconds, exactly as given to [`insert`](Self::insert) or
    /// [`rearm`](Self::rearm); `None` if it has expired or was cancelled.
    #[must_use]
    pub fn deadline(&self, key: TimerKey) -> Option<u64> {
        self.entries.deadline(key)
    }

    /// A time to call [`expire`](Self::expire) next, in nanoseconds: never later than the earliest
    /// deadline; `None` if there is no timer.
    ///
    /// It is the earliest deadline itself, unless a timer with an earlier one was cancelled or
    /// re-armed, in which case it may still be that one. To `expire` at this time then gives
    /// nothing, and the next answer is a later one.
    ///
    /// Takes as many steps as the wheel has levels, which is eight.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let first = self.entries.occupied_slots().next()?;
        Some(self.entries.earliest(first))
    }

    /// How many values [`expire(now)`](Self::expire) would give, counted no further than `limit`.
    ///
    /// This is for a caller who wants to know whether it pays to wait a little longer and take
    /// several at once, so it is quick rather than exact: it looks at no more than `limit` + 32
    /// timers. Only if 32 in the same slot as `now` (which are close together: 65.5 µs for what is
    /// due in the next milliseconds, 4 ms in the next tenths of a second, and so on) are due later
    /// than `now` can the answer be too low. It is never too high.
    #[must_use]
    pub fn due_by(&self, now: u64, limit: usize) -> usize {
        let now = now.max(self.now);
        let mut patience = PATIENCE;
        let mut due = 0;
        // Only the slot of `now` can have both what is due and what is not, so the patience is
        // spent on one slot.
        let slots = self.entries.occupied_slots();
        for slot in slots.take_while(|&slot| self.entries.earliest(slot) <= now) {
            let mut ring = self.entries.walk(slot);
            while let Some((_, deadline)) = ring.step(&self.entries) {
                if due == limit || patience == 0 {
                    return due;
                }
                if deadline <= now {
                    due += 1;
                } else {
                    patience -= 1;
                }
            }
        }
        due
    }

    /// Moves the present to `now`, in nanoseconds, and the values of all timers whose deadline is
    /// not after it to the end of `expired`. Those come in order of deadline, and of insertion
    /// where deadlines are equal; a re-arm counts as an insertion.
    ///
    /// No timer expires early, not even by a nanosecond. A `now` before the present counts as the
    /// present.
    ///
    /// Values are moved and nothing else is done to them: none is dropped or cloned here, so no
    /// code of `T` runs.
    ///
    /// Costs a constant amount for each timer that expires (and a comparison sort of those that
    /// were in the same slot), and at most seven moves to a finer slot in the whole life of a timer
    /// that is not re-armed. It does not depend on how much time has passed.
    pub fn expire(&mut self, now: u64, expired: &mut Vec<T>) {
        let before = self.now;
        self.now = before.max(now);
        let highest = slot::level_between(before, self.now);
        for level in 0..highest {
            self.expire_slots(level, self.entries.occupied(level), expired);
        }
        let entered = slot::digit(self.now, highest);
        let up_to_entered = u64::MAX >> (63 - entered);
        self.expire_slots(
            highest,
            self.entries.occupied(highest) & up_to_entered,
            expired,
        );
    }

    /// Moves the values of all timers to the end of `values`, in the order in which they would
    /// have expired. The present stays what it is.
    ///
    /// As with [`expire`](Self::expire), no value is dropped here and no code of `T` runs.
    pub fn clear_into(&mut self, values: &mut Vec<T>) {
        let present = std::mem::replace(&mut self.now, u64::MAX);
        for level in 0..slot::LEVELS {
            self.expire_slots(level, self.entries.occupied(level), values);
        }
        self.now = present;
    }

    fn expire_slots(&mut self, level: usize, bits: u64, expired: &mut Vec<T>) {
        for slot in slot::slots_of(level, bits) {
            // A slot on the finest level may be entered and yet have nothing due; there is nowhere
            // finer to move its entries to.
            if level > 0 || self.entries.earliest(slot) <= self.now {
                self.expire_slot(slot, expired);
            }
        }
    }

    /// Empties a slot that has been passed or entered: moves what is due to `expired`, and the
    /// rest to where it belongs now.
    fn expire_slot(&mut self, slot: usize, expired: &mut Vec<T>) {
        let mut ring = self.entries.take_ring(slot);
        while let Some((index, deadline)) = ring.step(&self.entries) {
            if deadline <= self.now {
                let turn = self.due.len() as u32;
                self.due.push(Due {
                    deadline,
                    turn,
                    index,
                });
            } else {
                let slot = slot::slot_of(deadline, self.now);
                self.entries.push(slot, index, deadline);
            }
        }
        self.due.sort_unstable();
        expired.reserve(self.due.len());
        let entries = &mut self.entries;
        expired.extend(
            self.due
                .drain(..)
                .filter_map(|due| entries.vacate(due.index)),
        );
    }
}

impl<T> fmt::Debug for TimerWheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerWheel")
            .field("len", &self.len())
            .field("now", &self.now)
            .field("next_deadline", &self.next_deadline())
            .finish()
    }
}
