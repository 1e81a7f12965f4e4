//! One turn of the loop.

use std::time::Duration;

use crate::event_loop::Core;

/// While tasks keep each other busy, the operating system is looked at this often at most, in
/// nanoseconds: a look costs a system call, some 300 ns.
const LOOK_EVERY: u64 = 50_000;

/// When this many timers come due within a millisecond, they are taken together at its end: exact
/// waiting costs some microseconds each time.
const MANY: usize = 4;

const MILLISECOND: u64 = 1_000_000;

impl Core {
    /// One turn: see what has happened outside, wake who slept long enough, then run what is ready, up
    /// to the budget.
    #[inline]
    pub(crate) fn run_once(&self) {
        self.take_mail();
        let now = if self.tasks.ready() == 0 {
            self.wait()
        } else {
            self.look()
        };
        self.timers.expire(now);
        self.run_ready();
    }

    /// Takes in what other threads have sent.
    #[inline]
    fn take_mail(&self) {
        if self.tasks.has_mail() {
            self.tasks.deliver();
        }
    }

    /// Looks at the operating system in passing, now and then. Gives the time.
    #[inline]
    fn look(&self) -> u64 {
        let now = self.timers.clock.now();
        let since = if self.timers.clock.is_virtual() {
            LOOK_EVERY
        } else {
            now - self.looked.get()
        };
        if since >= LOOK_EVERY && !self.reactor.is_empty() {
            self.looked.set(now);
            self.turn_reactor(Some(Duration::ZERO));
        }
        now
    }

    /// Waits for the operating system, another thread, or the next deadline. Gives the time.
    fn wait(&self) -> u64 {
        let patience = self.patience();
        // Parked, the loop is woken by its reactor; otherwise there is mail, and the look is a short one.
        let parked = patience != Some(Duration::ZERO) && self.tasks.park();
        self.turn_reactor(if parked {
            patience
        } else {
            Some(Duration::ZERO)
        });
        self.tasks.unpark();
        self.take_mail();
        let now = self.timers.clock.now();
        self.looked.set(now);
        now
    }

    /// How long there is nothing to do: until the next deadline, or for ever.
    fn patience(&self) -> Option<Duration> {
        if self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let deadline = self.timers.next_deadline()?;
        if self.timers.clock.is_virtual() {
            return Some(self.virtual_patience(deadline));
        }
        let now = self.timers.clock.now();
        let patience = deadline.saturating_sub(now);
        let together = now.saturating_add(MILLISECOND);
        if 0 < patience && patience < MILLISECOND && self.timers.are_due_by(together, MANY) {
            return Some(Duration::from_nanos(MILLISECOND));
        }
        Some(Duration::from_nanos(patience))
    }

    #[inline]
    fn turn_reactor(&self, timeout: Option<Duration>) {
        if let Err(error) = self.reactor.turn(timeout) {
            // Not a connection's error but the selector's own: nothing can be waited for any more.
            panic!("the event loop cannot wait for the operating system: {error}");
        }
    }

    /// Runs what is ready, batch by batch: what a batch makes ready is the next one. Ends when nothing
    /// is, when the budget is spent, or after the batch in which the loop was stopped.
    #[inline]
    fn run_ready(&self) {
        let mut left = self.budget;
        loop {
            let batch = self.tasks.ready().min(left);
            if batch == 0 || self.stopping.get() {
                return;
            }
            if self.observed {
                self.run_observed(batch);
            } else {
                for _ in 0..batch {
                    self.tasks.run_one();
                }
            }
            left -= batch;
        }
    }

    /// A batch in an order of the seed's choosing, each step timed, as tests and debug mode ask for it.
    #[cold]
    fn run_observed(&self, batch: usize) {
        for left in (1..=batch).rev() {
            if let Some(order) = &self.order {
                self.tasks.bring_forward(order.below(left));
            }
            self.debug.step(self, || self.tasks.run_one());
        }
    }
}
