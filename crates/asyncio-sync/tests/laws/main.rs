//! Property tests against naive models: waits are begun, polled, moved to other tasks and dropped
//! at random.
//!
//! After each step the test compares all public state with the model: the counts and the ready
//! waits. It also checks that each wait that can continue was woken.

mod barrier;
mod broadcast;
mod condition;
mod event;
mod lock;
mod promise;
mod queue;
mod rwlock;
mod semaphore;
#[path = "../shared/mod.rs"]
mod shared;
mod watch;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that has been polled and is not ready.
struct Waiting<T> {
    /// Increases in the order in which waits begin.
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
    /// Polls `future` for the first time.
    fn begin(id: u32, future: impl Future<Output = T> + 'static) -> Result<T, Self> {
        let mut waiting = Self {
            id,
            future: Box::pin(future),
            task: Arc::default(),
        };
        waiting.poll().ok_or(waiting)
    }

    /// Polls with the waker of the same task.
    fn poll(&mut self) -> Option<T> {
        let waker = Waker::from(Arc::clone(&self.task));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Polls with the waker of another task.
    fn poll_elsewhere(&mut self) -> Option<T> {
        self.task = Arc::default();
        self.poll()
    }

    fn was_woken(&self) -> bool {
        self.task.0.load(Ordering::Relaxed)
    }
}

/// The index that `choice` selects, or `None` if `all` is empty.
fn pick<T>(all: &[T], choice: usize) -> Option<usize> {
    choice.checked_rem(all.len())
}
