//! Reports of what nothing awaits: to the handler of a loop, or to standard error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cell::cell_ref::LocalRef;
use crate::discard::discard;
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::unhandled::{Cause, Unhandled, report_to_stderr};
use crate::handle::panic_payload::PanicPayload;

impl Local {
    /// Reports something that went wrong to the handler.
    pub(crate) fn report(&self, unhandled: &Unhandled) {
        let handler = self.on_unhandled.borrow().clone();
        let Some(handler) = handler else {
            return report_to_stderr(unhandled);
        };
        let told = catch_unwind(AssertUnwindSafe(|| handler(unhandled)));
        if let Err(payload) = told {
            report_to_stderr(unhandled);
            let cause = Cause::Panic(PanicPayload::new(payload));
            let panic = Unhandled::about("the exception handler panicked", None, cause);
            report_to_stderr(&panic);
            discard(|| drop(panic));
        }
        // It may have been replaced meanwhile.
        discard(|| drop(handler));
    }

    /// Reports something in the context of its task, and does not unwind when the context's values or the report are
    /// dropped.
    pub(crate) fn report_and_drop(&self, cell: &LocalRef, unhandled: Unhandled) {
        // The context's values may go with this reference to it.
        discard(|| {
            let context = cell.extra().and_then(|extra| extra.context());
            let context = context.unwrap_or_default();
            current::enter_context(&context, || self.report(&unhandled));
        });
        discard(|| drop(unhandled));
    }
}

/// Reports what went wrong in a task, to its loop if that is here, and drops what that carries. Does not
/// unwind.
pub(crate) fn report(cell: &LocalRef, unhandled: Unhandled) {
    current::of(cell, |tasks| match tasks {
        Some(tasks) => tasks.report_and_drop(cell, unhandled),
        None => {
            report_to_stderr(&unhandled);
            discard(|| drop(unhandled));
        }
    });
}
