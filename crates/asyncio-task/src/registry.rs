//! A registry: what has not ended, so that it can be listed and closed. Tasks, and families of children.
//!
//! Places in a vector, each entry knowing its own: O(1) to enter and to leave, 8 bytes an entry.

use std::cell::RefCell;

/// See the head of this file. No foreign code runs while it is borrowed.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    inner: RefCell<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

/// The place of what is in no registry.
pub(crate) const NOWHERE: u32 = u32::MAX;

impl<T> Registry<T> {
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
        Some(entry)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        let inner = self.inner.borrow();
        inner.places.len() - inner.free.len()
    }

    /// What `pick` makes of the entries that are here, by place.
    pub(crate) fn collect<R>(&self, pick: impl Fn(&T) -> Option<R>) -> Vec<R> {
        let inner = self.inner.borrow();
        inner.places.iter().flatten().filter_map(pick).collect()
    }

    /// Forgets entries that nobody needs any more, before more memory is taken for others.
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

    /// Gives memory back when nothing is left of a burst.
    #[inline]
    pub(crate) fn shrink(&self) {
        const WORTH_IT: usize = 1 << 12;
        let inner = &mut *self.inner.borrow_mut();
        if inner.places.len() == inner.free.len() && inner.places.capacity() > WORTH_IT {
            *inner = Inner::default();
        }
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            inner: RefCell::default(),
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
