//! The descriptor of the loop in tokio's driver.
//!
//! - **F1** The registered descriptor is a duplicate that this owns. So it stays open, and the same, until it is
//!   deregistered, even if the loop is closed.
#![allow(unsafe_code)]

use std::io;

#[cfg(unix)]
use crate::bell::Bell;
use crate::host_waker::HostWaker;

/// The loop's descriptor, for which tokio's driver waits.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Descriptor {
    registered: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
    bell: Bell,
}

#[cfg(unix)]
impl Descriptor {
    /// Registers a duplicate of the descriptor. Events wake `host`.
    pub(crate) fn new(of: &impl std::os::fd::AsFd, host: &HostWaker) -> io::Result<Self> {
        use tokio::io::{Interest, unix::AsyncFd};

        let descriptor = of.as_fd().try_clone_to_owned()?;
        // Readable only: some systems refuse to watch a kqueue for anything else.
        // SAFETY: an `OwnedFd` is open for as long as it lives, and its number and its file never change (F1). Nothing
        // gives the descriptor away: it is private, and only polled.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self {
            registered: registered.map_err(io::Error::from)?,
            bell: Bell::new(host),
        })
    }

    /// Whether the descriptor was readable since the last call. The host is woken when it is.
    #[inline]
    pub(crate) fn was_readable(&self) -> bool {
        self.bell.has_rung() && self.clear()
    }

    /// Clears the readiness, and waits for the next event. Whether the descriptor was readable.
    fn clear(&self) -> bool {
        use std::task::Poll;

        let mut was_readable = false;
        let mut cx = self.bell.context();
        // Cleared before the loop looks: an event that comes later is a new edge.
        while let Poll::Ready(ready) = self.registered.poll_read_ready(&mut cx) {
            match ready {
                Ok(mut guard) => guard.clear_ready(),
                Err(error) => panic!("tokio's driver has ended before its guest: {error}"),
            }
            was_readable = true;
        }
        was_readable
    }
}

/// There is no descriptor: the loop asks its host to come back every few milliseconds instead.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Descriptor;

#[cfg(not(unix))]
impl Descriptor {
    pub(crate) fn new<T>(_: &asyncio_loop::Guest<T>, _: &HostWaker) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn was_readable(&self) -> bool {
        true
    }
}
