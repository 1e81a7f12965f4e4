//! The ready queue: the tasks that can run now, first in, first out.
//!
//! A ring of pointers. They are plain: the owner's reference keeps a queued task's cell alive. If the task
//! ends while it is queued, its place here gets a reference (C4 in `cell.rs`).
//!
//! - **Q1** `slots` has a power of two of places, or none. Tasks are numbered as they come, from `head`
//!   up to `tail` (both wrap round); the place of a number is the number modulo the places. There are at
//!   most as many as places. Those places are filled; the others are not.
//! - **Q2** `slots` is borrowed within the functions of this file only, one at a time, and no foreign
//!   code runs meanwhile.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::cell::Header;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    head: Cell<usize>,
    tail: Cell<usize>,
    /// Where `tail` was when [`shrink`](Self::shrink) looked last.
    seen: Cell<usize>,
    slots: UnsafeCell<Box<[MaybeUninit<NonNull<Header>>]>>,
}

/// How many places the first ring has: few, as each group of tasks has one.
const FIRST: usize = 8;

/// How many places ahead a cell is fetched into the cache: it is looked at in so many steps. With many
/// tasks their cells lie all over the memory, and waiting for each would cost more than its step.
const AHEAD: usize = 3;

impl ReadyQueue {
    #[inline]
    pub(crate) fn push(&self, task: NonNull<Header>) {
        if self.len() == self.places() {
            self.grow();
        }
        let tail = self.tail.get();
        let place = self.place(tail);
        // SAFETY: Q2. Q1: `grow` has made room, so `place` is in the ring.
        unsafe {
            (&mut *self.slots.get())
                .get_unchecked_mut(place)
                .write(task)
        };
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Header>> {
        let first = self.first()?;
        self.head.set(self.head.get().wrapping_add(1));
        if let Some(soon) = self.get(AHEAD) {
            fetch(soon);
        }
        Some(first)
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<NonNull<Header>> {
        self.get(0)
    }

    #[inline]
    fn get(&self, n: usize) -> Option<NonNull<Header>> {
        if n >= self.len() {
            return None;
        }
        let place = self.place(self.head.get().wrapping_add(n));
        // SAFETY: Q2. Q1: the place is filled.
        Some(unsafe { (&*self.slots.get()).get_unchecked(place).assume_init() })
    }

    /// Brings the task at place `n` to the head, and the one at the head there.
    ///
    /// # Panics
    ///
    /// If there is no such place.
    pub(crate) fn bring_forward(&self, n: usize) {
        assert!(
            n < self.len(),
            "there is nothing at place {n} of the ready queue"
        );
        let head = self.head.get();
        let (first, other) = (self.place(head), self.place(head.wrapping_add(n)));
        // SAFETY: Q2.
        unsafe { &mut *self.slots.get() }.swap(first, other);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    /// Gives memory back after a burst, to be called now and then when nothing is ready: if there are many
    /// places, and few of them were used since the last call.
    pub(crate) fn shrink(&self) {
        const WORTH_IT: usize = 1 << 12;
        if self.len() > 0 {
            return;
        }
        let tail = self.tail.get();
        let used = tail.wrapping_sub(self.seen.replace(tail));
        if self.places() > WORTH_IT && used < self.places() / 8 {
            // SAFETY: Q2. Nothing is filled (Q1).
            unsafe { *self.slots.get() = Box::default() };
        }
    }

    #[inline]
    fn places(&self) -> usize {
        // SAFETY: Q2.
        unsafe { &*self.slots.get() }.len()
    }

    /// Where the task of that number is, or would be. Only if there are places.
    #[inline]
    fn place(&self, number: usize) -> usize {
        number & (self.places() - 1)
    }

    /// When it is full.
    #[cold]
    fn grow(&self) {
        let mut larger = Box::new_uninit_slice((self.places() * 2).max(FIRST));
        let len = self.len();
        if len > 0 {
            // SAFETY: Q2.
            let slots = unsafe { &*self.slots.get() };
            // It is full (Q1): from the place of `head` to the end, then from the beginning.
            let (last, first) = slots.split_at(self.place(self.head.get()));
            larger[..first.len()].copy_from_slice(first);
            larger[first.len()..len].copy_from_slice(last);
        }
        self.head.set(0);
        self.tail.set(len);
        // SAFETY: Q2. The first `len` places are filled (Q1).
        unsafe { *self.slots.get() = larger };
    }
}

/// Asks the processor for the cell, without waiting for it.
#[inline]
fn fetch(task: NonNull<Header>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(task.as_ptr().cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = task;
}

impl fmt::Debug for ReadyQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyQueue({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A pointer that is only compared.
    fn task(n: usize) -> NonNull<Header> {
        NonNull::without_provenance(std::num::NonZero::new(n * 16 + 16).unwrap())
    }

    #[test]
    fn it_is_first_in_first_out_across_the_seam_and_while_it_grows() {
        let queue = ReadyQueue::default();
        let mut model = VecDeque::new();
        let mut next = 0;
        for round in 0..1000 {
            for _ in 0..(round * 7) % 23 {
                queue.push(task(next));
                model.push_back(task(next));
                next += 1;
            }
            for _ in 0..(round * 5) % 19 {
                assert_eq!(queue.pop(), model.pop_front());
            }
            assert_eq!(
                (queue.len(), queue.first()),
                (model.len(), model.front().copied())
            );
        }
        while let Some(task) = model.pop_front() {
            assert_eq!(queue.pop(), Some(task));
        }
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn it_gives_memory_back_when_a_burst_is_over() {
        let queue = ReadyQueue::default();
        (0..100_000).for_each(|n| queue.push(task(n)));
        queue.shrink();
        assert!(queue.places() >= 100_000, "not while it is used");
        while queue.pop().is_some() {}
        queue.shrink();
        assert!(queue.places() >= 100_000, "it was used just now");
        // What comes in such numbers again and again allocates nothing.
        (0..20_000).for_each(|n| queue.push(task(n)));
        while queue.pop().is_some() {}
        queue.shrink();
        assert!(queue.places() >= 100_000);
        queue.push(task(1));
        queue.pop();
        queue.shrink();
        assert_eq!(queue.places(), 0);
        queue.push(task(1));
        assert_eq!(queue.pop(), Some(task(1)));
    }

    #[test]
    fn bringing_forward_swaps() {
        let queue = ReadyQueue::default();
        (0..4).for_each(|n| queue.push(task(n)));
        queue.bring_forward(2);
        queue.bring_forward(0);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [task(2), task(1), task(0), task(3)]);
    }
}
