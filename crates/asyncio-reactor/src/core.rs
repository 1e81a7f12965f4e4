//! What a reactor and its sources share: it asks the system, and wakes who waited.
//!
//! One path goes through it: an event → the slot its token names → readiness bits → the wakers of
//! that direction → `woken`. That much happens without any foreign code, so the whole batch is
//! noted before the first waker runs. Then the wakers run, one by one, with nothing borrowed.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::Waker;
use std::time::Duration;

use mio::{Events, Poll, Registry};

use crate::budget::Budget;
use crate::crowd::Crowd;
use crate::error::{ReactorClosed, ReactorRests};
use crate::fine_timer::FineTimer;
use crate::readiness::{Direction, Readiness};
use crate::slots::{Slots, UNPARK};
use crate::unparker::Unparker;
use crate::waiters::WaiterId;

/// How many events one system call brings at most. The rest come with the next turn.
const EVENTS_A_TURN: usize = 1024;
/// The lists of wakers keep room for so many, 16 bytes each, after a turn that woke more.
const MOST_KEPT: usize = EVENTS_A_TURN;
const MILLISECOND: Duration = Duration::from_millis(1);

/// What the reactor and its sources share.
pub(crate) struct Core {
    /// Borrowed only inside of [`Core::look`], where nothing foreign runs.
    selector: RefCell<Selector>,
    /// Apart from the selector, so that registering (foreign code) borrows nothing.
    registry: Registry,
    slots: RefCell<Slots<Core>>,
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

/// Lists of wakers keep room for so many.
const LARGE: usize = 1 << 12;

impl Core {
    /// One without sources.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let unparker = Unparker::new(mio::Waker::new(&registry, UNPARK)?);
        Ok(Core {
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
        })
    }

    /// One turn, see [`Reactor::turn`](crate::Reactor::turn).
    pub(crate) fn turn(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.budget.begin_turn();
        self.take_crowds();
        self.take_soon();
        // Those that are to be woken soon; or what is left over from a turn that a waker cut short by panicking, or
        // that is still under way and in which a waker has called this.
        let timeout = if self.wake() {
            Some(Duration::ZERO)
        } else {
            timeout
        };
        let seen = self.look(timeout)?;
        self.wake();
        Ok(seen)
    }

    /// How many wakers its lists have room for.
    #[cfg(all(test, unix))]
    pub(crate) fn room_for_wakers(&self) -> usize {
        self.woken.borrow().capacity() + self.soon.borrow().capacity()
    }

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
    pub(crate) fn slots(&self) -> &RefCell<Slots<Self>> {
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

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// There is a `Reactor` more.
    #[inline]
    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// There is a `Reactor` less. The last one closes it.
    #[inline]
    pub(crate) fn remove_handle(&self) {
        let left = self.handles.get() - 1;
        self.handles.set(left);
        if left == 0 {
            self.close();
        }
    }

    /// Says whether somebody turns it. Once closed, nobody does.
    pub(crate) fn set_turned(&self, turned: bool) {
        self.is_turned.set(turned && !self.is_closed.get());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
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

    pub(crate) fn close(&self) {
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use mio::Interest;

    use crate::Reactor;

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
        assert!(reactor.core().room_for_wakers() > MANY / 2);
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(reactor.core().room_for_wakers() <= 2 * MOST_KEPT);
    }
}
