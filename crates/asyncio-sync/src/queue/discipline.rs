//! The three queue disciplines: FIFO, LIFO, and smallest first.
//!
//! Only the last one compares items. The `Ord` of an item is foreign code: it may panic, or use the
//! queue. So all comparisons run first, on `&self`, and the change is made afterwards by code that
//! cannot panic. A comparison that panics leaves the queue unchanged.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::mem;

use crate::burst::shrink_target;

/// The order in which items come out of a queue. Sealed: only this crate implements it.
pub trait Discipline: Default + sealed::Sealed {
    /// The type of the items.
    type Item;

    /// The name of a queue with this discipline.
    #[doc(hidden)]
    const NAME: &'static str;

    /// Whether finding a position compares items.
    #[doc(hidden)]
    const COMPARES: bool;

    /// A position among the items, valid until the queue changes.
    #[doc(hidden)]
    type Position: Copy;

    #[doc(hidden)]
    fn count(&self) -> usize;

    /// The position at which to insert `item`.
    #[doc(hidden)]
    fn position_for(&self, item: &Self::Item) -> Self::Position;

    #[doc(hidden)]
    fn insert(&mut self, item: Self::Item, position: Self::Position);

    /// The position with which to remove the next item. The queue must not be empty.
    #[doc(hidden)]
    fn position_of_next(&self) -> Self::Position;

    /// Removes the next item. The queue must not be empty.
    #[doc(hidden)]
    fn remove(&mut self, position: Self::Position) -> Self::Item;

    /// Formats the items as a list.
    #[doc(hidden)]
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        Self::Item: fmt::Debug;
}

/// First in, first out.
#[derive(Debug)]
pub struct Fifo<T>(VecDeque<T>);

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Discipline for Fifo<T> {
    type Item = T;
    const NAME: &'static str = "Queue";
    const COMPARES: bool = false;
    type Position = ();

    #[inline]
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn position_for(&self, _item: &T) {}

    #[inline]
    fn insert(&mut self, item: T, (): ()) {
        self.0.push_back(item);
    }

    #[inline]
    fn position_of_next(&self) {}

    #[inline]
    fn remove(&mut self, (): ()) -> T {
        let item = self.0.pop_front().expect(NOT_EMPTY);
        if let Some(capacity) = shrink_target(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(capacity);
        }
        item
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        T: fmt::Debug,
    {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Last in, first out.
#[derive(Debug)]
pub struct Lifo<T>(Vec<T>);

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Discipline for Lifo<T> {
    type Item = T;
    const NAME: &'static str = "LifoQueue";
    const COMPARES: bool = false;
    type Position = ();

    #[inline]
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn position_for(&self, _item: &T) {}

    #[inline]
    fn insert(&mut self, item: T, (): ()) {
        self.0.push(item);
    }

    #[inline]
    fn position_of_next(&self) {}

    #[inline]
    fn remove(&mut self, (): ()) -> T {
        let item = self.0.pop().expect(NOT_EMPTY);
        if let Some(capacity) = shrink_target(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(capacity);
        }
        item
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        T: fmt::Debug,
    {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Smallest first, and first in, first out among equal items.
///
/// This is a heap. Unlike the heap of the standard library, it keeps equal items in order, and an
/// operation in which a comparison panics has no effect. So it first finds the positions, and then
/// moves the entries.
#[derive(Debug)]
pub struct Smallest<T> {
    /// A heap: no entry comes before its [parent].
    heap: Vec<Ranked<T>>,
    /// The number of items ever put.
    arrivals: u64,
}

#[derive(Debug)]
struct Ranked<T> {
    item: T,
    arrival: u64,
}

impl<T: Ord> Ranked<T> {
    fn comes_before(&self, other: &Self) -> bool {
        match self.item.cmp(&other.item) {
            Ordering::Equal => self.arrival < other.arrival,
            order => order == Ordering::Less,
        }
    }
}

impl<T> Default for Smallest<T> {
    fn default() -> Self {
        Self {
            heap: Vec::new(),
            arrivals: 0,
        }
    }
}

impl<T: Ord> Discipline for Smallest<T> {
    type Item = T;

    const NAME: &'static str = "PriorityQueue";
    const COMPARES: bool = true;

    /// An index. Entries move only along the path from it to the root.
    type Position = usize;

    #[inline]
    fn count(&self) -> usize {
        self.heap.len()
    }

    /// The index to which a new item rises.
    fn position_for(&self, item: &T) -> usize {
        let mut at = self.heap.len();
        // It rises only above greater items, so it comes after equal items.
        while at > 0 && *item < self.heap[parent(at)].item {
            at = parent(at);
        }
        at
    }

    fn insert(&mut self, item: T, position: usize) {
        let mut at = self.heap.len();
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.heap.push(Ranked { item, arrival });
        while at > position {
            self.heap.swap(at, parent(at));
            at = parent(at);
        }
    }

    /// The index of the last entry after the first entry is removed.
    fn position_of_next(&self) -> usize {
        let Some((last, rest)) = self.heap.split_last() else {
            return 0;
        };
        // The gap sinks to the bottom along the smallest children, and `last` rises from there.
        // `last` is one of the greatest items, so this takes fewer comparisons than sinking it from
        // the top.
        let mut at = 0;
        let children_of = |at| rest.get(first_child(at)..).unwrap_or_default();
        while let Some(children) = children_of(at).first_chunk::<ARITY>() {
            let left = usize::from(children[1].comes_before(&children[0]));
            let right = 2 + usize::from(children[3].comes_before(&children[2]));
            let right_first = children[right].comes_before(&children[left]);
            at = first_child(at) + if right_first { right } else { left };
        }
        // The last parent may have fewer than four children.
        let mut smallest: Option<usize> = None;
        for (child, entry) in (first_child(at)..).zip(children_of(at)) {
            if smallest.is_none_or(|smallest| entry.comes_before(&rest[smallest])) {
                smallest = Some(child);
            }
        }
        at = smallest.unwrap_or(at);
        while at > 0 && last.comes_before(&rest[at]) {
            at = parent(at);
        }
        at
    }

    fn remove(&mut self, position: usize) -> T {
        let mut moving = self.heap.pop().expect(NOT_EMPTY);
        if let Some(capacity) = shrink_target(self.heap.len(), self.heap.capacity()) {
            self.heap.shrink_to(capacity);
        }
        let mut at = position;
        // The last entry goes to `position`, and each entry on the path moves to its parent's
        // index.
        while let Some(entry) = self.heap.get_mut(at) {
            mem::swap(entry, &mut moving);
            if at == 0 {
                break;
            }
            at = parent(at);
        }
        moving.item
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result
    where
        T: fmt::Debug,
    {
        let items = self.heap.iter().map(|ranked| &ranked.item);
        f.debug_list().entries(items).finish()
    }
}

/// The number of children of an entry.
///
/// With four children, a heap is half as high as with two, and the children are adjacent in memory.
/// The cost of a step down is a memory access.
const ARITY: usize = 4;

fn parent(index: usize) -> usize {
    (index - 1) / ARITY
}

fn first_child(index: usize) -> usize {
    index * ARITY + 1
}

mod sealed {
    use super::{Fifo, Lifo, Smallest};

    pub trait Sealed {}

    impl<T> Sealed for Fifo<T> {}
    impl<T> Sealed for Lifo<T> {}
    impl<T: Ord> Sealed for Smallest<T> {}
}

const NOT_EMPTY: &str = "an item is removed only from a queue that is not empty";

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_and_empty<D: Discipline<Item = u32>>(capacity: impl Fn(&D) -> usize) {
        let mut items = D::default();
        for n in 0..100_000 {
            items.insert(n, items.position_for(&n));
        }
        while items.count() > 0 {
            let next = items.position_of_next();
            items.remove(next);
        }
        assert!(
            capacity(&items) < 10_000,
            "{} keeps {}",
            D::NAME,
            capacity(&items)
        );
    }

    #[test]
    fn a_burst_of_items_frees_its_memory() {
        fill_and_empty::<Fifo<u32>>(|items| items.0.capacity());
        fill_and_empty::<Lifo<u32>>(|items| items.0.capacity());
        fill_and_empty::<Smallest<u32>>(|items| items.heap.capacity());
    }
}
