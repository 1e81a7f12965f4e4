//! The owner of a task as a value, and the lease that proves its thread.
//!
//! A waker cannot know which thread it is called on. So the code of a cell compares the owner of the task with the
//! owner of the tasks that run here. If these are equal, this is the owner's thread: the proof is O1 and O2.
//!
//! - **O1** No two owners are equal, past or future, unless they are of one lease. A site is never freed and never
//!   moves, as the only way to it is a `&'static`. It numbers its leases, and gives no number twice. After 2¹⁶ leases
//!   it gives none.
//! - **O2** A lease never leaves its thread, and only a lease makes an owner.

use std::fmt;
use std::marker::PhantomData;

use crate::sync::{AtomicU32, Ordering};

/// A value that lives forever, and is leased by one loop after another.
pub(crate) struct Site<T> {
    /// How many leases there have been.
    leases: AtomicU32,
    pub(crate) content: T,
}

/// The content of a site.
pub(crate) trait Leased: Sized + 'static {
    /// A lease of this owner ends.
    fn end(owner: Owner<Self>);
}

impl<T: Leased> Site<T> {
    pub(crate) fn new(content: T) -> Self {
        Self {
            leases: AtomicU32::new(0),
            content,
        }
    }

    /// Gives the next lease. `None`: there was the last one.
    pub(crate) fn lease(&'static self) -> Option<Lease<T>> {
        let next = |number: u32| (number <= u32::from(u16::MAX)).then(|| number + 1);
        // Each number comes once, as the updates have one order. All else that a lease needs is ordered by its content.
        let number = self
            .leases
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let number = u16::try_from(number.ok()?).ok()?;
        Some(Lease {
            owner: Owner { site: self, number },
            thread: PhantomData,
        })
    }
}

/// The owner of a task: a site and the number of one of its leases. Packed, so that a task has room beside it.
#[repr(Rust, packed(2))]
pub(crate) struct Owner<T: 'static> {
    site: &'static Site<T>,
    number: u16,
}

impl<T> Clone for Owner<T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Owner<T> {}

impl<T> PartialEq for Owner<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.site(), other.site()) && self.number() == other.number()
    }
}

impl<T> fmt::Debug for Owner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:p}, {})", self.site(), self.number())
    }
}

impl<T> Owner<T> {
    #[inline]
    pub(crate) fn site(self) -> &'static Site<T> {
        self.site
    }

    /// The number of its lease.
    #[inline]
    pub(crate) fn number(self) -> u16 {
        self.number
    }

    /// Whether its site gives no other lease after this one.
    #[cfg(not(loom))]
    pub(crate) fn is_last(self) -> bool {
        self.number() == u16::MAX
    }
}

/// The right of a thread to a site. It ends with the drop.
pub(crate) struct Lease<T: Leased> {
    owner: Owner<T>,
    /// It is neither `Send` nor `Sync` (O2).
    thread: PhantomData<*const ()>,
}

impl<T: Leased> Lease<T> {
    #[inline]
    pub(crate) fn owner(&self) -> Owner<T> {
        self.owner
    }
}

impl<T: Leased> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.fmt(f)
    }
}

impl<T: Leased> Drop for Lease<T> {
    fn drop(&mut self) {
        T::end(self.owner);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    struct Nothing;

    impl Leased for Nothing {
        fn end(_: Owner<Self>) {}
    }

    // Proves O1.
    #[test]
    fn a_site_gives_each_number_once_and_then_no_lease() {
        let site: &'static Site<Nothing> = Box::leak(Box::new(Site::new(Nothing)));
        let lease = || site.lease().map(|lease| lease.owner().number());
        let numbers: HashSet<u16> = (0..=u16::MAX).filter_map(|_| lease()).collect();
        assert_eq!(numbers.len(), 1 << 16);
        assert_eq!((lease(), lease()), (None, None));
    }

    /// If a lease were `Send` or `Sync`, more than one implementation would fit, and this would not compile.
    // Proves O2.
    #[test]
    fn a_lease_stays_on_its_thread() {
        trait Fits<Why> {
            fn fits() {}
        }
        impl<T: ?Sized> Fits<()> for T {}
        impl<T: ?Sized + Send> Fits<u8> for T {}
        impl<T: ?Sized + Sync> Fits<u16> for T {}
        <Lease<Nothing> as Fits<_>>::fits();
    }

    // Proves O1.
    #[test]
    fn owners_are_equal_if_they_are_of_one_lease() {
        let [one, other]: [&'static Site<Nothing>; 2] =
            std::array::from_fn(|_| &*Box::leak(Box::new(Site::new(Nothing))));
        let (first, second, elsewhere) = (one.lease(), one.lease(), other.lease());
        let owner = |lease: &Option<Lease<Nothing>>| lease.as_ref().map(Lease::owner);
        assert_eq!(owner(&first), owner(&first));
        assert_ne!(owner(&first), owner(&second));
        assert_ne!(owner(&first), owner(&elsewhere));
    }
}
