//! The waker of a task: one vtable over its cell, for every thread.
//!
//! A vtable cannot know where it is called, so each call compares the owner of the task with the tasks
//! that run on this thread: one thread-local read. On the owner's thread waking is plain state and a
//! push on the ready queue, and a clone or a drop is a plain count (`refs.rs`). Anywhere else, and on the
//! owner's thread while its loop does not run, the task goes home through the mailbox, and counts are atomic.
//!
//! - **W1** Every waker owns one counted reference to its cell, except the one made by [`borrowed`],
//!   which borrows one and is never dropped.
//! - **W2** Nothing here drops a future or a value: the last waker frees memory only (C1 in `cell/mod.rs`).
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use asyncio_console::SpanId;

use crate::cell::Header;
use crate::cell::cell_ref::{CellRef, ForeignRef};
use crate::cell::marks::Mark;
use crate::children::family::Family;
use crate::engine::current;
use crate::engine::tasks::Tasks;
use crate::handle::id::TaskId;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that owns a reference.
pub(crate) fn owned(cell: CellRef) -> Waker {
    // SAFETY: the functions below keep the contract of a waker, and the reference is the waker's (W1).
    unsafe { Waker::from_raw(raw(cell.into_raw())) }
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
    // SAFETY: `cell` keeps its reference for as long as the result lives (W1).
    Borrowed(
        ManuallyDrop::new(unsafe { Waker::from_raw(raw(cell.as_raw())) }),
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

/// The task that a waker wakes, if that is one of the loop that runs here: for a callback that runs in a task, the
/// task that made it.
pub(crate) fn task_of(waker: &Waker) -> Option<TaskId> {
    let h = cell_of(waker)?;
    current::tasks(|tasks| {
        let owner = tasks?.owner();
        // SAFETY: the waker keeps the cell alive (W1).
        if unsafe { ForeignRef::owner_of(h) } != owner {
            return None;
        }
        // SAFETY: the waker keeps it alive, and this is its owner's thread.
        let cell = unsafe { CellRef::borrow(&h) };
        let made_by = cell.parent.filter(|_| cell.marks.has(Mark::Callback));
        Some(made_by.unwrap_or(cell.id))
    })
}

/// Wakes what a waker wakes if that is a member of a family and its loop runs here, without foreign code. Gives the
/// family if that is to be woken. `Err`: it is something else, and was not woken.
pub(crate) fn wake_in_family(waker: &Waker) -> Result<Option<Rc<Family>>, ()> {
    let h = cell_of(waker).ok_or(())?;
    current::tasks(|tasks| {
        // SAFETY: the waker keeps the cell alive (W1).
        let owner = unsafe { ForeignRef::owner_of(h) };
        if tasks.is_none_or(|tasks| tasks.owner() != owner) {
            return Err(());
        }
        // SAFETY: the waker keeps it alive, and this is its owner's thread.
        let cell = unsafe { CellRef::borrow(&h) };
        match cell.borrows() {
            true => Ok(cell.wake_in_family()),
            false => Err(()),
        }
    })
}

/// The task of a waker that was made here was woken, without a call of the waker. The result tells the console.
#[inline]
pub(crate) fn span_id_of(waker: &Waker) -> SpanId {
    match cell_of(waker) {
        // SAFETY: the waker keeps the cell alive (W1).
        Some(h) => unsafe { ForeignRef::span_id_of(h) },
        None => SpanId::default(),
    }
}

/// # Safety
///
/// For this and the four below: `ptr` is the pointer of a live waker made in this file.
unsafe fn header(ptr: *const ()) -> NonNull<Header> {
    // SAFETY: it came from a `NonNull` (W1).
    unsafe { NonNull::new_unchecked(ptr.cast_mut().cast::<Header>()) }
}

/// Calls `f` with the tasks that the cell is one of, if they run here and now: then this is the owner's thread.
///
/// # Safety
///
/// `h` must be alive.
#[inline(always)]
unsafe fn at_home<R>(h: NonNull<Header>, f: impl FnOnce(Option<&Tasks>) -> R) -> R {
    // SAFETY: the caller's promise.
    let owner = unsafe { ForeignRef::owner_of(h) };
    // Tasks never leave their thread, and no two ever have the same owner (M4 in `mailbox.rs`).
    current::tasks(|tasks| f(tasks.filter(|tasks| tasks.owner() == owner)))
}

unsafe fn clone(ptr: *const ()) -> RawWaker {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    unsafe { ForeignRef::span_id_of(h) }.note_clone();
    // The clone gets a reference of its own (W1), which it is given where it is made.
    // SAFETY: the waker's reference keeps the cell alive (W1), and stays the waker's.
    unsafe {
        at_home(h, |tasks| match tasks {
            Some(_) => raw(CellRef::borrow(&h).clone().into_raw()),
            None => clone_elsewhere(h),
        })
    }
}

/// Both halves of a waker of this cell.
#[inline]
fn raw(cell: NonNull<Header>) -> RawWaker {
    RawWaker::new(cell.as_ptr().cast::<()>().cast_const(), &VTABLE)
}

unsafe fn wake(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    unsafe { ForeignRef::span_id_of(h) }.note_wake();
    // SAFETY: the waker's reference passes on (W1), and is given up also if a schedule of others unwinds. It
    // keeps the cell alive until then.
    unsafe {
        at_home(h, |tasks| match tasks {
            Some(tasks) => tasks.wake(&CellRef::from_raw(h)),
            None => wake_elsewhere(h),
        });
    }
}

unsafe fn wake_by_ref(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    unsafe {
        ForeignRef::span_id_of(h).note_wake_by_ref();
        at_home(h, |tasks| match tasks {
            Some(tasks) => tasks.wake(CellRef::borrow(&h)),
            None => ForeignRef::post(h),
        });
    }
}

unsafe fn drop_waker(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference ends here (W1). Any thread may do that (W2).
    unsafe {
        ForeignRef::span_id_of(h).note_drop();
        at_home(h, |tasks| match tasks {
            Some(_) => drop(CellRef::from_raw(h)),
            None => drop(ForeignRef::from_raw(h)),
        });
    }
}

// Apart, so that what happens at home needs no registers of theirs.

/// # Safety
///
/// `h` is the cell of a live waker.
#[inline(never)]
unsafe fn clone_elsewhere(h: NonNull<Header>) -> RawWaker {
    // SAFETY: the waker's reference keeps the cell alive (W1), and stays the waker's.
    let this = ManuallyDrop::new(unsafe { ForeignRef::from_raw(h) });
    raw(this.deref().clone().into_raw())
}

/// # Safety
///
/// `h` is the cell of a waker, whose reference passes on.
#[inline(never)]
unsafe fn wake_elsewhere(h: NonNull<Header>) {
    // SAFETY: the caller's promise. The reference is given up also if posting unwinds, and keeps the cell
    // alive until then.
    unsafe {
        let _this = ForeignRef::from_raw(h);
        ForeignRef::post(h);
    }
}
