//! The table of registered sources: a slot each.
//!
//! A slot's place in the table and its generation make the token that the system hands back with
//! each event. Places are used again, generations are not (until the counter has gone round, some
//! four thousand million registrations later), so an event for an earlier source finds nobody.
//!
//! Slots are small, and lie in blocks that do not move. A block is shared by the table and by those
//! who have a slot in it, so each goes straight to its own: only an event comes through the table.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use mio::{Interest, Token};

use crate::crowd::{self, Crowd};
use crate::error::ReactorClosed;
use crate::readiness::Readiness;
use crate::waiters::Waiters;

/// How many bits of a token are the place; the rest is the generation.
const PLACE_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const PLACE_MASK: usize = (1 << PLACE_BITS) - 1;
const GENERATION_MASK: usize = usize::MAX >> PLACE_BITS;

/// The highest block is left out, so that these two are no source's.
pub(crate) const UNPARK: Token = Token(usize::MAX);
#[cfg(any(test, target_os = "linux", target_os = "android"))]
pub(crate) const FINE_TIMER: Token = Token(usize::MAX - (1 << PLACE_BITS));
const BLOCKS: usize = PLACE_MASK / IN_A_BLOCK;

/// How many slots a block has: a bit each in [`Block::taken`].
const IN_A_BLOCK: usize = 64;

/// What the reactor knows about a source.
///
/// Always true: while `readiness` allows a direction, nobody waits in it but the rest of a
/// [crowd](crate::crowd). An event adds to the one and empties the other, and nobody begins to wait before
/// having looked.
pub(crate) struct Slot {
    pub(crate) waiters: Waiters,
    /// Of the source that is registered, or none that ever was.
    generation: Cell<u32>,
    pub(crate) readiness: Cell<Readiness>,
    /// What the source was registered for.
    pub(crate) covered: Cell<Readiness>,
    /// Whether some may wait though it is ready: the rest of a crowd.
    is_crowded: Cell<bool>,
}

impl Slot {
    fn new() -> Self {
        Slot {
            waiters: Waiters::default(),
            generation: Cell::new(0),
            readiness: Cell::new(Readiness::NEVER),
            covered: Cell::new(Readiness::NEVER),
            is_crowded: Cell::new(false),
        }
    }

    /// Notes what the system told, and moves the first waiters for it to `woken`. True if there are more.
    #[inline]
    fn note(&self, seen: Readiness, woken: &mut Vec<Waker>) -> bool {
        self.readiness.set(self.readiness.get().and(seen));
        self.take(seen, crowd::FIRST, woken)
    }

    #[inline]
    fn take(&self, seen: Readiness, most: usize, woken: &mut Vec<Waker>) -> bool {
        let are_more = self.waiters.take(seen, most, woken);
        self.is_crowded.set(are_more);
        are_more
    }

    /// Whether some may wait though it is ready: the rest of a crowd.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_crowded.get()
    }

    /// Nobody waits any more; those who did are for the caller to drop.
    fn give_up_waiters(&self, waited: &mut Vec<Waker>) {
        self.waiters.take(Readiness::NEW, usize::MAX, waited);
    }
}

/// Some slots in a row, of a reactor whose core is a `C`.
pub(crate) struct Block<C> {
    /// A circle, which is broken when the reactor is closed, if not before.
    core: Rc<C>,
    number: u32,
    /// A bit for each slot that somebody has.
    taken: Cell<u64>,
    slots: [Slot; IN_A_BLOCK],
}

impl<C> Block<C> {
    #[inline]
    pub(crate) fn core(&self) -> &Rc<C> {
        &self.core
    }

    #[inline]
    pub(crate) fn slot(&self, place: u8) -> &Slot {
        &self.slots[usize::from(place) % IN_A_BLOCK]
    }

    pub(crate) fn token(&self, place: u8) -> Token {
        let generation = self.slot(place).generation.get() as usize;
        let place = self.number as usize * IN_A_BLOCK + usize::from(place);
        Token(generation << PLACE_BITS | place)
    }

    fn is_full(&self) -> bool {
        self.taken.get() == u64::MAX
    }

    fn is_empty(&self) -> bool {
        self.taken.get() == 0
    }
}

/// See the head of this file.
pub(crate) struct Slots<C> {
    /// Empty once closed.
    blocks: Vec<Rc<Block<C>>>,
    /// Numbers of the blocks that are not full, the next to be used last. Some may be gone.
    with_room: Vec<u32>,
    next_generation: u32,
    len: usize,
    is_closed: bool,
}

impl<C> Default for Slots<C> {
    fn default() -> Self {
        Slots {
            blocks: Vec::new(),
            with_room: Vec::new(),
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

    /// Takes a slot for a new source: its block, and its place there.
    pub(crate) fn insert(
        &mut self,
        core: &Rc<C>,
        interest: Interest,
    ) -> io::Result<(Rc<Block<C>>, u8)> {
        if self.is_closed {
            return Err(ReactorClosed.into());
        }
        let block = self.block_with_room(core)?;
        let place = block.taken.get().trailing_ones() as u8;
        block.taken.set(block.taken.get() | 1 << place);
        if block.is_full() {
            self.with_room.pop();
        }
        let slot = block.slot(place);
        slot.generation.set(self.new_generation());
        slot.readiness.set(Readiness::NEW);
        slot.covered.set(Readiness::within(interest));
        self.len += 1;
        Ok((block, place))
    }

    /// The block whose number comes last in `with_room`.
    fn block_with_room(&mut self, core: &Rc<C>) -> io::Result<Rc<Block<C>>> {
        while let Some(&number) = self.with_room.last() {
            if let Some(block) = self.blocks.get(number as usize) {
                return Ok(Rc::clone(block));
            }
            self.with_room.pop();
        }
        if self.blocks.len() == BLOCKS {
            return Err(io::Error::other("too many sources in one reactor"));
        }
        let number = self.blocks.len() as u32;
        let block = Rc::new(Block {
            core: Rc::clone(core),
            number,
            taken: Cell::new(0),
            slots: std::array::from_fn(|_| Slot::new()),
        });
        self.blocks.push(Rc::clone(&block));
        self.with_room.push(number);
        Ok(block)
    }

    fn new_generation(&mut self) -> u32 {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1) & GENERATION_MASK as u32;
        generation
    }

    /// Takes a slot back. Who waited is moved to `waited`.
    pub(crate) fn remove(&mut self, block: &Block<C>, place: u8, waited: &mut Vec<Waker>) {
        let slot = block.slot(place);
        slot.give_up_waiters(waited);
        if self.is_closed {
            return;
        }
        // No source ever has this one, so an event that is late finds nobody.
        slot.generation.set(self.new_generation());
        self.len -= 1;
        if block.is_full() {
            self.with_room.push(block.number);
        }
        block.taken.set(block.taken.get() & !(1 << place));
        self.shrink();
    }

    /// Gives memory back after a burst. One empty block is kept, so that it does not come and go.
    fn shrink(&mut self) {
        while let [.., before, last] = &self.blocks[..]
            && before.is_empty()
            && last.is_empty()
        {
            self.blocks.pop();
        }
    }

    /// The slot of a source, unless the source is gone.
    #[inline]
    fn slot(&self, token: Token) -> Option<&Slot> {
        let place = token.0 & PLACE_MASK;
        let block = self.blocks.get(place / IN_A_BLOCK)?;
        let slot = block.slot((place % IN_A_BLOCK) as u8);
        (slot.generation.get() as usize == token.0 >> PLACE_BITS).then_some(slot)
    }

    /// Notes what the system told about a source, and moves the first waiters for it to `woken`. If there are
    /// more, they go to `crowds`. False if the source is gone.
    #[inline]
    pub(crate) fn note(
        &self,
        token: Token,
        seen: Readiness,
        woken: &mut Vec<Waker>,
        crowds: &mut Vec<Crowd>,
    ) -> bool {
        let Some(slot) = self.slot(token) else {
            return false;
        };
        if slot.note(seen, woken) {
            crowds.push(Crowd::new(token));
        }
        true
    }

    /// Moves more waiters of a source to `woken`, if it still counts as ready. Gives what is left of them.
    pub(crate) fn take_more(&self, crowd: Crowd, woken: &mut Vec<Waker>) -> Option<Crowd> {
        let slot = self.slot(crowd.token)?;
        let are_more = slot.take(slot.readiness.get(), crowd.next, woken);
        are_more.then(|| crowd.grown())
    }

    /// Refuses new sources from here on. Gives out everybody who waited.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        self.len = 0;
        self.with_room = Vec::new();
        let mut waited = Vec::new();
        for block in std::mem::take(&mut self.blocks) {
            for slot in &block.slots {
                slot.readiness.set(Readiness::NEVER);
                slot.give_up_waiters(&mut waited);
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
    fn places_are_used_again_and_memory_is_given_back() {
        let reactor = Reactor::new().unwrap();
        let blocks = || reactor.core().slots().borrow().blocks.len();
        let mut sources: Vec<_> = (0..200).map(|_| source(&reactor)).collect();
        assert_eq!((reactor.len(), blocks()), (200, 4));
        // Holes everywhere are filled before there is a block more.
        for at in (0..100).rev() {
            sources.remove(at * 2);
        }
        sources.extend((0..100).map(|_| source(&reactor)));
        assert_eq!((reactor.len(), blocks()), (200, 4));
        // What is last is given back, but for one block.
        sources.truncate(1);
        assert_eq!((reactor.len(), blocks()), (1, 2));
        sources.clear();
        assert_eq!((reactor.len(), blocks()), (0, 1));
        sources.extend((0..200).map(|_| source(&reactor)));
        assert_eq!((reactor.len(), blocks()), (200, 4));
    }

    #[test]
    fn an_event_that_is_late_finds_nobody() {
        let reactor = Reactor::new().unwrap();
        let slots = reactor.core().slots();
        let note = |token| {
            let (woken, crowds) = (&mut Vec::new(), &mut Vec::new());
            slots.borrow().note(token, Readiness::NEW, woken, crowds)
        };
        let take = || {
            slots
                .borrow_mut()
                .insert(reactor.core(), Interest::READABLE)
        };
        let (block, place) = take().unwrap();
        let token = block.token(place);
        assert!(note(token));
        slots.borrow_mut().remove(&block, place, &mut Vec::new());
        assert!(!note(token), "nobody has the slot");
        let (block, again) = take().unwrap();
        assert_eq!(place, again);
        assert!(!note(token), "another has it");
        assert!(note(block.token(place)));
        assert!(!note(UNPARK) && !note(FINE_TIMER));
    }

    #[test]
    fn all_is_freed_whoever_goes_last() {
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
