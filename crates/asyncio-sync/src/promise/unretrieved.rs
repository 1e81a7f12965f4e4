//! Unretrieved errors: errors of promises that no task has seen, reported to a hook.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::panic::Location;

thread_local! {
    // Without a destructor, so that it can be used until the thread ends.
    static HOOK: Cell<fn(&UnretrievedError<'_>)> = const { Cell::new(to_stderr) };
}

/// An error of a promise whose futures were all dropped without retrieving it.
///
/// asyncio reports it as "Future exception was never retrieved".
#[derive(Debug)]
pub struct UnretrievedError<'a> {
    error: &'a dyn fmt::Debug,
    created: &'static Location<'static>,
}

impl UnretrievedError<'_> {
    /// The error.
    pub fn error(&self) -> &dyn fmt::Debug {
        self.error
    }

    /// The source location where the promise was created.
    pub fn created(&self) -> &'static Location<'static> {
        self.created
    }
}

impl fmt::Display for UnretrievedError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, created } = self;
        write!(
            f,
            "the error of a promise was never retrieved: {error:?} (promised at {created})"
        )
    }
}

/// Sets the hook for unretrieved errors of promises on this thread; returns the previous hook.
///
/// The hook is called while the last future of the promise is being dropped. The default hook
/// writes the error to the standard error stream. The event loop of `asyncio` sets its own hook
/// while it runs, which calls the loop's exception handler.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{promise_or, set_unretrieved_hook};
/// use std::cell::Cell;
///
/// thread_local!(static MISSED: Cell<u32> = const { Cell::new(0) });
///
/// let before = set_unretrieved_hook(|_error| MISSED.set(MISSED.get() + 1));
/// let (promise, answer) = promise_or::<(), &str>();
/// promise.set_error("not retrieved").unwrap();
/// drop(answer);
/// assert_eq!(MISSED.get(), 1);
/// set_unretrieved_hook(before);
/// ```
#[doc(alias("set_exception_handler", "call_exception_handler"))]
pub fn set_unretrieved_hook(hook: fn(&UnretrievedError<'_>)) -> fn(&UnretrievedError<'_>) {
    HOOK.replace(hook)
}

pub(super) fn report(error: &dyn fmt::Debug, created: &'static Location<'static>) {
    HOOK.get()(&UnretrievedError { error, created });
}

fn to_stderr(error: &UnretrievedError<'_>) {
    // If standard error is closed, the report is lost and the program continues.
    let _ = writeln!(io::stderr(), "{error}");
}
