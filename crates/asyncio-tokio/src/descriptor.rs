//! The descriptor of the loop in tokio's driver.
//!
//! - **F1** The registered descriptor is a duplicate that this owns. So it stays open, and the same, until it is
//!   deregistered, whatever becomes of the loop.
#![allow(unsafe_code)]

use std::io;
use std::task::{Context, Poll};

/// The loop's descriptor, for which tokio's driver waits.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct Descriptor(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(unix)]
impl Descriptor {
    /// Registers a duplicate of the descriptor.
    pub(crate) fn new(of: &impl std::os::fd::AsFd) -> io::Result<Self> {
        use tokio::io::{Interest, unix::AsyncFd};

        let descriptor = of.as_fd().try_clone_to_owned()?;
        // Readable only: some systems refuse to watch a kqueue for anything else.
        // SAFETY: an `OwnedFd` is open for as long as it lives, and its number and its file never change (F1). Nothing
        // gives the descriptor away: it is private, and only polled.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(registered.map_err(io::Error::from)?))
    }

    /// Whether the descriptor was readable since the last call. If not, the task of `cx` is woken when it is.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> bool {
        let mut was_readable = false;
        // Cleared before the loop looks: an event that comes later is a new edge.
        while let Poll::Ready(ready) = self.0.poll_read_ready(cx) {
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
    pub(crate) fn new<T>(_: &asyncio_loop::Guest<T>) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> bool {
        let _: Poll<()> = Poll::Pending;
        let _ = cx;
        true
    }
}
