//! The time that steps take, for debug mode: steps that hold their thread up are reported.
//!
//! The step of a task that owns children contains theirs. Each is measured, and the owner's time is what is left
//! without them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::cell::cell_ref::CellRef;
use crate::cell::marks::Mark;
use crate::engine::tasks::Tasks;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::task_ref::TaskRef;

/// How long a step may take, and what is needed to measure it.
#[derive(Default)]
pub(crate) struct Timing {
    limit: Cell<Option<Duration>>,
    /// The time of the steps within the one under way.
    within: Cell<Duration>,
}

impl Timing {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.limit.get().is_some()
    }
}

impl Tasks {
    /// Sets how long a step may take before it is reported. `None`: steps are not timed.
    pub fn set_slow_step(&self, limit: Option<Duration>) {
        self.timing.limit.set(limit);
    }

    /// Runs a step of that task, and takes its time if debug mode is on.
    #[inline]
    pub(crate) fn timed_if_on(&self, cell: &CellRef, step: impl FnOnce() -> bool) -> bool {
        match self.timing.is_on() {
            true => self.timed(cell, step),
            false => step(),
        }
    }

    /// Runs a step of that task, and takes its time.
    #[cold]
    fn timed(&self, cell: &CellRef, step: impl FnOnce() -> bool) -> bool {
        if cell.borrows() && cell.marks.has(Mark::Callback) {
            return step(); // a part of its owner
        }
        let task = TaskRef::new(cell.clone());
        let around = self.timing.within.take();
        let start = Instant::now();
        let left = step();
        let took = start.elapsed().saturating_sub(self.timing.within.get());
        if self.timing.limit.get().is_some_and(|limit| took >= limit) {
            let message = match task.is_callback() {
                true => "a callback held up the event loop",
                false => "a step of a task held up the event loop",
            };
            self.report(&Unhandled::new(message, Some(&task), Cause::Slow(took)));
        }
        drop(task);
        self.timing.within.set(around + start.elapsed());
        left
    }
}
