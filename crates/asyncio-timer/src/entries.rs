//! The entries of a wheel: timers, each in the ring of one slot, and vacant entries.
//!
//! All entries are in one vector and linked by index. A timer costs its deadline, two links, a
//! generation and its value, side by side. The first [`SLOTS`] entries are the heads of the slots.
//! The timers of a slot and the slot's head form a ring. A ring has no ends that need special
//! cases, and unlinking a timer needs neither a search nor its slot.
//!
//! - The timers of a ring are in the order in which they were pushed.
//! - The deadline of a slot's head is not later than any deadline in its ring. It is `u64::MAX` if
//!   the ring is empty.
//! - A slot's bit in `occupied` is set if and only if its ring has a timer.
//! - A vacated index is used again with the next generation. After 2³² − 1 timers its generations
//!   are used up and the index is retired, so a key never becomes valid again. This costs the
//!   memory of one entry for each four thousand million timers.
//! - When few of many timers are left, the vacant entries at the end of the vector are freed. A new
//!   entry there begins with a generation that no freed entry had.
//!
//! This file does not know the time: the wheel computes the slot of a deadline.

use std::num::NonZeroU32;

use crate::key::TimerKey;
use crate::slot::{self, LEVELS, SLOTS};

/// The end of the list of vacant entries. Entry 0 is the head of a slot, so it is never vacant.
const NONE: u32 = 0;

struct Entry<T> {
    deadline: u64,
    previous: u32,
    /// The next entry of the ring, or of the list of vacant entries.
    next: u32,
    content: Content<T>,
}

enum Content<T> {
    Timer {
        generation: NonZeroU32,
        value: T,
    },
    /// No timer. The next timer here gets this generation.
    Vacant {
        generation: NonZeroU32,
    },
    /// Never a timer: the head of a slot, or an index whose generations are used up.
    Closed,
}

/// The number of timers below which memory is freed, for a number of entries.
fn shrink_below(entries: usize) -> usize {
    match entries - SLOTS {
        0..=MIN_ENTRIES => 0,
        many => many / 8,
    }
}

/// The timers of a wheel, by slot and by key.
pub(crate) struct Entries<T> {
    entries: Vec<Entry<T>>,
    occupied: [u64; LEVELS],
    first_vacant: u32,
    len: usize,
    /// Memory is freed when fewer timers than this are left.
    shrink_below: usize,
    /// The generation of a new entry: above the generations of all freed entries.
    first_generation: NonZeroU32,
}

/// The number of entries that are never freed.
const MIN_ENTRIES: usize = 1 << 12;

impl<T> Entries<T> {
    pub(crate) fn new() -> Self {
        let head = |index| Entry {
            deadline: u64::MAX,
            previous: index,
            next: index,
            content: Content::Closed,
        };
        Self {
            entries: (0..SLOTS as u32).map(head).collect(),
            occupied: [0; LEVELS],
            first_vacant: NONE,
            len: 0,
            shrink_below: 0,
            first_generation: NonZeroU32::MIN,
        }
    }

    /// The number of timers.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer at the end of a slot's ring.
    ///
    /// # Panics
    ///
    /// If the index of a new entry does not fit into 32 bits.
    #[inline(always)]
    pub(crate) fn insert(&mut self, slot: usize, deadline: u64, value: T) -> TimerKey {
        let key = match self.first_vacant {
            NONE => self.fill_new(value),
            vacant => self.fill_vacant(vacant, value),
        };
        self.len += 1;
        self.push(slot, key.index, deadline);
        key
    }

    #[inline(always)]
    fn fill_vacant(&mut self, index: u32, value: T) -> TimerKey {
        let entry = &mut self.entries[index as usize];
        let Content::Vacant { generation } = entry.content else {
            unreachable!("the list of vacant entries has an entry that is not vacant");
        };
        entry.content = Content::Timer { generation, value };
        self.first_vacant = entry.next;
        TimerKey { index, generation }
    }

    #[cold]
    #[inline(never)]
    fn fill_new(&mut self, value: T) -> TimerKey {
        let index = u32::try_from(self.entries.len()).expect("a wheel holds at most 2^32 timers");
        let generation = self.first_generation;
        self.entries.push(Entry {
            deadline: 0,
            previous: index,
            next: index,
            content: Content::Timer { generation, value },
        });
        self.shrink_below = shrink_below(self.entries.len());
        TimerKey { index, generation }
    }

    /// Removes a timer and returns its value; `None` if its key is stale.
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

    /// Adds a timer that is in no ring at the end of a slot's ring.
    #[inline(never)]
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
        // The neighbours are equal only if the ring is now empty. Then both are the slot's head.
        if previous == next {
            self.clear(next as usize);
        }
    }

    /// Makes the entry of a timer that is in no ring vacant, and returns the timer's value.
    pub(crate) fn vacate(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let Content::Timer { generation, .. } = entry.content else {
            return None;
        };
        let successor = match generation.checked_add(1) {
            Some(generation) => {
                entry.next = std::mem::replace(&mut self.first_vacant, index);
                Content::Vacant { generation }
            }
            None => Content::Closed,
        };
        self.len -= 1;
        let content = std::mem::replace(&mut entry.content, successor);
        if self.len < self.shrink_below {
            self.shrink();
        }
        match content {
            Content::Timer { value, .. } => Some(value),
            Content::Vacant { .. } | Content::Closed => None,
        }
    }

    /// Frees the vacant entries at the end of the vector.
    ///
    /// Costs one step for each entry, amortized over the timers that have left.
    #[cold]
    fn shrink(&mut self) {
        // An entry of a late generation stays. If it were freed, all new entries would begin with
        // that generation and would soon be used up as well.
        const LATE: u32 = u32::MAX / 2;
        while let Some(Content::Vacant { generation }) =
            self.entries.last().map(|last| &last.content)
            && generation.get() < LATE
        {
            self.first_generation = self.first_generation.max(*generation);
            self.entries.pop();
        }
        self.entries
            .shrink_to((2 * self.entries.len()).max(SLOTS + MIN_ENTRIES));
        // Entries at the front are used first, so that the entries at the end become vacant.
        self.first_vacant = NONE;
        for (index, entry) in self.entries.iter_mut().enumerate().rev() {
            if let Content::Vacant { .. } = entry.content {
                entry.next = std::mem::replace(&mut self.first_vacant, index as u32);
            }
        }
        // A timer near the end may keep the entries before it. Try again when half the timers are
        // left.
        self.shrink_below = shrink_below(self.entries.len()).min(self.len.div_ceil(2));
    }

    /// Empties a slot and returns a walk along its former ring.
    ///
    /// The timers are in no ring until the caller pushes or vacates them. The caller may do that to
    /// a timer as soon as the walk has returned it.
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

    /// The bits of the slots of a level that have timers.
    pub(crate) fn occupied(&self, level: usize) -> u64 {
        self.occupied[level]
    }

    /// The slots that have timers, in order of level and digit.
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

/// A position on a walk along a ring. It borrows the entries only during a step.
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
    /// Panics unless all invariants in the head of this file hold and `slot_of` returns the slot of
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
    fn an_index_is_reused_with_the_next_generation() {
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
    fn an_index_whose_generations_are_used_up_is_retired() {
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
    fn a_key_of_another_wheel_reaches_no_timer() {
        let mut entries: Entries<&str> = Entries::new();
        for index in [0, SLOTS as u32 - 1, SLOTS as u32, u32::MAX] {
            let generation = NonZeroU32::MIN;
            let key = TimerKey { index, generation };
            assert_eq!(entries.get(key), None);
            assert_eq!(entries.remove(key), None);
        }
    }

    #[test]
    fn a_burst_frees_its_memory_and_its_keys_stay_stale() {
        let mut entries = Entries::new();
        for round in 0..3 {
            let keys: Vec<TimerKey> = (0..100_000).map(|_| entries.insert(0, 0, round)).collect();
            keys.iter()
                .for_each(|&key| assert_eq!(entries.remove(key), Some(round)));
            assert!(entries.entries.capacity() <= SLOTS + 4 * MIN_ENTRIES);
            entries.check(|_| 0);
            let late: Vec<TimerKey> = (0..100_000).map(|_| entries.insert(0, 0, round)).collect();
            assert!(keys.iter().all(|&key| entries.get(key).is_none()));
            late.iter()
                .for_each(|&key| assert!(entries.remove(key).is_some()));
        }
    }

    #[test]
    fn memory_is_freed_when_the_timer_at_the_end_leaves() {
        let mut entries = Entries::new();
        let keys: Vec<TimerKey> = (0..100_000).map(|n| entries.insert(0, 0, n)).collect();
        let (last, rest) = keys.split_last().unwrap();
        rest.iter()
            .for_each(|&key| assert!(entries.remove(key).is_some()));
        assert_eq!(entries.get(*last), Some(&99_999));
        entries.check(|_| 0);
        assert_eq!(entries.remove(*last), Some(99_999));
        assert!(entries.entries.capacity() <= SLOTS + 4 * MIN_ENTRIES);
        entries.check(|_| 0);
    }

    #[test]
    fn reused_entries_allocate_nothing() {
        let mut entries = Entries::new();
        let round = |entries: &mut Entries<usize>| {
            let keys: Vec<TimerKey> = (0..MIN_ENTRIES).map(|n| entries.insert(0, 0, n)).collect();
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
