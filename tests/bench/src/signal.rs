//! A flag that one task sets and another waits for, the same for all runtimes.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Set by one task, waited for by one other, on the same thread.
#[derive(Default)]
pub(crate) struct Signal {
    set: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Signal {
    /// Sets the flag and wakes its waiter.
    pub(crate) fn set(&self) {
        self.set.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits until the flag is set, and clears it.
    pub(crate) async fn taken(&self) {
        poll_fn(|context| {
            if self.set.take() {
                return Poll::Ready(());
            }
            self.waiting.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
