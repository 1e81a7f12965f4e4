//! A source that is registered: operations on it that wait until they can go on.
//!
//! All of them work the same way: if the source counts as ready, try; if it answers `WouldBlock`,
//! it does not count as ready any more; wait until an event says otherwise. A task that could go on for
//! ever without waiting stands back for a turn of the reactor now and then: each time a source is found
//! ready counts ([`budget`](crate::budget)).

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use mio::Interest;
use mio::event::Source;

use crate::core::Core;
use crate::error::RegisterError;
use crate::one_call::is_short;
use crate::readiness::{Direction, Readiness};
use crate::registration::Registration;
use crate::slots::Block;
use crate::waiters::WaiterId;

/// Whether a transfer that came back short means that the source has nothing more at the moment,
/// and will tell of what comes.
///
/// So it is with epoll and kqueue. Elsewhere mio arms a source again only when it has answered
/// `WouldBlock`, so it must be asked until it does.
#[expect(unexpected_cfgs, reason = "mio's own switch")]
const SHORT_MEANS_EMPTY: bool = cfg!(all(
    not(mio_unsupported_force_poll_poll),
    any(
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "tvos",
        target_os = "visionos",
        target_os = "watchos",
    )
));

/// A source that is registered with a [`Reactor`](crate::Reactor), until it is dropped.
///
/// Any number of tasks may wait for one source at once. All are woken, unless the first of them use up what
/// has come, and each tries. That goes for the futures and for the `poll_*` methods. These cannot tell a task
/// that comes with another waker from another task, so when many wakers pile up, all are woken, and those
/// that still wait come again.
///
/// When it is dropped, the source is first taken off the reactor, then its wakers are dropped,
/// then the source itself.
pub struct Registered<S: Source> {
    /// There until [`into_inner`](Self::into_inner).
    source: Option<S>,
    /// Where its slot is: apart, for the two fit beside a descriptor.
    place: u8,
    block: Rc<Block<Core>>,
}

impl<S: Source> Registered<S> {
    pub(crate) fn new(
        source: S,
        block: Rc<Block<Core>>,
        place: u8,
        interest: Interest,
    ) -> Result<Self, RegisterError<S>> {
        let mut this = Registered {
            source: None,
            place,
            block,
        };
        let registration = Registration::new(&this.block, place);
        let registry = registration.core().registry();
        let source = this.source.insert(source);
        let registered = registry.register(source, registration.token(), interest);
        match registered {
            Ok(()) => Ok(this),
            Err(error) => {
                registration.leave();
                let source = this.source.take().expect("it was just put there");
                Err(RegisterError::new(source, error))
            }
        }
    }

    /// The source.
    #[inline]
    pub fn get_ref(&self) -> &S {
        self.source
            .as_ref()
            .expect("the source is there until into_inner, which takes self")
    }

    /// The source, to be changed, but not to be exchanged for another one: the reactor would go
    /// on watching the first.
    pub fn get_mut(&mut self) -> &mut S {
        self.source
            .as_mut()
            .expect("the source is there until into_inner, which takes self")
    }

    /// Deregisters the source and gives it back.
    pub fn into_inner(mut self) -> S {
        self.release()
            .expect("the source is there until into_inner, which takes self")
    }

    #[inline]
    pub(crate) fn registration(&self) -> Registration<'_> {
        Registration::new(&self.block, self.place)
    }

    /// Takes the source off the reactor, once.
    fn release(&mut self) -> Option<S> {
        let mut source = self.source.take()?;
        // It fails if the source was closed or exchanged behind our back. Then there is nothing to
        // take off, and an event that still comes is dropped with its generation.
        let registration = self.registration();
        let _ = registration.core().registry().deregister(&mut source);
        registration.leave();
        Some(source)
    }

    /// What the source was last seen to be ready for.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed).
    pub fn readiness(&self) -> io::Result<Readiness> {
        let registration = self.registration();
        registration.core().check_open()?;
        Ok(registration.readiness.get())
    }

    /// Ready as soon as reading is worth a try: there is something to read, the other side has
    /// closed, or there is an error to hear of.
    ///
    /// It stays ready until an operation answers `WouldBlock`, so use [`poll_io`](Self::poll_io)
    /// or [`try_io`](Self::try_io) to read.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed), and `InvalidInput` if it was registered without
    /// [`Interest::READABLE`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut who = WaiterId::poller(Direction::Read);
        self.poll_ready_as(&mut who, cx, Direction::Read)
    }

    /// As [`poll_read_ready`](Self::poll_read_ready), for writing.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed), and `InvalidInput` if it was registered without
    /// [`Interest::WRITABLE`].
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut who = WaiterId::poller(Direction::Write);
        self.poll_ready_as(&mut who, cx, Direction::Write)
    }

    /// Tries an operation once, if the source counts as ready. If it does not, or if the operation
    /// answers `WouldBlock`, that is the error, and the source does not count as ready.
    ///
    /// After a thousand reads and more without a turn of the reactor, the answer is `WouldBlock` though
    /// there may be more to read, so that draining a source comes to an end. Waiting for the source is
    /// over with the next turn then.
    ///
    /// `f` does one non-blocking operation on the source. It must not turn the reactor.
    ///
    /// # Errors
    ///
    /// What `f` returns, `WouldBlock`, and [`ReactorClosed`](crate::ReactorClosed).
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let registration = self.registration();
        if !registration.allows(direction) || !registration.may_try(direction) {
            registration.core().check_open()?;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = f(self.get_ref());
        if would_block(&result) {
            registration.clear(direction);
        }
        result
    }

    /// [`try_io`](Self::try_io) for a byte stream: `f` moves at most `wanted` bytes and returns how
    /// many it moved. Coming back short counts as in [`poll_read_with`](Self::poll_read_with), with
    /// the same condition.
    ///
    /// # Errors
    ///
    /// Those of [`try_io`](Self::try_io).
    pub fn try_transfer(
        &self,
        direction: Direction,
        wanted: usize,
        f: impl FnOnce(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if wanted == 0 {
            return Ok(0);
        }
        let moved = self.try_io(direction, f)?;
        self.learn_from(direction, moved, wanted);
        Ok(moved)
    }

    /// Tries an operation until it answers something else than `WouldBlock`, and waits in between.
    /// `Interrupted` is tried again at once.
    ///
    /// `f` does one non-blocking operation on the source. It must not turn the reactor.
    ///
    /// # Errors
    ///
    /// What `f` returns, and those of [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut who = WaiterId::poller(direction);
        self.poll_io_as(&mut who, cx, direction, f)
    }

    /// Reads from a byte stream: `f` reads at most `wanted` bytes and returns how many it got. Where
    /// nothing is wanted, the answer is 0 at once.
    ///
    /// It is [`poll_io`](Self::poll_io) that also learns from a short read: less than `wanted`
    /// means that there is nothing more at the moment, so the next read waits for an event first,
    /// which saves a system call. So `wanted` is what the call of `f` can move, and no more: a vectored
    /// one takes so many parts only, see [`parts_of_one_call`](crate::parts_of_one_call). (That the
    /// system moves two gigabytes at most in a call is allowed for.) Only for streams without any boundaries, TCP sockets and pipes;
    /// a terminal, a datagram socket, a peek or a Unix socket that carries descriptors comes back
    /// short with more to read, and would then hang. A TCP socket does so before an urgent byte, so on
    /// Linux it is registered with `Interest::PRIORITY`, too.
    ///
    /// # Errors
    ///
    /// What `f` returns, and those of [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut who = WaiterId::poller(Direction::Read);
        self.poll_transfer_as(&mut who, cx, Direction::Read, wanted, f)
    }

    /// Writes to a byte stream: `f` writes at most `wanted` bytes and returns how many it wrote.
    /// As [`poll_read_with`](Self::poll_read_with), with the same condition.
    ///
    /// # Errors
    ///
    /// What `f` returns, and those of [`poll_write_ready`](Self::poll_write_ready).
    pub fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut who = WaiterId::poller(Direction::Write);
        self.poll_transfer_as(&mut who, cx, Direction::Write, wanted, f)
    }

    pub(crate) fn forget(&self, who: WaiterId) {
        self.registration().forget(who);
    }

    #[inline(always)]
    pub(crate) fn poll_ready_as(
        &self,
        who: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        let registration = self.registration();
        if registration.allows(direction) {
            if registration.is_crowded() {
                registration.wait_no_longer(*who);
            }
            return registration.go_on(cx, direction);
        }
        registration.wait(cx, direction, who)
    }

    #[inline(always)]
    pub(crate) fn poll_io_as<R>(
        &self,
        who: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        ready!(self.poll_ready_as(who, cx, direction))?;
        match f(self.get_ref()) {
            Ok(result) => {
                *who = WaiterId::NOT_WAITING;
                Poll::Ready(Ok(result))
            }
            Err(error) => self.poll_io_again(error, who, cx, direction, f),
        }
    }

    /// Goes on after an error, which may be no more than a reason to wait. Apart, for most often the first
    /// try goes through.
    #[inline(never)]
    fn poll_io_again<R>(
        &self,
        mut error: io::Error,
        who: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            self.refused(direction, error)?;
            ready!(self.poll_ready_as(who, cx, direction))?;
            match f(self.get_ref()) {
                Ok(result) => {
                    *who = WaiterId::NOT_WAITING;
                    return Poll::Ready(Ok(result));
                }
                Err(again) => error = again,
            }
        }
    }

    /// What to make of an error of an operation: `Ok` if it is to be tried again, once it can go on.
    fn refused(&self, direction: Direction, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.registration().clear(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn poll_transfer_as(
        &self,
        who: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        mut f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_ready_as(who, cx, direction))?;
        match f(self.get_ref()) {
            Ok(moved) => {
                self.learn_from(direction, moved, wanted);
                *who = WaiterId::NOT_WAITING;
                Poll::Ready(Ok(moved))
            }
            Err(error) => self.poll_transfer_again(error, who, cx, direction, wanted, f),
        }
    }

    /// As [`poll_io_again`](Self::poll_io_again).
    #[inline(never)]
    fn poll_transfer_again(
        &self,
        error: io::Error,
        who: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let moved = ready!(self.poll_io_again(error, who, cx, direction, f))?;
        self.learn_from(direction, moved, wanted);
        Poll::Ready(Ok(moved))
    }

    /// Forgets the readiness that a short transfer has used up.
    ///
    /// Nothing is missed by this. The system came back short because its queue was empty (or full)
    /// at that moment. Whatever changes the queue later makes a new edge, and the edge waits in the
    /// system until `turn` takes it, which is later than this line: one thread does both. What was
    /// known *before* the short read is another matter: if the end of the stream (FIN, RST) came in
    /// the same edge as the data, no edge will tell it again. So those bits stay, the next read is
    /// tried at once, and gets the end. And it may have come back short before an urgent byte, of which
    /// an edge has told, too.
    #[inline]
    fn learn_from(&self, direction: Direction, moved: usize, wanted: usize) {
        if SHORT_MEANS_EMPTY && is_short(moved, wanted) {
            self.registration().clear_all_but_the_end(direction);
        }
    }
}

impl<S: Source> Drop for Registered<S> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("source", self.get_ref())
            .field("readiness", &self.readiness().ok())
            .finish_non_exhaustive()
    }
}

fn would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
