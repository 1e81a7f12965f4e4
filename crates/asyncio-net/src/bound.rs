//! A source that is bound to the loop on which it was made.
//!
//! It adds one thing to [`Registered`]: before anybody waits, it is made sure that the loop which
//! runs here is the one that would tell of the event. Otherwise the wait would never end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use asyncio_reactor::{Direction, Interest, Io, Ready, Registered, Source, Transfer, Waiting};

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
        checked(
            &self.registered,
            match direction {
                Direction::Read => self.registered.poll_read_ready(cx),
                Direction::Write => self.registered.poll_write_ready(cx),
            },
        )
    }

    /// For descriptors of others.
    #[cfg(unix)]
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        checked(&self.registered, self.registered.poll_io(cx, direction, f))
    }

    /// Only for byte streams, see [`Registered::poll_read_with`].
    pub(crate) fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        checked(
            &self.registered,
            self.registered.poll_read_with(cx, wanted, f),
        )
    }

    /// Only for byte streams, see [`Registered::poll_write_with`].
    pub(crate) fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        checked(
            &self.registered,
            self.registered.poll_write_with(cx, wanted, f),
        )
    }

    /// Whoever polls with it passes the outcome through [`checked`].
    #[inline]
    pub(crate) fn waiting(&self, direction: Direction) -> Waiting<'_, S> {
        self.registered.waiting(direction)
    }

    pub(crate) fn ready(&self, direction: Direction) -> Checked<'_, S, Ready<'_, S>> {
        self.when_here(match direction {
            Direction::Read => self.registered.readable(),
            Direction::Write => self.registered.writable(),
        })
    }

    #[inline]
    pub(crate) fn io<R, F>(&self, direction: Direction, f: F) -> Checked<'_, S, Io<'_, S, F>>
    where
        F: FnMut(&S) -> io::Result<R>,
    {
        self.when_here(self.registered.io(direction, f))
    }

    /// Only for byte streams, see [`Registered::poll_read_with`].
    #[inline]
    pub(crate) fn read_with<F>(&self, wanted: usize, f: F) -> Checked<'_, S, Transfer<'_, S, F>>
    where
        F: FnMut(&S) -> io::Result<usize>,
    {
        self.when_here(self.registered.read_with(wanted, f))
    }

    /// Only for byte streams, see [`Registered::poll_write_with`].
    #[inline]
    pub(crate) fn write_with<F>(&self, wanted: usize, f: F) -> Checked<'_, S, Transfer<'_, S, F>>
    where
        F: FnMut(&S) -> io::Result<usize>,
    {
        self.when_here(self.registered.write_with(wanted, f))
    }

    #[inline]
    fn when_here<W>(&self, wait: W) -> Checked<'_, S, W> {
        Checked {
            source: &self.registered,
            wait,
        }
    }
}

/// Turns a wait for the wrong loop into an error.
#[inline]
pub(crate) fn checked<S: Source, R>(
    source: &Registered<S>,
    poll: Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    if poll.is_pending()
        && let Err(error) = check_loop(source)
    {
        return Poll::Ready(Err(error));
    }
    poll
}

fn check_loop<S: Source>(source: &Registered<S>) -> io::Result<()> {
    let here = asyncio_loop::try_reactor().map_err(io::Error::other)?;
    if source.belongs_to(&here) {
        return Ok(());
    }
    Err(io::Error::other(
        "this socket belongs to another event loop than the one that runs here: \
         make it on this loop, or take it over with into_std and from_std",
    ))
}

/// A wait that is an error on another loop than the source's own.
pub(crate) struct Checked<'a, S: Source, W> {
    source: &'a Registered<S>,
    wait: W,
}

impl<S: Source, R, W: Future<Output = io::Result<R>> + Unpin> Future for Checked<'_, S, W> {
    type Output = io::Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let poll = Pin::new(&mut self.wait).poll(cx);
        checked(self.source, poll)
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Bound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.registered.fmt(f)
    }
}
