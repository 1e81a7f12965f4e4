//! Shared by these tests: a trace of words to compare, and a loop on virtual time.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "each test binary uses its part of it"
)]

use asyncio_loop::{EventLoop, Unhandled};

pub use asyncio_testkit::{
    NoteOnDrop, Trace, forever, message_of, ms, panic_of, panicking_waker, poll_once, secs,
};

/// Creates a loop on virtual time.
pub fn virtual_loop() -> EventLoop {
    let builder = EventLoop::builder().virtual_time(true);
    builder.build_loop().unwrap()
}

/// Runs `main` on virtual time, closes the loop, and returns the trace.
pub fn run_virtual(main: impl AsyncFnOnce(&Trace)) -> Vec<String> {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    event_loop.run_until_complete(main(&trace)).unwrap();
    drop(event_loop);
    trace.take()
}

/// Logs all reports of `event_loop` in the trace.
pub fn note_reports(event_loop: &EventLoop, trace: &Trace) {
    let trace = trace.clone();
    event_loop.set_exception_handler(move |unhandled: &Unhandled| {
        trace.note(unhandled.to_string());
    });
}
