//! Ending a wait from another thread.

use std::sync::Arc;

/// Ends the [`turn`](crate::Reactor::turn) of a reactor, from any thread.
///
/// Clones are cheap and refer to the same reactor. An unparker may outlive the reactor, and then
/// does nothing.
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

    /// Makes the waiting `turn` return, or the next `turn` if none waits. Several calls before that
    /// count as one. Each call is a system call, so a caller that knows that the reactor is not
    /// waiting can save it.
    pub fn unpark(&self) {
        // The descriptor lives as long as `self`, and mio handles a full counter, so the call
        // cannot fail.
        let woken = self.waker.wake();
        debug_assert!(woken.is_ok(), "{woken:?}");
    }
}
