//! The waker of a task: one vtable over its cell, for every thread.
//!
//! A vtable cannot know where it is called, so each call compares the owner of the task with the tasks
//! that run on this thread: one thread-local read. On the owner's thread waking is plain state and a
//! push on the ready queue. Anywhere else, and on the owner's thread while its loop does not run, the
//! task goes home through the mailbox.
//!
//! - **W1** Every waker owns one counted reference to its cell, except the one made by [`borrowed`],
//!   which borrows one and is never dropped.
//! - **W2** Nothing here drops a future or a value: the last waker frees memory only (C1 in `cell.rs`).
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::cell::Header;
use crate::cell_ref::{CellRef, ForeignRef};
use crate::current;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that owns a reference.
pub(crate) fn owned(cell: CellRef) -> Waker {
    let raw = RawWaker::new(cell.into_raw().as_ptr().cast::<()>().cast_const(), &VTABLE);
    // SAFETY: the functions below keep the contract of a waker, and the reference is the waker's (W1).
    unsafe { Waker::from_raw(raw) }
}

/// A waker for the time of a poll, without a reference of its own.
#[inline]
pub(crate) fn borrowed(cell: &CellRef) -> impl Deref<Target = Waker> + use<'_> {
    struct Borrowed<'a>(ManuallyDrop<Waker>, std::marker::PhantomData<&'a CellRef>);
    impl Deref for Borrowed<'_> {
        type Target = Waker;
        fn deref(&self) -> &Waker {
            &self.0
        }
    }
    let raw = RawWaker::new(cell.as_raw().as_ptr().cast::<()>().cast_const(), &VTABLE);
    // SAFETY: `cell` keeps its reference for as long as the result lives (W1).
    Borrowed(
        ManuallyDrop::new(unsafe { Waker::from_raw(raw) }),
        std::marker::PhantomData,
    )
}

/// The cell of a waker that was made here; `None` for wakers of others.
#[inline]
pub(crate) fn cell_of(waker: &Waker) -> Option<NonNull<Header>> {
    // A static has one address, so the vtable tells whose waker it is.
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return None;
    }
    NonNull::new(waker.data().cast_mut().cast::<Header>())
}

/// # Safety
///
/// For all five: `ptr` is the pointer of a live waker made in this file.
unsafe fn header(ptr: *const ()) -> NonNull<Header> {
    // SAFETY: it came from a `NonNull` (W1).
    unsafe { NonNull::new_unchecked(ptr.cast_mut().cast::<Header>()) }
}

unsafe fn clone(ptr: *const ()) -> RawWaker {
    // SAFETY: the waker's reference keeps the cell alive, and stays the waker's (W1).
    let this = ManuallyDrop::new(unsafe { ForeignRef::from_raw(header(ptr)) });
    // The clone gets a reference of its own (W1).
    let clone = this.deref().clone().into_raw();
    RawWaker::new(clone.as_ptr().cast::<()>().cast_const(), &VTABLE)
}

unsafe fn wake(ptr: *const ()) {
    // SAFETY: the waker's reference passes on (W1), and is given up also if a schedule of others unwinds.
    let _this = unsafe { ForeignRef::from_raw(header(ptr)) };
    // SAFETY: it is alive.
    unsafe { wake_by_ref(ptr) };
}

unsafe fn wake_by_ref(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    let owner = unsafe { ForeignRef::owner_of(h) };
    current::tasks(|tasks| match tasks {
        // SAFETY: alive (W1), and tasks that are current run on this thread, which is the owner's.
        Some(tasks) if tasks.owner() == owner => tasks.wake(unsafe { CellRef::borrow(&h) }),
        // SAFETY: alive (W1).
        _ => unsafe { ForeignRef::post(h) },
    });
}

unsafe fn drop_waker(ptr: *const ()) {
    // SAFETY: the waker's reference ends here (W1). Any thread may do that (W2).
    drop(unsafe { ForeignRef::from_raw(header(ptr)) });
}
