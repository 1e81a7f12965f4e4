//! Descriptors of other libraries as sources.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A source made of any value with a pollable descriptor: a socket or pipe of another library, a
/// device, an `inotify` or `timerfd`.
///
/// The caller must put the descriptor into non-blocking mode, and must not change it while it is
/// registered. Regular files cannot be polled: registering one fails on Linux.
#[derive(Debug)]
pub struct Fd<T: AsFd> {
    inner: T,
}

impl<T: AsFd> Fd<T> {
    /// Wraps a value that has a descriptor.
    pub fn new(inner: T) -> Self {
        Fd { inner }
    }

    /// The wrapped value.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The wrapped value, mutably. Its descriptor must stay the same.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Returns the wrapped value.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsFd> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl<T: AsFd> Source for Fd<T> {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.as_fd().as_raw_fd()).deregister(registry)
    }
}
