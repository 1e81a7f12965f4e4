//! The end of a loop: its tasks are told to end and waited for, then everything goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, TaskRef, Unhandled};

use crate::core::Core;

/// How often tasks that closing ones have spawned are cancelled and waited for in their turn.
const ROUNDS: usize = 3;

impl Core {
    /// `wait`: whether the loop can run here. `end`: until when it may, for its tasks to end.
    pub(crate) fn close(&self, wait: bool, end: Option<Instant>) {
        if wait {
            // Closing says itself for whom it waits.
            self.reported.standstill.set(true);
            for _ in 0..ROUNDS {
                self.cancel_all(end);
            }
        }
        for task in self.own_tasks() {
            let message = "a task was dropped when its event loop closed";
            self.tasks
                .report(&Unhandled::new(message, Some(&task), Cause::Message));
        }
        self.shared.closed.store(true, Ordering::Release);
        self.tasks.close();
        self.let_go(|| self.timers.close());
        self.let_go(|| self.reactor.close());
        // Letters that came in meanwhile; what their calls would spawn is refused.
        self.tasks.deliver();
        self.tasks.close();
    }

    /// Cancels all tasks and runs until they have ended, or until `end`.
    fn cancel_all(&self, end: Option<Instant>) {
        let tasks = self.own_tasks();
        let mut patience = Patience::begin(self, end);
        for task in &tasks {
            // Not `cancel`: the end of main has let go of its handles, and a second request would cut the
            // cleanups that this began.
            task.cancel_once();
        }
        for task in &tasks {
            while !task.is_finished() {
                if self.is_out_of_limits() || end.is_some_and(|end| Instant::now() >= end) {
                    return;
                }
                self.stopping.set(false);
                self.run_once(|| false);
                patience.tell(&tasks);
            }
        }
    }

    /// The tasks that are the loop's to end. Children end with their group, which tells them; those of a group
    /// that was leaked never do.
    fn own_tasks(&self) -> Vec<TaskRef> {
        let all = self.tasks.all().into_iter();
        all.filter(|task| !task.is_child()).collect()
    }

    /// Drops wakers of others. That one of them panics keeps nothing else from ending.
    fn let_go(&self, drop_them: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_them)) {
            self.waker_panicked(payload);
        }
    }
}

/// How long closing waits in silence, for the first time.
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// Of how many tasks one report tells.
const MOST: usize = 8;

/// Says for whom closing waits: after a second of real time, and whenever that has doubled.
struct Patience<'a> {
    core: &'a Core,
    end: Option<Instant>,
    since: Instant,
    next_report: Duration,
}

impl<'a> Patience<'a> {
    fn begin(core: &'a Core, end: Option<Instant>) -> Self {
        let patience = Self {
            core,
            end,
            since: Instant::now(),
            next_report: FIRST_REPORT,
        };
        patience.set_alarm();
        patience
    }

    /// The loop comes back for the next report, however long it has nothing to do.
    fn set_alarm(&self) {
        let end = self.core.end_of_limits();
        let report = self.since.checked_add(self.next_report);
        self.core
            .return_by([end, report, self.end].into_iter().flatten().min());
    }

    fn tell(&mut self, tasks: &[TaskRef]) {
        let waited = self.since.elapsed();
        if waited < self.next_report {
            return;
        }
        self.next_report = waited.max(self.next_report).saturating_mul(2);
        self.set_alarm();
        let message = "the closing event loop has been waiting for a task to end";
        let left = tasks.iter().filter(|task| !task.is_finished());
        for task in left.take(MOST) {
            let report = Unhandled::new(message, Some(task), Cause::Slow(waited));
            self.core.tasks.report(&report);
        }
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        self.core.return_by(self.core.end_of_limits());
    }
}
