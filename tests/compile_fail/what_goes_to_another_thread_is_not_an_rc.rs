//! A value that a coroutine returns to another thread has to be `Send`.

use std::rc::Rc;

fn main() {
    let event_loop = asyncio::EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let _ = handle.run_coroutine_threadsafe(|| async { Rc::new(1) });
}
