//! Errors of promises that were never taken: while a loop runs, its exception handler receives
//! them.
//!
//! `asyncio-sync` knows no loop. It calls a hook of the thread, which this module sets while the
//! loop runs. Afterwards, and on a thread without a loop, errors go to the previous hook.

use asyncio_sync::{UnretrievedError, set_unretrieved_hook};
use asyncio_task::{Cause, Unhandled};

use crate::exceptions::call_exception_handler;

/// While it lives, errors that were never taken go to the running loop.
pub(crate) struct ErrorHook {
    before: fn(&UnretrievedError<'_>),
}

impl ErrorHook {
    pub(crate) fn install() -> Self {
        let before = set_unretrieved_hook(report);
        Self { before }
    }
}

impl Drop for ErrorHook {
    fn drop(&mut self) {
        set_unretrieved_hook(self.before);
    }
}

fn report(missed: &UnretrievedError<'_>) {
    let error = format!("{:?} (promised at {})", missed.error(), missed.created());
    let message = "the error of a promise was never retrieved";
    call_exception_handler(&Unhandled::new(message, None, Cause::Error(error)));
}
