//! The exception handler: receives panics and errors that are not awaited.

use std::any::Any;
use std::io::Write;

use asyncio_task::{Cause, PanicPayload, Tasks, Unhandled};

use crate::core::Core;
use crate::current;

/// Sets the handler of panics and errors that are not awaited, on the running loop.
///
/// The loop calls the handler, which must not block. If the handler panics, the panic and the
/// report go to standard error.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// # asyncio_loop::EventLoop::new().unwrap().run_until_complete(async {
/// asyncio::set_exception_handler(|unhandled| eprintln!("alas: {unhandled}"));
/// # });
/// ```
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
pub fn set_exception_handler(handler: impl Fn(&Unhandled) + 'static) {
    current::with(|core| core.tasks.on_unhandled(handler));
}

/// Reports something to the exception handler of the running loop; without a running loop, to the
/// [default](default_exception_handler). For libraries that run code for others, as a server does.
pub fn call_exception_handler(unhandled: &Unhandled) {
    if current::try_with(|core| core.tasks.report(unhandled)).is_err() {
        default_exception_handler(unhandled);
    }
}

/// The default exception handler: writes a line to standard error. With the feature `tracing`, it
/// emits an event instead if the thread has a subscriber.
pub fn default_exception_handler(unhandled: &Unhandled) {
    #[cfg(feature = "tracing")]
    if is_traced() {
        return tracing::error!(target: "asyncio", "{unhandled}");
    }
    // A program whose standard error is closed continues.
    let _ = writeln!(std::io::stderr(), "asyncio: {unhandled}");
}

/// Whether this thread has a subscriber. Another crate of the program may have turned the feature
/// on, and an event without a subscriber would be lost.
#[cfg(feature = "tracing")]
fn is_traced() -> bool {
    use tracing::dispatcher::get_default;
    use tracing::subscriber::NoSubscriber;

    get_default(|subscriber| !subscriber.is::<NoSubscriber>())
}

pub(crate) fn set_default(tasks: &Tasks) {
    tasks.on_unhandled(default_exception_handler);
}

/// Reports a panic while an attachment was closed. The loop is closed nevertheless.
pub(crate) fn attachment_panicked(payload: Box<dyn Any + Send>) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    let message = "closing an attachment of an event loop panicked";
    call_exception_handler(&Unhandled::new(message, None, cause));
}

impl Core {
    /// Reports a panic of a foreign waker that was woken or dropped. The loop continues.
    #[cold]
    pub(crate) fn waker_panicked(&self, payload: Box<dyn Any + Send>) {
        let cause = Cause::Panic(PanicPayload::new(payload));
        let report = Unhandled::new("a waker panicked", None, cause);
        self.tasks.report(&report);
    }
}
