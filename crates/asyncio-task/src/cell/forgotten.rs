//! What nobody asked for, in debug mode: tasks that were let go of before they began, and errors that nobody took.
//!
//! The type of a task's output has no bounds, so whether it is an `Err` is found out from the name of the type and
//! the discriminant of the value. The name is documented as best effort: if it ever changed, reports would be missing,
//! and nothing else.

use std::any::type_name;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use crate::cell::cell_ref::CellRef;
use crate::cell::marks::Mark;
use crate::engine::tasks::{self, Tasks};
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::task_ref::TaskRef;

/// How an error is reported that was dropped with its task.
const FAILED: &str = "a task failed and nobody looked at its error: await it, or detach it";

/// How a task is reported whose handle was dropped before its first step.
const NEVER_BEGAN: &str =
    "a task was let go of before it began, so it never runs: await it, or detach it";

/// Whether a value is the `Err` of a `Result`.
#[must_use]
pub fn is_err<T>(value: &T) -> bool {
    type_name::<T>().starts_with("core::result::Result<")
        && number_of(value) == number_of(&Err::<(), ()>(()))
}

/// The number of the variant of a `Result`.
fn number_of<T>(value: &T) -> u64 {
    struct Number(u64);
    impl Hasher for Number {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = self.0 << 8 | u64::from(byte);
            }
        }
    }
    let mut number = Number(0);
    discriminant(value).hash(&mut number);
    number.finish()
}

impl Tasks {
    /// Reports an error that is about to be dropped with a task that has no handle.
    #[cold]
    pub(crate) fn report_forgotten_error(&self, cell: &CellRef) {
        if !cell.borrows() && cell.holds_err() {
            let task = TaskRef::new(cell.clone());
            tasks::report(&task, Unhandled::new(FAILED, Some(&task), Cause::Message));
        }
    }
}

/// Reports what is about to be lost with the handle of a task. Runs the code of others, and does not unwind.
#[inline]
pub(crate) fn report_lost(cell: &CellRef) {
    // Nothing is lost with the handle of a task that is under way.
    if cell.state.has_value() || cell.state.waits_for_its_first_step() {
        report_if_forgotten(cell);
    }
}

fn report_if_forgotten(cell: &CellRef) {
    let is_forgotten = tasks::of(cell, |tasks| {
        tasks.is_some_and(Tasks::reports_forgotten) && !cell.marks.has(Mark::Callback)
    });
    if !is_forgotten {
        return;
    }
    let message = if cell.holds_err() && !cell.marks.has(Mark::LookedAt) {
        FAILED
    } else if cell.state.waits_for_its_first_step() {
        NEVER_BEGAN
    } else {
        return;
    };
    let task = TaskRef::new(cell.clone());
    tasks::report(&task, Unhandled::new(message, Some(&task), Cause::Message));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::is_err;

    #[test]
    fn an_err_is_one_whatever_its_layout() {
        assert!(is_err(&Err::<(), _>("text")));
        assert!(is_err(&Err::<u8, u8>(0)));
        assert!(is_err(&Err::<String, Box<dyn std::error::Error>>(
            "boxed".into()
        )));
        assert!(is_err(&Err::<std::num::NonZeroU32, ()>(())));
        assert!(is_err(&Err::<Box<u8>, ()>(())));
        assert!(is_err(&Err::<std::convert::Infallible, u64>(1)));
    }

    #[test]
    fn nothing_else_is() {
        assert!(!is_err(&Ok::<u8, u8>(1)));
        assert!(!is_err(&Ok::<(), Box<u8>>(())));
        assert!(!is_err(&Ok::<Box<u8>, ()>(Box::new(1))));
        assert!(!is_err(&()));
        assert!(!is_err(&Some(1)));
        assert!(!is_err(&1_u64));
        assert!(!is_err(&"core::result::Result<"));
        assert!(!is_err(&Some(Err::<(), ()>(()))));
    }
}
