//! A slab: entries at numbered places, in blocks whose memory comes and goes.
//!
//! An entry never moves, so a number is good as long as its entry is there. A block that has no entry left gives its
//! memory back, except for the first [`SPARE`] blocks, which serve the next entries without an allocation. So a burst
//! leaves little behind, whichever of its entries live on.
//!
//! - A block is in the list of blocks with room unless it is full or has no memory.
//! - A block without memory has no entries, and is in the list of bare blocks.
//! - A vacant place holds what the caller left there.

use std::ops::{Index, IndexMut};

/// How many entries a block has: a bit each in [`Block::taken`].
const IN_A_BLOCK: usize = 64;

/// How many empty blocks keep their memory.
const SPARE: usize = 32;

/// Ends a list of blocks.
const NONE: u32 = u32::MAX;

#[cfg(test)]
thread_local! {
    /// How many looks at places there were on this thread: what a request costs, in a unit that no other thread
    /// disturbs.
    pub(crate) static LOOKS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Entries at numbered places.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    blocks: Vec<Block<T>>,
    first_with_room: u32,
    first_bare: u32,
    /// How many blocks have memory and no entries.
    empty: usize,
}

#[derive(Debug)]
struct Block<T> {
    /// A bit for each entry.
    taken: u64,
    /// `None`: a bare block.
    places: Option<Box<[T; IN_A_BLOCK]>>,
    /// Neighbours in the list of blocks with room; `next` also in that of bare ones.
    previous: u32,
    next: u32,
}

impl<T: Default> Slab<T> {
    /// Takes a vacant place into use, and gives its number. It holds `T::default()`, or what was left there.
    ///
    /// # Panics
    ///
    /// If there are 2³² of them.
    #[inline]
    pub(crate) fn insert(&mut self) -> usize {
        let number = match self.first_with_room {
            NONE => self.furnish(),
            number => number,
        };
        let block = &mut self.blocks[number as usize];
        let place = block.taken.trailing_ones() as usize;
        self.empty -= usize::from(block.taken == 0);
        block.taken |= 1 << place;
        if block.taken == u64::MAX {
            self.unlink(number);
        }
        number as usize * IN_A_BLOCK + place
    }

    /// Gives a place back that is in use. The caller has emptied it.
    #[inline]
    pub(crate) fn remove(&mut self, index: usize) {
        let number = (index / IN_A_BLOCK) as u32;
        let block = &mut self.blocks[number as usize];
        let bit = 1 << (index % IN_A_BLOCK);
        debug_assert!(block.taken & bit != 0, "a place is given back once");
        let was_full = block.taken == u64::MAX;
        block.taken &= !bit;
        let is_empty = block.taken == 0;
        if was_full {
            self.link(number);
        }
        if is_empty {
            self.empty += 1;
            if self.empty > SPARE {
                self.strip(number);
            }
        }
    }

    /// A block with memory and room, first in its list.
    #[cold]
    fn furnish(&mut self) -> u32 {
        let number = match self.first_bare {
            NONE => {
                let number = self.blocks.len() as u32;
                assert!(
                    self.blocks.len() < u32::MAX as usize / IN_A_BLOCK,
                    "fewer than 2^32 entries at a time"
                );
                self.blocks.push(Block {
                    taken: 0,
                    places: None,
                    previous: NONE,
                    next: NONE,
                });
                number
            }
            number => {
                self.first_bare = self.blocks[number as usize].next;
                number
            }
        };
        let places: Box<[T]> = (0..IN_A_BLOCK).map(|_| T::default()).collect();
        self.blocks[number as usize].places = places.try_into().ok();
        self.empty += 1;
        self.link(number);
        number
    }

    /// Gives the memory of an empty block back.
    #[cold]
    fn strip(&mut self, number: u32) {
        self.unlink(number);
        let block = &mut self.blocks[number as usize];
        block.places = None;
        block.next = self.first_bare;
        self.first_bare = number;
        self.empty -= 1;
    }
}

impl<T> Slab<T> {
    /// How many entries there are. Counted: it is asked for by people only.
    pub(crate) fn len(&self) -> usize {
        let taken = self.blocks.iter().map(|block| block.taken.count_ones());
        taken.sum::<u32>() as usize
    }

    /// The entry at a place, in use or vacant, if there is memory for it.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        #[cfg(test)]
        LOOKS.set(LOOKS.get() + 1);
        let block = self.blocks.get(index / IN_A_BLOCK)?;
        Some(&block.places.as_ref()?[index % IN_A_BLOCK])
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        #[cfg(test)]
        LOOKS.set(LOOKS.get() + 1);
        let block = self.blocks.get_mut(index / IN_A_BLOCK)?;
        Some(&mut block.places.as_mut()?[index % IN_A_BLOCK])
    }

    fn link(&mut self, number: u32) {
        let next = std::mem::replace(&mut self.first_with_room, number);
        let block = &mut self.blocks[number as usize];
        (block.previous, block.next) = (NONE, next);
        if let Some(next) = self.blocks.get_mut(next as usize) {
            next.previous = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let Block { previous, next, .. } = self.blocks[number as usize];
        match self.blocks.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.first_with_room = next,
        }
        if let Some(next) = self.blocks.get_mut(next as usize) {
            next.previous = previous;
        }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            first_with_room: NONE,
            first_bare: NONE,
            empty: 0,
        }
    }
}

impl<T> Index<usize> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        self.get(index).expect(IN_USE)
    }
}

impl<T> IndexMut<usize> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.get_mut(index).expect(IN_USE)
    }
}

const IN_USE: &str = "a place in use has memory";

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    impl<T> Slab<T> {
        fn furnished(&self) -> usize {
            let blocks = self.blocks.iter();
            blocks.filter(|block| block.places.is_some()).count()
        }
    }

    #[test]
    fn numbers_mean_the_same_entry_through_bursts_of_all_sizes() {
        let mut slab = Slab::<u64>::default();
        let mut model = BTreeMap::new();
        let mut random = 1_u64;
        let mut next = move |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for round in 0..200_u64 {
            for n in 0..next(2_000) {
                let place = slab.insert();
                assert!(
                    model.insert(place, round << 32 | n).is_none(),
                    "it is in use"
                );
                slab[place] = round << 32 | n;
            }
            let keep = next(4);
            let some: Vec<usize> = model.keys().copied().filter(|_| next(4) >= keep).collect();
            for place in some {
                let content = std::mem::take(&mut slab[place]);
                assert_eq!(model.remove(&place), Some(content));
                slab.remove(place);
            }
            assert_eq!(slab.len(), model.len());
            assert!(
                model
                    .iter()
                    .all(|(&place, content)| slab[place] == *content)
            );
        }
    }

    #[test]
    fn a_burst_gives_its_memory_back_though_its_last_entries_stay() {
        let mut slab = Slab::<u64>::default();
        let burst: Vec<usize> = (0..300_000).map(|_| slab.insert()).collect();
        let (leave, stay) = burst.split_at(299_990);
        leave.iter().for_each(|&place| slab.remove(place));
        assert!(slab.furnished() <= SPARE + 2, "{}", slab.furnished());
        assert!(stay.iter().all(|&place| slab.get(place).is_some()));
        // Bare blocks come into use again.
        let blocks = slab.blocks.len();
        let again: Vec<usize> = (0..299_990).map(|_| slab.insert()).collect();
        assert_eq!(slab.blocks.len(), blocks);
        again
            .iter()
            .chain(stay)
            .for_each(|&place| slab.remove(place));
        assert_eq!((slab.len(), slab.furnished()), (0, SPARE));
    }

    #[test]
    fn what_comes_and_goes_allocates_nothing() {
        let mut slab = Slab::<u64>::default();
        let places: Vec<usize> = (0..SPARE * IN_A_BLOCK).map(|_| slab.insert()).collect();
        places.iter().for_each(|&place| slab.remove(place));
        assert_eq!(slab.furnished(), SPARE);
        let again: Vec<usize> = places.iter().map(|_| slab.insert()).collect();
        assert_eq!((slab.furnished(), slab.blocks.len()), (SPARE, SPARE));
        drop(again);
    }

    #[test]
    fn a_number_that_was_never_given_or_whose_memory_went_finds_nothing() {
        let mut slab = Slab::<u64>::default();
        assert_eq!(slab.get(0), None);
        let places: Vec<usize> = (0..(SPARE + 1) * IN_A_BLOCK)
            .map(|_| slab.insert())
            .collect();
        places.iter().for_each(|&place| slab.remove(place));
        assert_eq!(slab.get(places.len() - 1), None);
        assert_eq!(slab.get(u32::MAX as usize), None);
    }
}
