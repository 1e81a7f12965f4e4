//! The time limits of a fetch, by one timer.
//!
//! A fetch as a whole has a limit, and so has each silence of the server. A scope for each of the two would take more
//! time than the rest of our work for a fetch. So a wait notes its deadline, and one timer wakes the fetch at the first
//! deadline.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use asyncio_loop::{Sleep, sleep_until, time};

use super::error::FetchError;

/// The deadlines of a fetch.
pub(super) struct Alarm {
    /// When the whole fetch must be over, and how long it may take.
    whole: Option<(Instant, Duration)>,
    /// When the server must have said something. `None` while the fetch waits for something else.
    silence: Cell<Option<Instant>>,
}

impl Alarm {
    /// The deadlines of a fetch that begins now.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            whole: time().checked_add(limit).map(|deadline| (deadline, limit)),
            silence: Cell::new(None),
        }
    }

    /// When the whole fetch must be over, and how long it may take.
    pub(super) fn whole(&self) -> Option<(Instant, Duration)> {
        self.whole
    }

    /// Waits for the outcome of a fetch. A fetch that takes too long is dropped.
    pub(super) async fn run<T>(
        &self,
        fetch: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let mut fetch = pin!(fetch);
        let mut timer: Option<(Sleep, Instant)> = None;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(outcome) = fetch.as_mut().poll(cx) {
                    return Poll::Ready(outcome);
                }
                let whole = self.whole.map(|(deadline, _)| deadline);
                let Some(first) = self.silence.get().into_iter().chain(whole).min() else {
                    return Poll::Pending;
                };
                // A timer that is too early is kept: a deadline that moves away does so again and again.
                let (sleep, _) = match &mut timer {
                    Some(armed) if armed.1 <= first => armed,
                    place => place.insert((sleep_until(first), first)),
                };
                ready!(Pin::new(sleep).poll(cx));
                timer = None;
                if let Some(error) = self.is_over() {
                    return Poll::Ready(Err(error));
                }
            }
        })
        .await
    }

    /// Waits for a response. A server that is silent for longer than `limit` is an error. `silent_since` may give a
    /// later time from which on it is silent. The wait is part of [`run`](Self::run), which wakes it.
    pub(super) async fn within<F: Future>(
        &self,
        limit: Duration,
        silent_since: impl Fn() -> Option<Instant>,
        sending: F,
    ) -> Result<F::Output, FetchError> {
        let mut sending = pin!(sending);
        let mut since = time();
        let _silence = Silence::begin(self, since.checked_add(limit));
        poll_fn(|cx| {
            if let Poll::Ready(output) = sending.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if self.silence.get().is_none_or(|deadline| time() < deadline) {
                return Poll::Pending;
            }
            match silent_since().filter(|later| *later > since) {
                Some(later) => {
                    since = later;
                    self.silence.set(later.checked_add(limit));
                    Poll::Pending
                }
                None => Poll::Ready(Err(self.is_over().unwrap_or_else(|| {
                    let what = "waiting for the server";
                    FetchError::TimedOut { what, limit }
                }))),
            }
        })
        .await
    }

    /// The error of a fetch that has taken too long as a whole.
    fn is_over(&self) -> Option<FetchError> {
        let (_, limit) = self.whole.filter(|&(deadline, _)| time() >= deadline)?;
        let what = "the fetch";
        Some(FetchError::TimedOut { what, limit })
    }
}

/// A wait for the server. Its drop ends the wait.
struct Silence<'a>(&'a Alarm);

impl<'a> Silence<'a> {
    fn begin(alarm: &'a Alarm, deadline: Option<Instant>) -> Self {
        alarm.silence.set(deadline);
        Self(alarm)
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        self.0.silence.set(None);
    }
}
