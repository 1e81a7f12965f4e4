//! Tasks without a handle: their supervisor takes the outcome and reports what went wrong.
//!
//! The supervisor sits where a joiner's waker would: it is woken when the task has ended.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cell::cell_ref::{Finished, JoinRef};
use crate::cell::waker::{self, Supervisor};
use crate::engine::report::report;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::outcome::Outcome;
use crate::handle::task::Task;

/// The review of a task's value by its supervisor.
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

impl<T> Task<T> {
    /// Lets the task run on without a handle. The exception handler receives an `Err` or a panic of the task.
    ///
    /// ```
    /// # let tasks = asyncio_task::Tasks::new(|| ());
    /// # tasks.enter(&(), || {
    /// tasks.spawn(async { println!("on my own") }).detach();
    /// # tasks.run_one();
    /// # });
    /// ```
    pub fn detach(self)
    where
        T: Outcome + 'static,
    {
        detach::<T, ReportErrors>(self);
    }

    /// Lets the task run on without a handle, and ignores its value. The exception handler receives a panic of the
    /// task.
    pub fn discard(self)
    where
        T: 'static,
    {
        detach::<T, IgnoreValues>(self);
    }

    /// Gives up the handle and nothing else: the task goes on, and belongs to the code that runs it. For tasks of
    /// [`Children`](crate::Children). A task of the loop would go on as well, but an `Err` that it returns would not be
    /// reported: use [`detach`](Self::detach).
    #[inline]
    pub fn leave(mut self) {
        self.forget_handle();
        let cell = self.cell();
        if cell.has_joiner() || cell.state.is_done() || self.has_listener() {
            return drop(self);
        }
        // There is nothing but its anchor.
        drop(self.into_join());
    }
}

fn detach<T: 'static, R: Review<T> + 'static>(mut task: Task<T>) {
    // While the task is a whole one: what goes here may be a foreign waker.
    task.stop_listening();
    if task.is_finished() {
        return conclude::<T, R>(task.into_join());
    }
    drop(task.cell().take_joiner());
    if task.is_finished() {
        return conclude::<T, R>(task.into_join());
    }
    // The handle's right to the outcome passes to the supervisor.
    waker::supervise::<T, Reviewer<R>>(task.into_join());
}

/// Takes the outcome of a task that has ended and reports what went wrong. Does not unwind.
fn conclude<T, R: Review<T>>(mut join: JoinRef<T>) {
    let finished = join.take();
    let cell = join.cell().clone();
    // The handle is gone: what else is dropped with the task comes after this.
    let task = Task::new(join);
    let panicked = |payload| report(&cell, Unhandled::panic(&cell, payload));
    match finished {
        Some(Finished::Value(value)) => {
            // The value's `Debug` and its destructor are foreign code, and nothing above expects them to panic.
            match catch_unwind(AssertUnwindSafe(|| R::failure(&value))) {
                Ok(None) => {}
                Ok(Some(error)) => {
                    let cause = Cause::Error(error);
                    let failed = Unhandled::of_task("a detached task failed", &cell, cause);
                    report(&cell, failed);
                }
                Err(payload) => panicked(payload),
            }
            if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
                panicked(payload);
            }
        }
        Some(Finished::Panicked(payload)) => panicked(payload),
        Some(Finished::Cancelled) | None => {}
    }
    drop(task);
}

struct Reviewer<R>(PhantomData<R>);

impl<T: 'static, R: Review<T> + 'static> Supervisor<T> for Reviewer<R> {
    fn conclude(join: JoinRef<T>) {
        conclude::<T, R>(join);
    }

    fn dropped(join: JoinRef<T>) {
        // The task is cancelled, as with any handle.
        drop(Task::new(join));
    }
}
