//! All entries of a wheel: the timers, each in the ring of one slot, and room for more.
//!
//! Everything is in one vector and linked by index, so a timer costs its deadline, two links, a
//! generation and its value, side by side. The first [`SLOTS`] entries stand for the slots. A
//! slot's timers form a ring that its own entry closes: a ring has no ends to treat specially, and
//! taking a timer out needs neither a search nor its slot.
//!
//! - A ring is in the order in which its timers were pushed.
//! - The deadline in a slot's own entry is no later than any in its ring, and `u64::MAX` when that
//!   is empty.
//! - A slot's bit in `occupied` is set when there is a timer in its ring.
//! - An index is used again in its next generation. When its generations are used up, after
//!   2³² − 1 timers, it is given up, so that no key ever comes back: this costs the memory of one
//!   entry for every four thousand million timers.
//! - When few timers are left of many, the vacant entries at the end of the vector go. A new entry there
//!   begins with a generation that none of them had.
//!
//! Time is not here: which slot is the right one for a deadline is the wheel's business.

use std::num::NonZeroU32;

use crate::key::TimerKey;
use crate::slot::{self, LEVELS, SLOTS};

/// Ends the list of vacant entries. The first entry is a slot's, so it is never vacant.
const NONE: u32 = 0;

struct Entry<T> {
    deadline: u64,
    previous: u32,
    /// The next one in the ring, or in the list of vacant entries.
    next: u32,
    content: Content<T>,
}

enum Content<T> {
    Timer {
        generation: NonZeroU32,
        value: T,
    },
    /// Waits for a timer, which will be of this generation.
    Vacant {
        generation: NonZeroU32,
    },
    /// Takes no timer: it stands for a slot, or it has lived through all generations.
    Closed,
}

/// With how many timers left of so many entries memory is given back.
fn ebb(entries: usize) -> usize {
    match entries - SLOTS {
        0..=FEW => 0,
        many => many / 8,
    }
}

/// The timers of a wheel, by slot and by key.
pub(crate) struct Entries<T> {
    entries: Vec<Entry<T>>,
    occupied: [u64; LEVELS],
    first_vacant: u32,
    len: usize,
    /// With fewer timers than this, it is time to give memory back.
    ebb: usize,
    /// With what generation a new entry begins: above those of all entries that went.
    first_generation: NonZeroU32,
}

/// So many entries are kept in any case.
const FEW: usize = 1 << 12;

impl<T> Entries<T> {
    pub(crate) fn new() -> Self {
        let slot = |itself| Entry {
            deadline: u64::MAX,
            previous: itself,
            next: itself,
            content: Content::Closed,
        };
        Self {
            entries: (0..SLOTS as u32).map(slot).collect(),
            occupied: [0; LEVELS],
            first_vacant: NONE,
            len: 0,
            ebb: 0,
            first_generation: NonZeroU32::MIN,
        }
    }

    /// How many timers there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer at the end of a slot's ring.
    ///
    /// # Panics
    ///
    /// If 32 bits do not suffice to count the entries.
    pub(crate) fn insert(&mut self, slot: usize, deadline: u64, value: T) -> TimerKey {
        let key = match self.first_vacant {
            NONE => self.fill_new(value),
            vacant => self.fill_vacant(vacant, value),
        };
        self.len += 1;
        self.push(slot, key.index, deadline);
        key
    }

    fn fill_vacant(&mut self, index: u32, value: T) -> TimerKey {
        let entry = &mut self.entries[index as usize];
        let Content::Vacant { generation } = entry.content else {
            unreachable!("the list of vacant entries leads to one that is not");
        };
        entry.content = Content::Timer { generation, value };
        self.first_vacant = entry.next;
        TimerKey { index, generation }
    }

    fn fill_new(&mut self, value: T) -> TimerKey {
        let index = u32::try_from(self.entries.len()).expect("too many timers for one wheel");
        let generation = self.first_generation;
        self.entries.push(Entry {
            deadline: 0,
            previous: index,
            next: index,
            content: Content::Timer { generation, value },
        });
        self.ebb = ebb(self.entries.len());
        TimerKey { index, generation }
    }

    /// Takes a timer out, unless its key is stale.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        self.get(key)?;
        self.unlink(key.index);
        self.vacate(key.index)
    }

    /// Moves a timer to the end of a slot's ring.
    pub(crate) fn relink(&mut self, index: u32, slot: usize, deadline: u64) {
        self.unlink(index);
        self.push(slot, index, deadline);
    }

    /// Puts a timer that is in no ring at the end of a slot's.
    pub(crate) fn push(&mut self, slot: usize, index: u32, deadline: u64) {
        let head = &mut self.entries[slot];
        head.deadline = head.deadline.min(deadline);
        let last = std::mem::replace(&mut head.previous, index);
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        entry.deadline = deadline;
        entry.previous = last;
        entry.next = slot as u32;
        self.occupied[slot::level_of(slot)] |= slot::bit_of(slot);
    }

    fn unlink(&mut self, index: u32) {
        let Entry { previous, next, .. } = self.entries[index as usize];
        self.entries[previous as usize].next = next;
        self.entries[next as usize].previous = previous;
        // Both sides are the same only in a ring that is left empty, where they are the slot.
        if previous == next {
            self.clear(next as usize);
        }
    }

    /// Gives the value back of a timer that is in no ring, and makes room for another.
    pub(crate) fn vacate(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let Content::Timer { generation, .. } = entry.content else {
            return None;
        };
        let left_behind = match generation.checked_add(1) {
            Some(generation) => {
                entry.next = std::mem::replace(&mut self.first_vacant, index);
                Content::Vacant { generation }
            }
            None => Content::Closed,
        };
        self.len -= 1;
        let before = std::mem::replace(&mut entry.content, left_behind);
        if self.len < self.ebb {
            self.come_down();
        }
        match before {
            Content::Timer { value, .. } => Some(value),
            Content::Vacant { .. } | Content::Closed => None,
        }
    }

    /// Gives the vacant entries at the end back. Costs a step for each entry, after as many timers have gone.
    #[cold]
    fn come_down(&mut self) {
        // An entry that is used up soon stays: new ones would begin with its generation, and be used up too.
        const LATE: u32 = u32::MAX / 2;
        while let Some(Content::Vacant { generation }) =
            self.entries.last().map(|last| &last.content)
            && generation.get() < LATE
        {
            self.first_generation = self.first_generation.max(*generation);
            self.entries.pop();
        }
        self.entries
            .shrink_to((2 * self.entries.len()).max(SLOTS + FEW));
        // Those at the front are used first, so that the end becomes vacant.
        self.first_vacant = NONE;
        for (index, entry) in self.entries.iter_mut().enumerate().rev() {
            if let Content::Vacant { .. } = entry.content {
                entry.next = std::mem::replace(&mut self.first_vacant, index as u32);
            }
        }
        // A timer near the end may keep the rest: then it is tried again with half as many.
        self.ebb = ebb(self.entries.len()).min(self.len.div_ceil(2));
    }

    /// Empties a slot. What was in its ring is in none until it is pushed or vacated, which may be
    /// done to each timer as soon as the walk has given it.
    pub(crate) fn take_ring(&mut self, slot: usize) -> Walk {
        let walk = self.walk(slot);
        self.clear(slot);
        walk
    }

    fn clear(&mut self, slot: usize) {
        let head = &mut self.entries[slot];
        head.deadline = u64::MAX;
        head.previous = slot as u32;
        head.next = slot as u32;
        self.occupied[slot::level_of(slot)] &= !slot::bit_of(slot);
    }

    /// The timers in a slot, in the order of its ring.
    pub(crate) fn walk(&self, slot: usize) -> Walk {
        Walk {
            next: self.entries[slot].next,
            end: slot as u32,
        }
    }

    /// A lower bound of the deadlines in a slot.
    pub(crate) fn earliest(&self, slot: usize) -> u64 {
        self.entries[slot].deadline
    }

    /// The slots of a level that have timers, as bits.
    pub(crate) fn occupied(&self, level: usize) -> u64 {
        self.occupied[level]
    }

    /// All slots that have timers, in order of level and digit.
    pub(crate) fn occupied_slots(&self) -> impl Iterator<Item = usize> {
        let levels = self.occupied.into_iter().enumerate();
        levels.flat_map(|(level, bits)| slot::slots_of(level, bits))
    }

    /// All timers, with their deadlines.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.content {
                Content::Timer { value, .. } => Some((entry.deadline, value)),
                _ => None,
            })
    }

    pub(crate) fn deadline(&self, key: TimerKey) -> Option<u64> {
        self.get(key)?;
        Some(self.entries[key.index as usize].deadline)
    }

    pub(crate) fn get(&self, key: TimerKey) -> Option<&T> {
        match &self.entries.get(key.index as usize)?.content {
            Content::Timer { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        match &mut self.entries.get_mut(key.index as usize)?.content {
            Content::Timer { generation, value } if *generation == key.generation => Some(value),
            _ => None,
        }
    }
}

/// A walk along a ring, to which the entries are lent for each step.
pub(crate) struct Walk {
    next: u32,
    end: u32,
}

impl Walk {
    /// The index and the deadline of the next timer.
    pub(crate) fn step<T>(&mut self, entries: &Entries<T>) -> Option<(u32, u64)> {
        if self.next == self.end {
            return None;
        }
        let index = self.next;
        let entry = &entries.entries[index as usize];
        self.next = entry.next;
        Some((index, entry.deadline))
    }
}

#[cfg(test)]
impl<T> Entries<T> {
    /// Panics unless all that the head of this file says is true, and `slot_of` names the slot of
    /// every timer.
    pub(crate) fn check(&self, slot_of: impl Fn(u64) -> usize) {
        let mut linked = 0;
        for slot in 0..SLOTS {
            let head = &self.entries[slot];
            let is_occupied = self.occupied(slot::level_of(slot)) & slot::bit_of(slot) != 0;
            assert_eq!(is_occupied, head.next != slot as u32);
            assert!(is_occupied || head.deadline == u64::MAX);

            let mut last = slot as u32;
            let mut walk = self.walk(slot);
            while let Some((index, deadline)) = walk.step(self) {
                let entry = &self.entries[index as usize];
                assert!(matches!(entry.content, Content::Timer { .. }));
                assert_eq!(entry.previous, last);
                assert_eq!(slot_of(deadline), slot);
                assert!(head.deadline <= deadline);
                last = index;
                linked += 1;
            }
            assert_eq!(head.previous, last);
        }
        assert_eq!(linked, self.len);

        let mut vacant = 0;
        let mut at = self.first_vacant;
        while at != NONE {
            let entry = &self.entries[at as usize];
            assert!(matches!(entry.content, Content::Vacant { .. }));
            vacant += 1;
            at = entry.next;
        }
        let open = self
            .entries
            .iter()
            .filter(|entry| !matches!(entry.content, Content::Closed));
        assert_eq!(open.count(), linked + vacant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_in_its_next_generation() {
        let mut entries = Entries::new();
        let first = entries.insert(0, 0, "first");
        assert_eq!(entries.remove(first), Some("first"));
        let second = entries.insert(0, 0, "second");

        assert_eq!(second.index, first.index);
        assert_eq!(entries.get(first), None);
        assert_eq!(entries.get_mut(first), None);
        assert_eq!(entries.deadline(first), None);
        assert_eq!(entries.remove(first), None);
        assert_eq!(entries.get(second), Some(&"second"));
    }

    #[test]
    fn an_index_whose_generations_are_used_up_is_given_up() {
        let mut entries = Entries::new();
        let index = entries.insert(0, 0, "first of all").index;
        let generation = NonZeroU32::MAX;
        let value = "last of all";
        entries.entries[index as usize].content = Content::Timer { generation, value };
        let last = TimerKey { index, generation };
        assert_eq!(entries.remove(last), Some("last of all"));

        let next = entries.insert(0, 0, "elsewhere");
        assert_ne!(next.index, index);
        assert_eq!(entries.remove(last), None);
        assert_eq!(entries.len(), 1);
        entries.check(|_| 0);
    }

    #[test]
    fn the_key_of_another_wheel_finds_no_slot_and_nothing_beyond_the_end() {
        let mut entries: Entries<&str> = Entries::new();
        for index in [0, SLOTS as u32 - 1, SLOTS as u32, u32::MAX] {
            let generation = NonZeroU32::MIN;
            let key = TimerKey { index, generation };
            assert_eq!(entries.get(key), None);
            assert_eq!(entries.remove(key), None);
        }
    }

    #[test]
    fn a_burst_gives_its_memory_back_and_no_key_comes_back() {
        let mut entries = Entries::new();
        for round in 0..3 {
            let keys: Vec<TimerKey> = (0..100_000).map(|_| entries.insert(0, 0, round)).collect();
            keys.iter()
                .for_each(|&key| assert_eq!(entries.remove(key), Some(round)));
            assert!(entries.entries.capacity() <= SLOTS + 4 * FEW);
            entries.check(|_| 0);
            let late: Vec<TimerKey> = (0..100_000).map(|_| entries.insert(0, 0, round)).collect();
            assert!(keys.iter().all(|&key| entries.get(key).is_none()));
            late.iter()
                .for_each(|&key| assert!(entries.remove(key).is_some()));
        }
    }

    #[test]
    fn a_timer_that_stays_at_the_end_keeps_the_rest_no_longer_than_itself() {
        let mut entries = Entries::new();
        let keys: Vec<TimerKey> = (0..100_000).map(|n| entries.insert(0, 0, n)).collect();
        let (last, rest) = keys.split_last().unwrap();
        rest.iter()
            .for_each(|&key| assert!(entries.remove(key).is_some()));
        assert_eq!(entries.get(*last), Some(&99_999));
        entries.check(|_| 0);
        assert_eq!(entries.remove(*last), Some(99_999));
        assert!(entries.entries.capacity() <= SLOTS + 4 * FEW);
        entries.check(|_| 0);
    }

    #[test]
    fn what_comes_and_goes_allocates_nothing() {
        let mut entries = Entries::new();
        let round = |entries: &mut Entries<usize>| {
            let keys: Vec<TimerKey> = (0..FEW).map(|n| entries.insert(0, 0, n)).collect();
            keys.iter()
                .for_each(|&key| assert!(entries.remove(key).is_some()));
            (entries.entries.as_ptr(), entries.entries.capacity())
        };
        let warm = round(&mut entries);
        assert_eq!(round(&mut entries), warm);
    }

    #[test]
    fn a_timer_with_a_value_of_sixteen_bytes_takes_forty() {
        assert_eq!(size_of::<Entry<[u64; 2]>>(), 40);
        assert_eq!(size_of::<Entry<std::task::Waker>>(), 40);
    }
}
