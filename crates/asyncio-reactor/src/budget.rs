//! The budget of a turn: how many operations may follow each other before the reactor is turned.
//!
//! A peer that sends faster than it is read leaves its reader nothing to wait for, and a task that never
//! waits keeps the thread for itself. So every way to find a source ready draws on one budget, whichever
//! sources there are: the futures, the `poll_*` and the `try_*` methods. When it is spent, what could go on
//! waits for the next turn, behind everything else.
//!
//! - A waker has [`IN_A_ROW`] operations. Tasks are told apart by their wakers, so one that spends all
//!   takes nothing from another.
//! - A task may come with many wakers, one for each future that it polls. So only a limited number of
//!   changes of the waker in a turn brings a new share: one for each waker that the turn has woken, and
//!   [`CHANGES`] more.
//! - An operation that cannot wait (`try_*`) counts, and the next one that can wait makes up for it. Only a
//!   *read* is refused at last, after [`TRIES`] more: draining a source until `WouldBlock` would not end
//!   otherwise. How much is written is up to the program itself.

use std::cell::Cell;
use std::ptr;
use std::task::Waker;

use crate::readiness::Direction;

/// How many operations of one waker may follow each other.
const IN_A_ROW: i16 = 64;
/// How many changes of the waker bring a new share beside those that were woken. A loop that is busy turns
/// its reactor every few hundred operations, so only steps that do not end come to this.
const CHANGES: usize = 256;
/// How many reads that cannot wait are granted beyond the share.
const TRIES: i16 = 1024;

#[derive(Debug)]
pub(crate) struct Budget {
    /// The one that came last, to be compared only.
    waker: Cell<*const ()>,
    /// How many operations it may still have. Below zero, so many could not wait and were granted all the
    /// same.
    left: Cell<i16>,
    /// How many changes of the waker will still bring a new share.
    changes_left: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            waker: Cell::new(ptr::null()),
            left: Cell::new(IN_A_ROW),
            changes_left: Cell::new(CHANGES),
        }
    }
}

impl Budget {
    /// Begins a turn of the reactor.
    pub(crate) fn begin_turn(&self) {
        self.left.set(IN_A_ROW);
        self.changes_left.set(CHANGES);
    }

    /// So many were woken, and will come.
    pub(crate) fn expect(&self, wakers: usize) {
        self.changes_left.set(self.changes_left.get() + wakers);
    }

    /// Counts an operation that can wait. False if it has to.
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
            self.left.set(IN_A_ROW);
        }
    }

    /// Counts an operation that cannot wait. False if it is refused.
    #[inline]
    pub(crate) fn spend_without_waiting(&self, direction: Direction) -> bool {
        let left = self.left.get();
        if left > -TRIES {
            self.left.set(left - 1);
            return true;
        }
        direction == Direction::Write
    }
}
