//! The cell itself: header, future and value in one allocation, and the functions that know their types.
//!
//! C1 to C6 are in `cell/mod.rs`.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::future::{Pending, pending};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::cell::cell_ref::{
    ChildQueue, JoinRef, LocalRef, OwnerRef, QueueEntry, StepRight, wake_owners,
};
use crate::cell::header::{ChildQueueFn, Header, NewTask, Payload, Progress, ScheduleFn, VTable};
use crate::cell::is_err::is_err as is_err_value;
use crate::cell::pool::{self, Pool};
use crate::discard::{discard, discard_payload};
use crate::engine::current;

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

/// A scheduler that takes the place of the owner's ready queue. A clone of it gets each entry.
pub(crate) trait Scheduler: Clone {
    /// A step of a task. Dropped, it ends the task.
    type Entry;

    fn entry(right: StepRight) -> Self::Entry;

    /// Takes an entry. May be foreign code.
    fn take(&self, entry: Self::Entry);
}

/// The owner's own ready queue; [`VTable::schedule`] is `None` for it.
struct OwnQueue;

/// Makes a cell for the owner's own ready queue.
// Always: a call of its own would copy the future once more.
#[inline(always)]
pub(crate) fn new_local<F>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
) -> (OwnerRef, JoinRef<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
{
    // SAFETY: everything is `'static`.
    unsafe { new_own(pool, task, future) }
}

/// Makes a cell for the owner's own ready queue, whose future may borrow, and calls `run` with it. `end` has to end the
/// task, as far as it has not, and to have its outcome dropped; otherwise the process ends.
#[inline(always)]
pub(crate) fn run_borrowing<F: Future, R>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
    end: impl Fn(&LocalRef),
    run: impl FnOnce(OwnerRef, &mut JoinRef<F::Output>) -> R,
) -> R {
    /// Ends the task in any case.
    struct Main<T, E: Fn(&LocalRef)> {
        /// `run` may put another one in its place.
        join: JoinRef<T>,
        cell: LocalRef,
        end: E,
    }
    impl<T, E: Fn(&LocalRef)> Drop for Main<T, E> {
        fn drop(&mut self) {
            /// Checks that the task has ended, also if `end` unwinds.
            struct IsOver<'a>(&'a LocalRef);
            impl Drop for IsOver<'_> {
                fn drop(&mut self) {
                    if !self.0.state.is_done() || self.0.state.has_value() {
                        // The data that the future borrows would end before the future.
                        std::process::abort();
                    }
                }
            }
            let _is_over = IsOver(&self.cell);
            self.join.abandon();
            (self.end)(&self.cell);
        }
    }
    // SAFETY: `Main` drops the future, and takes or drops its output, before this function returns or unwinds. So both
    // are gone before anything that they borrow ends. It cannot be leaked: nothing else has it.
    let (owned, join) = unsafe { new_own(pool, task, future) };
    let cell = join.cell().clone();
    let mut main = Main { join, cell, end };
    run(owned, &mut main.join)
}

/// # Safety
///
/// The future, what it borrows, and its output must outlive the time until the task is done and its
/// outcome taken or abandoned. (They do if they are `'static`.)
// Always, as above.
#[inline(always)]
unsafe fn new_own<F: Future>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
) -> (OwnerRef, JoinRef<F::Output>) {
    // SAFETY: handed on to the caller. The vtable is that of these types, and what is in the own queue has no schedule.
    unsafe {
        new(
            pool,
            task,
            future,
            OwnQueue,
            const { &vtable::<F, OwnQueue>(None, None) },
        )
    }
}

/// Makes a cell that goes to `schedule` when it is woken.
pub(crate) fn new_scheduled<F, S>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
    schedule: S,
) -> (OwnerRef, JoinRef<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    S: Scheduler + 'static,
{
    // SAFETY: everything is `'static`, and the vtable is that of these types.
    unsafe {
        new(
            pool,
            task,
            future,
            schedule,
            const { &vtable::<F, S>(Some(schedule_elsewhere::<F, S>), None) },
        )
    }
}

/// Makes a cell for a future that may borrow, and whose queue is that of its group.
///
/// # Safety
///
/// As for [`new_own`]; or the future and its output are never touched again.
#[inline]
pub(crate) unsafe fn new_child<F: Future, Q: ChildQueue + 'static>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
    queue: Rc<Q>,
) -> (OwnerRef, JoinRef<F::Output>) {
    // SAFETY: handed on to the caller; the vtable is that of these types.
    unsafe {
        new(
            pool,
            task,
            future,
            queue,
            const { &vtable_of_child::<F, Q>() },
        )
    }
}

/// Makes a cell that stands for a body in the queue of a group: its own future is never polled.
pub(crate) fn new_body<Q: ChildQueue + 'static>(
    pool: &Pool,
    task: NewTask<'_>,
    queue: Rc<Q>,
) -> OwnerRef {
    // SAFETY: everything is `'static`, and the vtable is that of these types.
    let (cell, mut join) = unsafe {
        new(
            pool,
            task,
            pending::<()>(),
            queue,
            const { &vtable_of_child::<Pending<()>, Q>() },
        )
    };
    join.abandon();
    cell
}

/// # Safety
///
/// As for [`new_own`]; and the vtable is that of `F` and `S`, with functions for them.
// Always, as above.
#[inline(always)]
unsafe fn new<F: Future, S>(
    pool: &Pool,
    task: NewTask<'_>,
    future: F,
    schedule: S,
    vtable: &'static VTable,
) -> (OwnerRef, JoinRef<F::Output>) {
    let span = task.span(size_of::<F>());
    let block = pool
        .take(Layout::new::<TaskCell<F, S>>())
        .cast::<TaskCell<F, S>>();
    let cell = TaskCell {
        header: Header::new(task, span, vtable),
        stage: UnsafeCell::new(Stage {
            future: ManuallyDrop::new(future),
        }),
        schedule: UnsafeCell::new(ManuallyDrop::new(schedule)),
    };
    // SAFETY: the pool has given a block of this layout, which nothing else uses (P1 to P3 in `pool.rs`). It may be
    // written to, and its former content needs no drop.
    unsafe { block.write(cell) };
    // The pointer is that of the whole cell (C5).
    let h = block.cast::<Header>();
    // SAFETY: the cell is new, and these are called once for it, here. A `NewTask` has the lease of the owner, so this
    // is the owner's thread. `Header::new` counts two anchors, one for each. The output is that of the cell's future.
    unsafe { (OwnerRef::of_new(h), JoinRef::of_new(h)) }
}

const fn vtable_of_child<F: Future, Q: ChildQueue + 'static>() -> VTable {
    vtable::<F, Rc<Q>>(Some(schedule_child::<F, Q>), Some(child_queue::<F, Q>))
}

const fn vtable<F: Future, S>(
    schedule: Option<ScheduleFn>,
    children: Option<ChildQueueFn>,
) -> VTable {
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
        children,
        dealloc: dealloc::<F, S>,
    }
}

/// # Safety
///
/// For the functions of the vtable: `h` is the header of a live `TaskCell<F, S>` (C5). Except in `dealloc`, this is the
/// owner's thread (C3). The call comes at the time that [`VTable`] gives, so the stage holds the part that the function
/// uses (C2).
unsafe fn stage<F: Future, S>(h: NonNull<Header>) -> *mut Stage<F> {
    let cell = h.cast::<TaskCell<F, S>>().as_ptr();
    // SAFETY: by C5 the pointer is good for the whole cell; no reference to the stage exists.
    unsafe { (*cell).stage.get() }
}

unsafe fn poll<F: Future, S>(h: NonNull<Header>, cx: &mut Context<'_>) -> Progress {
    // SAFETY: the caller's promise.
    let header = unsafe { &*h.as_ptr() };
    let mut returned = None;
    // A single guard, for the poll and for the drop of a future that has returned.
    // SAFETY: the caller's promise; the stage holds the future, which stays where it is until it is
    // dropped, in place: it is pinned. It is dropped once: nothing polls it again, the state says running.
    let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
        let future: *mut ManuallyDrop<F> = &raw mut (*stage::<F, S>(h)).future;
        let Poll::Ready(value) = Pin::new_unchecked(&mut **future).poll(cx) else {
            return Progress::Pending;
        };
        returned = Some(value);
        if std::mem::needs_drop::<F>() || std::mem::needs_drop::<S>() {
            header.state.begin_drop();
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
                release_schedule::<F, S>(h);
                (*stage::<F, S>(h)).value = ManuallyDrop::new(value);
            }
            Progress::Ready
        }
        (None, None) => Progress::Pending,
        (Some(payload), Some(value)) => {
            // Its destructor panicked, and has dropped it all the same.
            // SAFETY: the future has just gone.
            unsafe { release_schedule::<F, S>(h) };
            discard(move || drop(value));
            header.keep_payload(payload);
            Progress::Panicked
        }
        (Some(payload), None) => {
            // SAFETY: the future is in the stage. A second panic, from its destructor, is dropped.
            if let Err(second) = unsafe { drop_future::<F, S>(h) } {
                discard_payload(second);
            }
            header.keep_payload(payload);
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
    state.begin_drop();
    // SAFETY: the caller's promise: the future is in the stage, once. A destructor that panics has dropped
    // its value all the same.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe {
        ManuallyDrop::drop(&mut (*stage::<F, S>(h)).future);
    }));
    // SAFETY: the future has just gone.
    unsafe { release_schedule::<F, S>(h) };
    dropped
}

/// Drops the scheduler of a task, after its future.
///
/// # Safety
///
/// As for [`stage`]; and the future has just gone.
#[inline]
unsafe fn release_schedule<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if !unsafe { &*h.as_ptr() }.state.is_schedule_held() {
        // SAFETY: called once, because the future goes once. HELD is clear, so no clone of the scheduler is being made.
        unsafe { drop_schedule::<F, S>(h) };
    }
}

/// # Safety
///
/// As for [`stage`]; and nothing uses the schedule now, or ever again.
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
    // SAFETY: the caller's promise: the stage holds the value, nothing reads it again, and `to` has room
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
    // SAFETY: handed on to the caller; only looked at, and nothing foreign runs meanwhile.
    is_err_value::<F::Output>(unsafe { &(*stage::<F, S>(h)).value })
}

unsafe fn drop_value<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the caller's promise.
    unsafe { ManuallyDrop::drop(&mut (*stage::<F, S>(h)).value) }
}

unsafe fn schedule_elsewhere<F: Future, S: Scheduler>(h: NonNull<Header>) {
    /// Keeps the schedule from being dropped with the future for as long as this lives.
    struct Hold<F: Future, S>(NonNull<Header>, PhantomData<(F, S)>);
    impl<F: Future, S> Drop for Hold<F, S> {
        fn drop(&mut self) {
            // SAFETY: the entry below, which is dropped after this, keeps the cell alive (C1).
            let state = unsafe { &(*self.0.as_ptr()).state };
            state.release_schedule();
            if state.is_done() {
                // SAFETY: the future went meanwhile and left this behind; the clone is made.
                unsafe { drop_schedule::<F, S>(self.0) };
            }
        }
    }
    // SAFETY: `h` is alive; the new reference keeps it so.
    let cell = unsafe { LocalRef::borrow(&h) }.clone();
    let _alive = cell.clone();
    // SAFETY: the task has just been woken, or its step is used up. Its callers are in the vtable of cells that do not
    // borrow, and whose entries go to their schedule.
    let entry = S::entry(unsafe { StepRight::new(cell) });
    // SAFETY: as above.
    unsafe { &(*h.as_ptr()).state }.hold_schedule();
    let hold = Hold::<F, S>(h, PhantomData);
    // A copy: should the entry end the task before it has been taken in, the original goes.
    // SAFETY: the task has not ended, so the schedule is there, and stays for as long as it is held (C2).
    let copy = S::clone(unsafe { &*schedule::<F, S>(h) });
    drop(hold);
    copy.take(entry);
}

/// For children, whose entries in the queue are plain pointers.
unsafe fn schedule_child<F: Future, Q: ChildQueue + 'static>(h: NonNull<Header>) {
    // SAFETY: the task has not ended, so its queue is there (C2), and nothing foreign runs here.
    let queue: &Q = unsafe { &*schedule::<F, Rc<Q>>(h) };
    // SAFETY: the task has just been woken, or its entry is used up; a child has plain entries. The queue is its own.
    let push = || unsafe { queue.push(QueueEntry::from_raw(h)) };
    if !queue.note_woken() {
        return push(); // the last call, so that nothing is kept over it
    }
    push();
    // SAFETY: handed on to the caller.
    unsafe { wake_owners_of::<F, Q>(h) };
}

/// The first of a round. Apart: the others make no call.
///
/// # Safety
///
/// As for [`child_queue`].
#[inline(never)]
unsafe fn wake_owners_of<F: Future, Q: ChildQueue + 'static>(h: NonNull<Header>) {
    // SAFETY: handed on to the caller.
    wake_owners(unsafe { child_queue::<F, Q>(h) });
}

/// The queue of a child, with a reference of its own: code that is woken may end the task.
///
/// # Safety
///
/// As for [`stage`]; and the task has not ended.
unsafe fn child_queue<F: Future, Q: ChildQueue + 'static>(
    h: NonNull<Header>,
) -> Rc<dyn ChildQueue> {
    // SAFETY: the task has not ended, so its queue is there (C2), and nothing foreign runs here.
    let queue: &Rc<Q> = unsafe { &*schedule::<F, Rc<Q>>(h) };
    queue.clone()
}

unsafe fn dealloc<F: Future, S>(h: NonNull<Header>) {
    // SAFETY: the last reference is gone (C1), so this is the only use of the cell, whatever the thread.
    let header = unsafe { h.as_ref() };
    debug_assert!(header.is_bare(), "a cell outlives its task bare");
    let layout = Layout::new::<TaskCell<F, S>>();
    let cell = h.cast::<TaskCell<F, S>>();
    // SAFETY: C1, as above. Future, value and schedule are not dropped here, and were before, at the end of the task,
    // which comes before the owner's reference goes (C4). The joiner was taken at that end, or by the drop of the
    // handle. Only a name is left in the extra part.
    unsafe { cell.drop_in_place() };
    // SAFETY: the memory came from a pool, with this layout, and goes to the one of this thread if there is one.
    current::tasks(|tasks| unsafe {
        match tasks {
            Some(tasks) => tasks.pool.give(cell.cast(), layout),
            None => pool::free(cell.cast(), layout),
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::engine::local::Local;
    use crate::handle::spawn::{new_task_at, spawn_at};
    use asyncio_console::{SpanId, TaskSpan};
    use std::cell::Cell;
    use std::panic::Location;

    #[test]
    fn a_parked_task_is_a_header_and_its_future() {
        let bare = size_of::<Header>() - size_of::<TaskSpan>() - size_of::<SpanId>();
        assert!(bare <= 88, "{bare}");
        let cell = size_of::<TaskCell<std::future::Ready<[u64; 4]>, OwnQueue>>();
        let future = size_of::<std::future::Ready<[u64; 4]>>();
        assert_eq!(cell, size_of::<Header>() + future);
    }

    #[test]
    fn a_task_that_borrows_ends_in_time_though_its_handle_was_exchanged() {
        struct Note<'a>(&'a Cell<bool>);
        impl Drop for Note<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let local = Local::new(|| ());
        let is_dropped = Cell::new(false);
        let note = Note(&is_dropped);
        let borrows = async move {
            let _note = note;
            pending::<()>().await;
        };
        let mut other = spawn_at(&local, Location::caller(), async {}).into_join();
        local.end(other.cell());
        local.run_one();
        let new = new_task_at(&local, Location::caller());
        let end = |cell: &LocalRef| local.end(cell);
        run_borrowing(&local.pool, new, borrows, end, |owned, join| {
            local.register(owned);
            std::mem::swap(join, &mut other);
        });
        assert!(is_dropped.get());
        assert!(other.cell().state.is_done());
    }

    #[test]
    fn a_value_that_may_go_is_not_looked_at() {
        let local = Local::new(|| ());
        let value = async { String::from("value") };
        let mut join = spawn_at(&local, Location::caller(), value).into_join();
        local.run_one();
        assert_eq!(join.peek().map(String::as_str), Some("value"));
        join.abandon();
        assert_eq!(join.peek(), None);
        assert!(join.cell().take_unwanted().is_none());
        assert!(join.take().is_none());
    }

    #[test]
    fn a_handle_is_a_pointer() {
        assert_eq!(size_of::<crate::Task<[u64; 4]>>(), 8);
        assert_eq!(size_of::<Option<crate::Task<()>>>(), 8);
        assert_eq!(size_of::<crate::TaskRef>(), 8);
        assert_eq!(size_of::<crate::Step>(), 8);
    }
}
