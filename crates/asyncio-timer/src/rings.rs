//! The slots' lists of entries, each a ring closed by a node that stands for the slot itself.
//!
//! Nodes are linked by index. The first [`SLOTS`] of them are the slots, the node of an entry comes
//! that much after its index. A ring has no end to treat specially, so taking an entry out needs
//! neither a search nor its slot.
//!
//! - A ring is in the order in which its entries were pushed.
//! - The deadline in a slot's own node is no later than any in its ring, and `u64::MAX` when the
//!   ring is empty.
//! - A slot's bit in `occupied` is set if its ring has an entry.
//!
//! Time is not here: a slot is only a number. Nor are values: these nodes are what is walked over
//! when time passes, so they are kept small and together.

use crate::slot::{self, LEVELS, SLOTS};

/// The most entries that can be told apart by an index of 32 bits.
pub(crate) const MAX_ENTRIES: usize = u32::MAX as usize - SLOTS;

#[derive(Clone, Copy)]
struct Node {
    deadline: u64,
    previous: u32,
    next: u32,
}

impl Node {
    fn empty_slot(slot: usize) -> Self {
        let itself = slot as u32;
        Self {
            deadline: u64::MAX,
            previous: itself,
            next: itself,
        }
    }
}

/// All entries, each in the ring of one slot.
pub(crate) struct Rings {
    nodes: Vec<Node>,
    occupied: [u64; LEVELS],
}

impl Rings {
    pub(crate) fn new() -> Self {
        Self {
            nodes: (0..SLOTS).map(Node::empty_slot).collect(),
            occupied: [0; LEVELS],
        }
    }

    /// Puts an entry at the end of a slot's ring. It is new, or in no ring now; a new one has the
    /// lowest index never used so far.
    pub(crate) fn push(&mut self, slot: usize, entry: u32, deadline: u64) {
        let at = node_of(entry);
        let head = &mut self.nodes[slot];
        head.deadline = head.deadline.min(deadline);
        let last = std::mem::replace(&mut head.previous, at as u32);
        self.nodes[last as usize].next = at as u32;
        self.occupied[slot::level_of(slot)] |= slot::bit_of(slot);

        let node = Node {
            deadline,
            previous: last,
            next: slot as u32,
        };
        match self.nodes.get_mut(at) {
            Some(place) => *place = node,
            None => self.nodes.push(node),
        }
    }

    /// Takes an entry out of the ring it is in.
    pub(crate) fn remove(&mut self, entry: u32) {
        let Node { previous, next, .. } = self.nodes[node_of(entry)];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        // Only in a ring that is left empty do both sides meet, in the slot itself.
        if previous == next {
            self.clear(next as usize);
        }
    }

    /// Empties a slot, and gives what was in its ring to the caller's walk, which may push each
    /// entry again as soon as it has been given.
    pub(crate) fn take(&mut self, slot: usize) -> Taken {
        let first = self.nodes[slot].next;
        self.clear(slot);
        Taken {
            slot: slot as u32,
            next: first,
        }
    }

    fn clear(&mut self, slot: usize) {
        self.nodes[slot] = Node::empty_slot(slot);
        self.occupied[slot::level_of(slot)] &= !slot::bit_of(slot);
    }

    /// A lower bound of a slot's deadlines.
    pub(crate) fn earliest(&self, slot: usize) -> u64 {
        self.nodes[slot].deadline
    }

    /// The deadline of an entry.
    pub(crate) fn deadline(&self, entry: u32) -> u64 {
        self.nodes[node_of(entry)].deadline
    }

    /// The slots of a level that have entries, as bits.
    pub(crate) fn occupied(&self, level: usize) -> u64 {
        self.occupied[level]
    }

    /// All slots that have entries, in order of level and digit.
    pub(crate) fn occupied_slots(&self) -> impl Iterator<Item = usize> {
        let levels = self.occupied.into_iter().enumerate();
        levels.flat_map(|(level, bits)| Digits(bits).map(move |digit| slot::slot_at(level, digit)))
    }

    /// The deadlines in a slot, in the order of its ring.
    pub(crate) fn deadlines(&self, slot: usize) -> impl Iterator<Item = u64> {
        let mut at = self.nodes[slot].next as usize;
        std::iter::from_fn(move || {
            let node = self.nodes[at];
            (at != slot).then(|| {
                at = node.next as usize;
                node.deadline
            })
        })
    }
}

/// The rest of a ring that was taken from its slot.
pub(crate) struct Taken {
    slot: u32,
    next: u32,
}

impl Taken {
    /// The next entry and its deadline.
    pub(crate) fn next(&mut self, rings: &Rings) -> Option<(u32, u64)> {
        if self.next == self.slot {
            return None;
        }
        let entry = self.next - SLOTS as u32;
        let node = rings.nodes[self.next as usize];
        self.next = node.next;
        Some((entry, node.deadline))
    }
}

/// The digits whose bits are set, in ascending order.
pub(crate) struct Digits(pub(crate) u64);

impl Iterator for Digits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros());
        self.0 &= self.0.wrapping_sub(1);
        lowest
    }
}

fn node_of(entry: u32) -> usize {
    entry as usize + SLOTS
}
