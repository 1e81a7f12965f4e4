//! The task cell: one allocation for what the runtime knows of a task and for its future, which its
//! value replaces when it is done. Who may refer to a cell, and from where, is in `cell_ref.rs`.
//!
//! - **C1** A cell lives until its last reference is dropped, on whatever thread (`refs.rs` counts). That drop
//!   frees memory and nothing else: by then future, schedule, value, joiner, context and payload are
//!   gone. All that may be left is the task's name, which any thread may drop.
//! - **C2** The stage holds the future until it has returned or is dropped, while the state says running,
//!   so that nobody else comes near; the state says done afterwards. From then on the stage holds the
//!   value until it is taken, if the outcome is a value, and the state says taken before it is. What
//!   schedules the task goes when its future does, or, if it is being cloned at that moment, right after.
//! - **C3** Other threads reach the foreign count, the `posted` flag, the owner, the number of the span and the vtable,
//!   by pointers to just these fields. The rest is touched on the owner's thread only; the thread that drops the last
//!   reference may touch it too, after everybody else.
//! - **C4** The owner, or for a child its family, holds an anchor from birth to the end of the task, and during its last step. So
//!   a place in the ready queue needs none of its own, and neither does a poll. If a task ends while its
//!   place in the ready queue is left, that place gets a reference.
//! - **C5** A pointer to a header is a pointer to the whole `TaskCell<F, S>` that its vtable was made
//!   for, with the right to all of it.
//! - **C6** A future is polled and dropped by the code whose transition has made the state running (`State::begin`,
//!   `State::seize`), until that code makes the next transition. If the task borrows, that code has its `Children` at
//!   hand (H1 in `children/mod.rs`).
#![allow(unsafe_code)]

pub(crate) mod aside;
pub(crate) mod cell_ref;
pub(crate) mod forgotten;
pub(crate) mod marks;
pub(crate) mod pool;
pub(crate) mod refs;
pub(crate) mod state;
pub(crate) mod waker;

use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell as StdCell, UnsafeCell};
use std::future::{Pending, pending};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_console::{SpanId, TaskFacts, TaskKind, TaskSpan};

use crate::cancel::Place;
use crate::cell::aside::{Aside, Requests};
use crate::cell::cell_ref::{Anchor, CellRef, JoinRef};
use crate::cell::marks::Marks;
use crate::cell::pool::Pool;
use crate::cell::refs::{ForeignCount, HomeCount};
use crate::cell::state::State;
use crate::children::family::Family;
use crate::discard::{discard, discard_payload};
use crate::engine::current;
use crate::handle::id::{TaskId, TaskName};
use crate::queue::mailbox::{Mailbox, Owner};
use crate::queue::schedule::{Schedule, Step};
use crate::sync::AtomicBool;

/// What the runtime knows of a task whose type it has forgotten.
pub(crate) struct Header {
    /// The references of the owner's thread, and those of other threads (`refs.rs`).
    pub(crate) home: HomeCount,
    pub(crate) foreign: ForeignCount,
    pub(crate) state: State,
    /// A letter that wakes this task is in the mailbox.
    pub(crate) posted: AtomicBool,
    pub(crate) marks: Marks,
    pub(crate) vtable: &'static VTable,
    /// With `generation`, the owner. Apart, so that they pack.
    pub(crate) mailbox: &'static Mailbox,
    pub(crate) generation: u16,
    /// Where the registry keeps it, or its family.
    pub(crate) place: StdCell<u32>,
    /// The waker of the task that waits for the outcome.
    pub(crate) joiner: StdCell<Option<Waker>>,
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) location: &'static Location<'static>,
    /// The root of its cancel scopes, once one had to wait in it.
    pub(crate) root: StdCell<Place>,
    /// The scope of whoever awaits it, once that had to wait.
    pub(crate) awaiting: StdCell<Place>,
    aside: StdCell<Option<Rc<Aside>>>,
    /// The span that a console shows, and its number, which never changes.
    pub(crate) span: TaskSpan,
    pub(crate) span_id: SpanId,
}

/// What depends on the types of the future and of what schedules it.
pub(crate) struct VTable {
    /// Polls the future once. Afterwards it is where it was (`Pending`), or gone. While the state says
    /// running.
    pub(crate) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Progress,
    /// Drops the future; gives the payload if that panics. While the state says running.
    pub(crate) drop_future: unsafe fn(NonNull<Header>) -> Result<(), Payload>,
    /// Moves the value to where the pointer points. Once, when the state says done with a value, taken.
    pub(crate) read_value: unsafe fn(NonNull<Header>, *mut ()),
    /// Where the value is. When the state says done with a value that has not been taken.
    pub(crate) value: unsafe fn(NonNull<Header>) -> *const (),
    /// Whether the value is the `Err` of a `Result`. When there is one, as for `value`.
    pub(crate) is_err: unsafe fn(NonNull<Header>) -> bool,
    /// Drops the value; may unwind. Instead of `read_value`. `None` if there is nothing to do.
    pub(crate) drop_value: Option<unsafe fn(NonNull<Header>)>,
    /// Hands a step to what schedules the task; may unwind. When it has been woken, so before it ends. `None`: its
    /// queue is the owner's own ready queue.
    pub(crate) schedule: Option<ScheduleFn>,
    /// The family, as long as the task has not ended. `Some` if the future may borrow: then only its own
    /// [`Children`](crate::Children) poll and drop it.
    pub(crate) family: Option<FamilyFn>,
    /// Frees the cell, when its last reference is gone. On any thread.
    pub(crate) dealloc: unsafe fn(NonNull<Header>),
}

type ScheduleFn = unsafe fn(NonNull<Header>);
type FamilyFn = unsafe fn(NonNull<Header>) -> Rc<Family>;

pub(crate) type Payload = Box<dyn Any + Send>;

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
    /// Gone when the future is (C2): it may own what must not leave the thread.
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
    pub(crate) shown: Shown,
}

/// How a console shows a task.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    As(TaskKind),
    /// As a part of the task with this span.
    Within(SpanId),
}

impl Birth {
    /// Creates the span of the task. Calls the subscriber.
    #[inline(always)]
    fn span<F>(&self) -> (TaskSpan, SpanId) {
        match self.shown {
            Shown::Within(id) => (TaskSpan::default(), id),
            Shown::As(kind) if asyncio_console::is_listening() && !self.callback => {
                self.new_span(kind, size_of::<F>())
            }
            Shown::As(_) => Default::default(),
        }
    }

    #[cold]
    #[inline(never)]
    fn new_span(&self, kind: TaskKind, size: usize) -> (TaskSpan, SpanId) {
        TaskSpan::new(&TaskFacts {
            kind,
            id: self.id.get(),
            parent: self.parent.map(TaskId::get),
            name: self.aside.as_ref().and_then(|aside| aside.name()),
            place: self.location,
            size,
        })
    }
}

/// The owner's own ready queue; [`VTable::schedule`] is `None` for it.
pub(crate) struct Home;

/// Makes a cell. The anchors are the owner's (C4) and, in the [`JoinRef`], the handle's.
///
/// # Safety
///
/// The future, what it borrows, and its output must outlive the time until the task is done and its
/// outcome taken or abandoned. (They do if they are `'static`.)
// Always: a call of its own would copy the future once more.
#[inline(always)]
pub(crate) unsafe fn new_at_home<F: Future>(
    pool: &Pool,
    birth: Birth,
    future: F,
) -> (Anchor, JoinRef<F::Output>) {
    // SAFETY: handed on to the caller.
    unsafe {
        new(
            pool,
            birth,
            future,
            Home,
            const { &vtable::<F, Home>(None, None) },
        )
    }
}

/// Makes a cell that goes to `schedule` when it is woken. Otherwise as [`new_at_home`].
pub(crate) fn new_elsewhere<F, S>(
    pool: &Pool,
    birth: Birth,
    future: F,
    schedule: S,
) -> (Anchor, JoinRef<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Schedule + Clone + 'static,
{
    // SAFETY: everything is `'static`.
    unsafe {
        new(
            pool,
            birth,
            future,
            schedule,
            const { &vtable::<F, S>(Some(schedule_elsewhere::<F, S>), None) },
        )
    }
}

/// Makes a cell for a future that may borrow, and whose queue is that of its family.
///
/// # Safety
///
/// As for [`new_at_home`]; or the future and its output are never touched again.
#[inline]
pub(crate) unsafe fn new_borrowing<F: Future>(
    pool: &Pool,
    birth: Birth,
    future: F,
    family: Rc<Family>,
) -> (Anchor, JoinRef<F::Output>) {
    // SAFETY: handed on to the caller.
    unsafe {
        new(
            pool,
            birth,
            future,
            family,
            const { &vtable_of_child::<F>() },
        )
    }
}

/// Makes a cell that stands for a body in the queue of a family: its own future is never polled.
pub(crate) fn new_beside(pool: &Pool, birth: Birth, family: Rc<Family>) -> Anchor {
    // SAFETY: everything is `'static`.
    let (cell, join) = unsafe {
        new(
            pool,
            birth,
            pending::<()>(),
            family,
            const { &vtable_of_child::<Pending<()>>() },
        )
    };
    join.cell().state.abandon();
    cell
}

// Always, as above.
#[inline(always)]
unsafe fn new<F: Future, S>(
    pool: &Pool,
    birth: Birth,
    future: F,
    schedule: S,
    vtable: &'static VTable,
) -> (Anchor, JoinRef<F::Output>) {
    let (span, span_id) = birth.span::<F>();
    let block = pool
        .take(Layout::new::<TaskCell<F, S>>())
        .cast::<TaskCell<F, S>>();
    let (home, foreign) = refs::anchored();
    let cell = TaskCell {
        header: Header {
            home,
            foreign,
            state: State::new(),
            posted: AtomicBool::new(false),
            marks: Marks::new(birth.callback),
            vtable,
            mailbox: birth.owner.mailbox,
            generation: birth.owner.generation,
            place: StdCell::new(u32::MAX),
            joiner: StdCell::new(None),
            id: birth.id,
            parent: birth.parent,
            location: birth.location,
            root: StdCell::new(Place::NONE),
            awaiting: StdCell::new(Place::NONE),
            aside: StdCell::new(birth.aside),
            span,
            span_id,
        },
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
        schedule: UnsafeCell::new(ManuallyDrop::new(schedule)),
    };
    // SAFETY: the block is new and has the layout of the cell.
    unsafe { block.write(cell) };
    // The pointer is that of the whole cell (C5).
    let h = block.cast::<Header>();
    // SAFETY: it has two anchors, one for each. The output is that of the cell's future.
    unsafe {
        (
            Anchor::from_raw(h),
            JoinRef::from_anchor(Anchor::from_raw(h)),
        )
    }
}

const fn vtable_of_child<F: Future>() -> VTable {
    vtable::<F, Rc<Family>>(Some(schedule_child::<F>), Some(family::<F>))
}

const fn vtable<F: Future, S>(schedule: Option<ScheduleFn>, family: Option<FamilyFn>) -> VTable {
    VTable {
        poll: poll::<F, S>,
        drop_future: drop_future::<F, S>,
        read_value: read_value::<F, S>,
        value: value::<F, S>,
        is_err: is_err::<F, S>,
        drop_value: if std::mem::needs_drop::<F::Output>() {
            Some(drop_value::<F, S>)
        } else {
            None
        },
        schedule,
        family,
        dealloc: dealloc::<F, S>,
    }
}

/// # Safety
///
/// For the functions of the vtable: `h` is the header of a live `TaskCell<F, S>` (C5); but for `dealloc`
/// this is the owner's thread (C3); and it is the time that [`VTable`] gives, so that the stage holds what
/// the function is about (C2).
unsafe fn stage<F: Future, S>(h: NonNull<Header>) -> *mut Stage<F> {
    let cell = h.cast::<TaskCell<F, S>>().as_ptr();
    // SAFETY: by C5 the pointer is good for the whole cell; no reference to the stage exists.
    unsafe { (*cell).stage.get() }
}

unsafe fn poll<F: Future, S>(h: NonNull<Header>, cx: &mut Context<'_>) -> Progress {
    // SAFETY: the caller's promise.
    let header = unsafe { &*h.as_ptr() };
    let mut returned = None;
    // One guard for the poll and for the drop of a future that has returned.
    // SAFETY: the caller's promise; the stage holds the future, which stays where it is until it is
    // dropped, in place: it is pinned. It is dropped once: nobody polls it again, the state says running.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        let future: *mut ManuallyDrop<F> = &raw mut (*stage::<F, S>(h)).future;
        let Poll::Ready(value) = Pin::new_unchecked(&mut **future).poll(cx) else {
            return Progress::Pending;
        };
        returned = Some(value);
        if std::mem::needs_drop::<F>() || std::mem::needs_drop::<S>() {
            header.state.end();
            ManuallyDrop::drop(&mut *future);
        }
        Progress::Ready
    }));
    match polled {
        Ok(Progress::Pending) => Progress::Pending,
        // SAFETY: the caller's promise, and the poll is over.
        polled => unsafe { end_poll::<F, S>(h, polled.err(), returned) },
    }
}

/// The end of a poll that has returned a value or panicked.
///
/// # Safety
///
/// As for [`poll`]; and the future has gone if there is a value, and has not otherwise.
// Apart in debug builds, where what is inlined takes stack while the future is polled.
#[cfg_attr(debug_assertions, inline(never))]
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn end_poll<F: Future, S>(
    h: NonNull<Header>,
    panic: Option<Payload>,
    returned: Option<F::Output>,
) -> Progress {
    // SAFETY: the caller's promise.
    let header = unsafe { &*h.as_ptr() };
    match (panic, returned) {
        (None, Some(value)) => {
            // SAFETY: the future has just gone, and the stage is empty now.
            unsafe {
                let_schedule_go::<F, S>(h);
                (*stage::<F, S>(h)).value = ManuallyDrop::new(value);
            }
            Progress::Ready
        }
        (None, None) => Progress::Pending,
        (Some(payload), Some(value)) => {
            // Its destructor panicked, and has dropped it all the same.
            // SAFETY: the future has just gone.
            unsafe { let_schedule_go::<F, S>(h) };
            discard(move || drop(value));
            header.leave_payload(payload);
            Progress::Panicked
        }
        (Some(payload), None) => {
            // SAFETY: the future is in the stage. A second panic, from its destructor, is dropped.
            if let Err(second) = unsafe { drop_future::<F, S>(h) } {
                discard_payload(second);
            }
            header.leave_payload(payload);
            Progress::Panicked
        }
    }
}

unsafe fn drop_future<F: Future, S>(h: NonNull<Header>) -> Result<(), Payload> {
    if !std::mem::needs_drop::<F>() && !std::mem::needs_drop::<S>() {
        return Ok(());
    }
    // SAFETY: the caller's promise. Wake-ups from the destructors below find the state ending.
    let state = unsafe { &(*h.as_ptr()).state };
    state.end();
    // SAFETY: the caller's promise: the future is in the stage, once. A destructor that panics has dropped
    // its value all the same.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
        ManuallyDrop::drop(&mut (*stage::<F, S>(h)).future);
    }));
    // SAFETY: the future has just gone.
    unsafe { let_schedule_go::<F, S>(h) };
    dropped
}

/// What schedules a task goes when its future does.
///
/// # Safety
///
/// As for [`stage`]; and the future has just gone.
#[inline]
unsafe fn let_schedule_go<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if !unsafe { &*h.as_ptr() }.state.is_schedule_held() {
        // SAFETY: the future goes once, so this comes once; and no clone is being made.
        unsafe { drop_schedule::<F, S>(h) };
    }
}

/// # Safety
///
/// As for [`stage`]; and nobody uses the schedule now, or ever again.
unsafe fn drop_schedule<F: Future, S>(h: NonNull<Header>) {
    if std::mem::needs_drop::<S>() {
        // SAFETY: the caller's promise, and C5.
        discard(|| unsafe { ManuallyDrop::drop(&mut *schedule::<F, S>(h)) });
    }
}

/// # Safety
///
/// As for [`stage`].
unsafe fn schedule<F: Future, S>(h: NonNull<Header>) -> *mut ManuallyDrop<S> {
    let cell = h.cast::<TaskCell<F, S>>().as_ptr();
    // SAFETY: by C5 the pointer is good for the whole cell.
    unsafe { (*cell).schedule.get() }
}

unsafe fn read_value<F: Future, S>(h: NonNull<Header>, to: *mut ()) {
    // SAFETY: the caller's promise: the stage holds the value, nobody reads it again, and `to` has room
    // for one.
    unsafe {
        let value = ptr::read(&(*stage::<F, S>(h)).value);
        to.cast::<F::Output>()
            .write(ManuallyDrop::into_inner(value));
        (*stage::<F, S>(h)).empty = ();
    }
}

unsafe fn value<F: Future, S>(h: NonNull<Header>) -> *const () {
    // SAFETY: the caller's promise.
    unsafe { ptr::from_ref::<F::Output>(&(*stage::<F, S>(h)).value).cast() }
}

unsafe fn is_err<F: Future, S>(h: NonNull<Header>) -> bool {
    // SAFETY: the caller's promise; only looked at, and nothing foreign runs meanwhile.
    forgotten::is_err::<F::Output>(unsafe { &(*stage::<F, S>(h)).value })
}

unsafe fn drop_value<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the caller's promise.
    unsafe { ManuallyDrop::drop(&mut (*stage::<F, S>(h)).value) }
}

unsafe fn schedule_elsewhere<F: Future, S: Schedule + Clone>(h: NonNull<Header>) {
    /// Keeps the schedule from being dropped with the future for as long as this lives.
    struct Hold<F: Future, S>(NonNull<Header>, PhantomData<(F, S)>);
    impl<F: Future, S> Drop for Hold<F, S> {
        fn drop(&mut self) {
            // SAFETY: the step below, which is dropped after this, keeps the cell alive (C1).
            let state = unsafe { &(*self.0.as_ptr()).state };
            state.release_schedule();
            if state.is_done() {
                // SAFETY: the future went meanwhile and left this behind; the clone is made.
                unsafe { drop_schedule::<F, S>(self.0) };
            }
        }
    }
    // SAFETY: `h` is alive; the new reference keeps it so.
    let step = Step::new(unsafe { CellRef::borrow(&h) }.clone());
    // SAFETY: as above.
    unsafe { &(*h.as_ptr()).state }.hold_schedule();
    let hold = Hold::<F, S>(h, PhantomData);
    // A copy: should the step end the task before it has been taken in, the original goes.
    // SAFETY: the task has not ended, so the schedule is there, and stays for as long as it is held (C2).
    let copy = S::clone(unsafe { &*schedule::<F, S>(h) });
    drop(hold);
    copy.schedule(step);
}

/// For children, whose places in the queue are plain pointers (H5 in `family.rs`).
unsafe fn schedule_child<F: Future>(h: NonNull<Header>) {
    // SAFETY: the task has not ended, so its family is there (C2), and nothing foreign runs here.
    let shared = unsafe { &*schedule::<F, Rc<Family>>(h) };
    if shared.is_woken() {
        shared.ready.push(h);
    } else {
        // SAFETY: handed on to the caller.
        wake_family(h, unsafe { family::<F>(h) });
    }
}

/// The first of a round. Apart: the others make no call.
#[inline(never)]
fn wake_family(h: NonNull<Header>, family: Rc<Family>) {
    if family.push(h) {
        family.wake();
    }
}

/// The family of a child, with a reference of its own: code that is woken may end the task.
unsafe fn family<F: Future>(h: NonNull<Header>) -> Rc<Family> {
    // SAFETY: the task has not ended, so its family is there (C2), and nothing foreign runs here.
    Rc::clone(unsafe { &*schedule::<F, Rc<Family>>(h) })
}

unsafe fn dealloc<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the last reference is gone (C1), so this is the only use of the cell, whatever the thread.
    let header = unsafe { h.as_ref() };
    debug_assert!(header.is_bare(), "a cell outlives its task bare");
    let layout = Layout::new::<TaskCell<F, S>>();
    let cell = h.cast::<TaskCell<F, S>>();
    // SAFETY: C1, as above. Future, value and schedule are not dropped here, and were before, at the end of the task,
    // which comes before the owner's reference goes (C4). The joiner was taken at that end; or it is the handle that
    // had it, and took it along. What is left aside is a name.
    unsafe { cell.drop_in_place() };
    // SAFETY: the memory came from a pool, with this layout, and goes to the one of this thread if there is one.
    current::tasks(|tasks| unsafe {
        match tasks {
            Some(tasks) => tasks.pool().give(cell.cast(), layout),
            None => pool::free(cell.cast(), layout),
        }
    });
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

    /// Whether the task's own context holds any values.
    #[inline]
    pub(crate) fn has_context(&self) -> bool {
        // SAFETY: nothing foreign runs within `has_context`, so nothing changes the cell meanwhile.
        let aside = unsafe { &*self.aside.as_ptr() };
        aside.as_ref().is_some_and(|aside| aside.has_context())
    }

    /// The cell that is woken when this task ends, if the waker is one of ours.
    #[inline]
    pub(crate) fn joiner_cell(&self) -> Option<NonNull<Header>> {
        let joiner = self.joiner.take();
        let cell = joiner.as_ref().and_then(waker::cell_of);
        self.joiner.set(joiner);
        cell
    }

    /// Whether nothing is left that cares for the thread on which it is dropped.
    fn is_bare(&self) -> bool {
        let aside = self.aside();
        !self.has_joiner() && aside.is_none_or(|aside| aside.is_a_name())
    }

    /// The task that is woken when this one ends, if it is known.
    pub(crate) fn joiner_id(&self) -> Option<TaskId> {
        let joiner = self.joiner.take()?;
        let id = waker::task_of(&joiner);
        self.joiner.set(Some(joiner));
        id
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

    /// Requests to cancel that its scopes have not been told of, which now are.
    pub(crate) fn take_requests(&self) -> Requests {
        self.aside()
            .map(|aside| aside.take_requests())
            .unwrap_or_default()
    }

    /// Whether somebody awaits the end of the task.
    #[inline]
    pub(crate) fn has_joiner(&self) -> bool {
        let joiner = self.joiner.take();
        let is_there = joiner.is_some();
        self.joiner.set(joiner);
        is_there
    }

    /// What was said by whoever cancelled the task, which has ended of it.
    /// What was said by whoever cancelled the task, which has ended of it.
    #[inline]
    pub(crate) fn cancel_message(&self) -> Option<Arc<str>> {
        // Most often there is nothing aside.
        let aside = self.aside.take()?;
        let message = aside.cancel_message();
        self.aside.set(Some(aside));
        message
    }

    pub(crate) fn leave_payload(&self, payload: Payload) {
        self.aside_or_new().leave_payload(payload);
    }

    /// The payload of the panic that ended the task.
    pub(crate) fn take_payload(&self) -> Payload {
        let payload = self.aside().and_then(|aside| aside.take_payload());
        payload.unwrap_or_else(|| Box::new("the payload of this panic was taken before"))
    }

    /// Lets go of the context and the payload, when the task is over and its outcome taken or unwanted. The
    /// name stays.
    #[inline]
    pub(crate) fn clear_aside(&self) {
        if let Some(aside) = self.aside.take() {
            self.clear(aside);
        }
    }

    #[cold]
    fn clear(&self, aside: Rc<Aside>) {
        let rest = aside.empty();
        if aside.name().is_some() {
            self.aside.set(Some(aside));
        }
        // Values of others.
        discard(move || drop(rest));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_parked_task_is_a_header_and_its_future() {
        let bare = size_of::<Header>() - size_of::<TaskSpan>() - size_of::<SpanId>();
        assert!(bare <= 88, "{bare}");
        let cell = size_of::<TaskCell<std::future::Ready<[u64; 4]>, Home>>();
        let future = size_of::<std::future::Ready<[u64; 4]>>();
        assert_eq!(cell, size_of::<Header>() + future);
    }

    #[test]
    fn a_handle_is_a_pointer() {
        assert_eq!(size_of::<crate::Task<[u64; 4]>>(), 8);
        assert_eq!(size_of::<Option<crate::Task<()>>>(), 8);
        assert_eq!(size_of::<crate::TaskRef>(), 8);
        assert_eq!(size_of::<crate::Step>(), 8);
    }
}
