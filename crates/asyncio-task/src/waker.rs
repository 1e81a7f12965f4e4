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

use crate::cell::{CellRef, ForeignRef, Header};
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

/// # Safety
///
/// For all four: `ptr` is the pointer of a live waker made in this file.
unsafe fn header(ptr: *const ()) -> NonNull<Header> {
    // SAFETY: it came from a `NonNull` (W1).
    unsafe { NonNull::new_unchecked(ptr.cast_mut().cast::<Header>()) }
}

unsafe fn clone(ptr: *const ()) -> RawWaker {
    // SAFETY: the waker's reference keeps the cell alive; the clone gets one of its own (W1). The count
    // is atomic, so this may be any thread.
    std::mem::forget(
        unsafe { ManuallyDrop::new(CellRef::from_raw(header(ptr))) }
            .deref()
            .clone(),
    );
    RawWaker::new(ptr, &VTABLE)
}

unsafe fn wake(ptr: *const ()) {
    // SAFETY: the waker's reference passes on (W1).
    unsafe {
        wake_by_ref(ptr);
        drop_waker(ptr);
    }
}

unsafe fn wake_by_ref(ptr: *const ()) {
    // SAFETY: the waker's reference keeps the cell alive (W1).
    let h = unsafe { header(ptr) };
    current::tasks(|tasks| match tasks {
        // SAFETY: alive, and tasks that are current run on this thread, which is the owner's.
        Some(tasks) if unsafe { h.as_ref() }.is_owned_by(tasks.owner()) => {
            tasks.wake(unsafe { CellRef::borrow(&h) });
        }
        // SAFETY: alive.
        _ => unsafe { ForeignRef::post(h) },
    });
}

unsafe fn drop_waker(ptr: *const ()) {
    // SAFETY: the waker's reference ends here (W1). Any thread may do it (W2).
    drop(unsafe { CellRef::from_raw(header(ptr)) });
}
