//! Errors at which nobody looked: they are told to a hook instead of being lost.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::panic::Location;

thread_local! {
    // Without a destructor, so it can be asked until the very end of the thread.
    static HOOK: Cell<fn(&UnretrievedError<'_>)> = const { Cell::new(to_stderr) };
}

/// An error that was set on a promise and never looked at: all its futures are gone.
///
/// asyncio's "Future exception was never retrieved".
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

    /// Where the promise was made.
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

/// Sets what is called, on this thread, with the error of a promise at which nobody looked; gives
/// what was set before.
///
/// It is called while the last future of the promise is being dropped. Until something else is set,
/// the error is written to the standard error stream. The event loop of `asyncio` sets its own while
/// it runs, which tells its exception handler, and then sets what was there before.
///
/// ```
/// use std::cell::Cell;
/// use asyncio_sync::{promise_or, set_unretrieved_hook};
///
/// thread_local!(static MISSED: Cell<u32> = const { Cell::new(0) });
///
/// let before = set_unretrieved_hook(|_error| MISSED.set(MISSED.get() + 1));
/// let (promise, answer) = promise_or::<(), &str>();
/// promise.set_error("nobody will know").unwrap();
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
    // A program whose standard error nobody reads any more goes on without.
    let _ = writeln!(io::stderr(), "{error}");
}
