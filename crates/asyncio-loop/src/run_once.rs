//! One turn of the loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::virtual_time::REPORT_AFTER;

/// The shortest time between two polls of the operating system while tasks are ready, in
/// nanoseconds. A poll is a system call of about 300 ns.
const IO_POLL_INTERVAL: u64 = 50_000;

/// If at least this many timers expire within a millisecond, they fire together at its end. Exact
/// waiting costs some microseconds each time.
pub(crate) const COALESCED_TIMERS: usize = 4;

pub(crate) const MILLISECOND: u64 = 1_000_000;

impl Core {
    /// Runs one turn: drains the inbox, polls the operating system or waits for it, fires expired
    /// timers, and runs ready steps. Ends after the budget or once `is_over`.
    #[inline]
    pub(crate) fn run_once(&self, is_over: impl Fn() -> bool) {
        if let Some(watched) = &self.watched {
            watched.begin_turn();
        }
        self.drain_inbox();
        let now = if self.tasks.ready() == 0 {
            self.wait()
        } else {
            self.poll_io()
        };
        self.timers
            .expire(now, |payload| self.waker_panicked(payload));
        self.is_first_turn.set(false);
        // The turn ends after the batch in which the loop was stopped or `is_over` became true, and
        // after a step that yielded to the loop.
        self.tasks
            .run_turn(self.budget, || self.stopping.get() || is_over());
    }

    /// Takes the messages of other threads.
    #[inline]
    pub(crate) fn drain_inbox(&self) {
        if self.tasks.has_messages() {
            self.drain_inbox_share();
        }
    }

    /// Takes at most half as many messages as a turn has steps. Otherwise a flood of messages would
    /// fill the ready queue, and later wake-ups would wait behind it. Messages from before the run
    /// are all taken at once.
    fn drain_inbox_share(&self) {
        if self.is_first_turn.get() {
            self.tasks.deliver();
        } else {
            self.tasks.deliver_some(self.budget.div_ceil(2));
        }
    }

    /// Polls the operating system without waiting, if the last poll is long enough ago. Returns the
    /// time.
    #[inline]
    pub(crate) fn poll_io(&self) -> u64 {
        let now = self.timers.clock.now();
        let since = if self.timers.clock.is_virtual() {
            IO_POLL_INTERVAL
        } else {
            now - self.last_io_poll.get()
        };
        if since >= IO_POLL_INTERVAL && !self.reactor.is_empty() {
            self.last_io_poll.set(now);
            self.turn_reactor(Some(Duration::ZERO));
        }
        now
    }

    /// Waits for the operating system, another thread, or the next deadline. Returns the time.
    fn wait(&self) -> u64 {
        let park_timeout = self.park_timeout();
        // A parked loop is woken through its reactor. It does not park while its inbox has
        // messages.
        if park_timeout == Some(Duration::ZERO) || self.spin(park_timeout) || !self.tasks.park() {
            self.drain_inbox();
            return self.poll_io();
        }
        let clock = &self.timers.clock;
        let parked_at = self.spin.times_parks().then(|| clock.now());
        let is_plain = !clock.is_virtual() && self.wait_deadline.get().is_none();
        let has_messages = if is_plain {
            self.park(park_timeout)
        } else {
            self.park_observed(park_timeout)
        };
        let now = clock.now();
        self.last_io_poll.set(now);
        self.spin.record_park(parked_at, now, has_messages);
        now
    }

    /// Waits until the operating system or another thread has something, or until the timeout. Takes
    /// the messages of other threads. True if there were any.
    #[inline(always)]
    fn park(&self, timeout: Option<Duration>) -> bool {
        self.rest();
        self.turn_reactor(timeout);
        self.work();
        self.tasks.unpark();
        let has_messages = self.tasks.has_messages();
        if has_messages {
            self.drain_inbox_share();
        }
        has_messages
    }

    /// Parks where the wait itself matters: virtual time passes or stands still in it, or the caller reads the clock
    /// after it.
    #[inline(never)]
    fn park_observed(&self, park_timeout: Option<Duration>) -> bool {
        let passing = self.is_time_passing().then(Instant::now);
        let still = self.begin_standstill(park_timeout);
        let has_messages = self.park(self.bounded_timeout(park_timeout, still.is_some()));
        if let Some(since) = still {
            self.end_standstill(since);
        }
        if let Some(since) = passing {
            self.pass_time(since.elapsed());
        }
        has_messages
    }

    /// Tells the stall detector that the loop waits.
    pub(crate) fn rest(&self) {
        if let Some(watched) = &self.watched {
            watched.rest();
        }
    }

    /// Tells the stall detector that the loop works.
    pub(crate) fn work(&self) {
        if let Some(watched) = &self.watched {
            watched.work();
        }
    }

    /// Bounds the park timeout by the time at which the loop must read the real clock again.
    fn bounded_timeout(
        &self,
        park_timeout: Option<Duration>,
        stands_still: bool,
    ) -> Option<Duration> {
        let reports = stands_still || self.may_report_passing();
        let by = self.wait_deadline.get();
        if by.is_none() && !reports {
            return park_timeout;
        }
        let left = by.map(|by| by.saturating_duration_since(Instant::now()));
        let a_second = reports.then_some(REPORT_AFTER);
        [park_timeout, left, a_second].into_iter().flatten().min()
    }

    /// Sets the real time at which a wait must end, so that the caller can read the clock.
    pub(crate) fn set_wait_deadline(&self, time: Option<Instant>) {
        self.wait_deadline.set(time);
    }

    /// Checks the inbox for a moment before parking, if a message is likely. True if there is one.
    #[inline]
    fn spin(&self, park_timeout: Option<Duration>) -> bool {
        // With virtual time, a spin would or would not let time pass, and tests would see the
        // difference.
        !self.timers.clock.is_virtual()
            && self
                .spin
                .spin_for_message(park_timeout, || self.tasks.has_messages())
    }

    /// How long the loop may park: until the next deadline, or forever (`None`).
    pub(crate) fn park_timeout(&self) -> Option<Duration> {
        if self.stopping.get() {
            return Some(Duration::ZERO);
        }
        let deadline = self.timers.next_deadline()?;
        if self.timers.clock.is_virtual() {
            return Some(self.virtual_timeout(deadline));
        }
        let now = self.timers.clock.now();
        let park_timeout = deadline.saturating_sub(now);
        let together = now.saturating_add(MILLISECOND);
        if 0 < park_timeout
            && park_timeout < MILLISECOND
            && self.timers.are_due_by(together, COALESCED_TIMERS)
        {
            return Some(Duration::from_nanos(MILLISECOND));
        }
        Some(Duration::from_nanos(park_timeout))
    }

    #[inline]
    pub(crate) fn turn_reactor(&self, timeout: Option<Duration>) {
        self.io_polls.set(self.io_polls.get() + 1);
        match catch_unwind(AssertUnwindSafe(|| self.reactor.turn(timeout))) {
            Ok(Ok(_events)) => {}
            // The error of the selector itself, not of a connection: no wait is possible any more.
            Ok(Err(error)) => {
                panic!("the event loop cannot wait for the operating system: {error}")
            }
            // The reactor wakes the other wakers in its next turn.
            Err(payload) => self.waker_panicked(payload),
        }
    }

    /// Whether the loop was stopped and the batch in which it was stopped has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        self.tasks.is_between_batches() && self.stopping.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;
    use std::task::Waker;
    use std::time::Duration;

    use crate::EventLoop;
    use crate::core::Core;
    use crate::yield_now::yield_now;

    fn io_polls() -> u64 {
        crate::current::with(|core: &Core| core.io_polls.get())
    }

    /// On any machine: a futile spin follows four parks that a message ended at once, or a spin
    /// that found a message.
    #[test]
    fn a_thread_that_answers_at_once_is_spun_for() {
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
                    crate::current::with(|core: &Core| (core.io_polls.get(), core.spin.counts()))
                })
                .unwrap();
            assert!(wasted <= paid + parks / 4, "{paid}, {wasted}, {parks}");
        });
    }

    #[test]
    fn a_likely_message_is_spun_for_on_a_real_clock_only() {
        for is_virtual in [false, true] {
            let builder = EventLoop::builder().virtual_time(is_virtual);
            let mut event_loop = builder.build_loop().unwrap();
            let handle = event_loop.handle();
            let run = event_loop.run_until_complete(async {
                crate::current::with(|core: &Core| {
                    (0..100).for_each(|_| core.spin.record_park(Some(0), 1, true));
                    handle.call_soon_threadsafe(|| ()).unwrap();
                    assert_eq!(core.spin(None), !is_virtual);
                });
            });
            run.unwrap();
        }
    }

    /// How long the loop would park with timers after so many microseconds.
    fn park_timeout(core: &Core, after: &[u64]) -> Duration {
        let now = core.timers.clock.now();
        let arm = |after| core.timers.arm(now + 1_000 * after, Waker::noop());
        let keys: Vec<_> = after.iter().map(arm).collect();
        let park_timeout = core.park_timeout();
        keys.into_iter().for_each(|key| core.timers.disarm(key));
        park_timeout.unwrap()
    }

    /// The thread may lose some time between two looks at the clock, but not each time.
    #[test]
    fn four_timers_of_the_next_millisecond_are_taken_together_at_its_end() {
        let mut event_loop = EventLoop::new().unwrap();
        let run = event_loop.run_until_complete(async {
            crate::current::with(|core: &Core| {
                let parks = |after: &[u64], expected: RangeInclusive<u64>| {
                    let micros = || park_timeout(core, after).as_micros() as u64;
                    assert!(
                        (0..10_000).any(|_| expected.contains(&micros())),
                        "{after:?}"
                    );
                };
                parks(&[500, 600, 700, 800], 1_000..=1_000);
                parks(&[500, 600, 700], 1..=500);
                parks(&[0, 0, 0, 0], 0..=0);
                parks(&[5_000, 5_001, 5_002, 5_003], 1_001..=5_000);
            });
        });
        run.unwrap();
    }

    #[test]
    fn a_busy_loop_without_sources_never_polls_io() {
        let mut event_loop = EventLoop::new().unwrap();
        let polls = event_loop.run_until_complete(async {
            let before = io_polls();
            for _ in 0..100_000 {
                yield_now().await;
            }
            io_polls() - before
        });
        assert_eq!(polls.unwrap(), 0);
    }

    #[test]
    #[cfg(unix)]
    fn a_busy_loop_with_sources_polls_at_most_every_50_microseconds() {
        // Each step is a turn.
        let builder = EventLoop::builder().task_budget(1);
        let mut event_loop = builder.build_loop().unwrap();
        event_loop
            .run_until_complete(async {
                let (_sender, receiver) = mio::unix::pipe::new().unwrap();
                let reactor = crate::reactor();
                let _source = reactor
                    .register(receiver, asyncio_reactor::Interest::READABLE)
                    .unwrap();
                let (before, start) = (io_polls(), std::time::Instant::now());
                let mut yields = 0_u64;
                while yields < 20_000 {
                    yield_now().await;
                    yields += 1;
                }
                let (polls, passed) = (io_polls() - before, start.elapsed());
                assert!(polls > 0, "I/O would starve");
                assert!(
                    u128::from(polls) <= passed.as_micros() / 50 + 1,
                    "{polls} polls in {passed:?}"
                );
            })
            .unwrap();
    }
}
