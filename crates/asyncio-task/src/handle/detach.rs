//! Tasks without a handle: their supervisor takes the outcome and reports what went wrong.
//!
//! The supervisor sits where a joiner's waker would: it is woken when the task has ended.
//!
//! - **D1** The waker made here lives in the joiner slot of its own cell and nowhere else, and owns what
//!   was the handle's anchor and right to the outcome. It is woken or dropped once, on the owner's thread,
//!   and never cloned; whoever did clone it would get a waker that does nothing.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::cell::Header;
use crate::cell::cell_ref::{Anchor, JoinRef};

use crate::engine::tasks;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::task::Task;

/// What a detached task may return: something that tells whether it went wrong.
///
/// `()`, `!`, and `Result`s whose error is `Debug`. For anything else there is
/// [`discard`](crate::Task::discard).
#[diagnostic::on_unimplemented(
    message = "a task that is left to itself returns `()` or a `Result`, not `{Self}`",
    note = "let it return one of these, await it, or `discard()` it: then only panics are reported"
)]
pub trait Outcome: sealed::Outcome {}

mod sealed {
    pub trait Outcome {
        /// What went wrong, in words.
        fn failure(&self) -> Option<String>;

        /// Whether anything did.
        fn is_failure(&self) -> bool {
            false
        }
    }

    pub trait Returns {
        type Type;
    }

    impl<T> Returns for fn() -> T {
        type Type = T;
    }
}

impl sealed::Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

/// For a task that goes round for ever: `async { loop { … } }`.
#[diagnostic::do_not_recommend]
impl sealed::Outcome for Never {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> sealed::Outcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(|e| format!("{e:?}"))
    }

    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl<T: sealed::Outcome> Outcome for T {}

/// `!`, by the one way there is to name it: as what a function returns that does not.
type Never = <fn() -> ! as sealed::Returns>::Type;

/// Whether a value says that its task went wrong.
pub(crate) fn is_failure<T: Outcome>(value: &T) -> bool {
    value.is_failure()
}

/// What went wrong, in words, where a value says that something did. For crates that run other work than
/// tasks without anybody awaiting it.
#[doc(hidden)]
pub fn failure_of<T: Outcome>(value: &T) -> Option<String> {
    value.failure()
}

/// What a supervisor does with the outcome of its task.
trait Review<T> {
    fn failure(value: &T) -> Option<String>;
}

struct ReportErrors;
impl<T: Outcome> Review<T> for ReportErrors {
    fn failure(value: &T) -> Option<String> {
        value.failure()
    }
}

struct IgnoreValues;
impl<T> Review<T> for IgnoreValues {
    fn failure(_: &T) -> Option<String> {
        None
    }
}

pub(crate) fn supervise<T: Outcome + 'static>(task: Task<T>) {
    detach::<T, ReportErrors>(task);
}

pub(crate) fn ignore<T: 'static>(task: Task<T>) {
    detach::<T, IgnoreValues>(task);
}

fn detach<T: 'static, R: Review<T>>(mut task: Task<T>) {
    // While the task is a whole one: what goes here may be a waker of others.
    task.stop_listening();
    if task.is_finished() {
        return conclude::<T, R>(task);
    }
    // The handle's anchor and its right to the outcome pass to the supervisor.
    let cell = ManuallyDrop::new(task).cell().as_raw();
    let raw = RawWaker::new(
        cell.as_ptr().cast::<()>().cast_const(),
        &Supervisor::<T, R>::VTABLE,
    );
    // SAFETY: the functions of the vtable keep the contract of a waker (D1).
    let supervisor = unsafe { Waker::from_raw(raw) };
    // SAFETY: the supervisor's anchor keeps the cell alive.
    drop(unsafe { cell.as_ref() }.joiner.replace(Some(supervisor)));
}

/// Gives up a handle and nothing else.
#[inline]
pub(crate) fn leave<T>(task: Task<T>) {
    let cell = task.cell();
    cell.state.leave();
    let joiner = cell.joiner.take();
    if joiner.is_some() || cell.state.is_done() || task.has_listener() {
        cell.joiner.set(joiner);
        return drop(task);
    }
    // There is nothing but its anchor.
    let cell = ManuallyDrop::new(task).cell().as_raw();
    // SAFETY: it was the handle's, which is not dropped any more.
    drop(unsafe { Anchor::from_raw(cell) });
}

/// Takes the outcome of a task that has ended and reports what went wrong. Does not unwind.
fn conclude<T, R: Review<T>>(mut task: Task<T>) {
    let this = task.as_ref();
    let panicked = |payload| tasks::report(&this, Unhandled::panic(&this, payload));
    let value = match task.take_outcome() {
        Some(Ok(value)) => value,
        Some(Err(payload)) => return panicked(payload),
        None => return,
    };
    // The value's `Debug` and its destructor are code of others, and nobody above expects them to panic.
    match catch_unwind(AssertUnwindSafe(|| R::failure(&value))) {
        Ok(None) => {}
        Ok(Some(error)) => tasks::report(
            &this,
            Unhandled::new("a detached task failed", Some(&this), Cause::Error(error)),
        ),
        Err(payload) => panicked(payload),
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        panicked(payload);
    }
}

struct Supervisor<T, R>(PhantomData<(T, R)>);

impl<T: 'static, R: Review<T>> Supervisor<T, R> {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(Self::clone, Self::wake, Self::wake_by_ref, Self::drop);

    /// # Safety
    ///
    /// `ptr` is that of a supervisor, and its anchor passes to the result.
    unsafe fn task(ptr: *const ()) -> Task<T> {
        // SAFETY: D1: the pointer is that of a `JoinRef<T>`'s cell, with its anchor, and that one was
        // given up. This is the owner's thread.
        Task::new(unsafe {
            JoinRef::from_anchor(Anchor::from_raw(NonNull::new_unchecked(
                ptr.cast_mut().cast::<Header>(),
            )))
        })
    }

    unsafe fn clone(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), Waker::noop().vtable())
    }

    unsafe fn wake(ptr: *const ()) {
        // SAFETY: the waker is used up (D1).
        conclude::<T, R>(unsafe { Self::task(ptr) });
    }

    unsafe fn wake_by_ref(_: *const ()) {}

    unsafe fn drop(ptr: *const ()) {
        // SAFETY: the waker is used up (D1). The task is cancelled, as with any handle.
        drop(unsafe { Self::task(ptr) });
    }
}
