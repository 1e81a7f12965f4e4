//! The messages of panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message of a panic.
#[must_use]
pub fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a payload that is no text").to_owned()
}

/// The message that `f` panics with.
///
/// # Panics
///
/// If `f` does not.
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let outcome = catch_unwind(AssertUnwindSafe(f));
    message_of(&*outcome.err().expect("the function was to panic"))
}
