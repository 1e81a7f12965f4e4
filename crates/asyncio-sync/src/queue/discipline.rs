//! The three orders in which items come out of a queue: as they were put, the other way round, and
//! the smallest first.
//!
//! Only the last one asks the items, and their `Ord` is foreign code: it may panic, or look at the
//! queue it is in. So whatever is decided by comparing is decided first, on a `&self`, and done
//! afterwards by code that cannot fail. A comparison that panics leaves everything as it was.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::mem;

/// In which order items come out. Sealed: the three of this module are all there are.
pub trait Discipline: Default + sealed::Sealed {
    /// What is in the queue.
    type Item;

    /// The name of a queue with this discipline.
    #[doc(hidden)]
    const NAME: &'static str;

    /// Whether finding a position asks the items.
    #[doc(hidden)]
    const COMPARES: bool;

    /// A position that was found by comparing, to be used before anything else is changed.
    #[doc(hidden)]
    type Position: Copy;

    #[doc(hidden)]
    fn count(&self) -> usize;

    /// Where `item` belongs.
    #[doc(hidden)]
    fn position_for(&self, item: &Self::Item) -> Self::Position;

    #[doc(hidden)]
    fn insert(&mut self, item: Self::Item, position: Self::Position);

    /// What is needed to take out the next item. Asked only if there is one.
    #[doc(hidden)]
    fn position_of_next(&self) -> Self::Position;

    /// Takes out the next item. Asked only if there is one.
    #[doc(hidden)]
    fn remove(&mut self, position: Self::Position) -> Self::Item;

    /// Writes the items as a list.
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
        let item = self.0.pop_front().expect(THERE);
        if let Some(room) = less_room(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(room);
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
        let item = self.0.pop().expect(THERE);
        if let Some(room) = less_room(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(room);
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

/// The smallest first; of equal ones, the one that was put first.
///
/// A heap. Unlike the standard library's, it keeps equal items in order, and a panic in the middle of
/// an operation undoes it: so it first finds out where entries go, and then moves them.
#[derive(Debug)]
pub struct Smallest<T> {
    /// No entry comes before its [parent].
    heap: Vec<Ranked<T>>,
    /// How many items were ever put.
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

    /// An index. There is one way from it up to the root, and entries move along this way only.
    type Position = usize;

    #[inline]
    fn count(&self) -> usize {
        self.heap.len()
    }

    /// How far a new item rises.
    fn position_for(&self, item: &T) -> usize {
        let mut at = self.heap.len();
        // Only above what is greater: it comes after those it is equal to.
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

    /// Where the last entry will stand once the first is gone.
    fn position_of_next(&self) -> usize {
        let Some((last, rest)) = self.heap.split_last() else {
            return 0;
        };
        // The gap sinks to the bottom along the smallest children, then `last` rises from there: it
        // is one of the greatest, so this takes fewer comparisons than sinking it.
        let mut at = 0;
        let family = |at| rest.get(first_child(at)..).unwrap_or_default();
        while let Some(children) = family(at).first_chunk::<ARITY>() {
            let left = usize::from(children[1].comes_before(&children[0]));
            let right = 2 + usize::from(children[3].comes_before(&children[2]));
            let right_first = children[right].comes_before(&children[left]);
            at = first_child(at) + if right_first { right } else { left };
        }
        // At the end, there may be a family of fewer than four.
        let mut smallest: Option<usize> = None;
        for (child, entry) in (first_child(at)..).zip(family(at)) {
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
        let mut moving = self.heap.pop().expect(THERE);
        if let Some(room) = less_room(self.heap.len(), self.heap.capacity()) {
            self.heap.shrink_to(room);
        }
        let mut at = position;
        // The last one takes its position, and each on the way up the place of its parent.
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

/// How many children an entry has. With four, a heap is half as high as with two, and the children
/// are neighbours in memory: what a step down costs is waiting for memory.
const ARITY: usize = 4;

fn parent(index: usize) -> usize {
    (index - 1) / ARITY
}

fn first_child(index: usize) -> usize {
    index * ARITY + 1
}

/// How much room is enough, if a burst has left much more.
#[inline]
fn less_room(len: usize, room: usize) -> Option<usize> {
    const FEW: usize = 1 << 12;
    (room > FEW && len < room / 8).then(|| FEW.max(2 * len))
}

mod sealed {
    use super::{Fifo, Lifo, Smallest};

    pub trait Sealed {}

    impl<T> Sealed for Fifo<T> {}
    impl<T> Sealed for Lifo<T> {}
    impl<T: Ord> Sealed for Smallest<T> {}
}

const THERE: &str = "an item is taken only if there is one";

#[cfg(test)]
mod tests {
    use super::*;

    fn fill_and_empty<D: Discipline<Item = u32>>(room: impl Fn(&D) -> usize) {
        let mut items = D::default();
        for n in 0..100_000 {
            items.insert(n, items.position_for(&n));
        }
        while items.count() > 0 {
            let next = items.position_of_next();
            items.remove(next);
        }
        assert!(room(&items) < 10_000, "{} keeps {}", D::NAME, room(&items));
    }

    #[test]
    fn a_burst_of_items_gives_its_memory_back() {
        fill_and_empty::<Fifo<u32>>(|items| items.0.capacity());
        fill_and_empty::<Lifo<u32>>(|items| items.0.capacity());
        fill_and_empty::<Smallest<u32>>(|items| items.heap.capacity());
    }
}
