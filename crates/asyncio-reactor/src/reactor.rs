//! The reactor itself: it waits for the operating system, and wakes who waited for it.
//!
//! One path goes through it: an event → the slot its token names → readiness bits → the wakers of
//! that direction → `woken`. That much happens without any foreign code, so the whole batch is
//! noted before the first waker runs. Then the wakers run, one by one, with nothing borrowed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use std::{fmt, io};

use mio::event::Source;
use mio::{Events, Interest, Poll, Registry};

use crate::budget::Budget;
use crate::crowd::Crowd;
use crate::error::{ReactorClosed, ReactorRests, RegisterError};
use crate::fine_timer::FineTimer;
use crate::readiness::{Direction, Readiness};
use crate::registered::Registered;
use crate::slots::{Slots, UNPARK};
use crate::unparker::Unparker;
use crate::waiters::WaiterId;

/// How many events one system call brings at most. The rest come with the next turn.
const EVENTS_A_TURN: usize = 1024;
/// The lists of wakers keep room for so many, 16 bytes each, after a turn that woke more.
const MOST_KEPT: usize = EVENTS_A_TURN;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Waits for the sources of one thread, and wakes the tasks that wait for them.
///
/// A clone is cheap and means the same reactor, which is [closed](Reactor::close) when the last
/// of them is dropped. It belongs to the thread that made it; other threads have [`Unparker`].
pub struct Reactor {
    core: Rc<Core>,
}

/// What the reactor and its sources share.
pub(crate) struct Core {
    /// Borrowed only inside of [`Core::look`], where nothing foreign runs.
    selector: RefCell<Selector>,
    /// Apart from the selector, so that registering (foreign code) borrows nothing.
    registry: Registry,
    slots: RefCell<Slots>,
    /// Taken from their slots and not woken yet, the next one last. Empty between turns, unless a
    /// waker panicked.
    woken: RefCell<Vec<Waker>>,
    /// The next turn moves them to `woken` first of all. Apart, so that a waker that comes back at once
    /// does not keep a turn from ending.
    soon: RefCell<Vec<Waker>>,
    /// The sources with waiters that their event did not wake yet.
    crowds: RefCell<Vec<Crowd>>,
    budget: Budget,
    unparker: Unparker,
    /// Whether a wait will end: somebody turns it, and it is not closed.
    is_turned: Cell<bool>,
    is_closed: Cell<bool>,
    futures_so_far: Cell<u64>,
    /// How many `Reactor`s there are.
    handles: Cell<usize>,
}

struct Selector {
    poll: Poll,
    events: Events,
    fine_timer: FineTimer,
}

impl Reactor {
    /// A reactor without sources.
    ///
    /// # Errors
    ///
    /// Whatever the system says when there is no descriptor to be had.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let unparker = Unparker::new(mio::Waker::new(&registry, UNPARK)?);
        Ok(Reactor {
            core: Rc::new(Core {
                selector: RefCell::new(Selector {
                    poll,
                    events: Events::with_capacity(EVENTS_A_TURN),
                    fine_timer: FineTimer::default(),
                }),
                registry,
                slots: RefCell::default(),
                woken: RefCell::default(),
                soon: RefCell::default(),
                crowds: RefCell::default(),
                budget: Budget::default(),
                unparker,
                is_turned: Cell::new(true),
                is_closed: Cell::new(false),
                futures_so_far: Cell::new(0),
                handles: Cell::new(1),
            }),
        })
    }

    #[inline]
    pub(crate) fn of(core: &Rc<Core>) -> Self {
        core.handles.set(core.handles.get() + 1);
        Reactor {
            core: Rc::clone(core),
        }
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// How many wakers its lists have room for.
    #[cfg(all(test, unix))]
    pub(crate) fn room_for_wakers(&self) -> usize {
        let core = &self.core;
        core.woken.borrow().capacity() + core.soon.borrow().capacity()
    }

    #[inline]
    pub(crate) fn has_core(&self, core: &Rc<Core>) -> bool {
        Rc::ptr_eq(&self.core, core)
    }

    /// What ends a [`turn`](Self::turn) from another thread.
    pub fn unparker(&self) -> Unparker {
        self.core.unparker.clone()
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
        self.core.budget.begin_turn();
        self.core.take_crowds();
        self.core.take_soon();
        // Those that are to be woken soon; or what is left over from a turn that a waker cut short by panicking, or
        // that is still under way and in which a waker has called this.
        let timeout = if self.core.wake() {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let seen = self.core.look(timeout)?;
        self.core.wake();
        Ok(seen)
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
        let taken = self.core.slots.borrow_mut().insert(&self.core, interest);
        match taken {
            Ok((block, place)) => Registered::new(source, block, place, interest),
            Err(error) => Err(RegisterError::new(source, error)),
        }
    }

    /// How many sources are registered.
    pub fn len(&self) -> usize {
        self.core.slots.borrow().len()
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
        self.core.is_turned.set(false);
    }

    /// Says that somebody turns it again. A new one is taken to be turned; a closed one never is.
    pub fn resume(&self) {
        self.core.is_turned.set(!self.core.is_closed.get());
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
        self.core.is_closed.get()
    }
}

/// Lists of wakers keep room for so many.
const LARGE: usize = 1 << 12;

impl Core {
    /// Asks the system, notes the readiness of each source it names, and moves who waited for it
    /// to `woken`, which is empty.
    fn look(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.check_open()?;
        let slots = self.slots.borrow();
        let selector = &mut *self.selector.borrow_mut();
        match selector.wait(&self.registry, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        }
        let mut woken = self.woken.borrow_mut();
        let mut crowds = self.crowds.borrow_mut();
        let mut seen = 0;
        for event in &selector.events {
            // The unparker's and the fine timer's are no source's.
            let readiness = Readiness::of_event(event);
            seen += usize::from(slots.note(event.token(), readiness, &mut woken, &mut crowds));
        }
        // They are taken from the end.
        woken.reverse();
        Ok(seen)
    }

    fn take_soon(&self) {
        let mut soon = self.soon.borrow_mut();
        if !soon.is_empty() {
            self.woken.borrow_mut().extend(soon.drain(..).rev());
            soon.shrink_to(LARGE);
        }
    }

    /// Moves more waiters of each crowd to `woken`, if its source is still ready.
    fn take_crowds(&self) {
        let mut crowds = self.crowds.borrow_mut();
        if crowds.is_empty() {
            return;
        }
        let slots = self.slots.borrow();
        let mut woken = Vec::new();
        crowds.retain_mut(|crowd| match slots.take_more(*crowd, &mut woken) {
            Some(rest) => {
                *crowd = rest;
                true
            }
            None => false,
        });
        self.woken.borrow_mut().extend(woken.into_iter().rev());
    }

    /// Wakes who is in `woken`. False if nobody is.
    #[inline]
    fn wake(&self) -> bool {
        !self.woken.borrow().is_empty() && self.wake_all()
    }

    #[inline(never)]
    fn wake_all(&self) -> bool {
        let mut woke = 0;
        while let Some(waker) = self.next_woken() {
            waker.wake();
            woke += 1;
        }
        self.budget.expect(woke);
        if woke > MOST_KEPT {
            for list in [&self.woken, &self.soon] {
                list.borrow_mut().shrink_to(MOST_KEPT);
            }
        }
        woke > 0
    }

    fn next_woken(&self) -> Option<Waker> {
        self.woken.borrow_mut().pop()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    #[inline]
    pub(crate) fn slots(&self) -> &RefCell<Slots> {
        &self.slots
    }

    #[inline]
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Has them woken by the next turn, which does not wait then.
    pub(crate) fn wake_all_soon(&self, wakers: Vec<Waker>) {
        self.soon.borrow_mut().extend(wakers);
    }

    /// As [`wake_all_soon`](Self::wake_all_soon). Gives the waker back if it was the last one that came.
    pub(crate) fn wake_soon(&self, waker: Waker) -> Option<Waker> {
        let mut soon = self.soon.borrow_mut();
        // A caller that does not wait, though it should, does not pile up its wakers.
        if soon.last().is_some_and(|last| last.will_wake(&waker)) {
            return Some(waker);
        }
        soon.push(waker);
        None
    }

    #[inline]
    pub(crate) fn new_future(&self, direction: Direction) -> WaiterId {
        let n = self.futures_so_far.get();
        self.futures_so_far.set(n + 1);
        WaiterId::future(n, direction)
    }

    /// Whether a wait will end.
    #[inline]
    pub(crate) fn is_turned(&self) -> bool {
        self.is_turned.get()
    }

    #[cold]
    pub(crate) fn why_not_turned(&self) -> io::Error {
        match self.check_open() {
            Ok(()) => ReactorRests.into(),
            Err(closed) => closed.into(),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), ReactorClosed> {
        if self.is_closed.get() {
            return Err(ReactorClosed);
        }
        Ok(())
    }

    fn close(&self) {
        self.is_closed.set(true);
        self.is_turned.set(false);
        let waited = self.slots.borrow_mut().close();
        self.crowds.take();
        let (woken, soon) = (self.woken.take(), self.soon.take());
        // Only now: a waker's drop may come back here.
        drop(waited);
        drop((woken, soon));
    }
}

impl Selector {
    /// Waits for events. Whole milliseconds are the selector's own, and rounded down, so that the
    /// rest is left for a short wait; that one is the fine timer's.
    fn wait(&mut self, registry: &Registry, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = match timeout {
            None => None,
            Some(Duration::ZERO) => Some(Duration::ZERO),
            Some(time) if time < MILLISECOND => {
                self.fine_timer.arm(registry, time);
                Some(MILLISECOND)
            }
            Some(time) => Some(whole_milliseconds(time)),
        };
        self.poll.poll(&mut self.events, timeout)
    }
}

fn whole_milliseconds(time: Duration) -> Duration {
    let below = time.subsec_nanos() % 1_000_000;
    time - Duration::from_nanos(below.into())
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
        let left = self.core.handles.get() - 1;
        self.core.handles.set(left);
        if left == 0 {
            self.core.close();
        }
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn a_burst_of_wakers_gives_its_memory_back() {
        const MANY: usize = 100_000;
        let reactor = Reactor::new().unwrap();
        let (_sender, receiver) = mio::unix::pipe::new().unwrap();
        let source = reactor.register(receiver, Interest::READABLE).unwrap();
        // Each waker has its share of the turn, until there are too many; the others stand back.
        let wakers: Vec<Waker> = (0..MANY).map(|_| Arc::new(Nobody).into()).collect();
        let poll = |waker| source.poll_read_ready(&mut Context::from_waker(waker));
        let stood_back = wakers.iter().filter(|waker| poll(waker).is_pending());
        assert!(stood_back.count() > MANY / 2);
        assert!(reactor.room_for_wakers() > MANY / 2);
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(reactor.room_for_wakers() <= 2 * MOST_KEPT);
    }
}
