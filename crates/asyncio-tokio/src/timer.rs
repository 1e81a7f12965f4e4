//! A tokio timer for the deadlines of the loop.

use std::fmt;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

use crate::bell::Bell;
use crate::host_waker::HostWaker;

/// A tokio timer. It is made for the first deadline, and then moved.
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The time for which the timer is set.
    set_for: Option<Instant>,
    bell: Bell,
}

impl Timer {
    /// A timer that wakes `host`.
    pub(crate) fn new(host: &HostWaker) -> Self {
        Self {
            sleep: None,
            set_for: None,
            bell: Bell::new(host),
        }
    }

    /// Ready at `time`, or before: a timer that is set for an earlier time stays. It costs a turn, and moving it for
    /// each new deadline would cost more.
    #[inline]
    pub(crate) fn poll(&mut self, time: Instant) -> Poll<()> {
        let is_early = self.set_for.is_some_and(|set_for| set_for <= time);
        if is_early && !self.bell.has_rung() {
            return Poll::Pending;
        }
        self.look((!is_early).then_some(time))
    }

    /// Asks the timer whether it has fired, after it is moved to `time`.
    fn look(&mut self, time: Option<Instant>) -> Poll<()> {
        if let Some(time) = time {
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(time.into()),
                sleep => *sleep = Some(Box::pin(sleep_until(time.into()))),
            }
            self.set_for = Some(time);
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(&mut self.bell.context()));
        }
        self.set_for = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timer").field(&self.set_for).finish()
    }
}
