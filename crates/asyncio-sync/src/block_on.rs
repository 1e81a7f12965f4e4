//! Waiting for a future on a thread that has no executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Blocks this thread until `future` is ready. `None` if it is not by the deadline.
pub(crate) fn block_on<F: Future + Unpin>(
    future: &mut F,
    deadline: Option<Instant>,
) -> Option<F::Output> {
    // It has to be asked with a waker, which costs an allocation. One that does nothing finds out
    // whether there is anything to wait for.
    let mut poll = |waker: &Waker| Pin::new(&mut *future).poll(&mut Context::from_waker(waker));
    if let Poll::Ready(output) = poll(Waker::noop()) {
        return Some(output);
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = poll(&waker) {
            return Some(output);
        }
        match deadline {
            // Either may return for no reason: the loop asks again.
            None => thread::park(),
            Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return None,
                left => thread::park_timeout(left),
            },
        }
    }
}

/// Wakes a thread that waits in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
