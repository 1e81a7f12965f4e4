//! The state that a reactor shares with its sources: reads events, and wakes the waiting tasks.
//!
//! An event takes one path: its token names a slot, the slot's readiness bits are set, and the
//! wakers of that direction become pending. No foreign code runs on this path, so a whole
//! batch is recorded before the first waker runs. Then the wakers run one by one, while nothing is
//! borrowed.

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

/// How many events one system call returns at most. The rest come with the next turn.
const EVENTS_PER_TURN: usize = 1024;
/// The capacity that the lists of wakers keep after a turn that woke more: 16 bytes per waker.
const KEPT_WAKES: usize = EVENTS_PER_TURN;
const MILLISECOND: Duration = Duration::from_millis(1);

/// The state that a reactor shares with its sources.
pub(crate) struct ReactorCore {
    /// Borrowed only in [`Self::poll_events`], where no foreign code runs.
    selector: RefCell<Selector>,
    /// Separate from the selector, so that registering a source (foreign code) borrows nothing.
    registry: Registry,
    slots: RefCell<Slots<ReactorCore>>,
    wakes: RefCell<Wakes>,
    budget: Budget,
    unparker: Unparker,
    /// Whether a wait will end: the reactor is turned, and not closed.
    is_turned: Cell<bool>,
    is_closed: Cell<bool>,
    next_future: Cell<u64>,
    /// The number of `Reactor` handles.
    handles: Cell<usize>,
}

struct Selector {
    poll: Poll,
    events: Events,
    fine_timer: FineTimer,
}

/// The wakers that turns will wake, in one cell: a turn without any asks once.
#[derive(Default)]
struct Wakes {
    /// Wakers that were taken from their slots and not woken yet, the next one last. Empty between
    /// turns, unless a waker panicked.
    pending: Vec<Waker>,
    /// Wakers that the next turn moves to `pending` first. Separate, because a turn would not end if
    /// a task that polls again at once were woken in the same turn.
    deferred: Vec<Waker>,
    /// Sources whose event has not woken all waiters yet.
    crowds: Vec<Crowd>,
}

/// The capacity that the list of deferred wakers keeps.
const KEPT_DEFERRED_WAKES: usize = 1 << 12;

impl ReactorCore {
    /// Creates a core without sources.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let unparker = Unparker::new(mio::Waker::new(&registry, UNPARK)?);
        Ok(ReactorCore {
            selector: RefCell::new(Selector {
                poll,
                events: Events::with_capacity(EVENTS_PER_TURN),
                fine_timer: FineTimer::default(),
            }),
            registry,
            slots: RefCell::default(),
            wakes: RefCell::default(),
            budget: Budget::default(),
            unparker,
            is_turned: Cell::new(true),
            is_closed: Cell::new(false),
            next_future: Cell::new(0),
            handles: Cell::new(1),
        })
    }

    /// Takes one turn, see [`Reactor::turn`](crate::Reactor::turn).
    pub(crate) fn turn(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.budget.begin_turn();
        let timeout = if self.wakes.borrow().is_empty() {
            timeout
        } else {
            self.wake_left_over(timeout)
        };
        let seen = self.poll_events(timeout)?;
        self.wake_pending();
        Ok(seen)
    }

    /// Wakes what earlier turns have left, and some of each crowd. Returns the timeout of this turn:
    /// it does not wait if a waker was woken.
    #[cold]
    #[inline(never)]
    fn wake_left_over(&self, timeout: Option<Duration>) -> Option<Duration> {
        self.queue_crowds();
        self.queue_deferred();
        // Wakers are pending here if they were deferred, if a waker panicked in an earlier turn, or if a waker calls
        // `turn`.
        match self.wake_pending() {
            true => Some(Duration::ZERO),
            false => timeout,
        }
    }

    /// The capacity of the lists of wakers.
    #[cfg(all(test, unix))]
    pub(crate) fn room_for_wakers(&self) -> usize {
        let wakes = self.wakes.borrow();
        wakes.pending.capacity() + wakes.deferred.capacity()
    }

    /// Polls the system, records the readiness of each source with an event, and moves its waiters
    /// to the pending wakers, of which there are none.
    fn poll_events(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.check_open()?;
        let slots = self.slots.borrow();
        let selector = &mut *self.selector.borrow_mut();
        match selector.wait(&self.registry, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        }
        let Wakes {
            pending, crowds, ..
        } = &mut *self.wakes.borrow_mut();
        let mut seen = 0;
        for event in &selector.events {
            // The tokens of the unparker and the fine timer name no source.
            let readiness = Readiness::of_event(event);
            seen += usize::from(slots.record(event.token(), readiness, pending, crowds));
        }
        // Wakers are popped from the end.
        pending.reverse();
        Ok(seen)
    }

    /// Whether the next turn has work, although the system may report nothing new before it.
    pub(crate) fn has_soon(&self) -> bool {
        // With as many events as one call returns, there may be more. The last events are counted here, so that
        // a turn does not count them.
        let is_cut_short = || {
            let selector = self.selector.borrow();
            selector.events.iter().nth(EVENTS_PER_TURN - 1).is_some()
        };
        !self.wakes.borrow().is_empty() || is_cut_short()
    }

    /// Makes the selector readable after `duration`. False where the system has no such timer.
    pub(crate) fn set_alarm(&self, duration: Duration) -> bool {
        let selector = &mut *self.selector.borrow_mut();
        selector.fine_timer.arm(&self.registry, duration)
    }

    /// Takes the events that a closed reactor has, and drops them.
    pub(crate) fn drain(&self) {
        let selector = &mut *self.selector.borrow_mut();
        // A broken selector has none.
        let _ = selector
            .poll
            .poll(&mut selector.events, Some(Duration::ZERO));
    }

    fn queue_deferred(&self) {
        let wakes = &mut *self.wakes.borrow_mut();
        if !wakes.deferred.is_empty() {
            wakes.pending.extend(wakes.deferred.drain(..).rev());
            wakes.deferred.shrink_to(KEPT_DEFERRED_WAKES);
        }
    }

    /// Moves more waiters of each crowd to the pending wakers, if its source is still ready.
    fn queue_crowds(&self) {
        let wakes = &mut *self.wakes.borrow_mut();
        if wakes.crowds.is_empty() {
            return;
        }
        let slots = self.slots.borrow();
        let mut to_wake = Vec::new();
        wakes
            .crowds
            .retain_mut(|crowd| match slots.take_more(*crowd, &mut to_wake) {
                Some(rest) => {
                    *crowd = rest;
                    true
                }
                None => false,
            });
        wakes.pending.extend(to_wake.into_iter().rev());
    }

    /// Wakes the pending wakers. Returns false if there are none.
    #[inline]
    fn wake_pending(&self) -> bool {
        let mut woke = 0;
        while let Some(waker) = self.next_wake() {
            waker.wake();
            woke += 1;
        }
        self.budget.add_wakers(woke);
        if woke > KEPT_WAKES {
            self.shrink_wakes();
        }
        woke > 0
    }

    #[inline]
    fn next_wake(&self) -> Option<Waker> {
        self.wakes.borrow_mut().pending.pop()
    }

    #[cold]
    fn shrink_wakes(&self) {
        let wakes = &mut *self.wakes.borrow_mut();
        wakes.pending.shrink_to(KEPT_WAKES);
        wakes.deferred.shrink_to(KEPT_WAKES);
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

    /// Lets the next turn wake `wakers`. That turn does not wait.
    pub(crate) fn defer_wakes(&self, wakers: Vec<Waker>) {
        self.wakes.borrow_mut().deferred.extend(wakers);
    }

    /// Lets the next turn wake `waker`. Returns the waker if it equals the last deferred one.
    pub(crate) fn defer_wake(&self, waker: Waker) -> Option<Waker> {
        let deferred = &mut self.wakes.borrow_mut().deferred;
        // Otherwise a caller that ignores `Pending` and polls on would pile up wakers.
        if deferred.last().is_some_and(|last| last.will_wake(&waker)) {
            return Some(waker);
        }
        deferred.push(waker);
        None
    }

    #[inline]
    pub(crate) fn new_future(&self, direction: Direction) -> WaiterId {
        let n = self.next_future.get();
        self.next_future.set(n + 1);
        WaiterId::future(n, direction)
    }

    pub(crate) fn unparker(&self) -> &Unparker {
        &self.unparker
    }

    /// Counts one more `Reactor` handle.
    #[inline]
    pub(crate) fn add_handle(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// Counts one `Reactor` handle less. The last one closes the reactor.
    #[inline]
    pub(crate) fn remove_handle(&self) {
        let left = self.handles.get() - 1;
        self.handles.set(left);
        if left == 0 {
            self.close();
        }
    }

    /// Declares that the reactor is not turned for now.
    pub(crate) fn rest(&self) {
        self.is_turned.set(false);
    }

    /// Declares that the reactor is turned again. A closed reactor never is.
    pub(crate) fn resume(&self) {
        self.is_turned.set(!self.is_closed.get());
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
    pub(crate) fn not_turned_error(&self) -> io::Error {
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
        let wakes = self.wakes.take();
        // Dropped last: the drop of a waker may call the reactor again.
        drop(waited);
        drop(wakes);
    }
}

impl Wakes {
    #[inline]
    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.deferred.is_empty() && self.crowds.is_empty()
    }
}

impl Selector {
    /// Waits for events. The selector waits whole milliseconds, rounded down, so that a short wait
    /// is left. The fine timer ends that short wait.
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

    struct IgnoresWakes;

    impl Wake for IgnoresWakes {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn memory_of_a_burst_of_wakers_is_freed() {
        const MANY: usize = 100_000;
        let reactor = Reactor::new().unwrap();
        let (_sender, receiver) = mio::unix::pipe::new().unwrap();
        let source = reactor.register(receiver, Interest::READABLE).unwrap();
        // The first wakers get a share of the budget each, until the changes of waker are used up;
        // the others yield.
        let wakers: Vec<Waker> = (0..MANY).map(|_| Arc::new(IgnoresWakes).into()).collect();
        let poll = |waker| source.poll_read_ready(&mut Context::from_waker(waker));
        let yielded = wakers.iter().filter(|waker| poll(waker).is_pending());
        assert!(yielded.count() > MANY / 2);
        assert!(reactor.core().room_for_wakers() > MANY / 2);
        reactor.turn(Some(Duration::ZERO)).unwrap();
        assert!(reactor.core().room_for_wakers() <= 2 * KEPT_WAKES);
    }
}
