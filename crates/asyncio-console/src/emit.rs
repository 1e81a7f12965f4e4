//! Calls of the subscriber: guarded against its panics, and against its own use of what calls it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::Span;
use tracing::level_filters::LevelFilter;

thread_local! {
    /// Whether a call of the subscriber is under way on this thread.
    static IS_EMITTING: Cell<bool> = const { Cell::new(false) };
}

#[inline(always)]
pub(crate) fn is_listening() -> bool {
    LevelFilter::current() == LevelFilter::TRACE
}

/// Calls the subscriber. `None` if it panicked, or if the subscriber itself has caused the call.
pub(crate) fn emit<R>(call: impl FnOnce() -> R) -> Option<R> {
    if IS_EMITTING.replace(true) {
        // It may own a span, whose end calls the subscriber.
        catch(move || drop(call));
        return None;
    }
    let result = catch(call);
    IS_EMITTING.set(false);
    result
}

fn catch<R>(call: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(payload) => {
            // The destructor of a payload may panic as well.
            if let Err(next) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
                std::mem::forget(next);
            }
            None
        }
    }
}

/// Enters a span, without a guard.
pub(crate) fn enter(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
}

/// Exits a span that was [entered](enter).
pub(crate) fn exit(span: &Span) {
    span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
}
