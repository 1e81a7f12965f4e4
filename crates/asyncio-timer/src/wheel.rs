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
    /// It takes the memory of 512 timers from the start, and 40 bytes for each timer whose value has
    /// 16 bytes. Memory is kept for later timers, and freed when the wheel is dropped.
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
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no timer.
    #[must_use]
    #[inline]
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
    /// If the wheel would hold more than four thousand million timers.
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

    /// The timers that have neither expired nor been cancelled, each with its deadline; in no order that means
    /// anything. Looks at every timer.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter()
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
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let first = self.entries.occupied_slots().next()?;
        Some(self.entries.earliest(first))
    }

    /// How many values [`expire(now)`](Self::expire) would give, counted no further than `limit`.
    ///
    /// This is for a caller who wants to know whether it pays to wait a little longer and take
    /// several at once, so it is quick rather than exact: it looks at no more than `limit` + 32
    /// timers. The answer is never too high. It can be too low only if more than 32 timers of the
    /// slot in which `now` lies are due after it. Near the present such a slot is 66 µs wide;
    /// further ahead it is wider, and so it is where a wider slot is about to begin.
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
    /// What it costs does not depend on how much time has passed. Each timer that expires costs a
    /// constant amount and its part in sorting those of its slot; in its whole life it is moved to
    /// a finer slot seven times at most, a timer of a second twice. When some of the slot that
    /// `now` lies in are due (it is 66 µs wide), the others in it are looked at too.
    #[inline]
    pub fn expire(&mut self, now: u64, expired: &mut Vec<T>) {
        let before = self.now;
        self.now = before.max(now);
        if !self.is_empty() {
            self.expire_since(before, expired);
        }
    }

    fn expire_since(&mut self, before: u64, expired: &mut Vec<T>) {
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
        const LARGE: usize = 1 << 12;
        self.due.shrink_to(LARGE);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The width of a slot on the finest level, in nanoseconds.
    const TICK: u64 = 1 << 16;

    impl<T> TimerWheel<T> {
        fn check(&self) {
            self.entries
                .check(|deadline| slot::slot_of(deadline, self.now));
            assert!(self.due.is_empty());
        }

        fn expire_now(&mut self, now: u64) -> Vec<T> {
            let mut expired = Vec::new();
            self.expire(now, &mut expired);
            self.check();
            expired
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once_and_before_what_came_due_meanwhile() {
        let mut wheel = TimerWheel::new(10 * TICK);
        wheel.insert(10 * TICK + 1, "soon");
        wheel.insert(10 * TICK, "now");
        wheel.insert(3, "long ago");
        wheel.check();
        assert_eq!(wheel.next_deadline(), Some(3));
        assert_eq!(wheel.due_by(0, 9), 2);
        assert_eq!(wheel.expire_now(0), ["long ago", "now"]);
        assert_eq!(wheel.expire_now(10 * TICK + 1), ["soon"]);
    }

    #[test]
    fn nothing_in_the_slot_of_the_present_is_early_by_a_nanosecond() {
        let mut wheel = TimerWheel::new(TICK);
        wheel.insert(TICK + 100, "first");
        wheel.insert(TICK + 101, "second");
        assert_eq!(wheel.expire_now(TICK + 99), [""; 0]);
        assert_eq!(wheel.expire_now(TICK + 100), ["first"]);
        assert_eq!(wheel.next_deadline(), Some(TICK + 101));
        assert_eq!(wheel.expire_now(TICK + 101), ["second"]);
    }

    #[test]
    fn equal_deadlines_keep_their_order_though_inserted_at_different_distances() {
        let deadline = (1 << 50) + 12_345;
        let mut wheel = TimerWheel::new(0);
        let mut inserted = Vec::new();
        for shift in (0..50).rev() {
            let now = deadline - (1 << shift);
            assert_eq!(wheel.expire_now(now), [0; 0]);
            wheel.insert(deadline, shift);
            inserted.push(shift);
        }
        assert_eq!(wheel.expire_now(deadline), inserted);
    }

    #[test]
    fn a_timer_re_armed_to_its_own_deadline_goes_behind_its_equals() {
        let mut wheel = TimerWheel::new(0);
        let first = wheel.insert(1_000, "first");
        wheel.insert(1_000, "second");
        assert!(wheel.rearm(first, 1_000));
        wheel.check();
        assert_eq!(wheel.expire_now(1_000), ["second", "first"]);
    }

    #[test]
    fn a_timer_alone_in_its_slot_can_be_re_armed_there_and_cancelled() {
        let mut wheel = TimerWheel::new(0);
        let key = wheel.insert(70 * TICK, "alone");
        assert!(wheel.rearm(key, 70 * TICK + 1));
        wheel.check();
        assert_eq!(wheel.next_deadline(), Some(70 * TICK + 1));
        assert_eq!(wheel.cancel(key), Some("alone"));
        wheel.check();
        assert_eq!(wheel.next_deadline(), None);
        assert_eq!(wheel.expire_now(u64::MAX), [""; 0]);
    }

    #[test]
    fn what_a_cancelled_timer_leaves_of_its_deadline_is_passed_once() {
        for slot in [3, 64, 64 * 64] {
            let mut wheel = TimerWheel::new(0);
            let early = wheel.insert(slot * TICK, "early");
            wheel.insert(slot * TICK + 9, "late");
            wheel.cancel(early);
            assert_eq!(wheel.next_deadline(), Some(slot * TICK));
            assert_eq!(wheel.expire_now(slot * TICK), [""; 0]);
            assert_eq!(wheel.next_deadline(), Some(slot * TICK + 9));
        }
    }

    #[test]
    fn all_of_time_passes_in_one_step() {
        let mut wheel = TimerWheel::new(0);
        for shift in (0..64).rev() {
            wheel.insert(1 << shift, shift);
        }
        wheel.insert(u64::MAX, 64);
        wheel.check();
        let mut expired = wheel.expire_now(u64::MAX - 1);
        assert_eq!(wheel.next_deadline(), Some(u64::MAX));
        expired.extend(wheel.expire_now(u64::MAX));
        assert_eq!(expired, Vec::from_iter(0..=64));

        wheel.insert(u64::MAX, 65);
        wheel.insert(0, 66);
        assert_eq!(wheel.expire_now(0), [66, 65]);
    }

    #[test]
    fn a_crowd_just_after_the_time_asked_for_does_not_make_due_by_slow() {
        let mut wheel = TimerWheel::new(0);
        for _ in 0..PATIENCE {
            wheel.insert(1_001, "after");
        }
        wheel.insert(1_000, "before");
        assert_eq!(wheel.due_by(1_000, 4), 0, "it gave up, as documented");
        assert_eq!(wheel.due_by(1_001, 4), 4);
        assert_eq!(wheel.due_by(1_001, 0), 0);
        assert_eq!(wheel.due_by(999, 4), 0);
    }

    #[test]
    fn clearing_gives_all_in_order_and_leaves_the_present_and_no_key() {
        let mut wheel = TimerWheel::new(7);
        let keys = [u64::MAX, 5, 1 << 40, 8].map(|deadline| wheel.insert(deadline, deadline));
        let mut values = Vec::new();
        wheel.clear_into(&mut values);
        wheel.check();
        assert_eq!(values, [5, 8, 1 << 40, u64::MAX]);
        assert_eq!((wheel.now(), wheel.len()), (7, 0));
        assert!(keys.iter().all(|&key| wheel.get(key).is_none()));
        wheel.insert(9, 9);
        assert_eq!(wheel.expire_now(9), [9]);
    }

    #[test]
    fn slots_rings_and_vacancies_agree_after_every_operation() {
        let mut wheel = TimerWheel::new(0);
        let mut keys = vec![wheel.insert(0, 0)];
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..3_000 {
            bits = bits
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            let near = (bits >> 32) >> (bits >> 7 & 31);
            let deadline = wheel.now() + (near << (bits >> 13 & 15));
            let key = keys[(bits >> 40) as usize % keys.len()];
            match bits >> 61 {
                0..4 => keys.push(wheel.insert(deadline, round)),
                4 => drop(wheel.cancel(key)),
                5 => assert_eq!(wheel.rearm(key, deadline), wheel.get(key).is_some()),
                _ => drop(wheel.expire_now(wheel.now() + near)),
            }
            wheel.check();
        }
        assert!(wheel.len() > 10, "{wheel:?}");
    }

    #[test]
    fn debug_shows_how_many_wait_and_until_when() {
        struct NotDebug;
        let mut wheel = TimerWheel::new(5);
        wheel.insert(8, NotDebug);
        assert_eq!(
            format!("{wheel:?}"),
            "TimerWheel { len: 1, now: 5, next_deadline: Some(8) }"
        );
    }
}
