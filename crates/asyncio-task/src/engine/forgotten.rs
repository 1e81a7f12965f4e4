//! Reports of outcomes that were forgotten, in debug mode: tasks whose handle was dropped before they began, and errors
//! that nothing took.

use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::report::report;
use crate::engine::unhandled::{Cause, Unhandled};

/// How an error is reported that was dropped with its task.
const FAILED: &str = "a task failed and nobody looked at its error: await it, or detach it";

/// How a task is reported whose handle was dropped before its first step.
const NEVER_BEGAN: &str = "the handle of a task was dropped before the task began, so it never runs: await it, or detach it";

impl Local {
    /// Reports an error that is about to be dropped with a task that has no handle.
    #[cold]
    pub(crate) fn report_forgotten_error(&self, cell: &LocalRef) {
        if !cell.borrows() && cell.holds_err() {
            report(cell, Unhandled::of_task(FAILED, cell, Cause::Message));
        }
    }
}

/// Reports what is about to be lost with the handle of a task. Runs the foreign code, and does not unwind.
#[inline]
pub(crate) fn report_lost(cell: &LocalRef) {
    // Nothing is lost with the handle of a task that is under way.
    if cell.state.has_value() || cell.state.waits_for_its_first_step() {
        report_if_forgotten(cell);
    }
}

fn report_if_forgotten(cell: &LocalRef) {
    let is_forgotten = current::of(cell, |tasks| {
        tasks.is_some_and(|tasks| tasks.reports_forgotten.get()) && !cell.marks.has(Mark::Callback)
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
    report(cell, Unhandled::of_task(message, cell, Cause::Message));
}
