//! Work outside a loop that will call back. Virtual time does not jump while it is pending.

use std::fmt;
use std::sync::atomic::Ordering;

use crate::loop_handle::LoopHandle;

/// A guard for work outside the loop, on another thread or in another process, that will call back.
/// While a guard exists, virtual time does not jump. On a real clock it does nothing.
#[must_use = "virtual time is held for as long as this lives"]
pub struct OutsideWork {
    /// `None` if the loop does not count such work. Two threads would share the counter for nothing.
    event_loop: Option<LoopHandle>,
}

impl OutsideWork {
    pub(crate) fn new(event_loop: &LoopHandle) -> Self {
        let shared = event_loop.shared();
        if !shared.counts_outside {
            return Self { event_loop: None };
        }
        shared.outside.fetch_add(1, Ordering::AcqRel);
        Self {
            event_loop: Some(event_loop.clone()),
        }
    }
}

impl Clone for OutsideWork {
    fn clone(&self) -> Self {
        match &self.event_loop {
            Some(event_loop) => Self::new(event_loop),
            None => Self { event_loop: None },
        }
    }
}

impl Drop for OutsideWork {
    fn drop(&mut self) {
        let Some(event_loop) = &self.event_loop else {
            return;
        };
        let shared = event_loop.shared();
        let was_the_last = shared.outside.fetch_sub(1, Ordering::AcqRel) == 1;
        if was_the_last && shared.is_virtual && !event_loop.is_here() {
            // The loop may be waiting for a deadline in real time, which may be unnecessary now.
            event_loop.wake();
        }
    }
}

impl fmt::Debug for OutsideWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideWork")
            .field("event_loop", &self.event_loop)
            .finish()
    }
}

impl LoopHandle {
    /// Returns a guard for work outside the loop that will call back: virtual time does not jump
    /// while the guard exists.
    pub fn outside_work(&self) -> OutsideWork {
        OutsideWork::new(self)
    }
}
