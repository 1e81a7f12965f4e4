//! Shared helpers of these tests: gates that hold a job up, a trace of words, and bounded waits.

use asyncio_loop::EventLoop;
use asyncio_pool::{Job, ThreadPool};

pub(crate) use asyncio_testkit::{
    LONG, PanicsOnDrop, ThreadGate as Gate, ThreadTrace as Trace, eventually, panic_of,
};

/// Takes one thread of `pool` until the gate is opened. When this returns, the job runs.
pub(crate) fn occupy(pool: &ThreadPool) -> (Gate, Job<()>) {
    let (begun, gate) = (Gate::default(), Gate::default());
    let (inner_begun, inner_gate) = (begun.clone(), gate.clone());
    let job = pool.run(move || {
        inner_begun.open();
        inner_gate.pass();
    });
    begun.pass();
    (gate, job)
}

/// A pool of so many threads.
pub(crate) fn pool_of(threads: usize) -> ThreadPool {
    ThreadPool::builder().max_threads(threads).build()
}

/// Runs `main` on a loop whose reports are noted, and closes that.
pub(crate) fn run_reporting<R>(trace: &Trace, main: impl AsyncFnOnce() -> R) -> R {
    let mut event_loop = EventLoop::new().unwrap();
    let trace = trace.clone();
    event_loop.set_exception_handler(move |unhandled| trace.note(unhandled.to_string()));
    event_loop.run_until_complete(main()).unwrap()
}
