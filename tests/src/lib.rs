//! What the tests share: a trace of words to compare, a loop on virtual time, and a child process.

mod child;
mod trace;

pub use child::{Child, Ended};
pub use trace::{NoteOnDrop, Trace, run_virtual};

/// Never ready; wakes nobody.
pub async fn for_ever() {
    std::future::pending::<()>().await;
}

/// So many milliseconds.
#[must_use]
pub const fn ms(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

/// So many seconds.
#[must_use]
pub const fn secs(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}

/// The message that `f` panics with.
///
/// # Panics
///
/// If it does not.
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    let payload = outcome.err().expect("it was to panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(text) => text.to_string(),
            Err(_) => "a payload that is no text".to_owned(),
        },
    }
}
