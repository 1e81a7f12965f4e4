//! The timers of a loop: the wheel, and the clock that its deadlines are measured by.
//!
//! Shared by the loop and by what waits for it, so a sleep that outlives its loop, or is dropped while
//! another loop runs, still finds its own wheel.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use asyncio_task::ScopeHandle;
use asyncio_timer::{TimerKey, TimerWheel};

use crate::clock::{Clock, NEVER, START};

/// What a deadline does when it has come.
enum Due {
    /// Somebody waits for it.
    Wake(Waker),
    /// A scope is to end by then.
    Expire(ScopeHandle),
}

/// See the head of this file. A timer for [`NEVER`] is kept, to be found and to be moved, and does not come.
/// The wheel is borrowed only while nothing foreign runs: wakers are cloned
/// before, and dropped and woken after.
pub(crate) struct Timers {
    wheel: RefCell<TimerWheel<Due>>,
    /// Empty but within `expire`; kept for its capacity.
    due: RefCell<Vec<Due>>,
    closed: Cell<bool>,
    pub(crate) clock: Clock,
}

impl Timers {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            wheel: RefCell::new(TimerWheel::new(START)),
            due: RefCell::default(),
            closed: Cell::new(false),
            clock,
        }
    }

    /// Has `waker` woken when `deadline` has come.
    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: &Waker) -> TimerKey {
        let waker = waker.clone();
        self.wheel.borrow_mut().insert(deadline, Due::Wake(waker))
    }

    /// Ends a scope when `deadline` has come.
    #[inline]
    pub(crate) fn arm_scope(&self, deadline: u64, scope: ScopeHandle) -> TimerKey {
        self.wheel.borrow_mut().insert(deadline, Due::Expire(scope))
    }

    /// Whether `waker` is the one to be woken; `None`: the deadline has come.
    #[inline]
    pub(crate) fn wakes(&self, key: TimerKey, waker: &Waker) -> Option<bool> {
        let wheel = self.wheel.borrow();
        let due = wheel.get(key)?;
        Some(matches!(due, Due::Wake(old) if old.will_wake(waker)))
    }

    /// Has `waker` woken in place of another one. `false`: cloning it took the timer away.
    pub(crate) fn wake_instead(&self, key: TimerKey, waker: &Waker) -> bool {
        let new = waker.clone();
        let mut wheel = self.wheel.borrow_mut();
        // What is not kept is dropped when the wheel is let go of: its destructor may come back here.
        let dropped = match wheel.get_mut(key) {
            Some(due) => Ok(std::mem::replace(due, Due::Wake(new))),
            None => Err(new),
        };
        drop(wheel);
        dropped.is_ok()
    }

    /// Whether the deadline is still to come.
    pub(crate) fn is_pending(&self, key: TimerKey) -> bool {
        self.wheel.borrow().get(key).is_some()
    }

    pub(crate) fn rearm(&self, key: TimerKey, deadline: u64) -> bool {
        self.wheel.borrow_mut().rearm(key, deadline)
    }

    #[inline]
    pub(crate) fn disarm(&self, key: TimerKey) {
        let waker = self.wheel.borrow_mut().cancel(key);
        drop(waker);
    }

    /// Wakes all whose deadline is not after `now`. Wakers may be others', and one that panics does not
    /// keep the rest from being woken.
    #[inline]
    pub(crate) fn expire(&self, now: u64, on_panic: impl Fn(Box<dyn Any + Send>)) {
        debug_assert_ne!(now, NEVER);
        self.wheel
            .borrow_mut()
            .expire(now, &mut self.due.borrow_mut());
        if !self.due.borrow().is_empty() {
            self.come(self.due.take(), on_panic);
        }
    }

    fn come(&self, mut due: Vec<Due>, on_panic: impl Fn(Box<dyn Any + Send>)) {
        let mut wakers = due.drain(..);
        let mut wake_rest =
            || catch_unwind(AssertUnwindSafe(|| wakers.by_ref().for_each(Due::come)));
        while let Err(payload) = wake_rest() {
            on_panic(payload);
        }
        drop(wakers);
        const LARGE: usize = 1 << 12;
        if due.capacity() <= LARGE {
            self.due.replace(due);
        }
    }

    /// What time it was when timers were last looked at.
    #[inline]
    pub(crate) fn turn_time(&self) -> u64 {
        self.wheel.borrow().now()
    }

    /// When to look again: no deadline comes before.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let next = self.wheel.borrow().next_deadline();
        next.filter(|&deadline| deadline != NEVER)
    }

    /// Whether at least `many` deadlines come by `time`.
    pub(crate) fn are_due_by(&self, time: u64, many: usize) -> bool {
        self.wheel.borrow().due_by(time, many) >= many
    }

    /// Who is to be woken, and when.
    pub(crate) fn sleepers(&self) -> Vec<(u64, Waker)> {
        let wheel = self.wheel.borrow();
        let mut sleepers = Vec::new();
        for (deadline, due) in wheel.iter() {
            if let Due::Wake(waker) = due {
                sleepers.push((deadline, waker.clone()));
            }
        }
        sleepers
    }

    pub(crate) fn len(&self) -> usize {
        self.wheel.borrow().len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Lets go of all wakers without waking them. Nobody will expire what is armed from here on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let mut wakers = Vec::new();
        self.wheel.borrow_mut().clear_into(&mut wakers);
        drop(wakers);
    }
}

impl Due {
    fn come(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Expire(scope) => scope.expire(),
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("len", &self.len())
            .field("clock", &self.clock)
            .finish()
    }
}
