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

    /// Replaces the waker. Whether it is that of another task.
    pub(crate) fn set(&self, waker: &Waker) -> bool {
        if self.lock().as_ref().is_some_and(|old| old.will_wake(waker)) {
            return false;
        }
        let new = Some(waker.clone());
        let old = std::mem::replace(&mut *self.lock(), new);
        drop(old);
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HostWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostWaker(..)")
    }
}
