//! Shared by the fuzz targets.

use std::cell::RefCell;
use std::future::Future;

use asyncio_loop::EventLoop;

thread_local! {
    static LOOP: RefCell<EventLoop> = {
        let builder = EventLoop::builder().virtual_time(true);
        RefCell::new(builder.build_loop().expect("a loop can be made"))
    };
}

/// Runs `main` on the one loop of this thread. A loop for each input would take most of the time.
pub fn on_a_loop(main: impl Future<Output = ()>) {
    LOOP.with_borrow_mut(|event_loop| {
        let outcome = event_loop.run_until_complete(main);
        outcome.expect("no input cancels it");
    });
}
