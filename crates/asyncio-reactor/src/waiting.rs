//! Waiting for a source: a waiter's entry in the queue, and the futures made of it.
//!
//! A [`Waiting`] has an id in the queue while it waits, and removes its waker when it is dropped.
//! So any number of them can wait for one source, and a cancelled one leaves no waker behind. The
//! futures are written by hand, because every transferred byte takes this path.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, io};

use mio::event::Source;

use crate::readiness::Direction;
use crate::registered::Registered;
use crate::waiters::WaiterId;

/// A direction, known to the compiler ([`Reading`], [`Writing`]) or at run time ([`Direction`]).
pub trait Side: Copy + sealed::Sealed {
    /// The direction as a value.
    fn direction(self) -> Direction;
}

/// The read side, for [`Registered::waiting`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading;

/// The write side, for [`Registered::waiting`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Writing;

impl Side for Reading {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Read
    }
}

impl Side for Writing {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Write
    }
}

impl Side for Direction {
    #[inline]
    fn direction(self) -> Direction {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Reading {}
    impl Sealed for super::Writing {}
    impl Sealed for super::Direction {}
}

impl<S: Source> Registered<S> {
    /// Waits until a read is worth a try, like [`poll_read_ready`](Self::poll_read_ready).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`poll_read_ready`](Self::poll_read_ready).
    pub fn readable(&self) -> Ready<'_, S> {
        Ready::new(self.waiting(Direction::Read))
    }

    /// Waits until a write is worth a try, like [`poll_write_ready`](Self::poll_write_ready).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`poll_write_ready`](Self::poll_write_ready).
    pub fn writable(&self) -> Ready<'_, S> {
        Ready::new(self.waiting(Direction::Write))
    }

    /// [`poll_io`](Self::poll_io) as a future, for any number of tasks at once.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: `f` succeeds only in the poll that returns its value.
    ///
    /// # Errors
    ///
    /// Those of [`poll_io`](Self::poll_io).
    #[inline]
    pub fn io<R, F>(&self, direction: Direction, f: F) -> Io<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<R>,
    {
        Io::new(self.waiting(direction), f)
    }

    /// [`poll_read_with`](Self::poll_read_with) as a future, for any number of tasks at once.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: `f` succeeds only in the poll that returns its value.
    ///
    /// # Errors
    ///
    /// Those of [`poll_read_with`](Self::poll_read_with).
    #[inline]
    pub fn read_with<F>(&self, wanted: usize, f: F) -> Transfer<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<usize>,
    {
        Transfer::new(self.waiting(Direction::Read), wanted, f)
    }

    /// [`poll_write_with`](Self::poll_write_with) as a future, for any number of tasks at once.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: `f` succeeds only in the poll that returns its value.
    ///
    /// # Errors
    ///
    /// Those of [`poll_write_with`](Self::poll_write_with).
    #[inline]
    pub fn write_with<F>(&self, wanted: usize, f: F) -> Transfer<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<usize>,
    {
        Transfer::new(self.waiting(Direction::Write), wanted, f)
    }

    /// Creates a waiter for a direction, for futures of your own.
    #[inline]
    pub fn waiting<D: Side>(&self, direction: D) -> Waiting<'_, S, D> {
        Waiting::new(self, direction)
    }
}

/// A waiter for one direction of a source, from [`Registered::waiting`]: the building block of
/// futures.
///
/// Each task (or branch) needs its own. Dropping it ends the wait.
pub struct Waiting<'a, S: Source, D: Side = Direction> {
    source: &'a Registered<S>,
    /// Its id while it waits. The id of a waiter that was woken is harmless: ids are not reused.
    waiter: WaiterId,
    side: D,
}

impl<'a, S: Source, D: Side> Waiting<'a, S, D> {
    #[inline]
    pub(crate) fn new(source: &'a Registered<S>, side: D) -> Self {
        Waiting {
            source,
            waiter: WaiterId::NOT_WAITING,
            side,
        }
    }

    /// The source that it waits for.
    #[inline]
    pub fn source(&self) -> &'a Registered<S> {
        self.source
    }

    /// Becomes ready when an operation in its direction is worth a try, like
    /// [`Registered::poll_read_ready`].
    ///
    /// # Errors
    ///
    /// Those of [`Registered::poll_read_ready`].
    #[inline]
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let direction = self.side.direction();
        let poll = self.source.poll_ready_as(&mut self.waiter, cx, direction);
        if poll.is_ready() {
            self.waiter = WaiterId::NOT_WAITING;
        }
        poll
    }

    /// Repeats an operation in its direction until it need not wait, like [`Registered::poll_io`].
    ///
    /// # Errors
    ///
    /// Those of [`Registered::poll_io`].
    #[inline]
    pub fn poll_io<R>(
        &mut self,
        cx: &mut Context<'_>,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let direction = self.side.direction();
        self.source.poll_io_as(&mut self.waiter, cx, direction, f)
    }

    /// Transfers in its direction, like [`Registered::poll_read_with`] or
    /// [`Registered::poll_write_with`]. Only for streams without boundaries.
    ///
    /// # Errors
    ///
    /// Those of [`Registered::poll_io`].
    // Always: a writer has one call on its usual path and one in its loop, and inlining stops at two.
    #[inline(always)]
    pub fn poll_transfer(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (waiter, direction) = (&mut self.waiter, self.side.direction());
        self.source
            .poll_transfer_as(waiter, cx, direction, wanted, f)
    }
}

impl<S: Source, D: Side> Drop for Waiting<'_, S, D> {
    #[inline]
    fn drop(&mut self) {
        if self.waiter != WaiterId::NOT_WAITING {
            self.source.remove_waiter(self.waiter);
        }
    }
}

/// The future of [`Registered::readable`] and [`Registered::writable`]: waits until an operation is
/// worth a try.
#[must_use = "futures do nothing unless awaited"]
pub struct Ready<'a, S: Source> {
    waiting: Waiting<'a, S>,
}

impl<'a, S: Source> Ready<'a, S> {
    pub(crate) fn new(waiting: Waiting<'a, S>) -> Self {
        Ready { waiting }
    }
}

impl<S: Source> Future for Ready<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.waiting.poll_ready(cx)
    }
}

/// The future of [`Registered::io`]: repeats an operation until it need not wait.
#[must_use = "futures do nothing unless awaited"]
pub struct Io<'a, S: Source, F> {
    waiting: Waiting<'a, S>,
    f: F,
}

// No field is ever pinned.
impl<S: Source, F> Unpin for Io<'_, S, F> {}

impl<'a, S: Source, F> Io<'a, S, F> {
    #[inline]
    pub(crate) fn new(waiting: Waiting<'a, S>, f: F) -> Self {
        Io { waiting, f }
    }
}

impl<S: Source, R, F: FnMut(&S) -> io::Result<R>> Future for Io<'_, S, F> {
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.waiting.poll_io(cx, &mut this.f)
    }
}

/// The future of [`Registered::read_with`] and [`Registered::write_with`]: transfers bytes of a
/// stream.
#[must_use = "futures do nothing unless awaited"]
pub struct Transfer<'a, S: Source, F> {
    waiting: Waiting<'a, S>,
    wanted: usize,
    f: F,
}

// No field is ever pinned.
impl<S: Source, F> Unpin for Transfer<'_, S, F> {}

impl<'a, S: Source, F> Transfer<'a, S, F> {
    #[inline]
    pub(crate) fn new(waiting: Waiting<'a, S>, wanted: usize, f: F) -> Self {
        Transfer { waiting, wanted, f }
    }
}

impl<S: Source, F: FnMut(&S) -> io::Result<usize>> Future for Transfer<'_, S, F> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.waiting.poll_transfer(cx, this.wanted, &mut this.f)
    }
}

impl<S: Source, D: Side> fmt::Debug for Waiting<'_, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("direction", &self.side.direction())
            .field("waits", &(self.waiter != WaiterId::NOT_WAITING))
            .finish_non_exhaustive()
    }
}

impl<S: Source> fmt::Debug for Ready<'_, S> {
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
