//! Tasks that wait for one and the same thing, and are all woken by it.

use std::cell::RefCell;
use std::task::{Poll, Waker};

/// Wakers, each once. Nothing is borrowed while a waker is cloned, woken or dropped.
#[derive(Debug, Default)]
pub(crate) struct WakerList(RefCell<Vec<Waker>>);

impl WakerList {
    /// Ready with what `check` gives. While it gives nothing, `waker` is woken by [`wake_all`](Self::wake_all).
    pub(crate) fn poll_until<T>(
        &self,
        waker: &Waker,
        mut check: impl FnMut() -> Option<T>,
    ) -> Poll<T> {
        if let Some(value) = check() {
            return Poll::Ready(value);
        }
        // Cloning a waker runs user code, which may do what is waited for. So check once more.
        let waker = waker.clone();
        if let Some(value) = check() {
            return Poll::Ready(value);
        }
        let mut wakers = self.0.borrow_mut();
        if wakers.iter().any(|known| known.will_wake(&waker)) {
            drop(wakers);
            drop(waker);
        } else {
            wakers.push(waker);
        }
        Poll::Pending
    }

    /// Wakes all, and leaves none.
    pub(crate) fn wake_all(&self) {
        let wakers = self.0.take();
        wakers.into_iter().for_each(Waker::wake);
    }
}
