//! A registry: the tasks, or the child sets, that have not ended, so that they can be listed and closed.
//!
//! Places in a vector, each entry knowing its own: O(1) to enter and to leave, 8 bytes an entry. When three
//! quarters of the places are free, and more than [`FEW`], the entries move together and the rest of the memory
//! goes back. That costs a step for each place, and comes after as many have left, so it is O(1) an entry too.

use std::cell::RefCell;

/// A list of entries, each of which knows its place. No foreign code runs while it is borrowed.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    inner: RefCell<Inner<T>>,
    /// How often all places were looked at.
    #[cfg(test)]
    pub(crate) looks: std::cell::Cell<usize>,
}

#[derive(Debug)]
struct Inner<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

/// An entry of a registry, which knows its place there.
pub(crate) trait Placed {
    /// It has this place from now on. Runs no foreign code.
    fn set_place(&self, place: u32);
}

/// So many free places are kept in any case.
const FEW: usize = 1 << 12;

/// The place of what is in no registry.
pub(crate) const NOWHERE: u32 = u32::MAX;

impl<T: Placed> Registry<T> {
    /// Takes in an entry, which is made with the place that it gets.
    #[inline]
    pub(crate) fn enter(&self, entry: impl FnOnce(u32) -> T) {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(n) = inner.free.pop() {
            inner.places[n as usize] = Some(entry(n));
        } else {
            let n = u32::try_from(inner.places.len()).expect("at most 2^32 of them at a time");
            inner.places.push(Some(entry(n)));
        }
    }

    /// Gives an entry back, if it is here.
    #[inline]
    pub(crate) fn leave(&self, place: u32) -> Option<T> {
        let inner = &mut *self.inner.borrow_mut();
        let entry = inner.places.get_mut(place as usize)?.take()?;
        inner.free.push(place);
        if inner.free.len() > FEW && inner.free.len() / 3 > inner.places.len() / 4 {
            inner.move_together();
        }
        Some(entry)
    }

    /// Whether there is an entry at a place of which this is true.
    pub(crate) fn with(&self, place: u32, is_it: impl FnOnce(&T) -> bool) -> bool {
        let inner = self.inner.borrow();
        let entry = inner.places.get(place as usize).and_then(Option::as_ref);
        entry.is_some_and(is_it)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let inner = self.inner.borrow();
        inner.places.len() - inner.free.len()
    }

    /// The first place from `start` on, and round the end, of an entry that this is true of.
    pub(crate) fn find_from(&self, start: u32, is_it: impl Fn(&T) -> bool) -> Option<u32> {
        let inner = self.inner.borrow();
        let start = inner.places.len().min(start as usize);
        let (before, after) = inner.places.split_at(start);
        let is_it = |place: &Option<T>| place.as_ref().is_some_and(&is_it);
        let found = match after.iter().position(is_it) {
            Some(n) => n + before.len(),
            None => before.iter().position(is_it)?,
        };
        u32::try_from(found).ok()
    }

    /// The results of `pick` for the entries that are here, in the order of their places.
    pub(crate) fn collect<R>(&self, pick: impl Fn(&T) -> Option<R>) -> Vec<R> {
        #[cfg(test)]
        self.looks.set(self.looks.get() + 1);
        let inner = self.inner.borrow();
        inner.places.iter().flatten().filter_map(pick).collect()
    }

    /// Forgets entries that nothing needs any more, before more memory is taken for others.
    pub(crate) fn forget_if_full(&self, needless: impl Fn(&T) -> bool) {
        let inner = &mut *self.inner.borrow_mut();
        if !inner.free.is_empty() || inner.places.len() < inner.places.capacity() {
            return;
        }
        for (n, place) in inner.places.iter_mut().enumerate() {
            if place.as_ref().is_some_and(&needless) {
                *place = None;
                inner.free.push(n as u32);
            }
        }
    }
}

impl<T: Placed> Inner<T> {
    /// Gives memory back after a burst. Keeps room for as many as there are.
    #[cold]
    fn move_together(&mut self) {
        self.free = Vec::new();
        // In place, and in order.
        self.places.retain(Option::is_some);
        for (n, entry) in self.places.iter().flatten().enumerate() {
            entry.set_place(n as u32);
        }
        let len = self.places.len();
        self.places.shrink_to((2 * len).max(FEW));
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            inner: RefCell::default(),
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    impl Placed for Rc<Cell<u32>> {
        fn set_place(&self, place: u32) {
            self.set(place);
        }
    }

    fn enter(registry: &Registry<Rc<Cell<u32>>>) -> Rc<Cell<u32>> {
        let entry = Rc::new(Cell::new(NOWHERE));
        registry.enter(|place| {
            entry.set(place);
            entry.clone()
        });
        entry
    }

    fn leaves(registry: &Registry<Rc<Cell<u32>>>, entry: &Rc<Cell<u32>>) {
        let left = registry.leave(entry.replace(NOWHERE)).expect("it is here");
        assert!(Rc::ptr_eq(&left, entry), "another one left in its place");
    }

    fn room(registry: &Registry<Rc<Cell<u32>>>) -> usize {
        let inner = registry.inner.borrow();
        inner.places.capacity() + inner.free.capacity()
    }

    #[test]
    fn a_burst_gives_its_memory_back_though_its_last_entries_stay() {
        let registry = Registry::default();
        let first = enter(&registry);
        let burst: Vec<_> = (0..300_000).map(|_| enter(&registry)).collect();
        let (leave, stay) = burst.split_at(299_990);
        leave.iter().for_each(|entry| leaves(&registry, entry));
        assert!(room(&registry) <= 4 * FEW, "{}", room(&registry));
        assert_eq!(registry.len(), 11);
        // Those that moved find their places.
        let late = enter(&registry);
        stay.iter()
            .chain([&first, &late])
            .for_each(|entry| leaves(&registry, entry));
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn what_comes_and_goes_moves_nobody() {
        let registry = Registry::default();
        let stays = enter(&registry);
        for _ in 0..3 {
            let some: Vec<_> = (0..FEW).map(|_| enter(&registry)).collect();
            some.iter().for_each(|entry| leaves(&registry, entry));
            assert!(room(&registry) >= FEW);
        }
        assert_eq!(stays.get(), 0);
    }

    #[test]
    fn an_entry_is_looked_for_from_a_place_on_and_round_the_end() {
        let registry = Registry::default();
        let entries: Vec<_> = (0..4).map(|_| enter(&registry)).collect();
        leaves(&registry, &entries[2]);
        let find = |start, wanted: &[u32]| {
            registry.find_from(start, |entry| wanted.contains(&entry.get()))
        };
        for start in 0..4 {
            assert_eq!(find(start, &[1]), Some(1), "from {start}");
            assert_eq!(find(start, &[2, NOWHERE]), None, "from {start}");
        }
        assert_eq!(
            [0, 1, 2, 3].map(|start| find(start, &[0, 3])),
            [0, 3, 3, 3].map(Some)
        );
        assert_eq!([4, NOWHERE].map(|start| find(start, &[0])), [Some(0); 2]);
    }
}
