//! A source that is bound to the loop on which it was made.
//!
//! It adds one thing to [`Registered`]: before anybody waits, it is made sure that the loop which
//! runs here is the one that would tell of the event. Otherwise the wait would never end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use asyncio_reactor::{Direction, Interest, Registered, Source};

/// For sockets that transfer both ways.
pub(crate) const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

pub(crate) struct Bound<S: Source> {
    registered: Registered<S>,
}

impl<S: Source> Bound<S> {
    /// Registers the source with the loop that runs here. It comes back if that fails.
    pub(crate) fn new(source: S, interest: Interest) -> Result<Self, (S, io::Error)> {
        let reactor = match asyncio_loop::try_reactor() {
            Ok(reactor) => reactor,
            Err(no_loop) => return Err((source, io::Error::other(no_loop))),
        };
        match reactor.register(source, interest) {
            Ok(registered) => Ok(Bound { registered }),
            Err(failed) => Err(failed.into_parts()),
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        self.registered.get_ref()
    }

    pub(crate) fn into_inner(self) -> S {
        self.registered.into_inner()
    }

    pub(crate) fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registered.try_io(direction, f)
    }

    /// Only for byte streams, see [`Registered::poll_read_with`].
    pub(crate) fn try_transfer(
        &self,
        direction: Direction,
        wanted: usize,
        f: impl FnOnce(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.registered.try_transfer(direction, wanted, f)
    }

    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.checked(match direction {
            Direction::Read => self.registered.poll_read_ready(cx),
            Direction::Write => self.registered.poll_write_ready(cx),
        })
    }

    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.checked(self.registered.poll_io(cx, direction, f))
    }

    /// Only for byte streams, see [`Registered::poll_read_with`].
    pub(crate) fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.checked(self.registered.poll_read_with(cx, wanted, f))
    }

    /// Only for byte streams, see [`Registered::poll_write_with`].
    pub(crate) fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.checked(self.registered.poll_write_with(cx, wanted, f))
    }

    pub(crate) async fn ready(&self, direction: Direction) -> io::Result<()> {
        let ready = match direction {
            Direction::Read => self.registered.readable(),
            Direction::Write => self.registered.writable(),
        };
        self.wait_for(ready).await
    }

    pub(crate) async fn io<R>(
        &self,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.wait_for(self.registered.io(direction, f)).await
    }

    /// Only for byte streams, see [`Registered::poll_read_with`].
    pub(crate) async fn read_with(
        &self,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.wait_for(self.registered.read_with(wanted, f)).await
    }

    /// Only for byte streams, see [`Registered::poll_write_with`].
    pub(crate) async fn write_with(
        &self,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.wait_for(self.registered.write_with(wanted, f)).await
    }

    async fn wait_for<R>(&self, wait: impl Future<Output = io::Result<R>>) -> io::Result<R> {
        let mut wait = pin!(wait);
        poll_fn(|cx| self.checked(wait.as_mut().poll(cx))).await
    }

    /// Turns a wait for the wrong loop into an error.
    fn checked<R>(&self, poll: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if poll.is_pending()
            && let Err(error) = self.check_loop()
        {
            return Poll::Ready(Err(error));
        }
        poll
    }

    fn check_loop(&self) -> io::Result<()> {
        let here = asyncio_loop::try_reactor().map_err(io::Error::other)?;
        if self.registered.belongs_to(&here) {
            return Ok(());
        }
        Err(io::Error::other(
            "this socket belongs to another event loop than the one that runs here: \
             make it on this loop, or take it over with into_std and from_std",
        ))
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Bound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}
