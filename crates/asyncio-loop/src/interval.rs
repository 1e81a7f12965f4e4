//! Periodic ticks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::{FusedFuture, FusedStream, Stream};

use crate::current;
use crate::sleep::{Sleep, sleep_until};

/// Ticks every `period`, the first time at once.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::interval;
/// use std::time::Duration;
///
/// # asyncio_loop::EventLoop::builder().virtual_time(true).build_loop().unwrap().run_until_complete(async {
/// let mut heartbeat = interval(Duration::from_secs(5));
/// let start = heartbeat.tick().await;
/// let next = heartbeat.tick().await;
/// assert_eq!(next - start, Duration::from_secs(5));
/// # });
/// ```
///
/// # Panics
///
/// Without a running loop, or if `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(current::time(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// Without a running loop, or if `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        !period.is_zero(),
        "`period` of an interval must be above zero"
    );
    Interval {
        next: start,
        period,
        missed: MissedTicks::default(),
        sleep: sleep_until(start),
    }
}

/// The policy for ticks that were not awaited in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTicks {
    /// Delivers all missed ticks at once, one after the other.
    #[default]
    Burst,
    /// Skips the missed ticks, and keeps to the schedule of the start.
    Skip,
    /// Skips the missed ticks, and counts the next period from the late tick.
    Delay,
}

/// Periodic ticks, from [`interval`]. As a `Stream` it yields the instants and never ends.
#[derive(Debug)]
pub struct Interval {
    next: Instant,
    period: Duration,
    missed: MissedTicks,
    sleep: Sleep,
}

impl Interval {
    /// Sets what happens to ticks that were not awaited in time.
    #[must_use]
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// # Cancellation
    ///
    /// No tick is lost: the next call waits for the same tick.
    pub fn tick(&mut self) -> impl FusedFuture<Output = Instant> {
        Tick {
            interval: self,
            is_over: false,
        }
    }

    /// Polls for the next [`tick`](Self::tick).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        std::task::ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.next;
        let clock = self.sleep.clock();
        let now = clock.instant();
        self.next = match self.missed {
            MissedTicks::Burst => clock.later(due, self.period),
            MissedTicks::Delay => clock.later(now.max(due), self.period),
            MissedTicks::Skip => {
                let late = now.saturating_duration_since(due).as_nanos();
                let since_last = Duration::from_nanos((late % self.period.as_nanos()) as u64);
                clock.later(now.max(due) - since_last, self.period)
            }
        };
        self.sleep.reset(self.next);
        Poll::Ready(due)
    }

    /// Starts over: the next tick is one period from now.
    pub fn reset(&mut self) {
        let clock = self.sleep.clock();
        self.next = clock.later(clock.instant(), self.period);
        self.sleep.reset(self.next);
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}

/// The future of [`tick`](Interval::tick).
struct Tick<'a> {
    interval: &'a mut Interval,
    /// It has returned.
    is_over: bool,
}

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        let due = std::task::ready!(self.interval.poll_tick(cx));
        self.is_over = true;
        Poll::Ready(due)
    }
}

impl FusedFuture for Tick<'_> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}

impl FusedStream for Interval {
    /// False, because an interval never ends.
    fn is_terminated(&self) -> bool {
        false
    }
}
