//! An array whose elements are pinned with it.
//!
//! - **P1** An element is never moved out, nor given out by `&mut` without a pin. No function here does, and the field
//!   is private to this file.
//! - **P2** The array has no destructor of its own, so each element is dropped in place. `Unpin` holds for the array
//!   only if it holds for the elements.
#![allow(unsafe_code)]

use std::pin::Pin;

/// An array whose elements are pinned when the array is.
pub(crate) struct PinnedArray<T, const N: usize>([T; N]);

impl<T, const N: usize> PinnedArray<T, N> {
    pub(crate) fn new(elements: [T; N]) -> Self {
        Self(elements)
    }

    /// The element at a place.
    #[inline]
    pub(crate) fn element(self: Pin<&mut Self>, n: usize) -> Pin<&mut T> {
        // SAFETY: the element stays where it is as long as the array does (P1, P2), which is pinned.
        unsafe { self.map_unchecked_mut(|array| &mut array.0[n]) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::marker::PhantomPinned;
    use std::pin::pin;

    use super::*;

    /// Notes where it is dropped.
    struct Notes<'a>(&'a RefCell<Vec<usize>>, PhantomPinned);

    impl Drop for Notes<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(std::ptr::from_ref(self).addr());
        }
    }

    // Proves P1, P2.
    #[test]
    fn elements_stay_where_they_are_until_they_are_dropped() {
        let dropped = RefCell::default();
        let mut places = Vec::new();
        {
            let mut array = pin!(PinnedArray::new(
                [(); 3].map(|()| Notes(&dropped, PhantomPinned))
            ));
            for _ in 0..2 {
                for n in 0..3 {
                    let element = array.as_mut().element(n);
                    places.push(std::ptr::from_ref(&*element).addr());
                }
            }
        }
        assert_eq!(places[..3], places[3..]);
        assert_eq!(dropped.into_inner(), places[..3]);
    }
}
