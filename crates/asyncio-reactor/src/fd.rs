//! Descriptors of other libraries as sources.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// Makes a source of anything that has a descriptor which can be polled: a socket or pipe of
/// another library, a device, an `inotify` or `timerfd`.
///
/// The descriptor must be in non-blocking mode, which the caller sees to, and stay the same as
/// long as it is registered. Regular files cannot be polled: registering one fails on Linux.
#[derive(Debug)]
pub struct Fd<T: AsFd> {
    inner: T,
}

impl<T: AsFd> Fd<T> {
    /// Wraps what has a descriptor.
    pub fn new(inner: T) -> Self {
        Fd { inner }
    }

    /// What was wrapped.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// What was wrapped, to be changed but not exchanged.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives back what was wrapped.
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
