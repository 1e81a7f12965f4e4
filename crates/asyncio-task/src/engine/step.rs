//! One step of a task: the one place that every poll goes through.

use crate::cell::cell_ref::{Begin, Ended, LocalRef, Polled, Running, StepRight};
use crate::cell::ready::{LocalEntry, Paused};
use crate::engine::local::Local;
use crate::engine::turn::Cut;

impl Local {
    /// Runs one step of the task that has been ready the longest. `false` if none is.
    #[inline]
    pub(crate) fn run_one(&self) -> bool {
        self.run_one_as::<true>()
    }

    /// The same; whether the step may have to be timed was asked before.
    #[inline(always)]
    pub(crate) fn run_one_as<const MAY_BE_TIMED: bool>(&self) -> bool {
        let Some(entry) = self.ready.pop() else {
            return false;
        };
        if MAY_BE_TIMED && self.timing.is_on() {
            self.run_timed(entry);
        } else {
            // Here, in the loop that most tasks run in, and nowhere else, the end of a task needs no call.
            self.count_step();
            self.step(entry.begin(), |ended| self.complete_inline(ended));
        }
        true
    }

    #[cold]
    fn run_timed(&self, entry: LocalEntry) {
        let cell = entry.cell().clone();
        self.timed(&cell, || self.whole_step(entry.begin()));
    }

    /// Runs a step of a task that a foreign executor schedules.
    pub(crate) fn run_scheduled(&self, cell: &LocalRef, right: StepRight) {
        self.timed_if_on(cell, || self.whole_step(right.begin()));
    }

    /// Runs the first step of a task, within the step of the task that spawned it.
    #[cold]
    pub(crate) fn step_now(&self, cell: &LocalRef) {
        if let Some(begin) = cell.begin_now() {
            self.eager_steps.set(self.eager_steps.get() + 1);
            self.timed_if_on(cell, || self.whole_step(begin));
            self.note_enclosing_step();
        }
    }

    /// Runs the step out of turn of a task whose round was cut short, and which is no child.
    pub(crate) fn run_resumed_step(&self, cut: &Cut) {
        self.timed_if_on(&cut.cell, || {
            self.turn.begin_resumed(cut);
            self.whole_step(cut.cell.begin_out_of_turn());
        });
    }

    /// Runs one step of a task that is no child, to its end if it ends with it.
    fn whole_step(&self, begin: Begin) {
        self.count_step();
        self.step(begin, |ended| self.complete(ended));
    }

    #[inline]
    pub(crate) fn count_step(&self) {
        self.turn.count_step();
    }

    /// Runs one step of a task, and concludes a task that ends with it. The caller counts the step.
    // Apart in debug builds, where what is inlined takes stack while a body is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn step(&self, begin: Begin, conclude: impl FnOnce(Ended)) {
        // One question: a match of all four would jump through a table.
        let polled = match begin {
            Begin::Poll(running) => self.poll(running),
            other => match self.step_without_poll(other) {
                Some(ended) => Polled::Ended(ended),
                None => return,
            },
        };
        self.after_poll(polled, conclude);
    }

    #[cold]
    #[inline(never)]
    fn step_without_poll(&self, begin: Begin) -> Option<Ended> {
        match begin {
            Begin::Cancel(running) => self.cancel_step(running, false),
            Begin::Poll(_) | Begin::AlreadyDone | Begin::AlreadyRunning => None,
        }
    }

    /// Polls the future of a task whose step is under way.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn poll(&self, running: Running) -> Polled {
        self.pulse.enter(running.id, running.location);
        running.poll(&self.step)
    }

    /// Drops the future of a task, in a step of it.
    pub(crate) fn drop_future(&self, running: Running) -> Ended {
        self.pulse.enter(running.id, running.location);
        self.step.drop_future(running)
    }

    /// Parks, queues or ends the task after the poll of a step.
    // Apart in debug builds, where what is inlined takes stack while the future is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn after_poll(&self, polled: Polled, conclude: impl FnOnce(Ended)) {
        let ended = match polled {
            Polled::Pending(running) => match self.ready.pause(running) {
                // At once: as a value, it would be asked for once more whether the task has ended.
                Paused::Parked => return,
                Paused::Cancel(running) => self.cancel_step(running, true),
            },
            Polled::Ended(ended) => Some(ended),
        };
        if let Some(ended) = ended {
            conclude(ended);
        }
    }
}
