//! What these tests share: a loop on virtual time, and a trace of what happened on it.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_loop::EventLoop;

/// What happened, in words.
pub(crate) type Trace<W = &'static str> = Rc<RefCell<Vec<W>>>;

/// Runs `main` on virtual time, and gives the trace when the loop is gone.
pub(crate) fn run<W>(main: impl AsyncFnOnce(Trace<W>)) -> Vec<W> {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().expect("a selector");
    let trace = Trace::default();
    event_loop
        .run_until_complete(main(trace.clone()))
        .expect("it returns");
    drop(event_loop);
    trace.take()
}
