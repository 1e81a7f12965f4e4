//! The handle of a call in a worker process: to await it, to cancel it, to let it run on.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use asyncio_loop::{Cause, Outcome, PanicPayload, Unhandled, call_exception_handler};
use asyncio_task::{StepBack, failure_of};
use futures_core::FusedFuture;
use serde::de::DeserializeOwned;

use super::call::{self, Call};
use super::crew::Crew;
use super::error::ProcessError;
use super::frame::{Kind, decode};

/// The report of a failed call whose handle was dropped before it gave the error.
const UNREAD: &str = "a call in a worker process failed and nobody awaits it";

/// The report of the error of a detached call.
const FAILED: &str = "a detached call in a worker process failed";

/// The handle of a call of a function in a worker process: a future of the outcome.
///
/// The call needs no await to run.
///
/// # Cancellation
///
/// A dropped handle cancels its call if the call has not begun. A cancelled task drops the handle that it awaits. A
/// call that has begun runs on in its worker, its value is dropped, and the exception handler receives an error. The
/// same holds if it has ended by then. In a pool that [kills on cancel](crate::ProcessPoolBuilder::kill_on_cancel) the
/// worker of a call that runs is killed instead, and replaced.
///
/// # Errors
///
/// [`ProcessError`]: the function panicked, its worker died, and others.
///
/// # Panics
///
/// If it is polled after it has given its outcome.
#[must_use = "a call whose handle is dropped is cancelled if it has not begun: await it, or detach it"]
pub struct ProcessJob<R> {
    call: Rc<Call>,
    crew: Rc<Crew>,
    left: bool,
    /// Whether the outcome was taken.
    is_over: bool,
    step_back: StepBack,
    value: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> ProcessJob<R> {
    pub(crate) fn new(call: Rc<Call>, crew: Rc<Crew>) -> Self {
        Self {
            call,
            crew,
            left: false,
            is_over: false,
            step_back: StepBack::new(),
            value: PhantomData,
        }
    }

    /// The outcome, if the call has ended. It is given once.
    #[must_use]
    pub fn try_take(&mut self) -> Option<Result<R, ProcessError>> {
        match self.call.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                self.is_over = true;
                outcome.map(read)
            }
            Poll::Pending => None,
        }
    }

    /// Lets the call run without a handle. The exception handler of the loop receives a panic, the death of the worker,
    /// or an `Err`.
    pub fn detach(mut self)
    where
        R: Outcome + 'static,
    {
        self.run_on(|value| {
            if let Some(failure) = failure_of(value) {
                report(FAILED, failure);
            }
        });
    }

    /// Lets the call run without a handle, and ignores its value. The exception handler of the loop receives a panic or
    /// the death of the worker.
    pub fn discard(mut self)
    where
        R: 'static,
    {
        self.run_on(|_value| {});
    }

    fn run_on(&mut self, review: fn(&R))
    where
        R: 'static,
    {
        self.left = true;
        self.call
            .leave(Box::new(move |outcome| match read::<R>(outcome) {
                Err(error) => report(UNREAD, error.to_string()),
                Ok(value) => review(&value),
            }));
    }
}

impl<R> ProcessJob<R> {
    /// Cancels the call if it has not begun. If it has begun, and the pool [kills on
    /// cancel](crate::ProcessPoolBuilder::kill_on_cancel), its worker is killed. Awaiting a cancelled call gives
    /// [`ProcessError::Cancelled`]. `false` if the call has ended or runs on.
    pub fn cancel(&self) -> bool {
        if self.call.is_waiting() {
            self.call.settle(Err(ProcessError::Cancelled));
            self.crew.forget_one();
            return true;
        }
        let kills = self.call.is_running() && self.crew.settings.kill_on_cancel;
        if kills {
            self.call.kill();
        }
        kills
    }

    /// Kills the worker if it has begun the call, in any pool. Otherwise the call is [cancelled](Self::cancel). `false`
    /// if the call has ended.
    pub fn kill(&self) -> bool {
        if self.call.is_running() {
            self.call.kill();
            return true;
        }
        self.cancel()
    }

    /// Whether the call was sent to a worker, or has ended without.
    #[must_use]
    #[doc(alias = "running")]
    pub fn has_begun(&self) -> bool {
        !self.call.is_waiting()
    }

    /// Whether the call has ended.
    #[must_use]
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.call.has_ended()
    }
}

/// The result in an outcome.
fn read<R: DeserializeOwned>(outcome: call::Outcome) -> Result<R, ProcessError> {
    let frame = outcome?;
    read_answer(frame.kind, frame.body())
}

/// Reads an answer. This is foreign code, and its input was written by another process.
pub(crate) fn read_answer<R: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<R, ProcessError> {
    let reading = std::panic::AssertUnwindSafe(|| decode(body));
    let text = || String::from_utf8_lossy(body).into_owned();
    Err(match kind {
        Kind::Value => match std::panic::catch_unwind(reading) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(why)) => ProcessError::BadValue(why),
            Err(payload) => {
                drop(PanicPayload::new(payload));
                ProcessError::BadValue("reading it panicked".to_owned())
            }
        },
        Kind::Panicked => ProcessError::Panicked(text()),
        Kind::Unknown => ProcessError::Unknown(text()),
        Kind::BadArguments => ProcessError::BadArguments(text()),
        Kind::BadValue => ProcessError::BadValue(text()),
        other => ProcessError::Garbage(format!("{other:?} is no answer")),
    })
}

fn report(message: &'static str, what: String) {
    call_exception_handler(&Unhandled::new(message, None, Cause::Error(what)));
}

impl<R: DeserializeOwned> Future for ProcessJob<R> {
    type Output = Result<R, ProcessError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(Pin::new(&mut self.step_back).poll(cx));
        let outcome = ready!(self.call.poll(cx));
        self.is_over = true;
        Poll::Ready(read(outcome.expect(
            "a `ProcessJob` was awaited again after it gave its outcome",
        )))
    }
}

impl<R: DeserializeOwned> FusedFuture for ProcessJob<R> {
    /// Whether the outcome has been taken.
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<R> Drop for ProcessJob<R> {
    fn drop(&mut self) {
        if self.left || self.cancel() {
            return;
        }
        // It runs, or it has ended and perhaps nobody has looked.
        self.call.leave(Box::new(|outcome| {
            let what = match outcome {
                Ok(frame) if frame.kind == Kind::Value => return,
                Ok(frame) => frame.text(),
                // The handle was dropped, so the error is of no use.
                Err(ProcessError::Closed | ProcessError::Cancelled) => return,
                Err(error) => error.to_string(),
            };
            report(UNREAD, what);
        }));
    }
}

impl<R> fmt::Debug for ProcessJob<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessJob")
            .field("begun", &self.has_begun())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
