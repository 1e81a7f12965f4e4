//! The task cell: one allocation for what the runtime knows of a task and for its future, which its
//! value replaces when it is done.
//!
//! - **C1** A cell lives until its last counted reference is dropped, on whatever thread. That drop
//!   frees memory and nothing else: by then future, value and everything kept aside are gone.
//! - **C2** The stage holds the future until it returns or is dropped, while the state says running, so
//!   that nobody else comes near; the state says done afterwards. From then on the stage holds the value
//!   until it is taken, if the outcome is a value, and the state says taken before it is. What schedules
//!   the task goes with its future.
//! - **C3** State, stage, joiner and what is aside are touched on the owner's thread only. Other
//!   threads have a [`ForeignRef`], which reaches the count, the `posted` flag and the owner.
//! - **C4** The owner holds one reference from birth to the end of the task. If the task ends while
//!   its place in the ready queue is left, that place takes the reference over. So a place in the queue
//!   needs no reference of its own, and neither does a poll.
//! - **C5** A pointer to a header is a pointer to the whole `TaskCell<F, S>` that its vtable was made
//!   for, with the right to all of it.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell as StdCell, UnsafeCell};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::aside::Aside;
use crate::id::{TaskId, TaskName};
use crate::mailbox::{Letter, Owner};
use crate::schedule::{Schedule, Step};
use crate::state::{Outcome, State};
use crate::sync::{AtomicBool, AtomicU32, Ordering, fence};
use crate::waker;

/// More references than anybody can want: beyond it the count could wrap, so the process ends.
const MAX_REFS: u32 = u32::MAX / 2;

/// What the runtime knows of a task whose type it has forgotten.
pub(crate) struct Header {
    refs: AtomicU32,
    pub(crate) state: State,
    /// A letter that wakes this task is in the mailbox.
    posted: AtomicBool,
    vtable: &'static VTable,
    /// With `generation`, the owner. Apart, so that they pack.
    mailbox: &'static crate::mailbox::Mailbox,
    generation: u32,
    /// Where the registry keeps it.
    pub(crate) place: StdCell<u32>,
    /// Who waits for the outcome.
    pub(crate) joiner: StdCell<Option<Waker>>,
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) location: &'static Location<'static>,
    aside: StdCell<Option<Rc<Aside>>>,
}

/// What depends on the types of the future and of what schedules it.
struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Progress,
    drop_future: unsafe fn(NonNull<Header>) -> Result<(), Payload>,
    read_value: unsafe fn(NonNull<Header>, *mut ()),
    drop_value: unsafe fn(NonNull<Header>),
    /// `None`: the owner's own ready queue.
    schedule: Option<unsafe fn(NonNull<Header>)>,
    dealloc: unsafe fn(NonNull<Header>),
}

type Payload = Box<dyn Any + Send>;

/// What came of a poll. A payload is left aside.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Pending,
    Ready,
    Panicked,
}

#[repr(C)]
struct TaskCell<F: Future, S> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
    /// Dropped with the future (C2): it may own what must not leave the thread.
    schedule: UnsafeCell<ManuallyDrop<S>>,
}

union Stage<F: Future> {
    future: ManuallyDrop<F>,
    value: ManuallyDrop<F::Output>,
    empty: (),
}

/// What a new task starts with.
pub(crate) struct Birth {
    pub(crate) owner: Owner,
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) aside: Option<Rc<Aside>>,
    pub(crate) callback: bool,
}

/// The owner's own ready queue; [`VTable::schedule`] is `None` for it.
pub(crate) struct Home;

/// Makes a cell. The reference and the [`JoinRef`] are the owner's (C4) and the handle's.
///
/// # Safety
///
/// The future, what it borrows, and its output must outlive the time until the task is done and its
/// outcome taken or abandoned. (They do if they are `'static`.)
pub(crate) unsafe fn new_at_home<F: Future>(
    birth: Birth,
    future: F,
) -> (CellRef, JoinRef<F::Output>) {
    // SAFETY: handed on to the caller.
    unsafe { new(birth, future, Home, const { &vtable::<F, Home>(None) }) }
}

/// Makes a cell that goes to `schedule` when it is woken. Otherwise as [`new_at_home`].
pub(crate) fn new_elsewhere<F, S>(
    birth: Birth,
    future: F,
    schedule: S,
) -> (CellRef, JoinRef<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule + Clone + 'static,
{
    // SAFETY: everything is `'static`.
    unsafe {
        new(
            birth,
            future,
            schedule,
            const { &vtable::<F, S>(Some(schedule_elsewhere::<F, S>)) },
        )
    }
}

unsafe fn new<F: Future, S>(
    birth: Birth,
    future: F,
    schedule: S,
    vtable: &'static VTable,
) -> (CellRef, JoinRef<F::Output>) {
    let cell = Box::new(TaskCell {
        header: Header {
            refs: AtomicU32::new(2),
            state: State::new(birth.callback),
            posted: AtomicBool::new(false),
            vtable,
            mailbox: birth.owner.mailbox,
            generation: birth.owner.generation,
            place: StdCell::new(u32::MAX),
            joiner: StdCell::new(None),
            id: birth.id,
            parent: birth.parent,
            location: birth.location,
            aside: StdCell::new(birth.aside),
        },
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
        schedule: UnsafeCell::new(ManuallyDrop::new(schedule)),
    });
    // SAFETY: a box is not null. The pointer is that of the whole cell (C5).
    let ptr = unsafe { NonNull::new_unchecked(Box::into_raw(cell)) }.cast::<Header>();
    (
        CellRef(ptr),
        JoinRef {
            cell: CellRef(ptr),
            output: std::marker::PhantomData,
        },
    )
}

const fn vtable<F: Future, S>(schedule: Option<unsafe fn(NonNull<Header>)>) -> VTable {
    VTable {
        poll: poll::<F, S>,
        drop_future: drop_future::<F, S>,
        read_value: read_value::<F, S>,
        drop_value: drop_value::<F, S>,
        schedule,
        dealloc: dealloc::<F, S>,
    }
}

/// # Safety
///
/// For the functions of the vtable: `h` is a header of a live `TaskCell<F, S>` (C5), on the owner's
/// thread (C3), and the stage holds what the function is about (C2).
unsafe fn stage<F: Future, S>(h: NonNull<Header>) -> *mut Stage<F> {
    let cell = h.cast::<TaskCell<F, S>>().as_ptr();
    // SAFETY: by C5 the pointer is good for the whole cell; no reference to the stage exists.
    unsafe { (*cell).stage.get() }
}

unsafe fn poll<F: Future, S>(h: NonNull<Header>, cx: &mut Context<'_>) -> Progress {
    // SAFETY: the caller's promise; the stage holds the future, which stays where it is until it is
    // dropped, in place: it is pinned.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        let future: &mut F = &mut (*stage::<F, S>(h)).future;
        Pin::new_unchecked(future).poll(cx)
    }));
    match polled {
        Ok(Poll::Pending) => Progress::Pending,
        Ok(Poll::Ready(value)) => {
            // SAFETY: the future is in the stage, and nobody polls it again: the state says running.
            match unsafe { drop_future::<F, S>(h) } {
                Ok(()) => {
                    // SAFETY: the stage is empty now.
                    unsafe { (*stage::<F, S>(h)).value = ManuallyDrop::new(value) };
                    Progress::Ready
                }
                Err(payload) => {
                    discard(move || drop(value));
                    // SAFETY: the caller's promise.
                    unsafe { h.as_ref() }.leave_payload(payload);
                    Progress::Panicked
                }
            }
        }
        Err(payload) => {
            // SAFETY: the future is in the stage. A second panic, from its destructor, is dropped.
            if let Err(second) = unsafe { drop_future::<F, S>(h) } {
                discard_payload(second);
            }
            // SAFETY: the caller's promise.
            unsafe { h.as_ref() }.leave_payload(payload);
            Progress::Panicked
        }
    }
}

unsafe fn drop_future<F: Future, S>(h: NonNull<Header>) -> Result<(), Payload> {
    if std::mem::needs_drop::<S>() {
        // SAFETY: C5, and the caller's promise: the schedule goes with the future, once.
        discard(|| unsafe {
            ManuallyDrop::drop(&mut *(*h.cast::<TaskCell<F, S>>().as_ptr()).schedule.get());
        });
    }
    if !std::mem::needs_drop::<F>() {
        return Ok(());
    }
    // SAFETY: the caller's promise. A destructor that panics has dropped its value all the same.
    catch_unwind(AssertUnwindSafe(|| unsafe {
        ManuallyDrop::drop(&mut (*stage::<F, S>(h)).future);
    }))
}

unsafe fn read_value<F: Future, S>(h: NonNull<Header>, to: *mut ()) {
    // SAFETY: the caller's promise: the stage holds the value, and `to` has room for one.
    unsafe {
        let value = ptr::read(&(*stage::<F, S>(h)).value);
        to.cast::<F::Output>()
            .write(ManuallyDrop::into_inner(value));
        (*stage::<F, S>(h)).empty = ();
    }
}

unsafe fn drop_value<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the caller's promise.
    unsafe { ManuallyDrop::drop(&mut (*stage::<F, S>(h)).value) }
}

unsafe fn schedule_elsewhere<F: Future, S: Schedule + Clone>(h: NonNull<Header>) {
    // SAFETY: `h` is alive; the new reference keeps it so.
    let step = Step::new(unsafe { CellRef::borrow(&h).clone() });
    // SAFETY: C5; the task is not done, so the schedule is there (C2).
    let schedule = unsafe { &*(*h.cast::<TaskCell<F, S>>().as_ptr()).schedule.get() };
    // A copy: should the step end the task before this call is over, the original goes with it.
    S::clone(schedule).schedule(step);
}

unsafe fn dealloc<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the last reference is gone (C1); future and value are ManuallyDrop and gone by C4.
    drop(unsafe { Box::from_raw(h.cast::<TaskCell<F, S>>().as_ptr()) });
}

/// Runs a destructor whose panic has nowhere to go.
pub(crate) fn discard(drop_it: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_it)) {
        discard_payload(payload);
    }
}

/// Drops a payload whose own destructor may panic, and that one's as well.
fn discard_payload(payload: Payload) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(next);
    }
}

impl Header {
    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            mailbox: self.mailbox,
            generation: self.generation,
        }
    }

    #[inline]
    pub(crate) fn is_owned_by(&self, owner: Owner) -> bool {
        self.owner() == owner
    }

    /// What is kept aside, if anything is.
    pub(crate) fn aside(&self) -> Option<Rc<Aside>> {
        let aside = self.aside.take();
        let copy = aside.clone();
        self.aside.set(aside);
        copy
    }

    /// What is kept aside, made if need be.
    pub(crate) fn aside_or_new(&self) -> Rc<Aside> {
        self.aside().unwrap_or_else(|| {
            let aside = Rc::<Aside>::default();
            self.aside.set(Some(aside.clone()));
            aside
        })
    }

    pub(crate) fn name(&self) -> TaskName {
        match self.aside().and_then(|aside| aside.name()) {
            Some(name) => TaskName::given(name),
            None => TaskName::numbered(self.id),
        }
    }

    fn leave_payload(&self, payload: Payload) {
        self.aside_or_new().leave_payload(payload);
    }

    /// The payload of the panic that ended the task.
    pub(crate) fn take_payload(&self) -> Payload {
        let payload = self.aside().and_then(|aside| aside.take_payload());
        payload.unwrap_or_else(|| Box::new("the payload of this panic was taken before"))
    }

    /// Lets go of what is aside, when nobody will ask for it any more.
    #[inline]
    pub(crate) fn clear_aside(&self) {
        if let Some(aside) = self.aside.take() {
            discard(move || drop(aside));
        }
    }
}

/// A counted reference to a cell, on its owner's thread.
pub(crate) struct CellRef(NonNull<Header>);

impl CellRef {
    /// # Safety
    ///
    /// `ptr` came from [`CellRef::into_raw`] or is that of a waker, and its reference passes to the result.
    pub(crate) unsafe fn from_raw(ptr: NonNull<Header>) -> Self {
        Self(ptr)
    }

    /// Looks at a cell through a pointer that somebody else's reference keeps alive.
    ///
    /// # Safety
    ///
    /// The cell must stay alive as long as the result is used.
    pub(crate) unsafe fn borrow(ptr: &NonNull<Header>) -> &Self {
        // SAFETY: `CellRef` is a `NonNull<Header>`, in a layout that this file alone relies on.
        unsafe { &*ptr::from_ref(ptr).cast::<Self>() }
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> NonNull<Header> {
        self.0
    }

    /// Polls the future once. The state must say running.
    #[inline]
    pub(crate) fn poll(&self) -> Progress {
        let waker = waker::borrowed(self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: C5; `CellRef`s stay on the owner's thread (C3); running means not done (C2).
        unsafe { (self.vtable.poll)(self.0, &mut cx) }
    }

    /// Drops the future. The state must say running.
    pub(crate) fn drop_future(&self) -> Outcome {
        // SAFETY: as in `poll`.
        match unsafe { (self.vtable.drop_future)(self.0) } {
            Ok(()) => Outcome::Cancelled,
            Err(payload) => {
                self.leave_payload(payload);
                Outcome::Panicked
            }
        }
    }

    /// Where the task goes when it is woken, unless it is at home here.
    #[inline]
    pub(crate) fn schedule_elsewhere(&self) -> bool {
        match self.vtable.schedule {
            None => false,
            Some(schedule) => {
                // SAFETY: C5, C3; `self` keeps the cell alive during the call, and the task is not done.
                unsafe { schedule(self.0) };
                true
            }
        }
    }

    /// Whether its queue is the ready queue of its owner.
    #[inline]
    pub(crate) fn is_at_home(&self) -> bool {
        self.vtable.schedule.is_none()
    }

    /// Takes the outcome and drops it, if nobody has taken it. Gives the payload of a panic.
    pub(crate) fn take_unwanted(&self) -> Option<Payload> {
        match self.state.take()? {
            Outcome::Cancelled => None,
            Outcome::Panicked => Some(self.take_payload()),
            Outcome::Value => {
                // SAFETY: C2: done, a value, and not taken before: `take` says so only once.
                catch_unwind(AssertUnwindSafe(|| unsafe {
                    (self.vtable.drop_value)(self.0)
                }))
                .err()
            }
        }
    }

    /// Has the task woken through its owner's mailbox, for when the owner does not run here and now.
    pub(crate) fn post_home(&self) {
        // SAFETY: `self` keeps the cell alive.
        unsafe { ForeignRef::post(self.0) }
    }
}

impl std::ops::Deref for CellRef {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: C1: this is a reference, or borrows from one.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for CellRef {
    #[inline]
    fn clone(&self) -> Self {
        retain(self.0);
        Self(self.0)
    }
}

impl Drop for CellRef {
    #[inline]
    fn drop(&mut self) {
        release(self.0);
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

#[inline]
fn retain(h: NonNull<Header>) {
    // SAFETY: whoever has `h` has a reference (C1). Relaxed, as for `Arc`: a new reference is made from
    // one that exists.
    if unsafe { h.as_ref() }.refs.fetch_add(1, Ordering::Relaxed) > MAX_REFS {
        std::process::abort();
    }
}

#[inline]
fn release(h: NonNull<Header>) {
    // SAFETY: whoever has `h` has a reference (C1), and gives it up here.
    if unsafe { h.as_ref() }.refs.fetch_sub(1, Ordering::Release) == 1 {
        free(h);
    }
}

#[inline(never)]
fn free(h: NonNull<Header>) {
    // What other threads did with their references happened before this.
    fence(Ordering::Acquire);
    // SAFETY: that was the last reference (C1), and the vtable fits (C5).
    unsafe { (h.as_ref().vtable.dealloc)(h) }
}

/// A counted reference to a cell, for any thread: all it can do is go home.
pub(crate) struct ForeignRef(NonNull<Header>);

// SAFETY: a foreign reference touches the count, the posted flag and the owner only, which are atomic
// or never change (C3); its drop may free the cell, which drops nothing of the user's (C1, C4).
unsafe impl Send for ForeignRef {}

impl ForeignRef {
    /// Posts a task to its owner, unless that has been done and not yet been seen. From any thread.
    ///
    /// # Safety
    ///
    /// `h` must stay alive during the call.
    pub(crate) unsafe fn post(h: NonNull<Header>) {
        // SAFETY: the caller's promise; C3: the flag and the owner are for every thread.
        let header = unsafe { h.as_ref() };
        // Acquire and release on both sides: who skips the letter has still handed over what it wrote
        // before the wake-up to whoever clears the flag, and that is before the poll.
        if header.posted.swap(true, Ordering::AcqRel) {
            return;
        }
        retain(h);
        // Refused: the owner is gone, and the future with it. Dropped outside the mailbox's lock.
        drop(header.owner().post(Letter::Wake(Self(h))));
    }

    /// At home again: from here on a foreign wake-up posts a new letter.
    ///
    /// # Safety
    ///
    /// This must be the owner's thread.
    pub(crate) unsafe fn arrive(self) -> CellRef {
        let cell = CellRef(ManuallyDrop::new(self).0);
        cell.posted.swap(false, Ordering::AcqRel);
        cell
    }
}

impl Drop for ForeignRef {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// The reference of the one who takes the outcome, with its type.
pub(crate) struct JoinRef<T> {
    cell: CellRef,
    output: std::marker::PhantomData<T>,
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
        &self.cell
    }

    /// Takes the outcome, once.
    #[inline]
    pub(crate) fn take(&self) -> Option<Finished<T>> {
        Some(match self.cell.state.take()? {
            Outcome::Value => {
                let mut value = MaybeUninit::<T>::uninit();
                // SAFETY: C2: done, a value, not taken before. `T` is the future's output: a `JoinRef`
                // is made with its cell, and nothing changes its type.
                Finished::Value(unsafe {
                    (self.cell.vtable.read_value)(self.cell.0, value.as_mut_ptr().cast());
                    value.assume_init()
                })
            }
            Outcome::Cancelled => Finished::Cancelled,
            Outcome::Panicked => Finished::Panicked(self.cell.take_payload()),
        })
    }

    /// # Safety
    ///
    /// `cell` is that of a `JoinRef` of the same `T` which is not used again.
    pub(crate) unsafe fn from_cell(cell: CellRef) -> Self {
        Self {
            cell,
            output: std::marker::PhantomData,
        }
    }
}
