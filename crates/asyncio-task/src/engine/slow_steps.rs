//! Measures steps, and reports slow ones (`timing.rs`).

use std::panic::Location;
use std::time::Instant;

use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::engine::local::Local;
use crate::engine::unhandled::{Cause, Unhandled};

impl Local {
    /// Runs a step of that task, and takes its time if debug mode is on.
    #[inline]
    pub(crate) fn timed_if_on(&self, cell: &LocalRef, step: impl FnOnce()) {
        match self.timing.is_on() {
            true => self.timed(cell, step),
            false => step(),
        }
    }

    /// Runs a step of that task, and takes its time.
    #[cold]
    pub(crate) fn timed(&self, cell: &LocalRef, step: impl FnOnce()) {
        if cell.borrows() && cell.marks.has(Mark::Callback) {
            return step(); // a part of its owner
        }
        let cell = cell.clone();
        let around = self.timing.within.take();
        let start = Instant::now();
        step();
        let took = start.elapsed().saturating_sub(self.timing.within.get());
        if self.timing.limit.get().is_some_and(|limit| took >= limit) {
            let message = match cell.marks.has(Mark::Callback) {
                true => "a callback held up the event loop",
                false => "a step of a task held up the event loop",
            };
            self.report(&Unhandled::of_task(message, &cell, Cause::Slow(took)));
        }
        drop(cell);
        self.timing.within.set(around + start.elapsed());
    }

    /// Runs a part of the step under way, which a place in the source names, and takes its time in debug mode. The time
    /// is not that of the rest of the step.
    pub(crate) fn timed_part<R>(
        &self,
        place: &'static Location<'static>,
        part: impl FnOnce() -> R,
    ) -> R {
        if !self.timing.is_on() {
            return part();
        }
        let around = self.timing.within.take();
        let start = Instant::now();
        let result = part();
        let took = start.elapsed().saturating_sub(self.timing.within.get());
        if self.timing.limit.get().is_some_and(|limit| took >= limit) {
            let message = "a future that a step polls beside others held up the event loop";
            let cause = Cause::SlowPart(took, place);
            let task = self.step.task();
            self.report(&match task {
                Some(task) => Unhandled::of_task(message, &task, cause),
                None => Unhandled::new(message, None, cause),
            });
        }
        self.timing.within.set(around + start.elapsed());
        result
    }
}
