//! A callback that comes from another thread has to be `Send`.

use std::rc::Rc;

fn main() {
    let event_loop = asyncio::EventLoop::new().unwrap();
    let mine = Rc::new(1);
    let _ = event_loop.handle().call_soon_threadsafe(move || drop(mine));
}
