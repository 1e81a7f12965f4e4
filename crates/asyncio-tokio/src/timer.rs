//! A timer of tokio's, for the deadlines of the loop.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// A timer of tokio's. It is made for the first deadline, and then moved.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The time for which the timer is set.
    set_for: Option<Instant>,
}

impl Timer {
    /// Ready at `time`, or before: a timer that is set for an earlier time stays. It costs a turn, and moving it for each
    /// new deadline would cost more.
    pub(crate) fn poll(&mut self, time: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let is_early = self.set_for.is_some_and(|set_for| set_for <= time);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if !is_early {
                    sleep.as_mut().reset(time.into());
                }
                sleep
            }
            sleep => sleep.insert(Box::pin(sleep_until(time.into()))),
        };
        if !is_early {
            self.set_for = Some(time);
        }
        ready!(sleep.as_mut().poll(cx));
        self.set_for = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timer").field(&self.set_for).finish()
    }
}
