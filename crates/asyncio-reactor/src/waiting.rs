//! The futures that wait for a source.
//!
//! Each has a name while it waits, and takes its waker back when it is dropped. So any number of
//! them wait for one source, and a cancelled one leaves nothing behind. They are written by hand,
//! because this is the path of every byte.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use mio::event::Source;

use crate::readiness::Direction;
use crate::registered::Registered;
use crate::registration::Registration;
use crate::waiters::WaiterId;

/// A direction of a source, and perhaps a place among those who wait for it.
struct Waiting<'a> {
    registration: &'a Registration,
    direction: Direction,
    who: WaiterId,
}

impl<'a> Waiting<'a> {
    #[inline]
    fn new(registration: &'a Registration, direction: Direction) -> Self {
        Waiting {
            registration,
            direction,
            who: WaiterId::NOT_WAITING,
        }
    }

    /// Notes that the source was ready, and so has let go of all who waited.
    #[inline]
    fn is_over(&mut self) {
        self.who = WaiterId::NOT_WAITING;
    }
}

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.who != WaiterId::NOT_WAITING {
            self.registration.forget(self.direction, self.who);
        }
    }
}

/// Waits until a source is worth a try: the future of [`Registered::readable`] and
/// [`Registered::writable`].
#[must_use = "futures do nothing unless awaited"]
pub struct Ready<'a> {
    waiting: Waiting<'a>,
}

impl<'a> Ready<'a> {
    pub(crate) fn new(registration: &'a Registration, direction: Direction) -> Self {
        let waiting = Waiting::new(registration, direction);
        Ready { waiting }
    }
}

impl Future for Ready<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = &mut self.waiting;
        let direction = waiting.direction;
        let poll = waiting
            .registration
            .poll_ready(cx, direction, &mut waiting.who);
        if poll.is_ready() {
            waiting.is_over();
        }
        poll
    }
}

/// Tries an operation until it need not wait: the future of [`Registered::io`].
#[must_use = "futures do nothing unless awaited"]
pub struct Io<'a, S: Source, F> {
    source: &'a Registered<S>,
    waiting: Waiting<'a>,
    f: F,
}

// Nothing in it is ever pinned.
impl<S: Source, F> Unpin for Io<'_, S, F> {}

impl<'a, S: Source, F> Io<'a, S, F> {
    #[inline]
    pub(crate) fn new(source: &'a Registered<S>, direction: Direction, f: F) -> Self {
        Io {
            source,
            waiting: Waiting::new(source.registration(), direction),
            f,
        }
    }
}

impl<S: Source, R, F: FnMut(&S) -> io::Result<R>> Future for Io<'_, S, F> {
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let direction = this.waiting.direction;
        let who = &mut this.waiting.who;
        let poll = this.source.poll_io_as(who, cx, direction, &mut this.f);
        if poll.is_ready() {
            this.waiting.is_over();
        }
        poll
    }
}

/// Reads from a byte stream or writes to it: the future of [`Registered::read_with`] and
/// [`Registered::write_with`].
#[must_use = "futures do nothing unless awaited"]
pub struct Transfer<'a, S: Source, F> {
    source: &'a Registered<S>,
    waiting: Waiting<'a>,
    wanted: usize,
    f: F,
}

// Nothing in it is ever pinned.
impl<S: Source, F> Unpin for Transfer<'_, S, F> {}

impl<'a, S: Source, F> Transfer<'a, S, F> {
    #[inline]
    pub(crate) fn new(
        source: &'a Registered<S>,
        direction: Direction,
        wanted: usize,
        f: F,
    ) -> Self {
        Transfer {
            source,
            waiting: Waiting::new(source.registration(), direction),
            wanted,
            f,
        }
    }
}

impl<S: Source, F: FnMut(&S) -> io::Result<usize>> Future for Transfer<'_, S, F> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let direction = this.waiting.direction;
        let who = &mut this.waiting.who;
        let poll = this
            .source
            .poll_transfer_as(who, cx, direction, this.wanted, &mut this.f);
        if poll.is_ready() {
            this.waiting.is_over();
        }
        poll
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.who {
            WaiterId::NOT_WAITING => "not waiting",
            _ => "waiting",
        };
        write!(f, "{:?}, {state}", self.direction)
    }
}

impl fmt::Debug for Ready<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&self.waiting).finish()
    }
}

impl<S: Source, F> fmt::Debug for Io<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(&self.waiting).finish()
    }
}

impl<S: Source, F> fmt::Debug for Transfer<'_, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transfer").field(&self.waiting).finish()
    }
}
