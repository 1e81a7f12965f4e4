//! A blocking wait for a future, on a thread without an executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Blocks this thread until `future` is ready; `None` if the deadline passes first.
pub(crate) fn block_on<F: Future + Unpin>(
    future: &mut F,
    deadline: Option<Instant>,
) -> Option<F::Output> {
    // A real waker costs an allocation. Poll first with a waker that does nothing, since the future
    // may be ready.
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
            // Both can return spuriously, so the loop polls again.
            None => thread::park(),
            Some(deadline) => match deadline.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return None,
                left => thread::park_timeout(left),
            },
        }
    }
}

/// A waker that unparks a thread in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
