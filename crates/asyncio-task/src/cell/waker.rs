//! The waker of a task: one vtable over its cell, for every thread.
//!
//! A vtable cannot know where it is called. So each call compares the owner of the task with the tasks that run on this
//! thread, by one thread-local read. On the owner's thread, waking is plain state and a push on the ready queue. A
//! clone or a drop is a plain count (`refs.rs`). Anywhere else, and on the owner's thread while its loop does not run,
//! the task goes home through the inbox, and counts are atomic.
//!
//! - **W1** Every waker owns one counted reference to its cell, except the one made by [`borrowed`],
//!   which borrows one and is never dropped.
//! - **W2** No waker of a task drops a future or a value: the last one frees memory only (C1 in `cell/mod.rs`).
//! - **W3** The waker of a supervisor is in a [`Joiner`], which is in the joiner slot of its own cell or on its way
//!   from there. Nothing gets it out. It owns what was the handle's anchor and right to the outcome. A `Joiner` never
//!   leaves the owner's thread, so it is woken or dropped once and there. A clone of it is a waker that does nothing.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use asyncio_console::SpanId;

use crate::cell::cell_ref::{
    ChildQueue, CurrentStep, Ended, JoinRef, LocalRef, Polled, RemoteRef, Running,
};
use crate::cell::header::{Header, Joiner, Progress};
use crate::cell::marks::Mark;
use crate::cell::state::Outcome;
use crate::engine::current;
use crate::engine::local::Local;
use crate::handle::id::TaskId;

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

/// A waker that owns a reference.
pub(crate) fn owned(cell: LocalRef) -> Waker {
    // SAFETY: the functions below keep the contract of a waker, and the reference is the waker's (W1).
    unsafe { Waker::from_raw(raw(cell.into_raw())) }
}

/// A waker for the time of a poll, without a reference of its own.
#[inline]
pub(crate) fn borrowed(cell: &LocalRef) -> impl Deref<Target = Waker> + use<'_> {
    struct Borrowed<'a>(ManuallyDrop<Waker>, std::marker::PhantomData<&'a LocalRef>);
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

/// The cell of a waker that was made here; `None` for foreign wakers.
#[inline]
fn cell_of(waker: &Waker) -> Option<NonNull<Header>> {
    // A static has one address, so the vtable tells whose waker it is.
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return None;
    }
    NonNull::new(waker.data().cast_mut().cast::<Header>())
}

/// Whether a waker is one of that task.
#[inline]
pub(crate) fn is_of(waker: &Waker, cell: &LocalRef) -> bool {
    cell_of(waker) == Some(cell.as_raw())
}

/// Calls `f` with the cell that a waker wakes, if it is one of these tasks.
#[inline]
pub(crate) fn with_cell<R>(
    waker: &Waker,
    local: &Local,
    f: impl FnOnce(Option<&LocalRef>) -> R,
) -> R {
    let h = cell_of(waker);
    // SAFETY: the waker keeps the cell alive (W1).
    let h = h.filter(|&h| unsafe { RemoteRef::owner_of(h) } == local.lease.owner());
    // SAFETY: the waker keeps it alive, and `local` never leaves its thread, which is that of the owner.
    f(h.as_ref().map(|h| unsafe { LocalRef::borrow(h) }))
}

/// The task that a waker wakes, if it belongs to the loop that runs here. For a callback that runs in a task, the task
/// that made it.
pub(crate) fn task_of(waker: &Waker) -> Option<TaskId> {
    current::tasks(|tasks| {
        with_cell(waker, tasks?, |cell| {
            let cell = cell?;
            let made_by = cell.parent.filter(|_| cell.marks.has(Mark::Callback));
            Some(made_by.unwrap_or(cell.id))
        })
    })
}

/// Wakes what a waker wakes if that is a child or a body and its loop runs here, without foreign code. Its queue, if
/// the owner of that is to be woken. `Err`: it is something else, and was not woken.
pub(crate) fn wake_child(waker: &Waker) -> Result<Option<Rc<dyn ChildQueue>>, ()> {
    current::tasks(|tasks| {
        with_cell(waker, tasks.ok_or(())?, |cell| match cell {
            Some(cell) if cell.borrows() => Ok(cell.wake_child()),
            _ => Err(()),
        })
    })
}

/// The task of a waker that was made here was woken, without a call of the waker. The result tells the console.
#[inline]
pub(crate) fn span_id_of(waker: &Waker) -> SpanId {
    match cell_of(waker) {
        // SAFETY: the waker keeps the cell alive (W1).
        Some(h) => unsafe { RemoteRef::span_id_of(h) },
        None => SpanId::default(),
    }
}

impl Running {
    /// Polls the future once, as the step under way.
    // Always: debug builds keep a frame for each call, and polls are nested.
    #[inline(always)]
    pub(crate) fn poll(self, step: &CurrentStep) -> Polled {
        // SAFETY: the guard is dropped before this returns.
        let _entered = unsafe { step.enter(&self) };
        let waker = borrowed(&self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: C5; this is the owner's thread (C3); the state says running, and the future is in the stage (C2, C6).
        match unsafe { (self.vtable.poll)(self.0, &mut cx) } {
            Progress::Pending => Polled::Pending(Running(self.0)),
            Progress::Ready => Polled::Ended(Ended(self.0, Outcome::Value)),
            Progress::Panicked => Polled::Ended(Ended(self.0, Outcome::Panicked)),
        }
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
unsafe fn on_owner<R>(h: NonNull<Header>, f: impl FnOnce(Option<&Local>) -> R) -> R {
    // SAFETY: the caller's promise.
    let owner = unsafe { RemoteRef::owner_of(h) };
    // Tasks never leave their thread, and no two ever have the same owner (O1, O2 in `owner.rs`).
    current::tasks(|tasks| f(tasks.filter(|tasks| tasks.lease.owner() == owner)))
}

unsafe fn clone(ptr: *const ()) -> RawWaker {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    unsafe { RemoteRef::span_id_of(h) }.note_clone();
    // The clone gets a reference of its own (W1), which it is given where it is made.
    // SAFETY: the waker's reference keeps the cell alive (W1), and stays the waker's.
    unsafe {
        on_owner(h, |tasks| match tasks {
            Some(_) => raw(LocalRef::borrow(&h).clone().into_raw()),
            None => clone_remotely(h),
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
    unsafe { RemoteRef::span_id_of(h) }.note_wake();
    // SAFETY: the waker's reference passes on (W1), and is given up also if a foreign schedule unwinds. It
    // keeps the cell alive until then.
    unsafe {
        on_owner(h, |tasks| match tasks {
            Some(tasks) => tasks.wake(&LocalRef::from_raw(h)),
            None => wake_remotely(h),
        });
    }
}

unsafe fn wake_by_ref(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference keeps the cell alive (W1).
    unsafe {
        RemoteRef::span_id_of(h).note_wake_by_ref();
        on_owner(h, |tasks| match tasks {
            Some(tasks) => tasks.wake(LocalRef::borrow(&h)),
            None => RemoteRef::post(h),
        });
    }
}

unsafe fn drop_waker(ptr: *const ()) {
    // SAFETY: the caller's promise.
    let h = unsafe { header(ptr) };
    // SAFETY: the waker's reference ends here (W1). Any thread may do that (W2).
    unsafe {
        RemoteRef::span_id_of(h).note_drop();
        on_owner(h, |tasks| match tasks {
            Some(_) => drop(LocalRef::from_raw(h)),
            None => drop(RemoteRef::from_raw(h)),
        });
    }
}

// Apart, so that the local path needs no registers of theirs.

/// # Safety
///
/// `h` is the cell of a live waker.
#[inline(never)]
unsafe fn clone_remotely(h: NonNull<Header>) -> RawWaker {
    // SAFETY: the waker's reference keeps the cell alive (W1), and stays the waker's.
    let this = ManuallyDrop::new(unsafe { RemoteRef::from_raw(h) });
    raw(this.deref().clone().into_raw())
}

/// # Safety
///
/// `h` is the cell of a waker, whose reference passes on.
#[inline(never)]
unsafe fn wake_remotely(h: NonNull<Header>) {
    // SAFETY: the caller's promise. The reference is given up also if posting unwinds, and keeps the cell
    // alive until then.
    unsafe {
        let _this = RemoteRef::from_raw(h);
        RemoteRef::post(h);
    }
}

/// A supervisor, which takes the outcome of a task that has no handle.
pub(crate) trait Supervisor<T>: 'static {
    /// The task has ended. Does not unwind.
    fn conclude(join: JoinRef<T>);

    /// The waker was dropped before that.
    fn dropped(join: JoinRef<T>);
}

/// Puts a supervisor where the waker of an awaiting task would be. The task has not ended, and nothing awaits it.
pub(crate) fn supervise<T: 'static, S: Supervisor<T>>(join: JoinRef<T>) {
    let cell = join.cell().clone();
    let raw = RawWaker::new(
        join.into_raw().as_ptr().cast::<()>().cast_const(),
        &Supervised::<T, S>::VTABLE,
    );
    // SAFETY: the functions of the vtable keep the contract of a waker, for one that stays in its cell (W3).
    let supervisor = unsafe { Waker::from_raw(raw) };
    cell.set_joiner(Some(Joiner::new(supervisor)));
}

struct Supervised<T, S>(PhantomData<(T, S)>);

impl<T: 'static, S: Supervisor<T>> Supervised<T, S> {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    /// # Safety
    ///
    /// `ptr` is that of a supervisor, which is used up.
    unsafe fn join(ptr: *const ()) -> JoinRef<T> {
        // SAFETY: W3: the pointer is that of a `JoinRef<T>`, of which it is the only use. This is the owner's thread.
        unsafe { JoinRef::from_raw(header(ptr)) }
    }

    unsafe fn clone(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), Waker::noop().vtable())
    }

    unsafe fn wake(ptr: *const ()) {
        // SAFETY: the waker is used up (W3).
        S::conclude(unsafe { Self::join(ptr) });
    }

    unsafe fn wake_by_ref(_: *const ()) {}

    unsafe fn drop(ptr: *const ()) {
        // SAFETY: the waker is used up (W3).
        S::dropped(unsafe { Self::join(ptr) });
    }
}
