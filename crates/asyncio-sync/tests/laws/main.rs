//! Laws, each checked against a naive model while waits are begun, polled, moved to other tasks and
//! dropped at random.
//!
//! A model says, in the simplest words, who should have what; after each step everything that can be
//! seen of the real thing is compared with it: counts, who is ready, and that whoever could go on
//! was woken.

mod barrier;
mod condition;
mod event;
mod lock;
mod promise;
mod queue;
mod rwlock;
mod semaphore;
#[path = "../shared/mod.rs"]
mod shared;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that has been polled and is not ready.
struct Waiting<T> {
    /// In the order in which they were begun.
    id: u32,
    future: Pin<Box<dyn Future<Output = T>>>,
    task: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Waiting<T> {
    /// Polls `future` once.
    fn begin(id: u32, future: impl Future<Output = T> + 'static) -> Result<T, Self> {
        let mut waiting = Self {
            id,
            future: Box::pin(future),
            task: Arc::default(),
        };
        waiting.poll().ok_or(waiting)
    }

    /// Polls as the task that polled before.
    fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.task));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Polls as another task than before.
    fn poll_elsewhere(&mut self) -> Option<T> {
        self.task = Arc::default();
        self.poll()
    }

    fn was_woken(&self) -> bool {
        self.task.0.load(Ordering::Relaxed)
    }
}

/// The one that `choice` means, out of as many as there are.
fn pick<T>(all: &[T], choice: usize) -> Option<usize> {
    choice.checked_rem(all.len())
}
