//! Where it goes when something goes wrong and nobody is there to be told.

use asyncio_task::{Tasks, Unhandled};

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

/// What a loop does with reports unless it is told otherwise.
pub fn default_exception_handler(unhandled: &Unhandled) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "asyncio", "{unhandled}");
    #[cfg(not(feature = "tracing"))]
    eprintln!("asyncio: {unhandled}");
}

pub(crate) fn set_default(tasks: &Tasks) {
    tasks.on_unhandled(default_exception_handler);
}
