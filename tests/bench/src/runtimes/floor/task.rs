//! The floor's tasks: one allocation each, a plain count of references, a list of what is ready.
//!
//! - **F1** tasks, handles and wakers stay on the thread that made them: the floor says it cannot
//!   be woken from another one (`Runtime::CAN`), and workloads that do so leave it out;
//! - **F2** every `Ref`, every waker and every place in the ready list owns one reference to its
//!   cell, and a cell lives until its last reference is dropped;
//! - **F3** a cell's stage is touched by `step` while it polls, and otherwise for the length of one
//!   expression that runs none of the user's code;
//! - **F4** a cell's `vtable` was made for the type of that cell.
//!
//! A future that panics ends the process's only use of this executor with it.

#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// The head of all cells.
#[repr(C)]
struct Header {
    vtable: &'static Vtable,
    next: Cell<Option<NonNull<Header>>>,
    joiner: Cell<Option<Waker>>,
    references: Cell<u32>,
    queued: Cell<bool>,
    finished: Cell<bool>,
}

/// The functions that depend on the type of the future.
struct Vtable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>),
    /// Moves the output to the place the pointer leads to, an `Option` of it.
    take_output: unsafe fn(NonNull<Header>, *mut ()),
    free: unsafe fn(NonNull<Header>),
}

#[repr(C)]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

enum Stage<F: Future> {
    Running(F),
    Finished(F::Output),
    Taken,
}

impl<F: Future> TaskCell<F> {
    const VTABLE: Vtable = Vtable {
        poll: Self::poll,
        take_output: Self::take_output,
        free: Self::free,
    };

    /// # Safety
    ///
    /// `header` heads a live cell of this type, and no other step of it is under way.
    unsafe fn poll(header: NonNull<Header>, context: &mut Context<'_>) {
        // SAFETY: the caller says what the pointer is; the stage is this step's (F3).
        let stage = unsafe { &mut *header.cast::<Self>().as_ref().stage.get() };
        let Stage::Running(future) = stage else {
            return;
        };
        // SAFETY: the cell never moves, and the future is dropped where it lies.
        let future = unsafe { Pin::new_unchecked(future) };
        if let Poll::Ready(output) = future.poll(context) {
            *stage = Stage::Finished(output);
            // SAFETY: the caller's reference keeps the header alive.
            let header = unsafe { header.as_ref() };
            header.finished.set(true);
            if let Some(joiner) = header.joiner.take() {
                joiner.wake();
            }
        }
    }

    /// # Safety
    ///
    /// `header` heads a live, finished cell of this type; `place` is an `Option<F::Output>`.
    unsafe fn take_output(header: NonNull<Header>, place: *mut ()) {
        // SAFETY: as for `poll`; a finished task is not polled.
        let stage = unsafe { &mut *header.cast::<Self>().as_ref().stage.get() };
        if let Stage::Finished(output) = std::mem::replace(stage, Stage::Taken) {
            // SAFETY: the caller says what the place is.
            unsafe { *place.cast::<Option<F::Output>>() = Some(output) };
        }
    }

    /// # Safety
    ///
    /// `header` heads a cell of this type whose last reference is gone.
    unsafe fn free(header: NonNull<Header>) {
        // SAFETY: it came from a box (`spawn`) and nobody refers to it any more (F2).
        drop(unsafe { Box::from_raw(header.cast::<Self>().as_ptr()) });
    }
}

/// One reference to a cell.
struct Ref(NonNull<Header>);

impl Ref {
    fn header(&self) -> &Header {
        // SAFETY: a reference keeps its cell alive (F2), and headers are only ever shared.
        unsafe { self.0.as_ref() }
    }

    /// Puts the task on the ready list unless it is there or has ended.
    fn wake(self) {
        let header = self.header();
        if header.queued.get() || header.finished.get() {
            return;
        }
        header.queued.set(true);
        READY.with(|ready| ready.push(self));
    }

    /// Polls the task once.
    fn step(self) {
        let header = self.header();
        header.queued.set(false);
        // SAFETY: the pointer fits the vtable, and the waker is not dropped here, so it needs no
        // reference of its own: `self` outlives it (F2).
        let waker = ManuallyDrop::new(unsafe { Waker::new(self.0.as_ptr().cast(), &WAKER) });
        // SAFETY: alive (F2), of its vtable's type (F4), and only `run_ready` steps, one at a time.
        unsafe { (header.vtable.poll)(self.0, &mut Context::from_waker(&waker)) };
    }
}

impl Clone for Ref {
    fn clone(&self) -> Self {
        let references = &self.header().references;
        references.set(references.get() + 1);
        Self(self.0)
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        let header = self.header();
        let left = header.references.get() - 1;
        header.references.set(left);
        if left == 0 {
            // SAFETY: that was the last one, and the vtable is the cell's (F4).
            unsafe { (header.vtable.free)(self.0) };
        }
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |data| {
        let waker = ManuallyDrop::new(borrowed(data));
        RawWaker::new(Ref::clone(&waker).into_raw(), &WAKER)
    },
    |data| ManuallyDrop::into_inner(borrowed(data)).wake(),
    |data| Ref::clone(&borrowed(data)).wake(),
    |data| drop(ManuallyDrop::into_inner(borrowed(data))),
);

/// The reference a waker owns.
fn borrowed(data: *const ()) -> ManuallyDrop<Ref> {
    let header = NonNull::new(data.cast_mut().cast()).expect("a waker refers to a cell");
    ManuallyDrop::new(Ref(header))
}

impl Ref {
    fn into_raw(self) -> *const () {
        ManuallyDrop::new(self).0.as_ptr().cast()
    }
}

/// The tasks that are ready, first in, first out, linked through their headers.
struct ReadyList {
    first: Cell<Option<NonNull<Header>>>,
    last: Cell<Option<NonNull<Header>>>,
}

thread_local! {
    static READY: ReadyList = const {
        ReadyList { first: Cell::new(None), last: Cell::new(None) }
    };
}

impl ReadyList {
    fn push(&self, task: Ref) {
        let task = ManuallyDrop::new(task).0;
        match self.last.replace(Some(task)) {
            // SAFETY: the list owns a reference to each task in it (F2).
            Some(last) => unsafe { last.as_ref() }.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }

    fn pop(&self) -> Option<Ref> {
        let task = Ref(self.first.get()?);
        let next = task.header().next.take();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        Some(task)
    }
}

/// Polls what is ready until nothing is.
pub(super) fn run_ready() {
    READY.with(|ready| {
        while let Some(task) = ready.pop() {
            task.step();
        }
    });
}

/// Starts a task.
pub(super) fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
    let cell = Box::new(TaskCell {
        header: Header {
            vtable: &TaskCell::<F>::VTABLE,
            next: Cell::new(None),
            joiner: Cell::new(None),
            references: Cell::new(1),
            queued: Cell::new(false),
            finished: Cell::new(false),
        },
        stage: UnsafeCell::new(Stage::Running(future)),
    });
    let task = Ref(NonNull::from(Box::leak(cell)).cast());
    task.clone().wake();
    Task {
        task,
        output: PhantomData,
    }
}

/// A spawned task; awaited, it gives what the task returned.
pub(crate) struct Task<T> {
    task: Ref,
    output: PhantomData<T>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finished = self.task.header().finished.get();
        f.debug_struct("Task").field("finished", &finished).finish()
    }
}

impl<T> Task<T> {
    /// The output of the task, once it has returned and until the output is taken.
    pub(super) fn take_output(&mut self) -> Option<T> {
        let header = self.task.header();
        if !header.finished.get() {
            return None;
        }
        let mut output: Option<T> = None;
        // SAFETY: finished, alive (F2), and of the type `spawn` gave both cell and handle (F4).
        unsafe { (header.vtable.take_output)(self.task.0, (&raw mut output).cast()) };
        output
    }
}

impl<T: Unpin> Unpin for Task<T> {}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: nothing in a handle is pinned; its output lies in the cell.
        let this = unsafe { self.get_unchecked_mut() };
        match this.take_output() {
            Some(output) => Poll::Ready(output),
            None => {
                let joiner = &this.task.header().joiner;
                joiner.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}
