//! A loop on virtual time, and a trace of the events on it.

use std::time::Duration;

use asyncio_loop::EventLoop;

pub(crate) type Trace<W = &'static str> = asyncio_testkit::Log<W>;

/// Runs `main` on virtual time, and gives the trace when the loop is gone.
pub(crate) fn run<W>(main: impl AsyncFnOnce(Trace<W>)) -> Vec<W> {
    let builder = EventLoop::builder().virtual_time(true);
    // A panic with its backtrace takes long on a busy machine, and is no fault of its step.
    let builder = builder.slow_step(Duration::MAX);
    let mut event_loop = builder.build_loop().expect("a selector");
    let trace = Trace::default();
    event_loop
        .run_until_complete(main(trace.clone()))
        .expect("it returns");
    drop(event_loop);
    trace.take()
}
