//! The waker of the host's task, for wake-ups between two polls.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// The waker of the task that polled the guest last.
#[derive(Clone, Default)]
pub(crate) struct HostWaker(Arc<Mutex<Option<Waker>>>);

impl HostWaker {
    /// Wakes the host's task.
    pub(crate) fn wake(&self) {
        // A waker is foreign code, so it is woken without the lock.
        let waker = self.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn set(&self, waker: Waker) {
        let old = self.lock().replace(waker);
        drop(old);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
