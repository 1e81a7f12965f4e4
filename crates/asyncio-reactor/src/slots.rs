//! The table of registered sources: one slot per source.
//!
//! The index of a slot and its generation form the token, which the system returns with each event.
//! Indexes are reused. A generation is reused only when the counter wraps, after about 2³²
//! registrations. So a late event of an earlier source matches no slot.
//!
//! Slots are small and lie in blocks that do not move. The table and the users of its slots share a
//! block. So a source reaches its slot directly, and only an event goes through the table.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use mio::{Interest, Token};

use crate::crowd::{self, Crowd};
use crate::error::ReactorClosed;
use crate::readiness::Readiness;
use crate::waiters::Waiters;

/// How many bits of a token are the index; the rest is the generation.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: usize = usize::MAX >> INDEX_BITS;

/// The highest block is never used, so these two tokens name no source.
pub(crate) const UNPARK: Token = Token(usize::MAX);
#[cfg(any(test, target_os = "linux", target_os = "android"))]
pub(crate) const FINE_TIMER: Token = Token(usize::MAX - (1 << INDEX_BITS));
const MAX_BLOCKS: usize = INDEX_MASK / SLOTS_PER_BLOCK;

/// The number of slots of a block: one bit each in [`SlotBlock::occupied`].
const SLOTS_PER_BLOCK: usize = 64;

/// The reactor's state of one source.
///
/// Invariant: while `readiness` allows a direction, only the rest of a [crowd] waits
/// in that direction. An event sets `readiness` and removes the waiters, and a task checks
/// `readiness` before it waits.
pub(crate) struct Slot {
    pub(crate) waiters: Waiters,
    /// The generation of the registered source. A free slot has a generation that no source has.
    generation: Cell<u32>,
    pub(crate) readiness: Cell<Readiness>,
    /// The directions that the source was registered for.
    pub(crate) interest: Cell<Readiness>,
    /// Whether waiters may remain although the source is ready: the rest of a crowd.
    is_crowded: Cell<bool>,
}

impl Slot {
    fn new() -> Self {
        Slot {
            waiters: Waiters::default(),
            generation: Cell::new(0),
            readiness: Cell::new(Readiness::NEVER),
            interest: Cell::new(Readiness::NEVER),
            is_crowded: Cell::new(false),
        }
    }

    /// Records an event's readiness, and moves the first waiters for it to `to_wake`. True if more
    /// wait.
    #[inline]
    fn record(&self, seen: Readiness, to_wake: &mut Vec<Waker>) -> bool {
        self.readiness.set(self.readiness.get().and(seen));
        self.take(seen, crowd::FIRST, to_wake)
    }

    #[inline]
    fn take(&self, seen: Readiness, most: usize, to_wake: &mut Vec<Waker>) -> bool {
        let more_wait = self.waiters.take(seen, most, to_wake);
        self.is_crowded.set(more_wait);
        more_wait
    }

    /// Whether waiters may remain although the source is ready: the rest of a crowd.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded.get()
    }

    /// Removes all waiters. The caller drops their wakers.
    fn take_waiters(&self, waited: &mut Vec<Waker>) {
        self.waiters.take(Readiness::NEW, usize::MAX, waited);
    }
}

/// A fixed number of adjacent slots, of a reactor whose core is a `C`.
pub(crate) struct SlotBlock<C> {
    /// A reference cycle. It ends when the reactor is closed, or earlier when the block is freed.
    core: Rc<C>,
    number: u32,
    /// One bit per slot, set while a source has the slot.
    occupied: Cell<u64>,
    slots: [Slot; SLOTS_PER_BLOCK],
}

impl<C> SlotBlock<C> {
    #[inline]
    pub(crate) fn core(&self) -> &Rc<C> {
        &self.core
    }

    #[inline]
    pub(crate) fn slot(&self, index: u8) -> &Slot {
        &self.slots[usize::from(index) % SLOTS_PER_BLOCK]
    }

    pub(crate) fn token(&self, index: u8) -> Token {
        let generation = self.slot(index).generation.get() as usize;
        let index = self.number as usize * SLOTS_PER_BLOCK + usize::from(index);
        Token(generation << INDEX_BITS | index)
    }

    fn is_full(&self) -> bool {
        self.occupied.get() == u64::MAX
    }

    fn is_empty(&self) -> bool {
        self.occupied.get() == 0
    }
}

/// The table of slots.
pub(crate) struct Slots<C> {
    /// Empty once closed.
    blocks: Vec<Rc<SlotBlock<C>>>,
    /// Numbers of the blocks with a free slot, the next one to use last. May contain numbers of
    /// freed blocks.
    with_free_slots: Vec<u32>,
    next_generation: u32,
    len: usize,
    is_closed: bool,
}

impl<C> Default for Slots<C> {
    fn default() -> Self {
        Slots {
            blocks: Vec::new(),
            with_free_slots: Vec::new(),
            next_generation: 0,
            len: 0,
            is_closed: false,
        }
    }
}

impl<C> Slots<C> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a slot for a new source. Returns its block, and its index in the block.
    pub(crate) fn insert(
        &mut self,
        core: &Rc<C>,
        interest: Interest,
    ) -> io::Result<(Rc<SlotBlock<C>>, u8)> {
        if self.is_closed {
            return Err(ReactorClosed.into());
        }
        let block = self.block_with_free_slot(core)?;
        let index = block.occupied.get().trailing_ones() as u8;
        block.occupied.set(block.occupied.get() | 1 << index);
        if block.is_full() {
            self.with_free_slots.pop();
        }
        let slot = block.slot(index);
        slot.generation.set(self.new_generation());
        slot.readiness.set(Readiness::NEW);
        slot.interest.set(Readiness::within(interest));
        self.len += 1;
        Ok((block, index))
    }

    /// Returns the block whose number is last in `with_free_slots`.
    fn block_with_free_slot(&mut self, core: &Rc<C>) -> io::Result<Rc<SlotBlock<C>>> {
        while let Some(&number) = self.with_free_slots.last() {
            if let Some(block) = self.blocks.get(number as usize) {
                return Ok(Rc::clone(block));
            }
            self.with_free_slots.pop();
        }
        if self.blocks.len() == MAX_BLOCKS {
            return Err(io::Error::other("too many sources in one reactor"));
        }
        let number = self.blocks.len() as u32;
        let block = Rc::new(SlotBlock {
            core: Rc::clone(core),
            number,
            occupied: Cell::new(0),
            slots: std::array::from_fn(|_| Slot::new()),
        });
        self.blocks.push(Rc::clone(&block));
        self.with_free_slots.push(number);
        Ok(block)
    }

    fn new_generation(&mut self) -> u32 {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1) & GENERATION_MASK as u32;
        generation
    }

    /// Frees a slot. The wakers of its waiters are moved to `waited`.
    pub(crate) fn remove(&mut self, block: &SlotBlock<C>, index: u8, waited: &mut Vec<Waker>) {
        let slot = block.slot(index);
        slot.take_waiters(waited);
        if self.is_closed {
            return;
        }
        // No source ever has this generation, so a late event matches no slot.
        slot.generation.set(self.new_generation());
        self.len -= 1;
        if block.is_full() {
            self.with_free_slots.push(block.number);
        }
        block.occupied.set(block.occupied.get() & !(1 << index));
        self.shrink();
    }

    /// Frees empty blocks after a burst. One empty block is kept, so that a block is not freed and
    /// allocated again and again.
    fn shrink(&mut self) {
        while let [.., before, last] = &self.blocks[..]
            && before.is_empty()
            && last.is_empty()
        {
            self.blocks.pop();
        }
    }

    /// The slot of a source, or `None` if the source is gone.
    #[inline]
    fn slot(&self, token: Token) -> Option<&Slot> {
        let index = token.0 & INDEX_MASK;
        let block = self.blocks.get(index / SLOTS_PER_BLOCK)?;
        let slot = block.slot((index % SLOTS_PER_BLOCK) as u8);
        (slot.generation.get() as usize == token.0 >> INDEX_BITS).then_some(slot)
    }

    /// Records an event of a source, and moves the first waiters for it to `to_wake`. If more wait,
    /// the source is added to `crowds`. False if the source is gone.
    #[inline]
    pub(crate) fn record(
        &self,
        token: Token,
        seen: Readiness,
        to_wake: &mut Vec<Waker>,
        crowds: &mut Vec<Crowd>,
    ) -> bool {
        let Some(slot) = self.slot(token) else {
            return false;
        };
        if slot.record(seen, to_wake) {
            crowds.push(Crowd::new(token));
        }
        true
    }

    /// Moves more waiters of a source to `to_wake`, if it still counts as ready. Returns the rest
    /// of the crowd.
    pub(crate) fn take_more(&self, crowd: Crowd, to_wake: &mut Vec<Waker>) -> Option<Crowd> {
        let slot = self.slot(crowd.token)?;
        let more_wait = slot.take(slot.readiness.get(), crowd.next, to_wake);
        more_wait.then(|| crowd.grown())
    }

    /// Refuses new sources from now on. Returns the wakers of all waiters.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        self.len = 0;
        self.with_free_slots = Vec::new();
        let mut waited = Vec::new();
        for block in std::mem::take(&mut self.blocks) {
            for slot in &block.slots {
                slot.readiness.set(Readiness::NEVER);
                slot.take_waiters(&mut waited);
            }
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{Reactor, Registered};

    fn source(reactor: &Reactor) -> Registered<mio::net::UdpSocket> {
        let socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        reactor.register(socket, Interest::READABLE).unwrap()
    }

    #[test]
    fn a_slot_is_small() {
        // Each idle connection has one.
        assert!(size_of::<Slot>() <= 32, "{}", size_of::<Slot>());
    }

    #[test]
    fn indexes_are_reused_and_empty_blocks_freed() {
        let reactor = Reactor::new().unwrap();
        let blocks = || reactor.core().slots().borrow().blocks.len();
        let mut sources: Vec<_> = (0..200).map(|_| source(&reactor)).collect();
        assert_eq!((reactor.len(), blocks()), (200, 4));
        // Free slots are filled before a block is added.
        for at in (0..100).rev() {
            sources.remove(at * 2);
        }
        sources.extend((0..100).map(|_| source(&reactor)));
        assert_eq!((reactor.len(), blocks()), (200, 4));
        // Empty blocks at the end are freed, except one.
        sources.truncate(1);
        assert_eq!((reactor.len(), blocks()), (1, 2));
        sources.clear();
        assert_eq!((reactor.len(), blocks()), (0, 1));
        sources.extend((0..200).map(|_| source(&reactor)));
        assert_eq!((reactor.len(), blocks()), (200, 4));
    }

    #[test]
    fn a_late_event_matches_no_slot() {
        let reactor = Reactor::new().unwrap();
        let slots = reactor.core().slots();
        let record = |token| {
            let (to_wake, crowds) = (&mut Vec::new(), &mut Vec::new());
            slots
                .borrow()
                .record(token, Readiness::NEW, to_wake, crowds)
        };
        let take = || {
            slots
                .borrow_mut()
                .insert(reactor.core(), Interest::READABLE)
        };
        let (block, index) = take().unwrap();
        let token = block.token(index);
        assert!(record(token));
        slots.borrow_mut().remove(&block, index, &mut Vec::new());
        assert!(!record(token), "the slot is free");
        let (block, again) = take().unwrap();
        assert_eq!(index, again);
        assert!(!record(token), "another source has the slot");
        assert!(record(block.token(index)));
        let mut former = vec![token, block.token(index)];
        for _ in 0..5 {
            slots.borrow_mut().remove(&block, index, &mut Vec::new());
            take().unwrap();
            assert!(!former.iter().any(|token| record(*token)), "{former:?}");
            former.push(block.token(index));
        }
        assert!(!record(UNPARK) && !record(FINE_TIMER));
    }

    #[test]
    fn everything_is_freed_in_either_order_of_drops() {
        for reactor_first in [true, false] {
            let reactor = Reactor::new().unwrap();
            let core = Rc::downgrade(reactor.core());
            let source = source(&reactor);
            if reactor_first {
                drop(reactor);
                drop(source);
            } else {
                drop(source);
                drop(reactor);
            }
            assert!(core.upgrade().is_none());
        }
    }
}
