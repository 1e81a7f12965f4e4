//! The table of registered sources: a slot each.
//!
//! A slot's place in the table and its generation make the token that the system hands back with
//! each event. Places are used again, generations are not (until the counter has gone round, some
//! four thousand million registrations later), so an event for an earlier source finds nobody.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use mio::{Interest, Token};
use slab::Slab;

use crate::error::ReactorClosed;
use crate::readiness::{Direction, Readiness};
use crate::waiters::Waiters;

/// How many bits of a token are the place; the rest is the generation.
const PLACE_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const PLACE_MASK: usize = (1 << PLACE_BITS) - 1;
const GENERATION_MASK: usize = usize::MAX >> PLACE_BITS;

/// The highest place is left out, so that these two are no source's.
pub(crate) const UNPARK: Token = Token(usize::MAX);
pub(crate) const FINE_TIMER: Token = Token(usize::MAX - (1 << PLACE_BITS));
const PLACES: usize = PLACE_MASK;

#[derive(Debug)]
pub(crate) struct Slot {
    token: Token,
    pub(crate) interest: Interest,
    pub(crate) readiness: Readiness,
    reader: Waiters,
    writer: Waiters,
}

impl Slot {
    pub(crate) fn waiters(&mut self, direction: Direction) -> &mut Waiters {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Slots {
    /// Empty once closed.
    slots: Slab<Slot>,
    next_generation: usize,
    is_closed: bool,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots {
            slots: Slab::new(),
            next_generation: 0,
            is_closed: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes a slot for a new source.
    pub(crate) fn insert(&mut self, interest: Interest) -> io::Result<Token> {
        if self.is_closed {
            return Err(ReactorClosed.into());
        }
        let entry = self.slots.vacant_entry();
        if entry.key() >= PLACES {
            return Err(io::Error::other("too many sources in one reactor"));
        }
        let token = Token(self.next_generation << PLACE_BITS | entry.key());
        self.next_generation = (self.next_generation + 1) & GENERATION_MASK;
        entry.insert(Slot {
            token,
            interest,
            readiness: Readiness::NEW,
            reader: Waiters::default(),
            writer: Waiters::default(),
        });
        Ok(token)
    }

    /// The slot of a source that is registered.
    pub(crate) fn get(&mut self, token: Token) -> Result<&mut Slot, ReactorClosed> {
        // The token is a living registration's, so the slot is there and its own until closing.
        self.slots
            .get_mut(token.0 & PLACE_MASK)
            .ok_or(ReactorClosed)
    }

    /// Gives the slot back; whoever waited in it comes out.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Slot> {
        let place = token.0 & PLACE_MASK;
        self.slots.get(place).filter(|slot| slot.token == token)?;
        self.slots.try_remove(place)
    }

    /// Notes what the system told about a source, and moves who waited for it to `woken`. False if
    /// the source is gone.
    pub(crate) fn note(
        &mut self,
        token: Token,
        seen: Readiness,
        woken: &mut VecDeque<Waker>,
    ) -> bool {
        let Some(slot) = self.slots.get_mut(token.0 & PLACE_MASK) else {
            return false;
        };
        if slot.token != token {
            return false;
        }
        slot.readiness.add(seen);
        if seen.allows(Direction::Read) {
            slot.reader.take_all(woken);
        }
        if seen.allows(Direction::Write) {
            slot.writer.take_all(woken);
        }
        true
    }

    /// Refuses new sources from here on. Everybody who waited comes out, to be dropped.
    pub(crate) fn close(&mut self) -> Slab<Slot> {
        self.is_closed = true;
        std::mem::take(&mut self.slots)
    }
}
