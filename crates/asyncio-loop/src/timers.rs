//! The timers of a loop: the wheel, and the clock that measures its deadlines.
//!
//! The loop and its sleeps share them. So a sleep that outlives its loop, or is dropped while
//! another loop runs, still finds its own wheel.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use asyncio_task::ScopeHandle;
use asyncio_timer::{TimerKey, TimerWheel};

use crate::clock::{Clock, NEVER, START};

/// The action of an expired timer.
enum TimerAction {
    /// Wakes a waiting task.
    Wake(Waker),
    /// Cancels a scope whose deadline it is.
    Expire(ScopeHandle),
}

/// The wheel and the clock of a loop. A timer for [`NEVER`] is stored, so that it can be found and
/// moved, but never expires. The wheel is borrowed only while no foreign code runs: wakers are
/// cloned before, and dropped and woken after the borrow.
pub(crate) struct Timers {
    wheel: RefCell<TimerWheel<TimerAction>>,
    /// Empty except within `expire`; kept for its capacity.
    fired: RefCell<Vec<TimerAction>>,
    closed: Cell<bool>,
    pub(crate) clock: Clock,
}

impl Timers {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            wheel: RefCell::new(TimerWheel::new(START)),
            fired: RefCell::default(),
            closed: Cell::new(false),
            clock,
        }
    }

    /// Sets a timer that wakes `waker` at `deadline`.
    #[inline]
    pub(crate) fn arm(&self, deadline: u64, waker: &Waker) -> TimerKey {
        let waker = waker.clone();
        self.wheel
            .borrow_mut()
            .insert(deadline, TimerAction::Wake(waker))
    }

    /// Sets a timer that cancels a scope at `deadline`.
    #[inline]
    pub(crate) fn arm_scope(&self, deadline: u64, scope: ScopeHandle) -> TimerKey {
        self.wheel
            .borrow_mut()
            .insert(deadline, TimerAction::Expire(scope))
    }

    /// Whether the timer wakes the same task as `waker`; `None` if it has expired.
    #[inline]
    pub(crate) fn wakes(&self, key: TimerKey, waker: &Waker) -> Option<bool> {
        let wheel = self.wheel.borrow();
        let action = wheel.get(key)?;
        Some(matches!(action, TimerAction::Wake(old) if old.will_wake(waker)))
    }

    /// Replaces the waker of a timer. `false` if the timer is gone, because cloning the waker
    /// removed it.
    pub(crate) fn replace_waker(&self, key: TimerKey, waker: &Waker) -> bool {
        let new = waker.clone();
        let mut wheel = self.wheel.borrow_mut();
        // The other waker is dropped after the borrow, because its destructor may use the wheel.
        let dropped = match wheel.get_mut(key) {
            Some(action) => Ok(std::mem::replace(action, TimerAction::Wake(new))),
            None => Err(new),
        };
        drop(wheel);
        dropped.is_ok()
    }

    /// Whether the timer is still set.
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

    /// Fires all timers with deadlines up to `now`. Wakers are foreign code; one that panics does
    /// not keep the others from being woken.
    #[inline]
    pub(crate) fn expire(&self, now: u64, on_panic: impl Fn(Box<dyn Any + Send>)) {
        debug_assert_ne!(now, NEVER);
        self.wheel
            .borrow_mut()
            .expire(now, &mut self.fired.borrow_mut());
        if !self.fired.borrow().is_empty() {
            self.fire(self.fired.take(), on_panic);
        }
    }

    fn fire(&self, mut fired: Vec<TimerAction>, on_panic: impl Fn(Box<dyn Any + Send>)) {
        let mut wakers = fired.drain(..);
        let mut wake_rest = || {
            catch_unwind(AssertUnwindSafe(|| {
                wakers.by_ref().for_each(TimerAction::fire)
            }))
        };
        while let Err(payload) = wake_rest() {
            on_panic(payload);
        }
        drop(wakers);
        const KEPT_CAPACITY: usize = 1 << 12;
        if fired.capacity() <= KEPT_CAPACITY {
            self.fired.replace(fired);
        }
    }

    /// The loop time at which timers were last expired.
    #[inline]
    pub(crate) fn turn_time(&self) -> u64 {
        self.wheel.borrow().now()
    }

    /// The time to expire timers again: no deadline is earlier.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let next = self.wheel.borrow().next_deadline();
        next.filter(|&deadline| deadline != NEVER)
    }

    /// Whether at least `many` deadlines are at or before `time`.
    pub(crate) fn are_due_by(&self, time: u64, many: usize) -> bool {
        self.wheel.borrow().due_by(time, many) >= many
    }

    /// The wakers of the set timers, with their deadlines.
    pub(crate) fn sleepers(&self) -> Vec<(u64, Waker)> {
        let wheel = self.wheel.borrow();
        let mut sleepers = Vec::new();
        for (deadline, action) in wheel.iter() {
            if let TimerAction::Wake(waker) = action {
                sleepers.push((deadline, waker.clone()));
            }
        }
        sleepers
    }

    pub(crate) fn len(&self) -> usize {
        self.wheel.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Drops all wakers without waking them. Timers that are set later never expire.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let mut wakers = Vec::new();
        self.wheel.borrow_mut().clear_into(&mut wakers);
        drop(wakers);
    }
}

impl TimerAction {
    fn fire(self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_counted_up_to_a_time() {
        let timers = Timers::new(Clock::virtual_time());
        for after in [1, 2, 3] {
            timers.arm(START + after, Waker::noop());
        }
        let are_due = |after, many| timers.are_due_by(START + after, many);
        assert!(are_due(0, 0) && are_due(2, 2) && are_due(3, 3));
        assert!(!are_due(0, 1) && !are_due(2, 3) && !are_due(3, 4));
    }
}
