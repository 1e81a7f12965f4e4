//! One turn of the loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::virtual_time::REPORTED_AFTER;

/// While tasks keep each other busy, the operating system is looked at this often at most, in
/// nanoseconds: a look costs a system call, some 300 ns.
const LOOK_EVERY: u64 = 50_000;

/// When this many timers come due within a millisecond, they are taken together at its end: exact
/// waiting costs some microseconds each time.
const MANY: usize = 4;

const MILLISECOND: u64 = 1_000_000;

impl Core {
    /// One turn: see what has happened outside, wake who slept long enough, then run what is ready, up
    /// to the budget, or until it is over.
    #[inline]
    pub(crate) fn run_once(&self, is_over: impl Fn() -> bool) {
        self.take_mail();
        let now = if self.tasks.ready() == 0 {
            self.wait()
        } else {
            self.look()
        };
        self.timers
            .expire(now, |payload| self.waker_panicked(payload));
        self.is_first_turn.set(false);
        // After the batch in which the loop was stopped, all is over or a task stepped back, the turn ends.
        self.tasks.run_turn(self.budget, || {
            self.stopping.get() || self.turn_is_over.get() || is_over()
        });
        self.turn_is_over.set(false);
    }

    /// Takes in what other threads have sent.
    #[inline]
    fn take_mail(&self) {
        if self.tasks.has_mail() {
            self.take_some_mail();
        }
    }

    /// As much as half of a turn's steps: a flood stays out of the ready queue, where all that is woken meanwhile
    /// would have to stand behind it. What was sent before the run began is no flood, and comes at once.
    fn take_some_mail(&self) {
        if self.is_first_turn.get() {
            self.tasks.deliver();
        } else {
            self.tasks.deliver_some(self.budget.div_ceil(2));
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
        // Parked, the loop is woken by its reactor; with mail in its box it does not park.
        if patience == Some(Duration::ZERO) || self.spin(patience) || !self.tasks.park() {
            self.take_mail();
            return self.look();
        }
        let clock = &self.timers.clock;
        let parked = self.spin.is_timing().then(|| clock.now());
        let passing = self.is_time_passing().then(Instant::now);
        let still = self.begin_standstill(patience);
        self.turn_reactor(self.cut_short(patience, still.is_some()));
        self.tasks.unpark();
        let has_mail = self.tasks.has_mail();
        self.take_mail();
        if let Some(since) = still {
            self.end_standstill(since);
        }
        if let Some(since) = passing {
            self.let_time_pass(since.elapsed());
        }
        let now = clock.now();
        self.looked.set(now);
        self.spin
            .parked(parked.map(|parked| now - parked), has_mail);
        now
    }

    /// How much of its patience the loop uses up before it looks at real time again.
    fn cut_short(&self, patience: Option<Duration>, stands_still: bool) -> Option<Duration> {
        let reports = stands_still || self.may_report_passing();
        let by = self.return_by.get();
        if by.is_none() && !reports {
            return patience; // as nearly always
        }
        let left = by.map(|by| by.saturating_duration_since(Instant::now()));
        let a_second = reports.then_some(REPORTED_AFTER);
        [patience, left, a_second].into_iter().flatten().min()
    }

    /// Has waits end by that time.
    pub(crate) fn return_by(&self, time: Option<Instant>) {
        self.return_by.set(time);
    }

    /// Looks for mail for a moment before parking, if mail is likely. True if there is some.
    #[inline]
    fn spin(&self, patience: Option<Duration>) -> bool {
        // Virtual time would pass meanwhile, or not: nothing that a test should see.
        !self.timers.clock.is_virtual() && self.spin.finds(patience, || self.tasks.has_mail())
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
        self.looks.set(self.looks.get() + 1);
        match catch_unwind(AssertUnwindSafe(|| self.reactor.turn(timeout))) {
            Ok(Ok(_events)) => {}
            // Not a connection's error but the selector's own: nothing can be waited for any more.
            Ok(Err(error)) => {
                panic!("the event loop cannot wait for the operating system: {error}")
            }
            // The other wakers have their turn with the reactor's next.
            Err(payload) => self.waker_panicked(payload),
        }
    }

    /// Whether the loop was stopped, and the batch in which it was is done.
    pub(crate) fn has_stopped(&self) -> bool {
        self.tasks.is_between_batches() && self.stopping.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use crate::EventLoop;
    use crate::core::Core;
    use crate::yield_now::yield_now;

    fn looks() -> u64 {
        crate::current::with(|core: &Core| core.looks.get())
    }

    /// Whatever the machine makes of it: a look for nothing has followed four parks that mail ended at once, or
    /// a look that found mail.
    #[test]
    fn a_thread_that_answers_at_once_is_looked_for_and_never_missed() {
        use std::sync::atomic::{AtomicU64, Ordering};
        const ROUNDS: u64 = 2_000;
        let mut event_loop = EventLoop::new().unwrap();
        let polls = AtomicU64::new(0);
        let (sender, waker) = std::sync::mpsc::channel::<std::task::Waker>();
        let polls = &polls;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let waker = waker.recv().unwrap();
                for round in 1..=ROUNDS {
                    waker.wake_by_ref();
                    while polls.load(Ordering::Acquire) <= round {
                        std::thread::yield_now();
                    }
                }
            });
            let woken = std::future::poll_fn(|cx| {
                if polls.load(Ordering::Relaxed) == 0 {
                    sender.send(cx.waker().clone()).unwrap();
                }
                match polls.fetch_add(1, Ordering::AcqRel) {
                    ROUNDS => std::task::Poll::Ready(()),
                    _ => std::task::Poll::Pending,
                }
            });
            let (parks, (paid, wasted)) = event_loop
                .run_until_complete(async {
                    woken.await;
                    crate::current::with(|core: &Core| (core.looks.get(), core.spin.counts()))
                })
                .unwrap();
            assert!(wasted <= paid + parks / 4, "{paid}, {wasted}, {parks}");
        });
    }

    #[test]
    fn a_busy_loop_without_sources_never_asks_the_operating_system() {
        let mut event_loop = EventLoop::new().unwrap();
        let looked = event_loop.run_until_complete(async {
            let before = looks();
            for _ in 0..100_000 {
                yield_now().await;
            }
            looks() - before
        });
        assert_eq!(looked.unwrap(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn a_busy_loop_with_sources_looks_every_50_microseconds_at_most() {
        let mut event_loop = EventLoop::new().unwrap();
        event_loop
            .run_until_complete(async {
                let (_sender, receiver) = mio::unix::pipe::new().unwrap();
                let reactor = crate::reactor();
                let _source = reactor
                    .register(receiver, asyncio_reactor::Interest::READABLE)
                    .unwrap();
                let (before, start) = (looks(), std::time::Instant::now());
                let mut yields = 0_u64;
                while yields < 100_000 {
                    yield_now().await;
                    yields += 1;
                }
                let (looked, passed) = (looks() - before, start.elapsed());
                assert!(looked > 0, "I/O would starve");
                assert!(
                    u128::from(looked) <= passed.as_micros() / 50 + 1,
                    "{looked} looks in {passed:?}"
                );
            })
            .unwrap();
    }
}
