//! Virtual time: a clock that jumps to the next deadline as soon as nothing else can happen.
//!
//! Nothing else can happen when no task is ready, nothing is in the mailbox, and nothing outside is
//! pending: no source is registered with the reactor and no [`OutsideWork`] is under way. While
//! something is, the loop waits for it, and virtual time passes as real time does: slower than one
//! might like, but never so that a timeout fires before an answer that was on its way.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::event_loop::Core;

/// Something under way outside of the loop, on another thread or in another process, that will come
/// back to it. While one exists, virtual time does not jump. Without virtual time it does nothing.
#[derive(Debug)]
#[must_use = "virtual time is held for as long as this lives"]
pub struct OutsideWork {
    count: Arc<AtomicUsize>,
}

impl OutsideWork {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self {
            count: count.clone(),
        }
    }
}

impl Clone for OutsideWork {
    fn clone(&self) -> Self {
        Self::new(&self.count)
    }
}

impl Drop for OutsideWork {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Virtual time that passes as real time does.
#[derive(Debug, Default)]
pub(crate) struct RealWait {
    since: Cell<Option<Instant>>,
}

impl Core {
    /// How long to wait for `deadline`, the next one. Moves the clock there if nothing else can happen.
    pub(crate) fn virtual_patience(&self, deadline: u64) -> Duration {
        let now = self.timers.clock.now();
        if deadline <= now {
            return Duration::ZERO;
        }
        if self.is_anything_outside() {
            let since = self.real_wait.since.get().unwrap_or_else(Instant::now);
            let passed = since.elapsed();
            self.timers.clock.advance_to(
                now.saturating_add(crate::clock::nanos(passed))
                    .min(deadline),
            );
            self.real_wait.since.set(Some(since + passed));
            return Duration::from_nanos(deadline - self.timers.clock.now());
        }
        self.real_wait.since.set(None);
        // What came in since the turn began is older than the deadline.
        if !self.tasks.has_mail() {
            self.timers.clock.advance_to(deadline);
        }
        Duration::ZERO
    }

    fn is_anything_outside(&self) -> bool {
        self.shared.outside.load(Ordering::Acquire) > 0 || !self.reactor.is_empty()
    }
}
