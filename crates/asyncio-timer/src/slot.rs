//! The slot of a deadline: the arithmetic of the wheel, without its contents.
//!
//! A time is read as a number with eight digits in base 64 and a remainder of 16 bits. The remainder is the width of
//! the finest slots. The level of a deadline is the place of the highest digit in which it differs from the current
//! time. Its slot is that digit:
//!
//! ```text
//! level   width of a slot   width of all 64
//!     0       65.5 µs            4.19 ms
//!     1        4.19 ms         268    ms
//!     2      268    ms          17.2  s
//!     3       17.2  s           18.3  min
//!     4       18.3  min         19.5  h
//!     5       19.5  h           52.1  days
//!     6       52.1  days         9.14 years
//!     7        9.14 years      584    years
//! ```
//!
//! - A used slot on a higher level than 0 begins after the current time.
//! - All slots of a level are earlier than all slots of the next level. So slots in order of level
//!   and digit are in order of time.
//! - Equal deadlines belong to the same slot, whatever the current time is. So they keep their
//!   order of insertion without a sequence number in each entry.
//!
//! The width of the finest slots was measured with 100,000 timers in a second. When some timers of a slot are due,
//! `expire` visits all timers of that slot. So if it is called every 10 µs, a timer costs 37 ns with this width. It
//! costs 74 ns with four times the width, and 230 ns with sixteen times the width. If `expire` is called every
//! millisecond, all three widths cost 16 ns. (With wider slots a timer of a second moves once less before it expires,
//! but that saves nothing.)

/// The number of levels: eight digits of six bits and the remainder make a whole `u64`.
pub(crate) const LEVELS: usize = 8;

/// The number of slots on all levels together.
pub(crate) const SLOTS: usize = LEVELS << DIGIT_BITS;

const DIGIT_BITS: u32 = 6;
const REMAINDER_BITS: u32 = u64::BITS - LEVELS as u32 * DIGIT_BITS;

/// The digit of `time` that chooses its slot on `level`.
pub(crate) fn digit(time: u64, level: usize) -> u32 {
    let digits_from_level = time >> (REMAINDER_BITS + level as u32 * DIGIT_BITS);
    (digits_from_level & 63) as u32
}

/// The level of the highest digit in which two times differ, or 0 if only their remainders differ.
pub(crate) fn level_between(a: u64, b: u64) -> usize {
    let differing = ((a ^ b) >> REMAINDER_BITS) | 1;
    (differing.ilog2() / DIGIT_BITS) as usize
}

/// The slot of a deadline when the current time is `now`.
///
/// A deadline that is already due belongs to the slot of `now`.
pub(crate) fn slot_of(deadline: u64, now: u64) -> usize {
    let due = deadline.max(now);
    let level = level_between(due, now);
    slot_at(level, digit(due, level))
}

/// The slot of `digit` on `level`.
pub(crate) fn slot_at(level: usize, digit: u32) -> usize {
    level << DIGIT_BITS | digit as usize
}

/// The slots of a level whose bits are set, in ascending order.
pub(crate) fn slots_of(level: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(slot_at(level, lowest))
    })
}

/// The level of a slot.
pub(crate) fn level_of(slot: usize) -> usize {
    slot >> DIGIT_BITS
}

/// The bit of a slot among those of its level.
pub(crate) fn bit_of(slot: usize) -> u64 {
    1 << (slot & 63)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1 << REMAINDER_BITS;

    #[test]
    fn a_due_deadline_belongs_to_the_slot_of_now() {
        let now = 5 * TICK + 7;
        for deadline in [0, now - 1, now, now + 1, 6 * TICK - 1] {
            assert_eq!(slot_of(deadline, now), 5);
        }
        assert_eq!(slot_of(6 * TICK, now), 6);
    }

    #[test]
    fn a_level_begins_where_the_one_below_it_ends() {
        for level in 1..LEVELS {
            let begin = TICK << (6 * level);
            assert_eq!(slot_of(begin - 1, 0), slot_at(level - 1, 63));
            assert_eq!(slot_of(begin, 0), slot_at(level, 1));
        }
        assert_eq!(slot_of(u64::MAX, 0), SLOTS - 1);
    }

    #[test]
    fn the_last_deadline_always_has_a_slot() {
        for now in [
            0,
            1,
            TICK,
            u64::MAX / 2,
            u64::MAX - TICK,
            u64::MAX - 1,
            u64::MAX,
        ] {
            assert!(slot_of(u64::MAX, now) < SLOTS);
        }
        assert_eq!(slot_of(u64::MAX, u64::MAX), 63);
    }
}
