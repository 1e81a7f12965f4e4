//! The reactor itself: it waits for the operating system, and wakes who waited for it.

use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use mio::Interest;
use mio::event::Source;

use crate::core::Core;
use crate::error::RegisterError;
use crate::registered::Registered;
use crate::unparker::Unparker;

/// Waits for the sources of one thread, and wakes the tasks that wait for them.
///
/// A clone is cheap and means the same reactor, which is [closed](Reactor::close) when the last
/// of them is dropped. It belongs to the thread that made it; other threads have [`Unparker`].
pub struct Reactor {
    core: Rc<Core>,
}

impl Reactor {
    /// A reactor without sources.
    ///
    /// # Errors
    ///
    /// Whatever the system says when there is no descriptor to be had.
    pub fn new() -> io::Result<Self> {
        let core = Rc::new(Core::new()?);
        Ok(Reactor { core })
    }

    #[inline]
    fn of(core: &Rc<Core>) -> Self {
        core.add_handle();
        Reactor {
            core: Rc::clone(core),
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    #[inline]
    fn has_core(&self, core: &Rc<Core>) -> bool {
        Rc::ptr_eq(&self.core, core)
    }

    /// What ends a [`turn`](Self::turn) from another thread.
    pub fn unparker(&self) -> Unparker {
        self.core.unparker().clone()
    }

    /// Waits until a source is ready, but no longer than `timeout`, and then wakes who waited.
    /// Returns how many events of sources there were.
    ///
    /// `None` waits until something happens, zero only looks. It returns before the time is over
    /// with any event, when it is [unparked](Unparker::unpark), and when a signal arrives; a
    /// caller who has a deadline looks at the clock again and takes another turn. A timeout of a
    /// millisecond or more is cut to whole milliseconds; a shorter one is kept exactly on Linux
    /// and is a millisecond elsewhere. So waiting for a deadline is a long wait and then an exact
    /// short one.
    ///
    /// A task that could go on for ever without waiting stands back after 64 operations on whatever sources:
    /// it is woken by the next turn, which does not wait then. So a caller that is busy takes a turn now and
    /// then.
    ///
    /// Within one source the reader is woken before the writer. Where more than 16 futures wait for one
    /// source, an event wakes the first of them; the next turns, which do not wait then, wake the rest,
    /// unless the source has turned out not to be ready meanwhile. Wakers may do anything, also call
    /// this again. If one panics, the rest are woken by the next turn.
    ///
    /// # Errors
    ///
    /// [`ReactorClosed`] after [`close`](Self::close); otherwise what the system says, which is
    /// then a broken reactor.
    pub fn turn(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.core.turn(timeout)
    }

    /// Registers a source. It is deregistered when the [`Registered`] is dropped.
    ///
    /// The source must be in non-blocking mode. Without [`Interest::READABLE`] nobody can wait for
    /// it to be readable, and likewise for writing.
    ///
    /// # Errors
    ///
    /// The source comes back together with what the system said, or with [`ReactorClosed`].
    pub fn register<S: Source>(
        &self,
        source: S,
        interest: Interest,
    ) -> Result<Registered<S>, RegisterError<S>> {
        let taken = self.core.slots().borrow_mut().insert(&self.core, interest);
        match taken {
            Ok((block, place)) => Registered::new(source, block, place, interest),
            Err(error) => Err(RegisterError::new(source, error)),
        }
    }

    /// How many sources are registered.
    pub fn len(&self) -> usize {
        self.core.slots().borrow().len()
    }

    /// Whether no source is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are the same reactor.
    pub fn same(&self, other: &Reactor) -> bool {
        self.has_core(&other.core)
    }

    /// Says that nobody turns it for now. Until it is [turned again](Self::resume), what would have to
    /// wait for a source is an error, [`ReactorRests`]; what need not wait goes on, and who waits
    /// already keeps its place.
    ///
    /// An event loop says so while it does not run: whoever uses its sockets on another loop
    /// meanwhile is told, instead of waiting for an event that nobody looks for.
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
        self.core.set_turned(false);
    }

    /// Says that somebody turns it again. A new one is taken to be turned; a closed one never is.
    pub fn resume(&self) {
        self.core.set_turned(true);
    }

    /// Drops the wakers of all that wait, without waking them, and refuses everything from here
    /// on with [`ReactorClosed`]. Closing twice does nothing.
    ///
    /// A task that owns a socket whose slot holds the task's waker is a cycle; this is what breaks
    /// it when the tasks are not run any more.
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether it was [closed](Self::close).
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }
}

impl<S: Source> Registered<S> {
    /// The reactor it is registered with.
    pub fn reactor(&self) -> Reactor {
        Reactor::of(self.registration().core())
    }

    /// Whether it is registered with this reactor.
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
