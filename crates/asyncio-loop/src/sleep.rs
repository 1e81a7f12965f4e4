//! Waiting until a time.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asyncio_console::{Place, Resource, ResourceKind};
use asyncio_task::{NoRunningLoop, StepBack};
use asyncio_timer::TimerKey;
use futures_core::FusedFuture;

use crate::clock::Clock;
use crate::current;
use crate::timers::Timers;

/// The panic of a sleep on the wrong loop: its own loop does not run, so it would never end.
const WRONG_LOOP: &str = "this `Sleep` belongs to another event loop, or its loop is closed: create it on the loop that awaits it";

/// Waits at least for `duration`, from this call, on the running loop.
///
/// `sleep(Duration::MAX)` never ends, on virtual time either. The same holds for any time more than
/// 500 years away, wherever the loop takes a time or a duration.
///
/// `sleep(Duration::ZERO)` yields once, like [`yield_now`](fn@crate::yield_now). Longer sleeps end in
/// the order of their deadlines, and equal deadlines in the order of their first polls. On Linux a
/// single sleep is some tens of microseconds late. Many sleeps that end within the same millisecond
/// end together, at most 1 ms late.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::{sleep, time};
/// use std::time::Duration;
///
/// # asyncio_loop::EventLoop::builder().virtual_time(true).build_loop().unwrap().run_until_complete(async {
/// let start = time();
/// sleep(Duration::from_secs(1)).await;
/// assert_eq!(time() - start, Duration::from_secs(1)); // virtual time here
/// # });
/// ```
///
/// # Cancellation
///
/// Dropping it removes its timer. Nothing is lost.
///
/// # Panics
///
/// Without a running loop; [`try_sleep`] returns an error instead.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let place = Place::caller();
    current::with(|core| Sleep::new(&core.timers, duration, place))
}

/// Like [`sleep`], with an error if no loop runs.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
#[track_caller]
pub fn try_sleep(duration: Duration) -> Result<Sleep, NoRunningLoop> {
    let place = Place::caller();
    current::try_with(|core| Sleep::new(&core.timers, duration, place))
}

/// Waits until `deadline`, in the time of the running loop ([`time`](crate::time)). A deadline that
/// has passed yields once.
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    let place = Place::caller();
    current::with(|core| {
        let deadline = core.timers.clock.nanos_of(deadline);
        Sleep::at(&core.timers, deadline, place)
    })
}

/// The future of [`sleep`] and [`sleep_until`]. It can be [reset](Sleep::reset) to another
/// deadline, and awaited again through `&mut`.
///
/// It belongs to the loop on which it was created. It may be dropped anywhere and at any time.
///
/// # Panics
///
/// If it is awaited on another loop than its own, or after its loop was closed: it would never end.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    state: SleepState,
    deadline: u64,
    timers: Rc<Timers>,
    shown: Resource,
}

const KIND: &ResourceKind = &ResourceKind::timer("Sleep", "sleep");

#[derive(Clone, Copy)]
enum SleepState {
    /// Not polled yet.
    New,
    /// The timer is set; it wakes the waker of the last poll.
    Armed(TimerKey),
    /// The next poll returns.
    Due,
    /// It has returned.
    Over,
}

impl Sleep {
    fn new(timers: &Rc<Timers>, duration: Duration, place: Place) -> Self {
        let deadline = match duration {
            Duration::ZERO => 0, // without reading the clock
            _ => timers.clock.after(duration),
        };
        Self::at(timers, deadline, place)
    }

    /// Creates a sleep until a loop time.
    pub(crate) fn at(timers: &Rc<Timers>, deadline: u64, place: Place) -> Self {
        Self {
            state: SleepState::New,
            deadline,
            timers: timers.clone(),
            shown: Resource::new(KIND, place),
        }
    }

    /// When it ends, in the time of its loop. A sleep of zero length ends now, at any time.
    #[must_use]
    #[doc(alias = "when")]
    pub fn deadline(&self) -> Instant {
        match self.deadline {
            0 => self.timers.clock.instant(),
            deadline => self.timers.clock.instant_of(deadline),
        }
    }

    /// The clock of its loop.
    pub(crate) fn clock(&self) -> &Clock {
        &self.timers.clock
    }

    /// Whether the loop has seen that the deadline has passed.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        match self.state {
            SleepState::New => false,
            SleepState::Armed(key) => !self.timers.is_pending(key),
            SleepState::Due | SleepState::Over => true,
        }
    }

    /// Sets another deadline, whether it has ended or not. The waiting task continues to wait.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = self.timers.clock.nanos_of(deadline);
        if let SleepState::Armed(key) = self.state
            && self.timers.rearm(key, self.deadline)
        {
            return;
        }
        self.state = SleepState::New;
    }

    /// Whether the deadline is still to come and the timer wakes `waker`.
    #[inline]
    fn is_armed(&self, key: TimerKey, waker: &Waker) -> bool {
        let Some(is_same) = self.timers.wakes(key, waker) else {
            return false;
        };
        is_same || {
            assert!(current::has_timers(&self.timers), "{WRONG_LOOP}");
            self.timers.replace_waker(key, waker)
        }
    }

    /// Starts the timer without a poll.
    pub(crate) fn arm(&mut self, waker: &Waker) {
        self.state = SleepState::Armed(self.timers.arm(self.deadline, waker));
    }
}

/// The one wait for a sleep, for a console.
const WAIT: usize = 0;

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let operation = this.shown.operation();
        let watch = this.shown.begin(operation, Some(WAIT));
        let is_new = matches!(this.state, SleepState::New);
        let polled = this.poll_armed(cx);
        let entry = polled.is_pending().then_some(WAIT);
        this.shown.end(watch, operation, entry);
        if is_new {
            let Self {
                timers, deadline, ..
            } = this;
            let left = || deadline.saturating_sub(timers.clock.now()) / 1_000_000;
            this.shown.set_duration(left);
        }
        polled
    }
}

impl FusedFuture for Sleep {
    /// Whether the sleep has returned, and was not [reset](Self::reset) since.
    fn is_terminated(&self) -> bool {
        matches!(self.state, SleepState::Over)
    }
}

impl Sleep {
    #[inline(always)]
    fn poll_armed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.state {
            SleepState::New if self.deadline == 0 => {
                self.state = SleepState::Due;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            SleepState::New => {
                assert!(current::has_timers(&self.timers), "{WRONG_LOOP}");
                self.arm(cx.waker());
                Poll::Pending
            }
            SleepState::Armed(key) if self.is_armed(key, cx.waker()) => Poll::Pending,
            SleepState::Armed(_) | SleepState::Due => {
                let is_time = || self.timers.clock.now() >= self.deadline;
                assert!(!self.timers.is_closed() || is_time(), "{WRONG_LOOP}");
                self.state = SleepState::Over;
                Poll::Ready(())
            }
            SleepState::Over => {
                let poll = Pin::new(&mut StepBack::new()).poll(cx);
                if poll.is_pending() {
                    self.state = SleepState::Due;
                }
                poll
            }
        }
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let SleepState::Armed(key) = self.state {
            self.timers.disarm(key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("elapsed", &self.is_elapsed())
            .finish()
    }
}
