//! The ready queues: the tasks that can run now, first in, first out.
//!
//! A ring of pointers. They are plain: the owner's reference keeps a queued task's cell alive. If the task
//! ends while it is queued, its entry gets a reference (C4 in `cell/mod.rs`).
//!
//! - **Q1** `slots` has a power of two of places, or none. Tasks are numbered as they come, from `head`
//!   up to `tail` (both wrap round); the place of a number is the number modulo the places. There are at
//!   most as many as places. Those places are filled; the others are not.
//! - **Q2** `slots` is borrowed within the functions of [`Ring`] only, one at a time, and no foreign
//!   code runs meanwhile.
//! - **Q3** What is filled in is an entry of a task, and the ring has taken it over. In a [`LocalQueue`] it is one of a
//!   task that does not borrow. In a [`SiblingQueue`], the queue is that of the entry's task. The code of the cell puts
//!   the entry there, and asks the cell for its queue.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::cell::cell_ref::{Begin, LocalRef, QueueEntry, Running};
use crate::cell::header::Header;
use crate::cell::state;

/// The ready queue of a loop.
#[derive(Default)]
pub(crate) struct LocalQueue(Ring);

/// An entry of a loop's own queue.
pub(crate) struct LocalEntry(QueueEntry);

/// The next place of a task whose poll has returned `Pending`.
pub(crate) enum Paused {
    /// It waits, or is queued again.
    Parked,
    /// A request came meanwhile: the future is to be dropped.
    Cancel(Running),
}

impl LocalQueue {
    /// Wakes a task: puts it into its queue, this one or that of its executor, unless it is there. May unwind if it is
    /// that of an executor.
    #[inline]
    pub(crate) fn wake(&self, cell: &LocalRef) {
        if cell.state.wake() {
            // SAFETY: it could be woken, so it has not ended, and has no entry.
            unsafe { self.enqueue(cell) };
        }
    }

    /// The poll of a step has returned `Pending`.
    #[inline]
    pub(crate) fn pause(&self, running: Running) -> Paused {
        match running.state.pause() {
            state::Pause::Park => Paused::Parked,
            state::Pause::Again => {
                // SAFETY: its poll returned `Pending`, so it has not ended; and its entry is used up.
                unsafe { self.enqueue(&running) };
                Paused::Parked
            }
            state::Pause::Cancel => Paused::Cancel(running),
        }
    }

    /// The same, for a task whose request goes on elsewhere: in a cleanup, say.
    pub(crate) fn park(&self, running: Running) {
        if running.state.park() == state::Pause::Again {
            // SAFETY: as in `pause`.
            unsafe { self.enqueue(&running) };
        }
    }

    /// Puts a task into its queue.
    ///
    /// # Safety
    ///
    /// The task has just become scheduled, or its entry is used up, and has not ended.
    #[inline]
    unsafe fn enqueue(&self, cell: &LocalRef) {
        match cell.is_local() {
            // Q3: what is local does not borrow.
            true => self.0.push(cell.as_raw()),
            // SAFETY: handed on to the caller.
            false => unsafe { cell.schedule() },
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<LocalEntry> {
        // SAFETY: Q3.
        Some(LocalEntry(unsafe { QueueEntry::from_raw(self.0.pop()?) }))
    }

    /// The task whose entry comes next.
    pub(crate) fn first(&self) -> Option<LocalRef> {
        let first = self.0.first()?;
        // SAFETY: Q3: the entry keeps it alive (C4).
        Some(unsafe { LocalRef::borrow(&first) }.clone())
    }

    /// Lets the entry at place `n` change places with the first.
    pub(crate) fn swap_to_front(&self, n: usize) {
        self.0.swap_to_front(n);
    }

    /// Moves the first entry behind the last one.
    pub(crate) fn first_to_back(&self) {
        if let Some(first) = self.0.pop() {
            self.0.push(first); // Q3: it is the entry that it was
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives memory back after a burst. To be called now and then.
    pub(crate) fn shrink(&self) {
        self.0.shrink();
    }
}

impl LocalEntry {
    /// Begins the step that the entry is for.
    #[inline]
    pub(crate) fn begin(self) -> Begin {
        // SAFETY: Q3: it does not borrow.
        unsafe { self.0.begin() }
    }

    /// The task.
    #[inline]
    pub(crate) fn cell(&self) -> &LocalRef {
        &self.0
    }
}

impl fmt::Debug for LocalQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalQueue({})", self.len())
    }
}

/// The ready queue of a group's children and of its body.
#[derive(Default)]
pub(crate) struct SiblingQueue(Ring);

impl SiblingQueue {
    /// Takes in an entry.
    ///
    /// # Safety
    ///
    /// It is of a task whose queue this is (Q3).
    #[inline]
    pub(crate) unsafe fn push(&self, entry: QueueEntry) {
        self.0.push(entry.into_raw());
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<QueueEntry> {
        // SAFETY: Q3.
        Some(unsafe { QueueEntry::from_raw(self.0.pop()?) })
    }

    /// Takes out the entries of tasks that have ended.
    pub(crate) fn forget_ended(&self) {
        for _ in 0..self.len() {
            let Some(entry) = self.pop() else { break };
            if let Some(entry) = entry.unless_done() {
                self.0.push(entry.into_raw());
            }
        }
    }

    /// Whether this is true of one of the tasks.
    pub(crate) fn any(&self, is_it: impl Fn(&LocalRef) -> bool) -> bool {
        let mut found = false;
        for _ in 0..self.len() {
            let Some(entry) = self.pop() else { break };
            found |= is_it(&entry);
            self.0.push(entry.into_raw());
        }
        found
    }

    /// Lets the entry at place `n` change places with the first.
    pub(crate) fn swap_to_front(&self, n: usize) {
        self.0.swap_to_front(n);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives memory back after a burst. To be called now and then.
    #[inline]
    pub(crate) fn shrink(&self) {
        self.0.shrink();
    }
}

/// A ring of entries.
#[derive(Default)]
struct Ring {
    head: Cell<usize>,
    tail: Cell<usize>,
    /// Where `head` was when [`shrink`](Self::shrink) looked last.
    seen: Cell<usize>,
    slots: UnsafeCell<Box<[MaybeUninit<NonNull<Header>>]>>,
}

/// How many places the first ring has: few, as each group of tasks has one.
const FIRST: usize = 8;

/// How many places ahead a cell is fetched into the cache: it is looked at in so many steps. With many
/// tasks their cells lie all over the memory, and waiting for each would cost more than its step.
const AHEAD: usize = 3;

impl Ring {
    #[inline]
    fn push(&self, cell: NonNull<Header>) {
        if self.len() == self.places() {
            return self.push_and_grow(cell);
        }
        let tail = self.tail.get();
        let place = self.place(tail);
        // SAFETY: Q2. Q1: there is room, so `place` is in the ring.
        unsafe {
            (&mut *self.slots.get())
                .get_unchecked_mut(place)
                .write(cell)
        };
        self.tail.set(tail.wrapping_add(1));
    }

    /// [`push`](Self::push), into a ring that is full.
    #[cold]
    #[inline(never)]
    fn push_and_grow(&self, cell: NonNull<Header>) {
        self.grow();
        self.push(cell);
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Header>> {
        let first = self.first()?;
        self.head.set(self.head.get().wrapping_add(1));
        if let Some(soon) = self.get(AHEAD) {
            fetch(soon);
        }
        Some(first)
    }

    #[inline]
    fn first(&self) -> Option<NonNull<Header>> {
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
    fn swap_to_front(&self, n: usize) {
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
    fn len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head.get())
    }

    /// Gives memory back after a burst. To be called now and then, also while tasks are queued. It acts if there are
    /// many places, and few of them were used since the last call.
    fn shrink(&self) {
        const WORTH_IT: usize = 1 << 12;
        let seen = self.seen.replace(self.head.get());
        // Those that were queued then, and those that have come since.
        let used = self.tail.get().wrapping_sub(seen);
        if self.places() > WORTH_IT && used < self.places() / 8 {
            self.move_to(match self.len() {
                0 => 0,
                len => len.next_power_of_two(),
            });
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

    /// Doubles the places, when all are filled.
    #[cold]
    fn grow(&self) {
        self.move_to((self.places() * 2).max(FIRST));
    }

    /// Moves the queued tasks to a ring of so many places: a power of two, or none, and as many as tasks at least.
    #[cold]
    fn move_to(&self, places: usize) {
        let mut ring = Box::new_uninit_slice(places);
        let len = self.len();
        if len > 0 {
            // SAFETY: Q2.
            let slots = unsafe { &*self.slots.get() };
            // Q1: from the place of `head` on, and from the beginning if they go on across the seam.
            let head = self.place(self.head.get());
            let first = &slots[head..slots.len().min(head + len)];
            let rest = &slots[..len - first.len()];
            ring[..first.len()].copy_from_slice(first);
            ring[first.len()..len].copy_from_slice(rest);
        }
        self.seen.set(self.seen.get().wrapping_sub(self.head.get()));
        self.head.set(0);
        self.tail.set(len);
        // SAFETY: Q2. The first `len` places are filled, and the copies above fail if there are fewer (Q1).
        unsafe { *self.slots.get() = ring };
    }
}

/// Asks the processor for the part of the cell that a step looks at first, without waiting for it.
#[inline]
fn fetch(cell: NonNull<Header>) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let state = cell
            .as_ptr()
            .wrapping_byte_add(std::mem::offset_of!(Header, state));
        // SAFETY: a hint, which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(state.cast::<i8>()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = cell;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A pointer that is only compared.
    fn task(n: usize) -> NonNull<Header> {
        NonNull::without_provenance(std::num::NonZero::new(n * 16 + 16).unwrap())
    }

    // Proves Q1, Q2, Q3.
    #[test]
    fn it_is_first_in_first_out_across_the_seam_and_while_it_grows() {
        let queue = Ring::default();
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
        let queue = Ring::default();
        (0..100_000).for_each(|n| queue.push(task(n)));
        queue.shrink();
        assert!(queue.places() >= 100_000, "not while it is used");
        while queue.pop().is_some() {}
        queue.shrink();
        assert!(queue.places() >= 100_000, "it was used just now");
        // A burst that comes again and again in such numbers allocates nothing.
        (0..queue.places() / 8).for_each(|n| queue.push(task(n)));
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
    fn it_gives_memory_back_though_some_are_always_queued() {
        // As those of a group whose body is always ready: wherever the few are, also across the seam.
        for at in [0, 1, 100_000, (1 << 17) - 2] {
            let queue = Ring::default();
            (0..100_000).for_each(|n| queue.push(task(n)));
            let mut next = 100_000;
            let mut pass = |queue: &Ring| {
                queue.push(task(next));
                next += 1;
                queue.pop().unwrap()
            };
            for _ in 0..at {
                pass(&queue);
            }
            while queue.len() > 5 {
                queue.pop();
            }
            queue.shrink();
            queue.shrink();
            assert!(queue.places() <= 8, "{}", queue.places());
            let mut queued: Vec<_> = (0..100).map(|_| pass(&queue)).collect();
            queued.extend(std::iter::from_fn(|| queue.pop()));
            let first = 100_000 + at - 5;
            let expected: Vec<_> = (first..first + 105).map(task).collect();
            assert_eq!(queued, expected);
        }
    }

    #[test]
    fn the_first_changes_places() {
        let queue = Ring::default();
        (0..4).for_each(|n| queue.push(task(n)));
        queue.swap_to_front(2);
        queue.swap_to_front(0);
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, [task(2), task(1), task(0), task(3)]);
    }
}
