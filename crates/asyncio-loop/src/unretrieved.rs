//! Errors of promises at which nobody looked: while a loop runs, its exception handler is told.
//!
//! `asyncio-sync` knows no loop; it calls a hook of the thread, which is ours from here on until the
//! loop has left. An error after that, or on a thread without a loop, goes where it went before.

use asyncio_sync::{UnretrievedError, set_unretrieved_hook};
use asyncio_task::{Cause, Unhandled};

use crate::exceptions::call_exception_handler;

/// While this lives, errors at which nobody looked go to the loop that runs on this thread.
pub(crate) struct Routed {
    before: fn(&UnretrievedError<'_>),
}

impl Routed {
    pub(crate) fn to_this_loop() -> Self {
        let before = set_unretrieved_hook(report);
        Self { before }
    }
}

impl Drop for Routed {
    fn drop(&mut self) {
        set_unretrieved_hook(self.before);
    }
}

fn report(missed: &UnretrievedError<'_>) {
    let error = format!("{:?} (promised at {})", missed.error(), missed.created());
    let message = "the error of a promise was never retrieved";
    call_exception_handler(&Unhandled::new(message, None, Cause::Error(error)));
}
