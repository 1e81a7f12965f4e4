//! The timer wheel: timers in slots by deadline, and their expiry.
//!
//! - Every timer is in the slot that [`slot_of`](slot::slot_of) returns for its deadline and the
//!   current time. When the current time moves, the slots that it passed and the slot that it
//!   entered are emptied. Timers that are due expire, and the others move to finer slots.
//! - So timers with equal deadlines are always in the same ring, in order of insertion.
//!
//! The wheel has no clock and never waits: its caller tells it the time.

use std::fmt;

use crate::entries::Entries;
use crate::key::TimerKey;
use crate::slot;

/// A set of timers: values, each with a deadline.
///
/// Times are `u64` nanoseconds since an origin of the caller's choice, such as the start of the
/// program. That is enough for 584 years. The wheel learns the current time from [`new`](Self::new)
/// and [`expire`](Self::expire) and reads no clock.
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
    /// The due timers of the slot that is being expired. Empty between calls, kept for its memory.
    due: Vec<Due>,
}

/// A timer that is due. Ordered by deadline, then by insertion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: u64,
    sequence: u32,
    index: u32,
}

/// The number of timers that are not due after which [`TimerWheel::due_by`] stops counting.
const MAX_NOT_DUE: usize = 32;

impl<T> TimerWheel<T> {
    /// Creates a wheel without timers whose current time is `now`, in nanoseconds.
    ///
    /// A new wheel takes the memory of 512 timers. A timer whose value has 16 bytes takes 40 bytes.
    /// The wheel keeps memory for some thousands of later timers. It frees the rest when few of
    /// many timers are left.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            now,
            entries: Entries::new(),
            due: Vec::new(),
        }
    }

    /// The number of timers that have neither expired nor been cancelled.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the wheel has no timers.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The current time, in nanoseconds: the latest time that the caller has told this wheel.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Adds a timer that is due at `deadline`, in nanoseconds.
    ///
    /// A timer whose deadline has passed is due at the next [`expire`](Self::expire). Takes
    /// constant time.
    ///
    /// # Panics
    ///
    /// If the wheel would hold more than four thousand million timers.
    // Inlined into its caller, which makes the value. A value that is passed on is stored in its parts and loaded in
    // words, and the processor waits for such stores.
    #[inline(always)]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let slot = slot::slot_of(deadline, self.now);
        self.entries.insert(slot, deadline, value)
    }

    /// Removes a timer and returns its value; `None` if it has expired or was cancelled.
    ///
    /// Takes constant time.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.entries.remove(key)
    }

    /// Gives a timer a new deadline, in nanoseconds; `false` if it has expired or was cancelled.
    ///
    /// The effect is that of cancelling the timer and inserting it again under the same key. Takes
    /// constant time.
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

    /// The value of a timer; `None` if it has expired or was cancelled.
    #[must_use]
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        self.entries.get(key)
    }

    /// The value of a timer, mutably; `None` if it has expired or was cancelled.
    #[must_use]
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.entries.get_mut(key)
    }

    /// The deadline of a timer, in nanoseconds; `None` if it has expired or was cancelled.
    ///
    /// It is exactly the deadline that was given to [`insert`](Self::insert) or
    /// [`rearm`](Self::rearm).
    #[must_use]
    pub fn deadline(&self, key: TimerKey) -> Option<u64> {
        self.entries.deadline(key)
    }

    /// The deadlines and values of the timers that have neither expired nor been cancelled.
    ///
    /// The order is unspecified. The iterator visits every entry of the wheel.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter()
    }

    /// The time at which to call [`expire`](Self::expire) next, in nanoseconds; `None` without
    /// timers.
    ///
    /// It is never later than the earliest deadline, and normally equal to it. It can be earlier if
    /// a timer with an earlier deadline was cancelled or re-armed. `expire` at that time then
    /// returns no timer, and the next answer is later.
    ///
    /// Takes one step for each of the eight levels.
    #[must_use]
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let first = self.entries.occupied_slots().next()?;
        Some(self.entries.earliest(first))
    }

    /// The number of timers that [`expire(now)`](Self::expire) would expire, counted up to `limit`.
    ///
    /// A caller can use it to decide whether to wait a little longer and take several timers at
    /// once. So it is quick rather than exact: it visits at most `limit` + 32 timers. The answer is
    /// never too high. It is too low only if at least 32 timers in the slot of `now` are due after
    /// `now`.
    ///
    /// Near the current time that slot is 66 µs wide. Further ahead it is wider, and also just
    /// before a wider slot begins.
    #[must_use]
    pub fn due_by(&self, now: u64, limit: usize) -> usize {
        let now = now.max(self.now);
        let mut not_due_left = MAX_NOT_DUE;
        let mut due = 0;
        // Only the slot of `now` can have both timers that are due and timers that are not. So the
        // limit on timers that are not due applies to one slot.
        let slots = self.entries.occupied_slots();
        for slot in slots.take_while(|&slot| self.entries.earliest(slot) <= now) {
            let mut ring = self.entries.walk(slot);
            while let Some((_, deadline)) = ring.step(&self.entries) {
                if due == limit || not_due_left == 0 {
                    return due;
                }
                if deadline <= now {
                    due += 1;
                } else {
                    not_due_left -= 1;
                }
            }
        }
        due
    }

    /// Moves the current time to `now`, in nanoseconds, and appends the values of due timers to
    /// `expired`.
    ///
    /// A timer is due if its deadline is not after `now`. The values are in order of deadline, and
    /// in order of insertion where deadlines are equal. A re-arm counts as an insertion. A `now`
    /// before the current time counts as the current time.
    ///
    /// No timer expires early, not by a nanosecond. Values are only moved: none is dropped or
    /// cloned, so no code of `T` runs.
    ///
    /// The cost does not depend on how much time has passed. Each expired timer costs a constant
    /// amount, plus its share of sorting the due timers of its slot. In its life a timer moves to a
    /// finer slot at most seven times; a timer of a second moves twice. If some timers in the slot
    /// of `now` (66 µs wide) are due, the others in that slot are visited as well.
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

    /// Removes all timers and appends their values to `values`, in the order of expiry.
    ///
    /// The current time does not change. As with [`expire`](Self::expire), no code of `T` runs.
    pub fn clear_into(&mut self, values: &mut Vec<T>) {
        let now = std::mem::replace(&mut self.now, u64::MAX);
        for level in 0..slot::LEVELS {
            self.expire_slots(level, self.entries.occupied(level), values);
        }
        self.now = now;
    }

    fn expire_slots(&mut self, level: usize, bits: u64, expired: &mut Vec<T>) {
        for slot in slot::slots_of(level, bits) {
            // The current time can enter a slot of the finest level before any timer there is due.
            // There is no finer slot to move its timers to.
            if level > 0 || self.entries.earliest(slot) <= self.now {
                self.expire_slot(slot, expired);
            }
        }
    }

    /// Empties a slot that the current time has passed or entered.
    ///
    /// Appends the values of due timers to `expired`, and moves the other timers to their new
    /// slots.
    fn expire_slot(&mut self, slot: usize, expired: &mut Vec<T>) {
        let mut ring = self.entries.take_ring(slot);
        while let Some((index, deadline)) = ring.step(&self.entries) {
            if deadline <= self.now {
                let sequence = self.due.len() as u32;
                self.due.push(Due {
                    deadline,
                    sequence,
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
    fn a_deadline_in_the_past_is_due_at_once_and_expires_first() {
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
    fn a_timer_in_the_slot_of_now_is_not_early_by_a_nanosecond() {
        let mut wheel = TimerWheel::new(TICK);
        wheel.insert(TICK + 100, "first");
        wheel.insert(TICK + 101, "second");
        assert_eq!(wheel.expire_now(TICK + 99), [""; 0]);
        assert_eq!(wheel.expire_now(TICK + 100), ["first"]);
        assert_eq!(wheel.next_deadline(), Some(TICK + 101));
        assert_eq!(wheel.expire_now(TICK + 101), ["second"]);
    }

    #[test]
    fn equal_deadlines_keep_the_order_of_insertion() {
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
    fn a_re_arm_to_the_same_deadline_goes_behind_equal_ones() {
        let mut wheel = TimerWheel::new(0);
        let first = wheel.insert(1_000, "first");
        wheel.insert(1_000, "second");
        assert!(wheel.rearm(first, 1_000));
        wheel.check();
        assert_eq!(wheel.expire_now(1_000), ["second", "first"]);
    }

    #[test]
    fn the_only_timer_of_a_slot_can_be_re_armed_and_cancelled() {
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
    fn next_deadline_returns_a_cancelled_deadline_at_most_once() {
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
    fn one_expire_can_pass_all_of_time() {
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
    fn due_by_stops_at_many_timers_that_are_not_due() {
        let mut wheel = TimerWheel::new(0);
        for _ in 0..MAX_NOT_DUE {
            wheel.insert(1_001, "after");
        }
        wheel.insert(1_000, "before");
        assert_eq!(
            wheel.due_by(1_000, 4),
            0,
            "it stops counting, as documented"
        );
        assert_eq!(wheel.due_by(1_001, 4), 4);
        assert_eq!(wheel.due_by(1_001, 0), 0);
        assert_eq!(wheel.due_by(999, 4), 0);
    }

    #[test]
    fn clear_into_keeps_the_order_and_the_current_time_and_no_key() {
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
    fn the_invariants_hold_after_every_operation() {
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
    fn iter_visits_each_timer_that_is_left() {
        let mut wheel = TimerWheel::new(0);
        let gone = wheel.insert(1, "cancelled");
        wheel.insert(2, "expired");
        wheel.insert(3 * TICK, "soon");
        wheel.insert(u64::MAX, "last");
        wheel.cancel(gone);
        wheel.expire_now(2);
        let mut left: Vec<_> = wheel.iter().collect();
        left.sort_unstable();
        assert_eq!(left, [(3 * TICK, &"soon"), (u64::MAX, &"last")]);
    }

    #[test]
    fn debug_shows_the_number_of_timers_and_the_next_deadline() {
        struct NotDebug;
        let mut wheel = TimerWheel::new(5);
        wheel.insert(8, NotDebug);
        assert_eq!(
            format!("{wheel:?}"),
            "TimerWheel { len: 1, now: 5, next_deadline: Some(8) }"
        );
    }
}
