//! The ready queue: the tasks that can run now, first in, first out.
//!
//! It holds plain pointers: the owner's reference keeps a queued task's cell alive, or passes to its
//! place here if the task ends while it is queued (C4 in `cell.rs`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;

use crate::cell::Header;

/// See the head of this file. No foreign code runs while it is borrowed.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    tasks: RefCell<VecDeque<NonNull<Header>>>,
}

impl ReadyQueue {
    #[inline]
    pub(crate) fn push(&self, task: NonNull<Header>) {
        self.tasks.borrow_mut().push_back(task);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        self.tasks.borrow_mut().pop_front()
    }

    pub(crate) fn first(&self) -> Option<NonNull<Header>> {
        self.tasks.borrow().front().copied()
    }

    /// Brings the task at `place` to the head, and the one at the head to its place.
    pub(crate) fn bring_forward(&self, place: usize) {
        self.tasks.borrow_mut().swap(0, place);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Gives memory back after a burst.
    pub(crate) fn shrink(&self) {
        const WORTH_IT: usize = 1 << 12;
        let mut tasks = self.tasks.borrow_mut();
        if tasks.is_empty() && tasks.capacity() > WORTH_IT {
            tasks.shrink_to(0);
        }
    }
}
