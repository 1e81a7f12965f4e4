//! A registered source: operations that wait until they can proceed.
//!
//! All operations work the same way. If the source counts as ready, the operation is tried. If it
//! returns `WouldBlock`, the source no longer counts as ready, and the operation waits for an
//! event. Each operation on a ready source draws on a [`budget`](crate::budget). So a task whose
//! sources are always ready yields to the reactor now and then.

use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use asyncio_console::{Place, Resource, ResourceKind};
use mio::Interest;
use mio::event::Source;

use crate::core::ReactorCore;
use crate::error::RegisterError;
use crate::one_call::is_short;
use crate::readiness::{Direction, Readiness};
use crate::registration::Registration;
use crate::slots::SlotBlock;
use crate::waiters::WaiterId;

/// Whether a short transfer means that the source is drained and that the next change causes an
/// event.
///
/// True for epoll and kqueue. Elsewhere mio rearms a source only after it has returned
/// `WouldBlock`, so the operation must be repeated until then.
#[expect(unexpected_cfgs, reason = "a cfg of mio")]
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
/// Any number of tasks may wait for one source at once, through the futures and through the
/// `poll_*` methods. An event wakes all of them, unless the first ones use up the readiness. The
/// `poll_*` methods cannot tell a new waker of the same task from another task. So when many wakers
/// pile up, all are woken, and the tasks that still wait poll again.
///
/// Dropping it deregisters the source, then drops the waiting wakers, then the source.
pub struct Registered<S: Source> {
    /// `Some` until [`into_inner`](Self::into_inner) or the drop.
    source: Option<S>,
    /// The index of the slot in its block. Separate from `block`, because a `u8` fits into the
    /// padding beside a descriptor.
    index: u8,
    block: Rc<SlotBlock<ReactorCore>>,
    /// How a console shows the source and the waits for it.
    shown: Resource,
}

impl<S: Source> Registered<S> {
    const KIND: &ResourceKind = &ResourceKind::socket::<S>();

    pub(crate) fn new(
        source: S,
        block: Rc<SlotBlock<ReactorCore>>,
        index: u8,
        interest: Interest,
        place: Place,
    ) -> Result<Self, RegisterError<S>> {
        let mut this = Registered {
            source: None,
            index,
            block,
            shown: Resource::new(Self::KIND, place),
        };
        let registration = Registration::new(&this.block, index);
        let registry = registration.core().registry();
        let source = this.source.insert(source);
        let registered = registry.register(source, registration.token(), interest);
        match registered {
            Ok(()) => Ok(this),
            Err(error) => {
                registration.release_slot();
                let source = this.source.take().expect("the source was stored above");
                Err(RegisterError::new(source, error))
            }
        }
    }

    /// The source.
    #[inline]
    pub fn get_ref(&self) -> &S {
        self.source
            .as_ref()
            .expect("only into_inner and drop take the source")
    }

    /// The source, mutably. It must not be replaced: the reactor would continue to watch the first
    /// one.
    pub fn get_mut(&mut self) -> &mut S {
        self.source
            .as_mut()
            .expect("only into_inner and drop take the source")
    }

    /// Deregisters the source and gives it back.
    pub fn into_inner(mut self) -> S {
        self.release()
            .expect("only into_inner and drop take the source")
    }

    #[inline]
    pub(crate) fn registration(&self) -> Registration<'_> {
        Registration::new(&self.block, self.index)
    }

    /// Deregisters the source, once.
    fn release(&mut self) -> Option<S> {
        let mut source = self.source.take()?;
        // Deregistering fails if the source was closed or replaced without the reactor's knowledge.
        // Then the system has nothing to remove, and a late event is dropped because its generation
        // is old.
        let registration = self.registration();
        let _ = registration.core().registry().deregister(&mut source);
        registration.release_slot();
        Some(source)
    }

    /// The place at which a console shows the source.
    #[inline]
    pub fn place(&self) -> Place {
        self.shown.place()
    }

    /// The readiness that the reactor last recorded.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed).
    pub fn readiness(&self) -> io::Result<Readiness> {
        let registration = self.registration();
        registration.core().check_open()?;
        Ok(registration.readiness())
    }

    /// Becomes ready as soon as a read is worth a try: there is data, the peer has closed, or an
    /// error is pending.
    ///
    /// It stays ready until an operation returns `WouldBlock`, so read with
    /// [`poll_io`](Self::poll_io) or [`try_io`](Self::try_io).
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed), [`ReactorRests`](crate::ReactorRests), and `InvalidInput` if the source
    /// was registered without [`Interest::READABLE`].
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiter = WaiterId::poller(Direction::Read);
        self.poll_ready_as(&mut waiter, cx, Direction::Read)
    }

    /// Becomes ready as soon as a write is worth a try, like
    /// [`poll_read_ready`](Self::poll_read_ready).
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed), [`ReactorRests`](crate::ReactorRests), and `InvalidInput` if the source
    /// was registered without [`Interest::WRITABLE`].
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiter = WaiterId::poller(Direction::Write);
        self.poll_ready_as(&mut waiter, cx, Direction::Write)
    }

    /// Tries an operation once, if the source counts as ready. Returns `WouldBlock` if it does not.
    /// If the operation returns `WouldBlock`, the source no longer counts as ready.
    ///
    /// After more than a thousand reads without a turn of the reactor, the result is `WouldBlock`,
    /// even if there is more to read. Otherwise a loop that drains a source might never end. After
    /// the next turn the source is ready again.
    ///
    /// `f` performs one non-blocking operation on the source. It must not turn the reactor.
    ///
    /// # Errors
    ///
    /// The error of `f`, `WouldBlock`, and [`ReactorClosed`](crate::ReactorClosed).
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let registration = self.registration();
        if !registration.allows(direction) || !registration.try_budget(direction) {
            registration.core().check_open()?;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = f(self.get_ref());
        if would_block(&result) {
            registration.clear(direction);
        }
        result
    }

    /// Tries a transfer of a byte stream once: `f` moves at most `wanted` bytes and returns how
    /// many it moved. A short transfer counts as in [`poll_read_with`](Self::poll_read_with), under
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
        self.clear_if_short(direction, moved, wanted);
        Ok(moved)
    }

    /// Repeats an operation until it returns something other than `WouldBlock`, and waits in
    /// between. `Interrupted` is retried at once.
    ///
    /// `f` performs one non-blocking operation on the source. It must not turn the reactor.
    ///
    /// # Errors
    ///
    /// The error of `f`, and those of [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut waiter = WaiterId::poller(direction);
        self.poll_io_as(&mut waiter, cx, direction, f)
    }

    /// Reads from a byte stream: `f` reads at most `wanted` bytes and returns how many it read. If
    /// `wanted` is 0, the result is 0 at once.
    ///
    /// Unlike [`poll_io`](Self::poll_io) it uses a short read: less than `wanted` means that the
    /// stream is drained. So the next read waits for an event first, which saves a system call.
    /// This has two conditions:
    ///
    /// - `wanted` is at most what one call of `f` can move. A vectored call takes a limited number
    ///   of parts, see [`parts_of_one_call`](crate::parts_of_one_call). The system's limit of two
    ///   gigabytes a call is accounted for.
    /// - The stream has no boundaries, as a TCP socket or a pipe. A terminal, a datagram socket, a
    ///   peek or a Unix socket that carries descriptors may come back short with more to read. The
    ///   next read would then hang. A TCP socket comes back short before an urgent byte, so
    ///   register it with `Interest::PRIORITY` as well on Linux.
    ///
    /// # Errors
    ///
    /// The error of `f`, and those of [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_read_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut waiter = WaiterId::poller(Direction::Read);
        self.poll_transfer_as(&mut waiter, cx, Direction::Read, wanted, f)
    }

    /// Writes to a byte stream: `f` writes at most `wanted` bytes and returns how many it wrote.
    /// The conditions are those of [`poll_read_with`](Self::poll_read_with).
    ///
    /// # Errors
    ///
    /// The error of `f`, and those of [`poll_write_ready`](Self::poll_write_ready).
    pub fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut waiter = WaiterId::poller(Direction::Write);
        self.poll_transfer_as(&mut waiter, cx, Direction::Write, wanted, f)
    }

    pub(crate) fn remove_waiter(&self, waiter: WaiterId) {
        self.registration().remove_waiter(waiter);
        if let Some(entry) = waiter.entry() {
            self.shown.leave(operation(waiter.direction()), entry);
        }
    }

    /// Shows a poll of a wait to a console.
    #[inline(always)]
    fn watch<T>(
        &self,
        waiter: &mut WaiterId,
        direction: Direction,
        poll: impl FnOnce(&mut WaiterId) -> Poll<T>,
    ) -> Poll<T> {
        let operation = operation(direction);
        let watch = self.shown.begin(operation, waiter.entry());
        let polled = poll(waiter);
        let entry = waiter.entry().filter(|_| polled.is_pending());
        self.shown.end(watch, operation, entry);
        polled
    }

    #[inline(always)]
    pub(crate) fn poll_ready_as(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        self.watch(waiter, direction, |waiter| {
            self.poll_ready_unwatched(waiter, cx, direction)
        })
    }

    #[inline(always)]
    fn poll_ready_unwatched(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        if self.registration().begin(cx.waker(), direction) {
            return Poll::Ready(Ok(()));
        }
        self.poll_ready_aside(waiter, cx, direction)
    }

    /// Continues where an operation cannot begin at once: the source is not ready, the budget is
    /// spent, or a crowd waits.
    #[inline(always)]
    fn poll_ready_aside(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        let registration = self.registration();
        if !registration.allows(direction) {
            return registration.wait(cx, direction, waiter);
        }
        registration.poll_slowly(cx, direction, *waiter)
    }

    #[inline(always)]
    pub(crate) fn poll_io_as<R>(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.watch(waiter, direction, |waiter| {
            self.poll_io_unwatched(waiter, cx, direction, f)
        })
    }

    #[inline(always)]
    fn poll_io_unwatched<R>(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if !self.registration().begin(cx.waker(), direction) {
            ready!(self.poll_ready_aside(waiter, cx, direction))?;
        }
        match f(self.get_ref()) {
            Ok(result) => {
                *waiter = WaiterId::NOT_WAITING;
                Poll::Ready(Ok(result))
            }
            Err(error) => self.poll_io_again(error, waiter, cx, direction, f),
        }
    }

    /// Continues after an error, which may only be a reason to wait. Out of line, because the first
    /// try usually succeeds.
    #[inline(never)]
    fn poll_io_again<R>(
        &self,
        mut error: io::Error,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            self.clear_or_fail(direction, error)?;
            ready!(self.poll_ready_unwatched(waiter, cx, direction))?;
            match f(self.get_ref()) {
                Ok(result) => {
                    *waiter = WaiterId::NOT_WAITING;
                    return Poll::Ready(Ok(result));
                }
                Err(again) => error = again,
            }
        }
    }

    /// Handles an error of an operation. Returns `Ok` if the operation is to be repeated, when the
    /// source is ready.
    fn clear_or_fail(&self, direction: Direction, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.registration().clear(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn poll_transfer_as(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if wanted == 0 {
            return self
                .registration()
                .poll_step_back(cx, direction)
                .map_ok(|()| 0);
        }
        self.watch(waiter, direction, |waiter| {
            self.poll_transfer_unwatched(waiter, cx, direction, wanted, f)
        })
    }

    #[inline(always)]
    fn poll_transfer_unwatched(
        &self,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        mut f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if !self.registration().begin(cx.waker(), direction) {
            ready!(self.poll_ready_aside(waiter, cx, direction))?;
        }
        match f(self.get_ref()) {
            Ok(moved) => {
                self.clear_if_short(direction, moved, wanted);
                *waiter = WaiterId::NOT_WAITING;
                Poll::Ready(Ok(moved))
            }
            Err(error) => self.poll_transfer_again(error, waiter, cx, direction, wanted, f),
        }
    }

    /// Continues a transfer after an error, like [`poll_io_again`](Self::poll_io_again).
    #[inline(never)]
    fn poll_transfer_again(
        &self,
        error: io::Error,
        waiter: &mut WaiterId,
        cx: &mut Context<'_>,
        direction: Direction,
        wanted: usize,
        f: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let moved = ready!(self.poll_io_again(error, waiter, cx, direction, f))?;
        self.clear_if_short(direction, moved, wanted);
        Poll::Ready(Ok(moved))
    }

    /// Clears the readiness that a short transfer has used up.
    ///
    /// No event is lost. The transfer was short because the system's queue was empty (or full) at
    /// that moment. Any later change of the queue is a new edge. The edge stays in the system until
    /// `turn` reads it, on this thread and so after this line.
    ///
    /// Readiness that was recorded *before* the short read may have no further edge. The end of the
    /// stream (FIN, RST) can arrive in the same edge as the data. So those bits stay set, the next
    /// read is tried at once, and sees the end. The same holds for an urgent byte, before which a
    /// read comes back short.
    #[inline]
    fn clear_if_short(&self, direction: Direction, moved: usize, wanted: usize) {
        if SHORT_MEANS_EMPTY && is_short(moved, wanted) {
            self.registration().clear_keeping_end(direction);
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

/// The name of a wait, for a console.
#[inline(always)]
fn operation(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    }
}

fn would_block<R>(result: &io::Result<R>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
