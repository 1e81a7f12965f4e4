//! Measures steps, and reports slow ones (`timing.rs`).

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
}
