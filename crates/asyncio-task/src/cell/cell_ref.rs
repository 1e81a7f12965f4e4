//! References to a task's cell: of its owner's thread, of the handle that takes the outcome, of other threads.
//!
//! Each reference counts. The kinds differ in what they can reach: a [`CellRef`] everything but the value,
//! on the owner's thread; a [`JoinRef`] the value as well; a [`ForeignRef`] only the way home. An [`Anchor`] is
//! a reference that stays at home for certain: the owner has one, and each `JoinRef`. C1 to C5 are in
//! `cell/mod.rs`, N1 to N5 in `refs.rs`.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::Context;

use asyncio_console::SpanId;

use crate::cell::refs::{ForeignCount, HomeCount};
use crate::cell::state::Outcome;
use crate::cell::waker;
use crate::cell::{Header, Payload, Progress};
use crate::children::family::Family;
use crate::queue::mailbox::{Letter, Owner};
use crate::queue::registry::Placed;
use crate::sync::{Ordering, fence};

/// A counted reference to a cell, on its owner's thread.
#[repr(transparent)]
pub(crate) struct CellRef(NonNull<Header>);

impl CellRef {
    /// # Safety
    ///
    /// `ptr` carries a counted reference, which passes to the result, and this is the owner's thread.
    pub(crate) unsafe fn from_raw(ptr: NonNull<Header>) -> Self {
        Self(ptr)
    }

    /// Looks at a cell through a pointer that somebody else's reference keeps alive.
    ///
    /// # Safety
    ///
    /// The cell must stay alive as long as the result is used, and this must be the owner's thread.
    pub(crate) unsafe fn borrow(ptr: &NonNull<Header>) -> &Self {
        // SAFETY: `CellRef` is a `NonNull<Header>`, transparently. The reference is never given up, as the
        // result is only borrowed.
        unsafe { &*ptr::from_ref(ptr).cast::<Self>() }
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    /// Polls the future once.
    ///
    /// # Safety
    ///
    /// The caller has the right to poll (C6), and the future has not gone.
    // Always: debug builds keep a frame for each call, and polls are nested.
    #[inline(always)]
    pub(crate) unsafe fn poll(&self) -> Progress {
        let waker = waker::borrowed(self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: C5; `CellRef`s stay on the owner's thread (C3); the state says running, by the caller's promise (C2).
        unsafe { (self.vtable.poll)(self.0, &mut cx) }
    }

    /// Drops the future.
    ///
    /// # Safety
    ///
    /// As for [`poll`](Self::poll). Afterwards the future has gone.
    pub(crate) unsafe fn drop_future(&self) -> Outcome {
        // SAFETY: as in `poll`.
        match unsafe { (self.vtable.drop_future)(self.0) } {
            Ok(()) => Outcome::Cancelled,
            Err(payload) => {
                self.leave_payload(payload);
                Outcome::Panicked
            }
        }
    }

    /// Hands the task to what schedules it, if that is not its owner's ready queue.
    ///
    /// # Safety
    ///
    /// The task has not ended.
    // Apart: a wake-up of a task of the ready queue then makes no call.
    #[inline(never)]
    pub(crate) unsafe fn schedule_elsewhere(&self) {
        let Some(schedule) = self.vtable.schedule else {
            return;
        };
        // SAFETY: C5, C3; `self` keeps the cell alive during the call, and the task is not done, by the caller's
        // promise.
        unsafe { schedule(self.0) }
    }

    /// Wakes a task whose queue is that of a family. Gives the family if that is to be woken.
    pub(crate) fn wake_in_family(&self) -> Option<Rc<Family>> {
        debug_assert!(self.borrows());
        let family = self.vtable.family.filter(|_| self.state.wake())?;
        // SAFETY: C5, C3; `self` keeps the cell alive. The task could be woken, so it has not ended.
        let family = unsafe { family(self.0) };
        family.push(self.0).then_some(family)
    }

    /// Whether its queue is the ready queue of its owner.
    #[inline]
    pub(crate) fn is_at_home(&self) -> bool {
        self.vtable.schedule.is_none()
    }

    /// Whether the future may borrow, and so is none of its loop's business.
    #[inline]
    pub(crate) fn borrows(&self) -> bool {
        self.vtable.family.is_some()
    }

    /// Whether its places in a queue are plain pointers, of which one that is left behind gets a reference.
    #[inline]
    pub(crate) fn has_plain_places(&self) -> bool {
        self.is_at_home() || self.borrows()
    }

    /// Whether it has ended with the `Err` of a `Result`, and nobody has taken that.
    pub(crate) fn holds_err(&self) -> bool {
        // SAFETY: C2: done, a value, and not taken.
        self.state.has_value() && unsafe { (self.vtable.is_err)(self.0) }
    }

    /// Takes the outcome and drops it, if nobody has taken it. Gives the payload of a panic.
    #[inline]
    pub(crate) fn take_unwanted(&self) -> Option<Payload> {
        match self.state.take()? {
            Outcome::Cancelled => None,
            Outcome::Value => match self.vtable.drop_value {
                None => None,
                // SAFETY: C2: done, a value, and not taken before: `take` says so only once.
                Some(drop_value) => unsafe { self.drop_value(drop_value) },
            },
            // None if its group has it.
            Outcome::Panicked => self.aside()?.take_payload(),
        }
    }

    /// # Safety
    ///
    /// As for [`VTable::drop_value`](crate::cell::VTable::drop_value), which this is.
    #[inline(never)]
    unsafe fn drop_value(&self, drop_value: unsafe fn(NonNull<Header>)) -> Option<Payload> {
        // SAFETY: the caller's promise.
        catch_unwind(AssertUnwindSafe(|| unsafe { drop_value(self.0) })).err()
    }

    /// Has the task woken through its owner's mailbox, for when the owner does not run here and now.
    pub(crate) fn post_home(&self) {
        // SAFETY: `self` keeps the cell alive.
        unsafe { ForeignRef::post(self.0) }
    }

    /// Has the task ended through its owner's mailbox, for when the owner does not run here and now.
    pub(crate) fn post_end(&self) {
        let letter = Letter::End(ForeignRef(self.clone().into_raw()));
        // Refused: the owner is gone, and has ended the task.
        drop(self.owner().post(letter));
    }

    /// Whether a wake-up is in the mailbox, or about to be.
    pub(crate) fn is_posted(&self) -> bool {
        self.posted.load(Ordering::Relaxed)
    }
}

impl Deref for CellRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: C1: this is a reference, or borrows from one; on the owner's thread, as is all of the
        // header that other threads never reach (C3).
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CellRef {
    #[inline]
    fn clone(&self) -> Self {
        let (home, foreign) = counts(self.0);
        // SAFETY: this is a reference (C1), on the owner's thread (N1).
        unsafe { (*home).retain(&*foreign) };
        Self(self.0)
    }
}

impl Drop for CellRef {
    #[inline]
    fn drop(&mut self) {
        let (home, foreign) = counts(self.0);
        // SAFETY: this is a reference (C1), on the owner's thread (N1), and given up here.
        if unsafe { (*home).release(&*foreign) } {
            free(self.0);
        }
    }
}

impl PartialEq for CellRef {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for CellRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.name(), self.state.shown())
    }
}

/// The two counts of a cell, by pointers to just these: the rest is not for every thread (C3).
#[inline]
fn counts(h: NonNull<Header>) -> (*const HomeCount, *const ForeignCount) {
    // SAFETY: whoever has `h` has a reference, so it is alive (C1). Nothing is read here.
    unsafe {
        (
            &raw const (*h.as_ptr()).home,
            &raw const (*h.as_ptr()).foreign,
        )
    }
}

#[inline(never)]
fn free(h: NonNull<Header>) {
    // What others did with their references happened before this (N5).
    fence(Ordering::Acquire);
    #[cfg(all(test, loom))]
    // SAFETY: alive until `dealloc`, and this thread's alone.
    crate::loom_tests::will_be_freed(unsafe { h.as_ref() });
    // SAFETY: that was the last reference (C1), and the vtable fits (C5).
    unsafe { ((*h.as_ptr()).vtable.dealloc)(h) }
}

/// A reference that never leaves the owner's thread, of which a cell has two at its birth: while it has one,
/// how many others there are does not matter (N2). It is counted apart.
pub(crate) struct Anchor(NonNull<Header>);

impl Anchor {
    /// # Safety
    ///
    /// `h` carries an anchor, which passes to the result, and this is the owner's thread.
    pub(crate) unsafe fn from_raw(h: NonNull<Header>) -> Self {
        Self(h)
    }
}

impl Deref for Anchor {
    type Target = CellRef;

    #[inline]
    fn deref(&self) -> &CellRef {
        // SAFETY: the anchor keeps it alive for as long, on the owner's thread.
        unsafe { CellRef::borrow(&self.0) }
    }
}

impl Drop for Anchor {
    #[inline]
    fn drop(&mut self) {
        let (home, foreign) = counts(self.0);
        // SAFETY: this keeps the cell alive (C1), on the owner's thread (N1), and is given up here.
        if unsafe { (*home).let_go(&*foreign) } {
            free(self.0);
        }
    }
}

impl Placed for Anchor {
    fn set_place(&self, place: u32) {
        self.place.set(place);
    }
}

/// A counted reference to a cell, for any thread: all it can do is go home.
pub(crate) struct ForeignRef(NonNull<Header>);

// SAFETY: a foreign reference touches the count, the posted flag, the owner, the number of the span and the vtable only, which are
// atomic or never change (C3); its drop may free the cell, which drops nothing that cares about the thread
// (C1).
unsafe impl Send for ForeignRef {}

impl ForeignRef {
    /// # Safety
    ///
    /// `h` carries a counted reference, which passes to the result.
    pub(crate) unsafe fn from_raw(h: NonNull<Header>) -> Self {
        Self(h)
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    /// Whose task it is.
    ///
    /// # Safety
    ///
    /// `h` must be alive.
    #[inline]
    pub(crate) unsafe fn owner_of(h: NonNull<Header>) -> Owner {
        // SAFETY: the caller's promise; neither field ever changes, so they are for every thread (C3).
        unsafe {
            Owner {
                mailbox: (*h.as_ptr()).mailbox,
                generation: (*h.as_ptr()).generation,
            }
        }
    }

    /// The number of its span.
    ///
    /// # Safety
    ///
    /// `h` must be alive.
    #[inline(always)]
    pub(crate) unsafe fn span_id_of(h: NonNull<Header>) -> SpanId {
        // SAFETY: the caller's promise; the field never changes, so it is for every thread (C3).
        unsafe { (*h.as_ptr()).span_id }
    }

    /// Posts a task to its owner, unless that has been done and not yet been seen.
    ///
    /// # Safety
    ///
    /// `h` must stay alive during the call.
    #[inline(never)]
    pub(crate) unsafe fn post(h: NonNull<Header>) {
        // SAFETY: the caller's promise; the flag is for every thread (C3).
        let posted = unsafe { &(*h.as_ptr()).posted };
        // Release here and acquire in `arrive`: who skips the letter has still handed over what it wrote
        // before the wake-up to whoever clears the flag, and that is before the poll.
        if posted.swap(true, Ordering::Release) {
            return;
        }
        // SAFETY: the caller's promise.
        let owner = unsafe { Self::owner_of(h) };
        // SAFETY: the caller's promise; only looked at, to be cloned.
        let letter = ManuallyDrop::new(unsafe { Self::from_raw(h) })
            .deref()
            .clone();
        // Refused: the owner is gone, and the future with it. Dropped outside the mailbox's lock.
        drop(owner.post(Letter::Wake(letter)));
    }

    /// At home again, with a letter that wakes the task: from here on a foreign wake-up posts a new one.
    ///
    /// # Safety
    ///
    /// This must be the owner's thread.
    pub(crate) unsafe fn arrive(self) -> CellRef {
        // SAFETY: the caller's promise.
        let cell = unsafe { self.into_local() };
        // A swap, as a store would see nothing of the others' writes.
        cell.posted.swap(false, Ordering::Acquire);
        cell
    }

    /// At home again.
    ///
    /// # Safety
    ///
    /// This must be the owner's thread.
    pub(crate) unsafe fn into_local(self) -> CellRef {
        CellRef(self.into_raw())
    }
}

impl Clone for ForeignRef {
    #[inline]
    fn clone(&self) -> Self {
        let (_, foreign) = counts(self.0);
        // SAFETY: this is a reference (C1); the count is for every thread (C3).
        unsafe { (*foreign).retain() };
        Self(self.0)
    }
}

impl Drop for ForeignRef {
    #[inline]
    fn drop(&mut self) {
        let (_, foreign) = counts(self.0);
        // SAFETY: this is a reference (C1), and given up here; the count is for every thread (C3).
        if unsafe { (*foreign).release() } {
            free(self.0);
        }
    }
}

/// The reference of the one who takes the outcome, with its type.
pub(crate) struct JoinRef<T> {
    anchor: Anchor,
    output: PhantomData<T>,
}

/// The outcome of a task.
pub(crate) enum Finished<T> {
    Value(T),
    Cancelled,
    Panicked(Payload),
}

impl<T> JoinRef<T> {
    #[inline]
    pub(crate) fn cell(&self) -> &CellRef {
        &self.anchor
    }

    /// Takes the outcome, once.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Finished<T>> {
        Some(match self.cell().state.take()? {
            Outcome::Value => {
                let mut value = MaybeUninit::<T>::uninit();
                // SAFETY: C2: done, a value, not taken before. `T` is the future's output: a `JoinRef`
                // is made with its cell, and nothing changes its type.
                Finished::Value(unsafe {
                    (self.cell().vtable.read_value)(self.cell().0, value.as_mut_ptr().cast());
                    value.assume_init()
                })
            }
            Outcome::Cancelled => Finished::Cancelled,
            Outcome::Panicked => Finished::Panicked(self.cell().take_payload()),
        })
    }

    /// The value, if the task has ended with one and nobody has taken it.
    pub(crate) fn peek(&self) -> Option<&T> {
        if !self.cell().state.has_value() {
            return None;
        }
        // SAFETY: C2: done, a value, not taken; and `take` needs this handle mutably. `T` is
        // the future's output.
        Some(unsafe { &*(self.cell().vtable.value)(self.cell().0).cast::<T>() })
    }

    /// # Safety
    ///
    /// `T` is the output of the cell's future, and there is no other `JoinRef` of this cell.
    pub(crate) unsafe fn from_anchor(anchor: Anchor) -> Self {
        Self {
            anchor,
            output: PhantomData,
        }
    }
}
