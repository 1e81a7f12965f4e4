//! Panics of handlers, which end in an answer.
//!
//! A `catch_unwind` around each poll of a handler would copy each answer once more. So a panic of a handler passes
//! through hyper, and is caught around the poll of the connection. The connection remembers that it came from a
//! handler. hyper is polled again, polls the handler's [`Answering`](super::answer::Answering) again, and gets status
//! 500.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use asyncio_loop::{Cause, PanicPayload, Unhandled, call_exception_handler, current_task};

use super::connection::Connection;

/// Polls hyper, and once more after a panic of a handler. Other panics, such as those of bodies, go on.
#[inline]
pub(super) fn poll_past_panics<T>(
    connection: &Connection,
    mut poll: impl FnMut() -> Poll<T>,
) -> Poll<T> {
    loop {
        match catch_unwind(AssertUnwindSafe(&mut poll)) {
            Ok(outcome) => return outcome,
            Err(payload) if connection.is_in_handler.get() => report(payload),
            Err(payload) => resume_unwind(payload),
        }
    }
}

/// Reports a panic of a handler.
#[cold]
pub(super) fn report(payload: Box<dyn Any + Send>) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    let message = "a handler of HTTP requests panicked";
    call_exception_handler(&Unhandled::new(message, current_task().as_ref(), cause));
}
