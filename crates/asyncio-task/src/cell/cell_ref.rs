//! References to a cell, and the rights that go with them.
//!
//! Each reference counts. The kinds differ in their reach. A [`LocalRef`] reaches everything but future and value, on
//! the owner's thread. A [`JoinRef`] reaches the value as well, and a [`RemoteRef`] only the inbox of the owner. An
//! [`Anchor`] is a reference that never leaves the thread: the owner has one, and each `JoinRef`.
//!
//! A [`QueueEntry`], a [`Running`] and an [`Ended`] count nothing: their task is alive, by C4. C1 to C6 are in
//! `cell/mod.rs`, N1 to N5 in `refs.rs`.
//!
//! - **R2** A task whose step is under way has not ended. The [`Running`] of that step is further up the stack, and
//!   there is no other (C6). So it is alive in [`CurrentStep`].
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use asyncio_console::{SpanId, TaskSpan};

use crate::cancel::ScopeKey;
use crate::cell::header::{Header, Payload};
use crate::cell::refs::{LocalCount, RemoteCount};
use crate::cell::state::{self, Outcome};
use crate::handle::id::TaskId;
use crate::queue::inbox::{self, Posted};
use crate::queue::registry::Placed;
use crate::sync::{Ordering, fence};

/// The inbox of the tasks of one loop.
#[cfg(all(test, loom))]
pub(crate) type Inbox = super::owner::Site<inbox::Inbox<Message>>;
/// The owner of a task.
pub(crate) type Owner = inbox::Owner<Message>;
/// The lease of an inbox, which its owner has.
pub(crate) type Lease = inbox::Lease<Message>;

/// A message to the owner of a task, from any thread.
pub(crate) enum Message {
    /// A task was woken.
    Wake(RemoteRef),
    /// A task has to end: it was to take a step, and nothing will run it.
    End(RemoteRef),
    /// Something is to be called on the owner's thread. From where it was posted.
    Call(Box<dyn FnOnce() + Send>, &'static Location<'static>),
}

impl Posted for Message {
    #[cfg(not(loom))]
    fn free() -> &'static inbox::Free<Self> {
        static FREE: inbox::Free<Message> = inbox::Free::new();
        &FREE
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wake(_) => "Wake",
            Self::End(_) => "End",
            Self::Call(..) => "Call",
        })
    }
}

/// The ready queue of the children of one group.
///
/// # Safety
///
/// An entry that is put in comes out at the same group only.
pub(crate) unsafe trait OwnEntries {
    /// Takes in an entry. Runs no foreign code.
    ///
    /// # Safety
    ///
    /// It is of a task whose queue this is (Q3 in `ready.rs`): the code of a cell calls this, and asks the cell for its
    /// queue.
    unsafe fn push(&self, entry: QueueEntry);
}

/// The group of a child, as the child sees it (`children/child_set.rs`).
pub(crate) trait ChildQueue: OwnEntries {
    /// A child that was woken comes into the queue. Whether [`wake_owner`](Self::wake_owner) has to follow when it is
    /// there. Runs no foreign code.
    fn note_woken(&self) -> bool;

    /// Wakes the task that runs the children. That may be a child of another group: then the queue of that one, if its
    /// owner is to be woken as well. So nesting needs no stack.
    fn wake_owner(&self) -> Option<Rc<dyn ChildQueue>>;

    /// The number of children that have not ended.
    fn len(&self) -> usize;

    /// The children that have not ended.
    fn cells(&self) -> Vec<LocalRef>;

    /// Whether a child is one of these.
    fn has(&self, cell: &LocalRef) -> bool;

    /// The task that runs the children, if it is known.
    fn runner(&self) -> Option<TaskId>;

    /// The scope of their group that has heard a request and passed it on.
    fn heard_by(&self) -> Option<ScopeKey>;

    /// Where the loop has it on its list.
    fn set_index(&self, index: u32);
}

/// Wakes the task that runs the children of a group, and those that run that one.
pub(crate) fn wake_owners(first: Rc<dyn ChildQueue>) {
    let mut next = Some(first);
    while let Some(children) = next {
        next = children.wake_owner();
    }
}

/// A counted reference to a cell, on its owner's thread.
#[repr(transparent)]
pub(crate) struct LocalRef(NonNull<Header>);

impl LocalRef {
    /// # Safety
    ///
    /// `ptr` carries a counted reference, which passes to the result, and this is the owner's thread.
    pub(super) unsafe fn from_raw(ptr: NonNull<Header>) -> Self {
        Self(ptr)
    }

    /// Looks at a cell through a pointer that another reference keeps alive.
    ///
    /// # Safety
    ///
    /// The cell must stay alive as long as the result is used, and this must be the owner's thread.
    pub(crate) unsafe fn borrow(ptr: &NonNull<Header>) -> &Self {
        // SAFETY: `LocalRef` is a `NonNull<Header>`, transparently. The reference is never given up, as the
        // result is only borrowed.
        unsafe { &*ptr::from_ref(ptr).cast::<Self>() }
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    /// The cell, as something to compare.
    #[inline]
    pub(crate) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    /// Hands a task that was just woken to what schedules it, if that is not its owner's ready queue.
    ///
    /// # Safety
    ///
    /// The task has not ended.
    // Always: as a call of its own it would take a reference to a reference, and the waker would need a frame.
    #[inline(always)]
    pub(super) unsafe fn schedule(&self) {
        let Some(schedule) = self.vtable.schedule else {
            return;
        };
        // SAFETY: C5, C3; `self` keeps the cell alive during the call, and the task is not done, by the caller's
        // promise.
        unsafe { schedule(self.0) }
    }

    /// Wakes a task whose queue is that of a group. The queue, if its owner is to be woken. Runs no foreign code.
    pub(crate) fn wake_child(&self) -> Option<Rc<dyn ChildQueue>> {
        debug_assert!(self.borrows());
        let children = self.enter_queue()?;
        children.note_woken().then_some(children)
    }

    /// Puts a child into its queue, unless it is there, and wakes nobody. The queue.
    pub(crate) fn enter_queue(&self) -> Option<Rc<dyn ChildQueue>> {
        let children = self.vtable.children.filter(|_| self.state.wake())?;
        // SAFETY: C5, C3; `self` keeps the cell alive. The task could be woken, so it has not ended. The queue is its
        // own.
        unsafe {
            let children = children(self.0);
            children.push(QueueEntry(self.0));
            Some(children)
        }
    }

    /// Puts a child into its queue, unless it is there, and has the task woken that runs it.
    pub(crate) fn schedule_child(&self) {
        debug_assert!(self.borrows());
        if self.borrows() && self.state.wake() {
            // SAFETY: it could be woken, so it has not ended.
            unsafe { self.schedule() }
        }
    }

    /// The queue of the group whose child this is, if the child has not ended.
    pub(crate) fn child_queue(&self) -> Option<Rc<dyn ChildQueue>> {
        let children = self.vtable.children.filter(|_| !self.state.is_done())?;
        // SAFETY: C5, C3; `self` keeps the cell alive, and the task has not ended.
        Some(unsafe { children(self.0) })
    }

    /// Whether this is a child of the group with that queue, and has not ended.
    pub(crate) fn is_child_of<Q: ChildQueue>(&self, queue: &Rc<Q>) -> bool {
        let own = self.child_queue();
        own.is_some_and(|own| ptr::addr_eq(Rc::as_ptr(&own), Rc::as_ptr(queue)))
    }

    /// Begins a step of a task that is not queued. `None`: it is, or has ended.
    pub(crate) fn begin_now(&self) -> Option<Begin> {
        assert!(!self.borrows(), "a child is run by its group");
        // SAFETY: it does not borrow.
        unsafe { self.begin_child_now() }
    }

    /// Begins a step out of turn: the task keeps the entry that it has in its queue.
    pub(crate) fn begin_out_of_turn(&self) -> Begin {
        assert!(!self.borrows(), "a child is run by its group");
        // SAFETY: it does not borrow.
        unsafe { self.begin_child_out_of_turn() }
    }

    /// Takes the right to end a task that does not run. `None`: it runs, has ended, or is a child.
    pub(crate) fn seize(&self) -> Option<Running> {
        if self.borrows() {
            return None;
        }
        // SAFETY: it does not borrow.
        unsafe { self.seize_child() }
    }

    /// [`begin_now`](Self::begin_now), for a child.
    ///
    /// # Safety
    ///
    /// If the task borrows, the caller has its `Children` at hand for as long as the result lives.
    pub(crate) unsafe fn begin_child_now(&self) -> Option<Begin> {
        // It was not queued, so nothing has an entry of it.
        // SAFETY: handed on to the caller.
        self.state.wake().then(|| unsafe { self.begin() })
    }

    /// [`begin_out_of_turn`](Self::begin_out_of_turn), for a child.
    ///
    /// # Safety
    ///
    /// As for [`begin_child_now`](Self::begin_child_now).
    pub(crate) unsafe fn begin_child_out_of_turn(&self) -> Begin {
        Begin::of(self.state.begin_out_of_turn(), self.0)
    }

    /// [`seize`](Self::seize), for a child.
    ///
    /// # Safety
    ///
    /// As for [`begin_child_now`](Self::begin_child_now).
    pub(crate) unsafe fn seize_child(&self) -> Option<Running> {
        self.state.seize().then_some(Running(self.0))
    }

    /// # Safety
    ///
    /// As for [`begin_child_now`](Self::begin_child_now); and the entry of the task, if its entries are plain, is out
    /// of its queue.
    #[inline]
    unsafe fn begin(&self) -> Begin {
        Begin::of(self.state.begin(), self.0)
    }

    /// Whether it has ended with the `Err` of a `Result` that nothing has taken.
    pub(crate) fn holds_err(&self) -> bool {
        // SAFETY: C2: done, a value, and not taken.
        self.state.has_value() && unsafe { (self.vtable.is_err)(self.0) }
    }

    /// Takes the outcome and drops it, if nothing has taken it or will. The payload of a panic.
    #[inline]
    pub(crate) fn take_unwanted(&self) -> Option<Payload> {
        // The awaiting task may be looking at the outcome.
        if self.state.is_awaited() {
            return None;
        }
        match self.state.take()? {
            Outcome::Cancelled => None,
            Outcome::Value => match self.vtable.drop_value {
                None => None,
                // SAFETY: C2: done, a value, and not taken before: `take` says so only once.
                Some(drop_value) => unsafe { self.drop_value(drop_value) },
            },
            // None if its group has it.
            Outcome::Panicked => self.extra()?.take_payload(),
        }
    }

    /// # Safety
    ///
    /// As for [`VTable::drop_value`](crate::cell::header::VTable::drop_value), which this is.
    #[inline(never)]
    unsafe fn drop_value(&self, drop_value: unsafe fn(NonNull<Header>)) -> Option<Payload> {
        // SAFETY: handed on to the caller.
        catch_unwind(AssertUnwindSafe(|| unsafe { drop_value(self.0) })).err()
    }

    /// Has the task woken through its owner's inbox, for when the owner does not run here and now.
    pub(crate) fn post_wake(&self) {
        // SAFETY: `self` keeps the cell alive.
        unsafe { RemoteRef::post(self.0) }
    }

    /// Has the task ended through its owner's inbox, for when the owner does not run here and now.
    pub(crate) fn post_end(&self) {
        let message = Message::End(RemoteRef(self.clone().into_raw()));
        // Refused: the owner is gone, and has ended the task.
        drop(self.owner().post(message));
    }

    /// Whether a wake-up is in the inbox, or about to be.
    pub(crate) fn is_posted(&self) -> bool {
        self.posted.load(Ordering::Relaxed)
    }
}

impl crate::cancel::Task for LocalRef {
    type Id = NonNull<Header>;

    #[inline]
    fn id(&self) -> Self::Id {
        self.0
    }
}

impl Deref for LocalRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: C1: this is a reference, or borrows from one; on the owner's thread, as is all of the
        // header that other threads never reach (C3).
        unsafe { self.0.as_ref() }
    }
}

impl Clone for LocalRef {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: this is a reference (C1), on the owner's thread (N1).
        unsafe {
            let (local, remote) = counts(self.0);
            (*local).retain(&*remote);
        }
        Self(self.0)
    }
}

impl Drop for LocalRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is a reference (C1), on the owner's thread (N1), and given up here. It is freed if it was the
        // last.
        unsafe {
            let (local, remote) = counts(self.0);
            if (*local).release(&*remote) {
                free(self.0);
            }
        }
    }
}

impl PartialEq for LocalRef {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl fmt::Debug for LocalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.name(), self.state.shown())
    }
}

/// The two counts of a cell, by pointers to just these: the rest is not for every thread (C3).
///
/// # Safety
///
/// The cell is alive.
#[inline]
unsafe fn counts(h: NonNull<Header>) -> (*const LocalCount, *const RemoteCount) {
    // SAFETY: the caller's promise: the fields are in the cell. Nothing is read here.
    unsafe {
        (
            &raw const (*h.as_ptr()).local,
            &raw const (*h.as_ptr()).remote,
        )
    }
}

/// # Safety
///
/// The count has said that the reference which was given up was the last one, and nothing uses the cell afterwards.
#[inline(never)]
unsafe fn free(h: NonNull<Header>) {
    // All uses of references on other threads happened before this (N5).
    fence(Ordering::Acquire);
    #[cfg(all(test, loom))]
    // SAFETY: alive until `dealloc`, and this thread's alone.
    unsafe { h.as_ref() }.note_free();
    // SAFETY: that was the last reference, by the caller's promise (C1), and the vtable fits (C5).
    unsafe { ((*h.as_ptr()).vtable.dealloc)(h) }
}

/// A reference that never leaves the owner's thread. A cell has two of them at its birth. While it has one, the number
/// of the others does not matter (N2). It is counted apart.
struct Anchor(NonNull<Header>);

impl Deref for Anchor {
    type Target = LocalRef;

    #[inline]
    fn deref(&self) -> &LocalRef {
        // SAFETY: the anchor keeps it alive for as long, on the owner's thread.
        unsafe { LocalRef::borrow(&self.0) }
    }
}

impl Drop for Anchor {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this keeps the cell alive (C1), on the owner's thread (N1), and is given up here. It is freed if it
        // was the last.
        unsafe {
            let (local, remote) = counts(self.0);
            if (*local).release_anchor(&*remote) {
                free(self.0);
            }
        }
    }
}

/// The owner's reference to a task, which keeps it alive until it has ended (C4). Dropped before that, it leaks the
/// task.
pub(crate) struct OwnerRef(ManuallyDrop<Anchor>);

impl OwnerRef {
    /// # Safety
    ///
    /// `h` is a new cell, for which this is called once, and this is the owner's thread.
    pub(super) unsafe fn of_new(h: NonNull<Header>) -> Self {
        Self(ManuallyDrop::new(Anchor(h)))
    }
}

impl Deref for OwnerRef {
    type Target = LocalRef;

    #[inline]
    fn deref(&self) -> &LocalRef {
        &self.0
    }
}

impl Drop for OwnerRef {
    #[inline]
    fn drop(&mut self) {
        if self.state.is_done() {
            // SAFETY: it is dropped here, once.
            unsafe { ManuallyDrop::drop(&mut self.0) }
        }
    }
}

impl Placed for OwnerRef {
    fn set_place(&self, place: u32) {
        self.note_place(place);
    }
}

/// One place of a task in a ready queue, in the queue or out of it. An entry that is lost leaves its task unpolled.
pub(crate) struct QueueEntry(NonNull<Header>);

impl QueueEntry {
    /// # Safety
    ///
    /// The task of `h` has just become scheduled, or this entry was taken out of its queue; its entries are plain.
    #[inline]
    pub(super) unsafe fn from_raw(h: NonNull<Header>) -> Self {
        Self(h)
    }

    #[inline]
    pub(super) fn into_raw(self) -> NonNull<Header> {
        self.0
    }

    /// Begins the step that the entry is for.
    ///
    /// # Safety
    ///
    /// If the task borrows, the caller has its `Children` at hand for as long as the result lives.
    #[inline]
    pub(crate) unsafe fn begin(self) -> Begin {
        // SAFETY: the caller's promise; and the entry is used up.
        let begin = unsafe { LocalRef::borrow(&self.0).begin() };
        if let Begin::AlreadyDone = begin {
            // SAFETY: C4: the task ended while it was queued, so the entry has a reference.
            drop(unsafe { LocalRef::from_raw(self.0) });
        }
        begin
    }

    /// The entry, unless its task has ended.
    pub(crate) fn unless_done(self) -> Option<Self> {
        if !self.state.is_done() {
            return Some(self);
        }
        // SAFETY: C4, as in `begin`.
        drop(unsafe { LocalRef::from_raw(self.0) });
        None
    }
}

/// The right to one step of a task that a foreign executor schedules, with a counted reference.
#[derive(Debug)]
pub(crate) struct StepRight(LocalRef);

impl StepRight {
    /// # Safety
    ///
    /// The task has just become scheduled, its entries are not plain, and it does not borrow.
    pub(super) unsafe fn new(cell: LocalRef) -> Self {
        Self(cell)
    }

    #[inline]
    pub(crate) fn cell(&self) -> &LocalRef {
        &self.0
    }

    /// Begins the step.
    pub(crate) fn begin(self) -> Begin {
        // SAFETY: the task does not borrow, and has no plain entry, by the promise to `new`.
        unsafe { self.0.begin() }
    }
}

impl Deref for QueueEntry {
    type Target = LocalRef;

    #[inline]
    fn deref(&self) -> &LocalRef {
        // SAFETY: C4: the task has not ended, or the entry has a reference. This is the owner's thread, as entries are
        // made and kept there.
        unsafe { LocalRef::borrow(&self.0) }
    }
}

/// How a step begins.
pub(crate) enum Begin {
    Poll(Running),
    /// The future is to be dropped unpolled, unless a scope inside wants to hear of the request.
    Cancel(Running),
    /// The task is done; only its entry was left.
    AlreadyDone,
    /// The task runs at this moment, further up the stack: its turn comes after that.
    AlreadyRunning,
}

impl Begin {
    #[inline]
    fn of(begin: state::Begin, h: NonNull<Header>) -> Self {
        match begin {
            state::Begin::Poll => Self::Poll(Running(h)),
            state::Begin::Cancel => Self::Cancel(Running(h)),
            state::Begin::AlreadyDone => Self::AlreadyDone,
            state::Begin::AlreadyRunning => Self::AlreadyRunning,
        }
    }
}

/// The right to poll the future of a task, or to drop it (C6). If it is lost, the task is never polled again.
#[must_use = "a task that stays running is never polled again"]
pub(crate) struct Running(pub(super) NonNull<Header>);

impl Running {
    /// Drops the future.
    pub(crate) fn drop_future(self) -> Ended {
        // SAFETY: C5; this is the owner's thread (C3); the state says running, and the future is in the stage (C2, C6).
        let outcome = match unsafe { (self.vtable.drop_future)(self.0) } {
            Ok(()) => Outcome::Cancelled,
            Err(payload) => {
                self.keep_payload(payload);
                Outcome::Panicked
            }
        };
        Ended(self.0, outcome)
    }

    /// The poll of a child or of a body is over, and it goes on.
    #[inline]
    pub(crate) fn pause_child(self) {
        if self.state.pause() == state::Pause::Again {
            self.queue_again();
        }
    }

    /// It was woken in its poll, and its entry is used up.
    #[cold]
    fn queue_again(self) {
        if let Some(children) = self.vtable.children {
            // SAFETY: C5, C3, C4; the task has not ended. The queue is its own.
            unsafe { children(self.0).push(QueueEntry(self.0)) };
        }
    }

    /// Leaks the future, and its cell: the task ends as if the future had been dropped.
    pub(crate) fn leak_future(self) -> Ended {
        // A future that was polled is pinned. Its memory must stay until its destructor has run, so forever.
        let _ = LocalRef::clone(&self).into_raw();
        Ended(self.0, Outcome::Cancelled)
    }
}

impl Deref for Running {
    type Target = LocalRef;

    #[inline]
    fn deref(&self) -> &LocalRef {
        // SAFETY: C4: the task has not ended, and this is its owner's thread.
        unsafe { LocalRef::borrow(&self.0) }
    }
}

/// The result of a poll, with the right that is left.
pub(crate) enum Polled {
    Pending(Running),
    Ended(Ended),
}

/// A task whose future has gone and which is to be finished (C6).
#[must_use = "a task that is not finished never ends"]
pub(crate) struct Ended(pub(super) NonNull<Header>, pub(super) Outcome);

impl Ended {
    #[inline]
    pub(crate) fn outcome(&self) -> Outcome {
        self.1
    }

    /// Ends the task. `release` gives up its owner's reference, which is the result.
    #[inline(always)]
    pub(crate) fn finish(
        self,
        release: impl FnOnce(&LocalRef) -> Option<OwnerRef>,
    ) -> Option<OwnerRef> {
        // Before the task is done: an owner's reference that is dropped in there leaks the task.
        let owned = release(&self).filter(|owned| **owned == *self);
        if self.state.finish(self.1) && self.has_plain_entries() {
            // C4: for the entry that is left.
            let _ = LocalRef::clone(&self).into_raw();
        }
        owned
    }
}

impl Deref for Ended {
    type Target = LocalRef;

    #[inline]
    fn deref(&self) -> &LocalRef {
        // SAFETY: C4: the task has not ended, and this is its owner's thread.
        unsafe { LocalRef::borrow(&self.0) }
    }
}

/// A counted reference to a cell, for any thread: all it can do is go to the owner's inbox.
pub(crate) struct RemoteRef(NonNull<Header>);

// SAFETY: a remote reference touches only the count, the posted flag, the owner, the number of the span and the vtable.
// These are atomic or never change (C3). Its drop may free the cell, and that drops nothing that depends on the thread
// (C1).
unsafe impl Send for RemoteRef {}

impl RemoteRef {
    /// # Safety
    ///
    /// `h` carries a counted reference, which passes to the result.
    pub(super) unsafe fn from_raw(h: NonNull<Header>) -> Self {
        Self(h)
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    /// Whose task it is.
    ///
    /// # Safety
    ///
    /// `h` must be alive.
    #[inline]
    pub(super) unsafe fn owner_of(h: NonNull<Header>) -> Owner {
        // SAFETY: the caller's promise; the field never changes, so it is for every thread (C3).
        unsafe { (*h.as_ptr()).owner }
    }

    /// The number of its span.
    ///
    /// # Safety
    ///
    /// `h` must be alive.
    #[inline(always)]
    pub(super) unsafe fn span_id_of(h: NonNull<Header>) -> SpanId {
        // SAFETY: the caller's promise; the field never changes, so it is for every thread (C3).
        unsafe { (*h.as_ptr()).span_id }
    }

    /// Posts a task to its owner, unless that has been done and not yet been seen.
    ///
    /// # Safety
    ///
    /// `h` must stay alive during the call.
    #[inline(never)]
    pub(super) unsafe fn post(h: NonNull<Header>) {
        // SAFETY: the caller's promise; the flag is for every thread (C3).
        let posted = unsafe { &(*h.as_ptr()).posted };
        // Release here and acquire in `arrive`. So a thread that skips the message has still handed its earlier writes
        // over to the thread that clears the flag, which is before the poll.
        if posted.swap(true, Ordering::Release) {
            return;
        }
        // SAFETY: the caller's promise.
        let owner = unsafe { Self::owner_of(h) };
        // SAFETY: the caller's promise; only looked at, to be cloned.
        let message = ManuallyDrop::new(unsafe { Self::from_raw(h) })
            .deref()
            .clone();
        // Refused: the owner is gone, and the future with it. Dropped outside the inbox's lock.
        drop(owner.post(Message::Wake(message)));
    }

    /// On the owner's thread, with a message that wakes the task: from here on a remote wake-up posts a new one.
    /// `None`: the lease is of another owner.
    pub(crate) fn arrive(self, lease: &Lease) -> Option<LocalRef> {
        let cell = self.into_local(lease)?;
        // A swap, as a store would see nothing of the others' writes.
        cell.posted.swap(false, Ordering::Acquire);
        Some(cell)
    }

    /// On the owner's thread. `None`: the lease is of another owner.
    pub(crate) fn into_local(self, lease: &Lease) -> Option<LocalRef> {
        // SAFETY: this is a reference.
        let owner = unsafe { Self::owner_of(self.0) };
        // The lease of an owner stays on its thread, so this is that (O1, O2).
        (owner == lease.owner()).then(|| LocalRef(self.into_raw()))
    }
}

impl Clone for RemoteRef {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: this is a reference (C1); the count is for every thread (C3).
        unsafe {
            let (_, remote) = counts(self.0);
            (*remote).retain();
        }
        Self(self.0)
    }
}

impl Drop for RemoteRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is a reference (C1), and given up here; the count is for every thread (C3). It is freed if it
        // was the last.
        unsafe {
            let (_, remote) = counts(self.0);
            if (*remote).release() {
                free(self.0);
            }
        }
    }
}

/// The task whose step is under way on a thread, if there is one.
#[derive(Default)]
pub(crate) struct CurrentStep(Cell<Option<NonNull<Header>>>);

impl CurrentStep {
    /// Calls `f` with the task whose step is under way.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(Option<&LocalRef>) -> R) -> R {
        let h = self.0.get();
        // SAFETY: R2; this is the thread of the task.
        f(h.as_ref().map(|h| unsafe { LocalRef::borrow(h) }))
    }

    /// The task whose step is under way.
    pub(crate) fn task(&self) -> Option<LocalRef> {
        self.with(|task| task.cloned())
    }

    /// The step under way, as something to compare.
    #[inline]
    pub(crate) fn as_raw(&self) -> Option<NonNull<Header>> {
        self.0.get()
    }

    /// Drops the future of a task, in a step of it.
    pub(crate) fn drop_future(&self, running: Running) -> Ended {
        // SAFETY: `running` is used up, and the guard dropped, before this returns.
        let _entered = unsafe { self.enter(&running) };
        running.drop_future()
    }

    /// A step of the task is under way until the result is dropped.
    ///
    /// # Safety
    ///
    /// The result is dropped before the task is finished.
    // Apart in debug builds, where what is inlined takes stack while the future is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) unsafe fn enter(&self, running: &Running) -> Entered<'_> {
        let entered = Entered(self, self.0.replace(Some(running.0)));
        entered.enter_span(running);
        entered
    }
}

/// A step is under way, until this is dropped, also by a panic. The one that was under way before.
pub(super) struct Entered<'a>(&'a CurrentStep, Option<NonNull<Header>>);

impl Entered<'_> {
    /// Shows the step to a console.
    // Apart in debug builds, where what is inlined takes stack while the future is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn enter_span(&self, cell: &LocalRef) {
        cell.span.enter(cell.span_id, self.enclosing_span());
    }

    /// The span of the task whose step was under way before.
    #[inline(always)]
    fn enclosing_span(&self) -> Option<(&TaskSpan, SpanId)> {
        self.1.as_ref().map(|h| {
            // SAFETY: R2.
            let enclosing = unsafe { h.as_ref() };
            (&enclosing.span, enclosing.span_id)
        })
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.with(|running| {
            if let Some(running) = running {
                running.span.exit(running.span_id, self.enclosing_span());
            }
        });
        self.0.0.set(self.1);
    }
}

/// The reference that takes the outcome, with its type.
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
    /// # Safety
    ///
    /// `h` is a new cell whose future has the output `T`, for which this is called once, and this is the owner's
    /// thread.
    pub(super) unsafe fn of_new(h: NonNull<Header>) -> Self {
        Self {
            anchor: Anchor(h),
            output: PhantomData,
        }
    }

    /// # Safety
    ///
    /// `h` came from [`into_raw`](Self::into_raw) with the same `T`, once, and this is the owner's thread.
    pub(super) unsafe fn from_raw(h: NonNull<Header>) -> Self {
        Self {
            anchor: Anchor(h),
            output: PhantomData,
        }
    }

    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self.anchor).0
    }

    #[inline]
    pub(crate) fn cell(&self) -> &LocalRef {
        &self.anchor
    }

    /// Takes the outcome, once.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Finished<T>> {
        Some(match self.cell().state.take()? {
            // SAFETY: the value was not taken before.
            Outcome::Value => Finished::Value(unsafe { self.read_value() }),
            Outcome::Cancelled => Finished::Cancelled,
            Outcome::Panicked => Finished::Panicked(self.cell().take_payload()),
        })
    }

    /// Takes the value, if the task has ended with one that nothing has taken. Any other outcome stays.
    ///
    /// Faster than [`take`](Self::take). A value that goes through a [`Finished`] is stored in its own size and loaded
    /// in that of the largest outcome. The processor waits for such a store.
    #[inline]
    pub(crate) fn take_value(&mut self) -> Option<T> {
        if !self.cell().state.has_value() {
            return None;
        }
        self.cell().state.take();
        // SAFETY: there was a value, and it was not taken before.
        Some(unsafe { self.read_value() })
    }

    /// Moves the value out of the cell.
    ///
    /// # Safety
    ///
    /// The task has ended with a value, and this is the one that has taken it.
    #[inline]
    unsafe fn read_value(&self) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: C2 and the caller's promise: done, a value, not read before. `T` is the future's output: a `JoinRef`
        // is made with its cell, and nothing changes its type. So the room is right, and filled afterwards.
        unsafe {
            (self.cell().vtable.read_value)(self.cell().0, value.as_mut_ptr().cast());
            value.assume_init()
        }
    }

    /// The value, if the task has ended with one that nothing has taken, and this has not been abandoned.
    pub(crate) fn peek(&self) -> Option<&T> {
        let state = &self.cell().state;
        if !state.has_value() || !state.is_awaited() {
            return None;
        }
        // SAFETY: C2: done, a value, not taken. `take` and `abandon` need this handle mutably, and `take_unwanted`
        // leaves a value that is awaited, so it stays as long as the result. `T` is the future's output.
        Some(unsafe { &*(self.cell().vtable.value)(self.cell().0).cast::<T>() })
    }

    /// Nothing will take the outcome any more.
    #[inline]
    pub(crate) fn abandon(&mut self) {
        self.cell().state.abandon();
    }

    /// The same, for a handle that is given up: no poll is left to a task that has been asked to end.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.cell().state.forget_handle();
    }
}

/// The treatment of a task whose handle is dropped.
pub(crate) trait OnDrop<T> {
    fn on_drop(join: &mut JoinRef<T>);
}

/// A [`JoinRef`] that does something when it is dropped.
pub(crate) struct Handle<T, D: OnDrop<T>> {
    join: ManuallyDrop<JoinRef<T>>,
    on_drop: PhantomData<D>,
}

impl<T, D: OnDrop<T>> Handle<T, D> {
    #[inline]
    pub(crate) fn new(join: JoinRef<T>) -> Self {
        Self {
            join: ManuallyDrop::new(join),
            on_drop: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn join(&self) -> &JoinRef<T> {
        &self.join
    }

    #[inline]
    pub(crate) fn join_mut(&mut self) -> &mut JoinRef<T> {
        &mut self.join
    }

    /// The reference, without the handle.
    #[inline]
    pub(crate) fn into_join(self) -> JoinRef<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the handle is not dropped any more, so this is the one use.
        unsafe { ManuallyDrop::take(&mut this.join) }
    }
}

impl<T, D: OnDrop<T>> Drop for Handle<T, D> {
    #[inline]
    fn drop(&mut self) {
        /// The reference, which is given up also if a foreign destructor unwinds.
        struct Join<'a, T>(&'a mut ManuallyDrop<JoinRef<T>>);
        impl<T> Drop for Join<'_, T> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: the handle is being dropped, so this is the one use.
                unsafe { ManuallyDrop::drop(self.0) }
            }
        }
        D::on_drop(Join(&mut self.join).0);
    }
}
