//! The cell of a job: the closure, then its outcome, between the thread that runs it and the waiter.
//!
//! ```text
//!  Waiting ──1──► Running ──2──► Ended ──3──► Over
//!     └──────────────4─────────────┘            ▲
//!                    └─────────────2────────────┘  the outcome is unwanted
//! ```
//!
//! 1. a worker begins it; 2. it has ended; 3. the waiter takes the outcome; 4. it is cancelled or refused.
//!
//! - **J1** The closure is taken out once, by 1 or 4. So a job is run or cancelled, never both, and a closure that does
//!   not run is dropped on the thread that ended it.
//! - **J2** An unwanted outcome is dropped on the worker if the handle was gone before the end, else where the handle
//!   is dropped. The last reference to a cell frees memory and nothing else.
//! - **J3** Nothing foreign runs under the lock.
//! - **J4** The work counts as outside work of its loop until the waker has been woken. So virtual time does not jump
//!   over the answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use asyncio_loop::{Cause, LoopHandle, OutsideWork, PanicPayload, SharedContext};

use crate::error::JobError;
use crate::settings::Settings;
use crate::work::{Aftermath, WAKER_PANICKED, Work};

const JOB_PANICKED: &str = "a job of a thread pool panicked and nobody awaits it";
const JOB_FAILED: &str = "a job of a thread pool failed and nobody awaits it";
const CLOSURE_PANICKED: &str = "a job that did not run panicked when it was dropped";
const VALUE_PANICKED: &str = "the value of a job panicked when it was dropped";

/// A closure, then its outcome.
pub(crate) struct Cell<F, T> {
    inner: Mutex<Inner<F, T>>,
}

struct Inner<F, T> {
    stage: Stage<F, T>,
    /// Whether there is room for it in the queue of its pool.
    accepted: bool,
    waker: Option<Waker>,
    wanted: Wanted<T>,
    away: Option<OutsideWork>,
}

enum Stage<F, T> {
    Waiting { job: F, context: SharedContext },
    Running,
    Ended(Result<T, JobError>),
    Over,
}

/// The receiver of the outcome.
enum Wanted<T> {
    /// There is a handle.
    ByHandle,
    /// The handle has gone.
    ByNobody(Orphan<T>),
}

/// A job without a handle: its loop, and a function that finds an error in its value.
pub(crate) struct Orphan<T> {
    pub(crate) home: Option<LoopHandle>,
    pub(crate) review: fn(&T) -> Option<String>,
    /// Whether the handle was detached. If such a job does not run, the exception handler gets a report.
    pub(crate) kept: bool,
}

impl<F, T> Cell<F, T> {
    pub(crate) fn new(job: F, context: SharedContext, away: Option<OutsideWork>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                stage: Stage::Waiting { job, context },
                accepted: false,
                waker: None,
                wanted: Wanted::ByHandle,
                away,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<F, T>> {
        // Nothing that can panic runs under this lock.
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Transition 1 or 4, the first half: takes the closure out (J1).
    fn take(inner: &mut Inner<F, T>, then: Stage<F, T>) -> Option<(F, SharedContext)> {
        match std::mem::replace(&mut inner.stage, then) {
            Stage::Waiting { job, context } => Some((job, context)),
            other => {
                // The stage that was to come next holds nothing foreign.
                inner.stage = other;
                None
            }
        }
    }

    /// Transition 4, for a job that is given back.
    pub(crate) fn take_job(&self) -> Option<F> {
        let mut inner = self.lock();
        let taken = Self::take(&mut inner, Stage::Over);
        let away = inner.away.take();
        drop(inner);
        drop(away);
        taken.map(|(job, _)| job)
    }

    /// Transition 4.
    fn end_unstarted(&self, why: JobError, settings: &Settings) -> bool {
        let mut inner = self.lock();
        let Some(taken) = Self::take(&mut inner, Stage::Over) else {
            return false;
        };
        let aftermath = Self::end(inner, Err(why), settings);
        // A panic in here belongs to the caller that ends the job.
        settings.quietly(None, CLOSURE_PANICKED, || drop(taken));
        aftermath.announce(settings);
        true
    }

    /// Transition 2, and the second half of 4.
    fn end(
        mut inner: MutexGuard<'_, Inner<F, T>>,
        outcome: Result<T, JobError>,
        settings: &Settings,
    ) -> Aftermath {
        let unwanted = match std::mem::replace(&mut inner.wanted, Wanted::ByHandle) {
            Wanted::ByHandle => {
                inner.stage = Stage::Ended(outcome);
                None
            }
            Wanted::ByNobody(orphan) => {
                inner.stage = Stage::Over;
                Some((orphan, outcome))
            }
        };
        let aftermath = Aftermath {
            waker: inner.waker.take(),
            away: inner.away.take(),
        };
        drop(inner);
        if let Some((orphan, outcome)) = unwanted {
            orphan.conclude(outcome, settings);
        }
        aftermath
    }
}

impl<T> Orphan<T> {
    /// Reports an error or a panic, and drops the value (J2).
    fn conclude(self, outcome: Result<T, JobError>, settings: &Settings) {
        let home = self.home.as_ref();
        match outcome {
            Ok(value) => settings.quietly(home, VALUE_PANICKED, || {
                if let Some(error) = (self.review)(&value) {
                    settings.report(home, JOB_FAILED, Cause::Error(error));
                }
                drop(value);
            }),
            Err(JobError::Panicked(payload)) => {
                settings.report(home, JOB_PANICKED, Cause::Panic(payload));
            }
            Err(JobError::Cancelled) => {}
            Err(other) if self.kept => {
                settings.report(home, JOB_FAILED, Cause::Error(other.to_string()));
            }
            Err(_) => {}
        }
    }
}

impl<F, T> Work for Cell<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, spare: &mut asyncio_loop::Context, settings: &Settings) -> Aftermath {
        let begun = Self::take(&mut self.lock(), Stage::Running);
        let Some((job, context)) = begun else {
            return Aftermath::default();
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| context.run_in(spare, job)));
        let outcome = outcome.map_err(|p| JobError::Panicked(PanicPayload::new(p)));
        Self::end(self.lock(), outcome, settings)
    }

    fn accept(&self, settings: &Settings) {
        let mut inner = self.lock();
        inner.accepted = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            settings.quietly(None, WAKER_PANICKED, || waker.wake());
        }
    }

    fn refuse(&self, why: JobError, settings: &Settings) {
        self.end_unstarted(why, settings);
    }
}

/// A job, as its handle sees it.
pub(crate) trait Awaited<T>: Send + Sync {
    /// Transition 3. `None` if the outcome was taken before.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JobError>>>;

    /// Ready when the job is accepted.
    fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the job if it has not begun. `true` if it was ended.
    fn cancel(&self, settings: &Settings) -> bool;

    /// Notes that the handle is gone. Ends the job if it has not begun, unless it is to be kept. `true` if it was
    /// ended.
    fn leave(&self, orphan: Orphan<T>, settings: &Settings) -> bool;

    fn has_begun(&self) -> bool;

    fn has_ended(&self) -> bool;
}

impl<F: Send, T: Send> Awaited<T> for Cell<F, T> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JobError>>> {
        self.poll_until(cx, |inner| {
            match std::mem::replace(&mut inner.stage, Stage::Over) {
                Stage::Ended(outcome) => Some(Some(outcome)),
                Stage::Over => Some(None),
                other => {
                    inner.stage = other;
                    None
                }
            }
        })
    }

    fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |inner| {
            let is_accepted = inner.accepted || !matches!(inner.stage, Stage::Waiting { .. });
            is_accepted.then_some(())
        })
    }

    fn cancel(&self, settings: &Settings) -> bool {
        self.end_unstarted(JobError::Cancelled, settings)
    }

    fn leave(&self, orphan: Orphan<T>, settings: &Settings) -> bool {
        let kept = orphan.kept;
        let mut inner = self.lock();
        let waker = inner.waker.take();
        let away = if kept { None } else { inner.away.take() };
        let stage = std::mem::replace(&mut inner.stage, Stage::Over);
        let (unstarted, ended) = match stage {
            Stage::Waiting { job, context } if !kept => (Some((job, context)), None),
            Stage::Ended(outcome) => (None, Some((orphan, outcome))),
            Stage::Over => (None, None),
            runs_on => {
                inner.stage = runs_on;
                inner.wanted = Wanted::ByNobody(orphan);
                (None, None)
            }
        };
        drop(inner);
        settings.quietly(None, WAKER_PANICKED, || drop(waker));
        if let Some((orphan, outcome)) = ended {
            orphan.conclude(outcome, settings);
        }
        let was_unstarted = unstarted.is_some();
        settings.quietly(None, CLOSURE_PANICKED, || drop(unstarted));
        drop(away);
        was_unstarted
    }

    fn has_begun(&self) -> bool {
        !matches!(self.lock().stage, Stage::Waiting { .. })
    }

    fn has_ended(&self) -> bool {
        matches!(self.lock().stage, Stage::Ended(_) | Stage::Over)
    }
}

impl<F, T> Cell<F, T> {
    /// The result of `look`. Without a result the waker of `cx` is kept.
    fn poll_until<R>(
        &self,
        cx: &mut Context<'_>,
        look: impl Fn(&mut Inner<F, T>) -> Option<R>,
    ) -> Poll<R> {
        let mut inner = self.lock();
        if let Some(found) = look(&mut inner) {
            return Poll::Ready(found);
        }
        if inner
            .waker
            .as_ref()
            .is_some_and(|w| w.will_wake(cx.waker()))
        {
            return Poll::Pending;
        }
        // A waker's clone and drop are foreign code (J3).
        drop(inner);
        let waker = cx.waker().clone();
        let mut inner = self.lock();
        let found = look(&mut inner);
        let old = match found {
            Some(_) => Some(waker),
            None => inner.waker.replace(waker),
        };
        drop(inner);
        drop(old);
        found.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<F, T> fmt::Debug for Cell<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.lock().stage {
            Stage::Waiting { .. } => "waiting",
            Stage::Running => "running",
            Stage::Ended(_) => "ended",
            Stage::Over => "over",
        })
    }
}
