//! The table of registered sources: a slot each.
//!
//! A slot's place in the table and its generation make the token that the system hands back with
//! each event. Places are used again, generations are not (until the counter has gone round, some
//! four thousand million registrations later), so an event for an earlier source finds nobody.
//!
//! The slot itself is shared by the table and the source's [`Registration`], which goes straight to
//! it: only an event comes through the table.
//!
//! [`Registration`]: crate::registration::Registration

use std::cell::Cell;
use std::io;
use std::rc::Rc;
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

/// What the reactor knows about a source.
///
/// Always true: while `readiness` allows a direction, nobody waits in it. An event adds to the one
/// and empties the other, and nobody begins to wait before having looked.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) token: Token,
    pub(crate) interest: Interest,
    pub(crate) readiness: Cell<Readiness>,
    pub(crate) waiters: Waiters,
}

impl Slot {
    /// Notes what the system told, and moves who waited for it to `woken`.
    #[inline]
    fn note(&self, seen: Readiness, woken: &mut Vec<Waker>) {
        self.readiness.set(self.readiness.get().and(seen));
        for direction in [Direction::Read, Direction::Write] {
            if seen.allows(direction) {
                self.waiters.take_all(direction, woken);
            }
        }
    }

    /// Nobody waits any more; those who did are for the caller to drop.
    pub(crate) fn give_up_waiters(&self, waited: &mut Vec<Waker>) {
        self.waiters.take_all(Direction::Read, waited);
        self.waiters.take_all(Direction::Write, waited);
    }

    /// The reactor is closed.
    fn close(&self, woken: &mut Vec<Waker>) {
        self.readiness.set(Readiness::NEVER);
        self.give_up_waiters(woken);
    }
}

#[derive(Debug)]
pub(crate) struct Slots {
    /// Empty once closed.
    slots: Slab<Rc<Slot>>,
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
    pub(crate) fn insert(&mut self, interest: Interest) -> io::Result<Rc<Slot>> {
        if self.is_closed {
            return Err(ReactorClosed.into());
        }
        let entry = self.slots.vacant_entry();
        if entry.key() >= PLACES {
            return Err(io::Error::other("too many sources in one reactor"));
        }
        let token = Token(self.next_generation << PLACE_BITS | entry.key());
        self.next_generation = (self.next_generation + 1) & GENERATION_MASK;
        let slot = Rc::new(Slot {
            token,
            interest,
            readiness: Cell::new(Readiness::NEW),
            waiters: Waiters::default(),
        });
        entry.insert(Rc::clone(&slot));
        Ok(slot)
    }

    /// Gives a slot's place back. After closing there is none.
    pub(crate) fn remove(&mut self, slot: &Slot) {
        let place = slot.token.0 & PLACE_MASK;
        if self.get(slot.token).is_some() {
            self.slots.remove(place);
        }
    }

    #[inline]
    fn get(&self, token: Token) -> Option<&Slot> {
        let slot = self.slots.get(token.0 & PLACE_MASK)?;
        (slot.token == token).then_some(slot)
    }

    /// Notes what the system told about a source, and moves who waited for it to `woken`. False if
    /// the source is gone.
    #[inline]
    pub(crate) fn note(&self, token: Token, seen: Readiness, woken: &mut Vec<Waker>) -> bool {
        let Some(slot) = self.get(token) else {
            return false;
        };
        slot.note(seen, woken);
        true
    }

    /// Refuses new sources from here on. Gives out everybody who waited.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        let mut waited = Vec::new();
        for slot in self.slots.drain() {
            slot.close(&mut waited);
        }
        waited
    }
}
