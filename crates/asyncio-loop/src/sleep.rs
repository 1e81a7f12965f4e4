//! Waiting for a time to come.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asyncio_task::{NoRunningLoop, StepBack};
use asyncio_timer::TimerKey;

use crate::clock::Clock;
use crate::current;
use crate::timers::Timers;

/// A loop that does not run here wakes nobody who waits here.
const AWAY: &str = "a sleep was awaited that belongs to another event loop, which cannot run meanwhile or is closed: make it where it is awaited";

/// Waits for `duration`, counted from this call, on the loop that runs here. Never less.
///
/// `sleep(Duration::MAX)` never ends, on virtual time either. The same holds for any time more than 500 years
/// away, here and wherever else the loop is given a time or a duration.
///
/// `sleep(Duration::ZERO)` lets everything run that is ready now, as [`yield_now`](crate::yield_now)
/// does. Longer sleeps end in order of their deadlines, and those with the same one in the order in
/// which they were first polled. On Linux a sleep that is alone is some tens of microseconds late; many
/// that end within the same millisecond end together, at most 1 ms late.
///
/// ```
/// # asyncio_loop::EventLoop::builder().virtual_time(true).build_loop().unwrap().run_until_complete(async {
/// use std::time::Duration;
/// let start = asyncio_loop::time();
/// asyncio_loop::sleep(Duration::from_secs(1)).await;
/// assert_eq!(asyncio_loop::time() - start, Duration::from_secs(1)); // virtual time here
/// # });
/// ```
///
/// # Cancellation
///
/// Dropping it takes its timer back. Nothing is lost.
///
/// # Panics
///
/// Without a running loop; [`try_sleep`] does not.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    current::with(|core| Sleep::new(&core.timers, duration))
}

/// [`sleep`], or an error where no loop runs.
///
/// # Errors
///
/// Without a running loop.
pub fn try_sleep(duration: Duration) -> Result<Sleep, NoRunningLoop> {
    current::try_with(|core| Sleep::new(&core.timers, duration))
}

/// Waits until `deadline`, in the time of the loop that runs here ([`time`](crate::time)). A deadline
/// that has passed lets others run once.
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    current::with(|core| Sleep::until(&core.timers, deadline))
}

/// The future of [`sleep`] and [`sleep_until`]. It can be [reset](Sleep::reset) to another deadline, and
/// awaited again by `&mut`.
///
/// It belongs to the loop that it was made on, and may be dropped anywhere and at any time.
///
/// # Panics
///
/// When it is awaited on another loop than its own, or after that was closed: it would never end.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sleep {
    state: State,
    deadline: u64,
    timers: Rc<Timers>,
}

#[derive(Clone, Copy)]
enum State {
    /// Nobody has polled it.
    New,
    /// The wheel will wake who polled it last.
    Armed(TimerKey),
    /// It ends with the next poll.
    Due,
    /// It has ended.
    Over,
}

impl Sleep {
    fn new(timers: &Rc<Timers>, duration: Duration) -> Self {
        let deadline = match duration {
            Duration::ZERO => 0, // without a look at the clock
            _ => timers.clock.after(duration),
        };
        Self {
            state: State::New,
            deadline,
            timers: timers.clone(),
        }
    }

    pub(crate) fn until(timers: &Rc<Timers>, deadline: Instant) -> Self {
        Self::at(timers, timers.clock.nanos_of(deadline))
    }

    /// Until a time of the loop.
    pub(crate) fn at(timers: &Rc<Timers>, deadline: u64) -> Self {
        Self {
            state: State::New,
            deadline,
            timers: timers.clone(),
        }
    }

    /// When it ends, in the time of its loop. One of no length ends now, whenever that is.
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

    /// Whether the time has come and the loop has noticed.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        match self.state {
            State::New => false,
            State::Armed(key) => !self.timers.is_pending(key),
            State::Due | State::Over => true,
        }
    }

    /// Gives it another deadline, whether it has ended or not. Who waits for it goes on waiting.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = self.timers.clock.nanos_of(deadline);
        if let State::Armed(key) = self.state
            && self.timers.rearm(key, self.deadline)
        {
            return;
        }
        self.state = State::New;
    }

    /// Whether the deadline is still to come; if so, `waker` is the one to be woken.
    #[inline]
    fn is_armed(&self, key: TimerKey, waker: &Waker) -> bool {
        let Some(is_same) = self.timers.wakes(key, waker) else {
            return false;
        };
        is_same || {
            assert!(current::has_timers(&self.timers), "{AWAY}");
            self.timers.wake_instead(key, waker)
        }
    }

    /// Starts the timer without a poll.
    pub(crate) fn arm(&mut self, waker: &Waker) {
        self.state = State::Armed(self.timers.arm(self.deadline, waker));
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.state {
            State::New if self.deadline == 0 => {
                self.state = State::Due;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            State::New => {
                assert!(current::has_timers(&self.timers), "{AWAY}");
                self.arm(cx.waker());
                Poll::Pending
            }
            State::Armed(key) if self.is_armed(key, cx.waker()) => Poll::Pending,
            State::Armed(_) | State::Due => {
                let is_time = || self.timers.clock.now() >= self.deadline;
                assert!(!self.timers.is_closed() || is_time(), "{AWAY}");
                self.state = State::Over;
                Poll::Ready(())
            }
            State::Over => {
                let poll = Pin::new(&mut StepBack::new()).poll(cx);
                if poll.is_pending() {
                    self.state = State::Due;
                }
                poll
            }
        }
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        if let State::Armed(key) = self.state {
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
