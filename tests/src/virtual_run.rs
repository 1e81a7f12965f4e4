//! A loop on virtual time, and a trace of the events on it.

use asyncio::EventLoop;
use asyncio_testkit::Trace;

/// Runs `main` on virtual time, closes the loop, and gives what was noted, reports to the exception
/// handler included.
///
/// # Panics
///
/// If `main` does.
pub fn run_virtual(main: impl AsyncFnOnce(&Trace)) -> Vec<String> {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().expect("a selector");
    let trace = Trace::default();
    let reports = trace.clone();
    event_loop.set_exception_handler(move |unhandled| reports.note(unhandled.to_string()));
    if let Err(error) = event_loop.run_until_complete(main(&trace)) {
        match error {
            asyncio::JoinError::Panicked(_, payload) => payload.resume(),
            other => panic!("{other}"),
        }
    }
    drop(event_loop);
    trace.take()
}
