//! Closing a loop: cancels its tasks, waits for them, and drops the rest.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use asyncio_task::{Cause, TaskId, TaskRef, Unhandled, awaiter_of};

use crate::core::Core;

/// How many times closing cancels the remaining tasks and waits for them. Ending tasks may spawn
/// others.
pub(crate) const CLOSE_PASSES: usize = 3;

impl Core {
    /// Cancels all tasks and those that they spawn, and runs until they have ended, or until `end`.
    pub(crate) fn end_tasks(&self, end: Option<Instant>) {
        for _ in 0..CLOSE_PASSES {
            self.cancel_all(end);
        }
    }

    /// Makes the last calls of other threads, then drops what is left of the loop, and reports the dropped tasks.
    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.tasks.make_last_calls();
        for task in self.own_tasks() {
            let message = "a task was dropped when its event loop closed";
            self.tasks
                .report(&Unhandled::new(message, Some(&task), Cause::Message));
        }
        self.tasks.close();
        self.drop_wakers(|| self.timers.close());
        self.drop_wakers(|| self.reactor.close());
        // Wake-ups that arrived meanwhile.
        self.tasks.deliver();
        self.tasks.close();
    }

    /// Whether [`close`](Self::close) has begun.
    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Cancels all tasks and runs until they have ended, or until `end`.
    fn cancel_all(&self, end: Option<Instant>) {
        let mut pass = ClosePass::begin(self, end);
        while !pass.is_over(self) {
            self.stopping.set(false);
            self.run_once(|| false);
        }
    }

    /// The tasks that cleanups have spawned and await since the main task ended. Its end cancels the tasks whose
    /// handles it holds, so their cleanups begin before closing does. The tasks that they spawn are not older than
    /// closing.
    fn awaited_by_cleanups(&self, tasks: &[TaskRef]) -> HashSet<TaskId> {
        let mut spared = HashSet::new();
        let Some((before, newest)) = self.last_spawned.take().filter(|(a, b)| a != b) else {
            return spared;
        };
        let is_new = |task: &TaskRef| before < task.id() && task.id() <= newest;
        for task in tasks.iter().filter(|task| is_new(task)) {
            let mut chain = vec![task.clone()];
            while let Some(awaiter) = chain.last().and_then(awaiter_of) {
                if awaiter.cancelling() > 0 {
                    spared.extend(chain.iter().map(TaskRef::id));
                    break;
                }
                if !is_new(&awaiter) || chain.contains(&awaiter) {
                    break;
                }
                chain.push(awaiter);
            }
        }
        spared
    }

    /// The tasks that the loop must end. Children are excluded: their group cancels them. Children
    /// of a leaked group never end.
    fn own_tasks(&self) -> Vec<TaskRef> {
        let all = self.tasks.all().into_iter();
        all.filter(|task| !task.is_child()).collect()
    }

    /// Drops foreign wakers. A panic is reported, and closing continues.
    fn drop_wakers(&self, drop_them: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_them)) {
            self.waker_panicked(payload);
        }
    }
}

/// How long closing waits before its first report.
const FIRST_REPORT: Duration = Duration::from_secs(1);

/// How many tasks one report names.
const MAX_REPORTED: usize = 8;

/// One pass of closing: the tasks that it has cancelled and waits for.
#[derive(Debug)]
pub(crate) struct ClosePass {
    tasks: Vec<TaskRef>,
    /// How many of the tasks, from the first, have ended.
    ended: usize,
    reports: WaitReports,
}

impl ClosePass {
    /// Cancels all tasks. They have until `end`.
    pub(crate) fn begin(core: &Core, end: Option<Instant>) -> Self {
        core.tasks.hold_calls_back();
        // Closing has its own reports about the tasks that it waits for.
        core.time_reports.standstill.set(true);
        let tasks = core.own_tasks();
        let spared = core.awaited_by_cleanups(&tasks);
        let others = tasks.iter().filter(|task| !spared.contains(&task.id()));
        for task in others {
            // Not `cancel`: main's handles were dropped when it ended, which already cancelled
            // their tasks. A second request would interrupt the cleanups of those tasks.
            task.cancel_once();
        }
        Self {
            reports: WaitReports::begin(core, end),
            tasks,
            ended: 0,
        }
    }

    /// Whether the tasks have ended, or the time for closing is over. To be asked before each turn. Reports the tasks
    /// that take long.
    pub(crate) fn is_over(&mut self, core: &Core) -> bool {
        let rest = self.tasks[self.ended..].iter();
        self.ended += rest.take_while(|task| task.is_finished()).count();
        let is_late = || self.reports.end.is_some_and(|end| Instant::now() >= end);
        let is_over = self.ended == self.tasks.len() || core.has_exceeded_limits() || is_late();
        if is_over {
            core.set_wait_deadline(core.limits_deadline());
        } else {
            self.reports.report_overdue(core, &self.tasks);
        }
        is_over
    }
}

/// Reports the tasks that closing waits for: after a second of real time, and each time that the
/// wait has doubled.
#[derive(Debug)]
struct WaitReports {
    end: Option<Instant>,
    since: Instant,
    next_report: Duration,
}

impl WaitReports {
    fn begin(core: &Core, end: Option<Instant>) -> Self {
        let reports = Self {
            end,
            since: Instant::now(),
            next_report: FIRST_REPORT,
        };
        reports.schedule_report(core);
        reports
    }

    /// Ends the loop's wait in time for the next report.
    fn schedule_report(&self, core: &Core) {
        let end = core.limits_deadline();
        let report = self.since.checked_add(self.next_report);
        core.set_wait_deadline([end, report, self.end].into_iter().flatten().min());
    }

    fn report_overdue(&mut self, core: &Core, tasks: &[TaskRef]) {
        let waited = self.since.elapsed();
        if waited < self.next_report {
            return;
        }
        self.next_report = waited.max(self.next_report).saturating_mul(2);
        self.schedule_report(core);
        let message = "the closing event loop has been waiting for a task to end";
        let left = tasks.iter().filter(|task| !task.is_finished());
        for task in left.take(MAX_REPORTED) {
            let report = Unhandled::new(message, Some(task), Cause::Slow(waited));
            core.tasks.report(&report);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::EventLoop;

    #[test]
    fn a_task_that_a_cleanup_awaits_is_spared_if_it_is_as_new_as_the_cleanup() {
        let builder = EventLoop::builder().virtual_time(true);
        let mut event_loop = builder.build_loop().unwrap();
        let run = event_loop.run_until_complete(async {
            let awaited = [(); 4].map(|()| crate::spawn(std::future::pending::<()>()));
            let tasks = awaited.each_ref().map(|task| task.as_ref());
            let [before, new, newest, later] = tasks.each_ref().map(TaskRef::id);
            assert!(before < new && new < newest && newest < later);
            let awaiters = awaited.map(|task| crate::spawn(async { drop(task.await) }));
            let [first, second, calm, last] = awaiters;
            // A cleanup that awaits the awaiter of the newest one, which is no cleanup and not as new.
            let behind = crate::spawn(async { drop(calm.await) });
            crate::yield_now::yield_now().await;
            for cleanup in [&first, &second, &last, &behind] {
                cleanup.cancel();
            }
            crate::current::with(|core: &Core| {
                core.last_spawned.set(Some((before, newest)));
                assert_eq!(core.awaited_by_cleanups(&tasks), HashSet::from([new]));
                // Nothing was spawned meanwhile.
                core.last_spawned.set(Some((newest, newest)));
                assert_eq!(core.awaited_by_cleanups(&tasks), HashSet::new());
            });
        });
        run.unwrap();
    }

    #[test]
    fn a_wait_is_reported_after_a_second_and_when_it_has_doubled() {
        let mut event_loop = EventLoop::new().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let noted = seen.clone();
        event_loop.set_exception_handler(move |report| noted.borrow_mut().push(report.to_string()));
        let run = event_loop.run_until_complete(async {
            let mut ended = crate::spawn(async {});
            (&mut ended).await.unwrap();
            let waits = crate::spawn(std::future::pending::<()>());
            let tasks = [ended.as_ref(), waits.as_ref()];
            crate::current::with(|core: &Core| {
                let mut reports = WaitReports::begin(core, None);
                reports.report_overdue(core, &tasks);
                assert!(seen.borrow().is_empty(), "it has just begun");
                reports.since -= Duration::from_secs(5);
                reports.report_overdue(core, &tasks);
                reports.report_overdue(core, &tasks);
                let next = reports.next_report;
                assert!(Duration::from_secs(10) <= next && next < Duration::from_secs(60));
                assert_eq!(core.wait_deadline.get(), Some(reports.since + next));
            });
        });
        run.unwrap();
        let message = "the closing event loop has been waiting for a task to end for 5";
        let report = seen.borrow()[0].clone();
        assert!(
            report.starts_with(message) && report.contains("(Task-3, "),
            "{report}"
        );
        assert_eq!(seen.borrow().len(), 1);
    }
}
