//! A waker that records its wake-ups, for one source that the guest waits for.
//!
//! The guest is polled for each message to its loop. Without bells it would ask the driver of tokio each time whether
//! its descriptor is readable and its timer has fired, by two locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use crate::host_waker::HostWaker;

/// A source that the guest waits for, and whether the guest must look at it.
#[derive(Debug)]
pub(crate) struct Bell {
    ring: Arc<Ring>,
    waker: Waker,
}

#[derive(Debug)]
struct Ring {
    has_rung: AtomicBool,
    host: HostWaker,
}

impl Bell {
    /// A bell that has rung, so that the guest looks once.
    pub(crate) fn new(host: &HostWaker) -> Self {
        let ring = Arc::new(Ring {
            has_rung: AtomicBool::new(true),
            host: host.clone(),
        });
        let waker = Waker::from(ring.clone());
        Self { ring, waker }
    }

    /// Whether the bell has rung since the last call.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        // In one order with `HostWaker`: a ring that wakes a task that the guest has left is seen by the next poll.
        self.ring.has_rung.load(Ordering::SeqCst)
            && self.ring.has_rung.swap(false, Ordering::Acquire)
    }

    /// The context in which the guest looks.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the host is woken: its next poll sees it.
        self.has_rung.store(true, Ordering::SeqCst);
        self.host.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_rung_once_for_the_wake_ups_since_the_last_look() {
        let bell = Bell::new(&HostWaker::default());
        let two_looks = || [bell.has_rung(), bell.has_rung()];
        assert_eq!(two_looks(), [true, false], "a new bell");
        let waker = bell.context().waker().clone();
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(two_looks(), [true, false], "after two wake-ups");
    }
}
