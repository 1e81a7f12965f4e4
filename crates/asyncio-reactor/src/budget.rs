//! The cooperative budget: how many operations may run between two turns of the reactor.
//!
//! A peer that sends faster than its data is read never lets the reader wait, and a task that never
//! waits blocks the thread. So each operation on a ready source draws on one budget: through the
//! futures, the `poll_*` and the `try_*` methods, on any source. Once the budget is spent, an
//! operation waits for the next turn, behind everything else.
//!
//! - A waker has [`OPS_PER_TURN`] operations. Tasks are told apart by their wakers, so a task that
//!   spends its share takes nothing from another.
//! - A task may use many wakers, one for each future that it polls. So only a limited number of waker changes in a turn
//!   brings a new share. The limit is one per waker that the turn has woken, and [`WAKER_CHANGES`] more.
//! - An operation that cannot wait (`try_*`) counts too, and the next operation that can wait pays
//!   for it. After [`EXTRA_TRIES`] more, a *read* is refused: otherwise draining a source until
//!   `WouldBlock` might never end. A write is never refused, because the program itself decides how
//!   much it writes.

use std::cell::Cell;
use std::ptr;
use std::task::Waker;

use crate::readiness::Direction;

/// How many consecutive operations of one waker are allowed.
const OPS_PER_TURN: i16 = 64;
/// How many waker changes bring a new share, besides the woken wakers. A busy loop turns its
/// reactor every few hundred operations, so only steps that do not end reach this limit.
const WAKER_CHANGES: usize = 256;
/// How many reads that cannot wait are granted beyond the share.
const EXTRA_TRIES: i16 = 1024;

#[derive(Debug)]
pub(crate) struct Budget {
    /// The waker of the last operation, only for comparison.
    waker: Cell<*const ()>,
    /// The operations left. Below zero, this many operations could not wait and were granted
    /// nevertheless.
    left: Cell<i16>,
    /// How many waker changes still bring a new share.
    changes_left: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            waker: Cell::new(ptr::null()),
            left: Cell::new(OPS_PER_TURN),
            changes_left: Cell::new(WAKER_CHANGES),
        }
    }
}

impl Budget {
    /// Begins a turn of the reactor.
    pub(crate) fn begin_turn(&self) {
        self.left.set(OPS_PER_TURN);
        self.changes_left.set(WAKER_CHANGES);
    }

    /// Allows one more waker change for each woken waker.
    pub(crate) fn add_wakers(&self, wakers: usize) {
        self.changes_left.set(self.changes_left.get() + wakers);
    }

    /// Counts an operation that can wait. False if it must wait.
    #[inline]
    pub(crate) fn spend(&self, waker: &Waker) -> bool {
        if waker.data() != self.waker.get() {
            self.change_to(waker);
        }
        let left = self.left.get();
        if left <= 0 {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    #[inline]
    fn change_to(&self, waker: &Waker) {
        self.waker.set(waker.data());
        let changes_left = self.changes_left.get();
        if changes_left > 0 {
            self.changes_left.set(changes_left - 1);
            self.left.set(OPS_PER_TURN);
        }
    }

    /// Counts an operation that cannot wait. False if it is refused.
    #[inline]
    pub(crate) fn spend_try(&self, direction: Direction) -> bool {
        let left = self.left.get();
        if left > -EXTRA_TRIES {
            self.left.set(left - 1);
            return true;
        }
        direction == Direction::Write
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_end_after_their_share_and_the_extra_ones() {
        let budget = Budget::default();
        let reads = (0..).take_while(|_| budget.spend_try(Direction::Read));
        assert_eq!(
            reads.count(),
            usize::from((OPS_PER_TURN + EXTRA_TRIES) as u16)
        );
        assert!(
            budget.spend_try(Direction::Write),
            "a write is never refused"
        );
        budget.begin_turn();
        assert!(budget.spend_try(Direction::Read));
    }
}
