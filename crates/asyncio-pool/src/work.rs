//! A job, as its pool sees it: it runs, is accepted, or is refused.

use std::task::Waker;

use asyncio_loop::{Context, OutsideWork};

use crate::error::JobError;
use crate::settings::Settings;

pub(crate) const WAKER_PANICKED: &str = "a waker panicked in a thread pool";

/// A job, as its pool sees it.
pub(crate) trait Work: Send + Sync {
    /// Runs it on this thread, unless it was cancelled. The caller announces the end when the thread counts as free.
    /// `spare` is an empty context of the thread.
    fn run(&self, spare: &mut Context, settings: &Settings) -> Aftermath;

    /// Notes that the pool has room for the job.
    fn accept(&self, settings: &Settings);

    /// Ends the job without running it.
    fn refuse(&self, why: JobError, settings: &Settings);
}

/// The waker to wake when a job has ended, and the outside work that ends with that (J4 of `cell.rs`).
#[must_use]
#[derive(Default)]
pub(crate) struct Aftermath {
    pub(crate) waker: Option<Waker>,
    pub(crate) away: Option<OutsideWork>,
}

impl Aftermath {
    pub(crate) fn announce(self, settings: &Settings) {
        if let Some(waker) = self.waker {
            settings.quietly(None, WAKER_PANICKED, || waker.wake());
        }
        drop(self.away);
    }
}
