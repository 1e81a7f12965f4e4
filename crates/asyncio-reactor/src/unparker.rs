//! Ending a wait from elsewhere.

use std::sync::Arc;

/// Ends the [`turn`](crate::Reactor::turn) of a reactor, from any thread.
///
/// Clones are cheap and mean the same reactor. It may outlive the reactor, and then does nothing.
#[derive(Clone, Debug)]
pub struct Unparker {
    waker: Arc<mio::Waker>,
}

impl Unparker {
    pub(crate) fn new(waker: mio::Waker) -> Self {
        Unparker {
            waker: Arc::new(waker),
        }
    }

    /// Makes the `turn` that is waiting return, or the next one if none is. Several calls before
    /// that count as one. Each is a system call: a caller who knows that the reactor is not
    /// waiting saves it.
    pub fn unpark(&self) {
        // The descriptor lives as long as `self`, and mio handles a counter that is full: nothing
        // is left that could fail.
        let woken = self.waker.wake();
        debug_assert!(woken.is_ok(), "{woken:?}");
    }
}
