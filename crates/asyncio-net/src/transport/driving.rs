//! The waking of a transport's driver, the task that reads and sends for it.

use std::cell::Cell;
use std::task::{Context, Poll, Waker};

/// The state of a driver, for the transport that wakes it.
#[derive(Default)]
pub(super) struct Driving {
    waker: Cell<Option<Waker>>,
    /// Its step is under way.
    is_running: Cell<bool>,
    /// Something has changed since it looked.
    is_woken: Cell<bool>,
    /// It is dropped.
    is_gone: Cell<bool>,
}

impl Driving {
    /// Has the driver look at everything once more.
    pub(super) fn wake(&self) {
        if self.is_running.get() {
            self.is_woken.set(true);
        } else if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether the driver was woken since the last call.
    pub(super) fn take_woken(&self) -> bool {
        self.is_woken.replace(false)
    }

    /// Takes a step of the driver.
    pub(super) fn step(
        &self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<()> {
        self.is_running.set(true);
        let outcome = step(cx);
        self.is_running.set(false);
        if outcome.is_pending() {
            let waker = self.waker.take();
            let waker = waker.filter(|waker| waker.will_wake(cx.waker()));
            self.waker.set(waker.or_else(|| Some(cx.waker().clone())));
        }
        outcome
    }

    /// The driver is dropped.
    pub(super) fn end(&self) {
        self.is_gone.set(true);
        self.is_running.set(false);
        drop(self.waker.take());
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.get()
    }
}
