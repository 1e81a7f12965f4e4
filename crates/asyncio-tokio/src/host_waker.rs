//! The waker of the host's task, for wake-ups between two polls.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Waker;

/// The waker of the task that polled the guest last.
#[derive(Clone, Default)]
pub(crate) struct HostWaker(Arc<Tasks>);

/// The tasks that have polled the guest. Few guests move from one task to another, so a wake-up of the first needs
/// neither a lock nor a copy of its waker.
#[derive(Default)]
struct Tasks {
    first: OnceLock<Waker>,
    /// Whether another task has polled the guest since.
    has_moved: AtomicBool,
    last: Mutex<Option<Waker>>,
}

impl HostWaker {
    /// Wakes the host's task.
    ///
    /// The reason for the call comes before it: a message in the loop's inbox, or a bell. A thread that misses a move
    /// of the guest wakes the task that the guest has left. Then the poll that made the move sees the reason. It
    /// changes the inbox's word after the move, and a bell is in one order with it.
    pub(crate) fn wake(&self) {
        if self.0.has_moved.load(Ordering::SeqCst) {
            self.wake_last();
        } else if let Some(first) = self.0.first.get() {
            first.wake_by_ref();
        }
    }

    #[cold]
    fn wake_last(&self) {
        // A waker is foreign code, so it is woken without the lock.
        let waker = self.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn set(&self, waker: Waker) {
        let Err(waker) = self.0.first.set(waker) else {
            return;
        };
        let old = self.lock().replace(waker);
        self.0.has_moved.store(true, Ordering::SeqCst);
        drop(old);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that polls the guest. Only this replaces the waker.
#[derive(Debug, Default)]
pub(crate) struct HostTask {
    waker: HostWaker,
    /// A copy, to be compared without the lock.
    last: Option<Waker>,
}

impl HostTask {
    pub(crate) fn new(waker: HostWaker) -> Self {
        Self { waker, last: None }
    }

    /// Notes the waker of the task that polls. Whether it is that of another task.
    #[inline]
    pub(crate) fn polls(&mut self, waker: &Waker) -> bool {
        if self.last.as_ref().is_some_and(|last| last.will_wake(waker)) {
            return false;
        }
        self.waker.set(waker.clone());
        self.last = Some(waker.clone());
        true
    }
}

impl fmt::Debug for HostWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostWaker(..)")
    }
}
