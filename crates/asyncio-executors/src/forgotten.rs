//! Reports of losses in a task group: spawns that the group refuses, and errors that it cannot return.
//!
//! A spawn into a group that has finished is always reported. Everything else here is reported in debug mode only.

use std::panic::Location;

use asyncio_loop::{call_exception_handler, try_running_loop};
use asyncio_task::{Cause, SpawnOptions, TaskRef, Unhandled, current_task};

/// The report of a refused spawn into a group that has finished.
const FINISHED: &str = "a child was spawned into a task group that has finished";

/// The report of a refused spawn into a group that is ending.
const ENDING: &str = "a child was spawned into a task group that is ending, so it never runs: `try_spawn` gives the future back";

/// Whether the loop that runs here is in debug mode.
fn is_debugging() -> bool {
    try_running_loop().is_ok_and(|here| here.debug())
}

/// A refused spawn, described before the future and its options are gone.
pub(crate) struct Refusal {
    message: &'static str,
    child: String,
}

impl Refusal {
    /// A spawn into a group that takes no more children. `None` if nothing is to be reported.
    #[cold]
    pub(crate) fn of(
        has_finished: bool,
        options: &SpawnOptions,
        caller: &'static Location<'static>,
    ) -> Option<Self> {
        if !has_finished && !is_debugging() {
            return None;
        }
        let name = options.given_name().unwrap_or("without a name");
        let location = options.given_location().unwrap_or(caller);
        Some(Self {
            message: if has_finished { FINISHED } else { ENDING },
            child: format!("{name}, spawned at {location}"),
        })
    }

    /// Tells the exception handler.
    #[cold]
    pub(crate) fn report(self) {
        let cause = Cause::Error(self.child);
        call_exception_handler(&Unhandled::new(self.message, None, cause));
    }
}

/// An error that a group is to return, with the task that failed if debug mode was on then.
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    task: Option<TaskRef>,
}

impl<E> Failure<E> {
    /// An error of the task that runs here. Only debug mode keeps the task, and with it the memory of its future.
    pub(crate) fn here(error: E) -> Self {
        let task = is_debugging().then(current_task).flatten();
        Self { error, task }
    }

    /// Drops the errors of a group that cannot return them, and reports each in debug mode.
    #[cold]
    pub(crate) fn lose(failures: Vec<Self>, message: &'static str) {
        if is_debugging() {
            for Self { task, .. } in &failures {
                let report = Unhandled::new(message, task.as_ref(), Cause::Message);
                call_exception_handler(&report);
            }
        }
    }
}
