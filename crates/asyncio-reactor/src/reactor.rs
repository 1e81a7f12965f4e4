//! The public reactor: waits for the operating system, and wakes the tasks that wait for a source.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use asyncio_console::Place;
use mio::Interest;
use mio::event::Source;

use crate::core::ReactorCore;
use crate::error::RegisterError;
use crate::registered::Registered;
use crate::unparker::Unparker;

/// Waits for the sources of one thread, and wakes the tasks that wait for them.
///
/// A clone is cheap and refers to the same reactor. Dropping the last clone
/// [closes](Reactor::close) the reactor. It belongs to the thread that made it; other threads have
/// [`Unparker`].
pub struct Reactor {
    core: Rc<ReactorCore>,
}

impl Reactor {
    /// Creates a reactor without sources.
    ///
    /// # Errors
    ///
    /// The system's error, for example when the process has no free descriptor.
    pub fn new() -> io::Result<Self> {
        let core = Rc::new(ReactorCore::new()?);
        Ok(Reactor { core })
    }

    #[inline]
    fn of(core: &Rc<ReactorCore>) -> Self {
        core.add_handle();
        Reactor {
            core: Rc::clone(core),
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Rc<ReactorCore> {
        &self.core
    }

    #[inline]
    fn has_core(&self, core: &Rc<ReactorCore>) -> bool {
        Rc::ptr_eq(&self.core, core)
    }

    /// Returns a handle that ends a [`turn`](Self::turn) from another thread.
    pub fn unparker(&self) -> Unparker {
        self.core.unparker().clone()
    }

    /// Waits until a source is ready, at most for `timeout`, and then wakes its waiters. Returns
    /// the number of events of sources.
    ///
    /// `None` waits without a limit; zero only polls. A turn returns before its timeout with any
    /// event, when it is [unparked](Unparker::unpark), and when a signal arrives. A caller that has
    /// a deadline reads the clock again and takes another turn. A timeout of a millisecond or more
    /// is cut to whole milliseconds. A shorter timeout is exact on Linux, and a millisecond
    /// elsewhere. So a caller waits for a deadline with a long wait and then an exact short one.
    ///
    /// A task whose sources are always ready yields after 64 operations, whichever sources they
    /// use. The next turn wakes it, and does not wait then. So a busy caller must take a turn now
    /// and then.
    ///
    /// Within one source the reader is woken before the writer. Where more than 16 futures wait for
    /// one source, an event wakes the first of them. The next turns do not wait and wake the rest,
    /// unless the source is no longer ready. Wakers may run any code, and may call this method
    /// again. If a waker panics, the next turn wakes the others.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`](crate::ReactorClosed) after [`close`](Self::close). Any other error comes from the system and
    /// means that the reactor is broken.
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.core.turn(timeout)
    }

    /// Whether the next [`turn`](Self::turn) has wakers to wake, or events that the last turn had no
    /// room for. That turn does not wait. A caller that waits for [the descriptor](#impl-AsFd-for-Reactor)
    /// instead of waiting in a turn takes another turn first, as long as this is true.
    pub fn has_soon(&self) -> bool {
        self.core.has_soon()
    }

    /// Makes the descriptor readable after `duration`, in place of an alarm that was set before. The
    /// next turn takes the event. False where the system has no such timer: only Linux does.
    ///
    /// A [`turn`](Self::turn) with a timeout below a millisecond uses the same timer.
    pub fn set_alarm(&self, duration: Duration) -> bool {
        self.core.set_alarm(duration)
    }

    /// Takes the events of a [closed](Self::close) reactor and drops them, so that its descriptor is
    /// not readable because of them.
    pub fn drain(&self) {
        if self.is_closed() {
            self.core.drain();
        }
    }

    /// Registers a source. It is deregistered when the [`Registered`] is dropped.
    ///
    /// The source must be in non-blocking mode. Without [`Interest::READABLE`] a wait to read is an
    /// error, and likewise for writing.
    ///
    /// # Errors
    ///
    /// The source comes back together with the system's error, or with [`ReactorClosed`](crate::ReactorClosed).
    #[track_caller]
    pub fn register<S: Source>(
        &self,
        source: S,
        interest: Interest,
    ) -> Result<Registered<S>, RegisterError<S>> {
        self.register_at(source, interest, Place::caller())
    }

    /// [`register`](Self::register), for a source that a console shows at another place than that of the call.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    pub fn register_at<S: Source>(
        &self,
        source: S,
        interest: Interest,
        place: Place,
    ) -> Result<Registered<S>, RegisterError<S>> {
        let taken = self.core.slots().borrow_mut().insert(&self.core, interest);
        match taken {
            Ok((block, index)) => Registered::new(source, block, index, interest, place),
            Err(error) => Err(RegisterError::new(source, error)),
        }
    }

    /// The number of registered sources.
    pub fn len(&self) -> usize {
        self.core.slots().borrow().len()
    }

    /// Whether no source is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are handles of the same reactor.
    pub fn same(&self, other: &Reactor) -> bool {
        self.has_core(&other.core)
    }

    /// Declares that the reactor is not turned for now. Until [`resume`](Self::resume), an
    /// operation that would have to wait for a source fails with [`ReactorRests`](crate::ReactorRests). Operations that
    /// need not wait succeed, and tasks that already wait keep their position.
    ///
    /// An event loop calls this while it does not run. Otherwise a task on another loop that used a
    /// socket of this one would wait for an event that no turn reads.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor};
    /// # use std::task::{Context, Poll, Waker};
    /// # #[cfg(not(unix))] fn main() {}
    /// # #[cfg(unix)]
    /// # fn main() -> std::io::Result<()> {
    /// # let mut cx = Context::from_waker(Waker::noop());
    /// let reactor = Reactor::new()?;
    /// let (_sender, receiver) = mio::unix::pipe::new()?;
    /// let receiver = reactor.register(receiver, Interest::READABLE)?;
    /// reactor.rest();
    /// let read = |mut pipe: &_| std::io::Read::read(&mut pipe, &mut [0]);
    /// assert!(matches!(receiver.poll_read_with(&mut cx, 1, read), Poll::Ready(Err(_))));
    /// reactor.resume();
    /// assert!(receiver.poll_read_with(&mut cx, 1, read).is_pending());
    /// # Ok(())
    /// # }
    /// ```
    pub fn rest(&self) {
        self.core.rest();
    }

    /// Declares that the reactor is turned again. A new reactor counts as turned; a closed one
    /// never does.
    pub fn resume(&self) {
        self.core.resume();
    }

    /// Drops the wakers of all waiting tasks without waking them. Every later operation that needs
    /// the reactor fails with [`ReactorClosed`](crate::ReactorClosed). Closing twice does nothing.
    ///
    /// A task that owns a socket whose slot holds the task's waker is a cycle. Closing breaks the
    /// cycle when the tasks no longer run.
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether the reactor was [closed](Self::close).
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }
}

impl<S: Source> Registered<S> {
    /// The reactor that the source is registered with.
    pub fn reactor(&self) -> Reactor {
        Reactor::of(self.registration().core())
    }

    /// Whether the source is registered with this reactor.
    pub fn belongs_to(&self, reactor: &Reactor) -> bool {
        reactor.has_core(self.registration().core())
    }
}

impl Clone for Reactor {
    #[inline]
    fn clone(&self) -> Self {
        Reactor::of(&self.core)
    }
}

/// The descriptor of the selector: an `epoll` or a `kqueue`. It is readable when a
/// [`turn`](Reactor::turn) would find events. It lives as long as any clone of the reactor.
///
/// For a program that waits in its own `poll`, `epoll` or framework. It waits until the descriptor is readable, and
/// then takes a turn with a timeout of zero. It must also take a turn while [`has_soon`](Reactor::has_soon). The
/// descriptor is for waiting only.
///
/// ```
/// # use asyncio_reactor::{Interest, Reactor};
/// # #[cfg(not(unix))] fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use std::io::Write;
/// use std::time::Duration;
/// use rustix::event::{PollFd, PollFlags, poll};
///
/// let reactor = Reactor::new()?;
/// let (mut sender, receiver) = mio::unix::pipe::new()?;
/// let _receiver = reactor.register(receiver, Interest::READABLE)?;
/// sender.write_all(b"x")?;
/// let mut descriptors = [PollFd::new(&reactor, PollFlags::IN)];
/// assert_eq!(poll(&mut descriptors, None)?, 1);
/// assert_eq!(reactor.turn(Some(Duration::ZERO))?, 1);
/// # Ok(())
/// # }
/// ```
#[cfg(unix)]
impl AsFd for Reactor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.registry().as_fd()
    }
}

impl Drop for Reactor {
    #[inline]
    fn drop(&mut self) {
        self.core.remove_handle();
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("sources", &self.len())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
