//! Where it goes when something goes wrong and nobody is there to be told.

use std::any::Any;
use std::io::Write;

use asyncio_task::{Cause, PanicPayload, Tasks, Unhandled};

use crate::core::Core;
use crate::current;

/// Sets who is told of panics and errors that nobody awaits, on the loop that runs here.
///
/// The handler is called from the loop and must not block. If it panics, that and the report go to
/// standard error.
///
/// ```
/// # asyncio_loop::EventLoop::new().unwrap().run_until_complete(async {
/// asyncio_loop::set_exception_handler(|unhandled| eprintln!("alas: {unhandled}"));
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

/// Reports something to the exception handler of the loop that runs here; without one, to the
/// [default](default_exception_handler). For libraries that run things for others, as a server does.
pub fn call_exception_handler(unhandled: &Unhandled) {
    if current::try_with(|core| core.tasks.report(unhandled)).is_err() {
        default_exception_handler(unhandled);
    }
}

/// What a loop does with reports unless it is told otherwise: a line on standard error, or with the feature
/// `tracing`, and where somebody subscribes to events, an event.
pub fn default_exception_handler(unhandled: &Unhandled) {
    #[cfg(feature = "tracing")]
    if is_traced() {
        return tracing::error!(target: "asyncio", "{unhandled}");
    }
    // A program whose standard error nobody reads any more goes on without.
    let _ = writeln!(std::io::stderr(), "asyncio: {unhandled}");
}

/// Whether somebody subscribes to events on this thread. A crate somewhere in the program may have turned the
/// feature on, and without a subscriber an event is told to nobody.
#[cfg(feature = "tracing")]
fn is_traced() -> bool {
    use tracing::dispatcher::get_default;
    use tracing::subscriber::NoSubscriber;

    get_default(|subscriber| !subscriber.is::<NoSubscriber>())
}

pub(crate) fn set_default(tasks: &Tasks) {
    tasks.on_unhandled(default_exception_handler);
}

/// Closing what is attached to a loop panicked. The loop is closed all the same.
pub(crate) fn attachment_panicked(payload: Box<dyn Any + Send>) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    let message = "closing an attachment of an event loop panicked";
    call_exception_handler(&Unhandled::new(message, None, cause));
}

impl Core {
    /// A waker of somebody else's panicked when it was woken or dropped. The loop goes on.
    #[cold]
    pub(crate) fn waker_panicked(&self, payload: Box<dyn Any + Send>) {
        let cause = Cause::Panic(PanicPayload::new(payload));
        let report = Unhandled::new("a waker panicked", None, cause);
        self.tasks.report(&report);
    }
}
