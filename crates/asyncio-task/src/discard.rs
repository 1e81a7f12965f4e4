//! Foreign destructors whose panics have nowhere to go.
//!
//! The panic hook has reported the panic already, so the program goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a destructor, and swallows its panic.
pub(crate) fn discard(drop_it: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_it)) {
        discard_payload(payload);
    }
}

/// Drops the payload of a panic, whose own destructor may panic, and so may that one's payload: unless it is a text, it
/// is leaked.
pub(crate) fn discard_payload(payload: Box<dyn Any + Send>) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(move || drop(payload)))
        && !next.is::<&'static str>()
        && !next.is::<String>()
    {
        std::mem::forget(next);
    }
}
