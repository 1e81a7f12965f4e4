//! A readable list of the tasks that have not ended: name, location, and what wakes each.
//!
//! The loop knows which tasks and timers would wake a task. A lock, a queue or a socket knows its
//! waiting tasks, but a task does not know it.

use std::fmt::Write;
use std::task::Waker;
use std::time::Duration;

use asyncio_task::{TaskInfo, TaskRef, TaskState, circles};

use crate::core::Core;

/// How many tasks are listed one by one.
const MAX_LISTED: usize = 50;

/// How many tasks, the oldest first, are compared with each other to find out which task awaits
/// which.
const MAX_COMPARED: usize = 1000;

impl Core {
    /// Lists the tasks that have not ended, one per line, cycles of waiting tasks, and pending work
    /// outside the loop.
    pub(crate) fn list_tasks(&self) -> String {
        let snapshot = TaskList::of(self);
        let mut list = String::new();
        for n in 0..snapshot.tasks.len().min(MAX_LISTED) {
            let _ = writeln!(list, "  {}", snapshot.describe(n));
        }
        if snapshot.total > MAX_LISTED {
            let _ = writeln!(list, "  and {} more tasks", snapshot.total - MAX_LISTED);
        }
        for circle in circles() {
            let names = circle.tasks().iter().chain(circle.tasks().first());
            let names: Vec<_> = names.map(|(name, _)| name.to_string()).collect();
            let circle = names.join(" → ");
            let _ = writeln!(list, "a circle, in which each waits for the next: {circle}");
        }
        let sources = self.reactor.len();
        let work = self.outside_work();
        let _ = write!(
            list,
            "registered sources: {sources}, work under way outside of the loop: {work}"
        );
        list
    }
}

/// A snapshot of the oldest tasks.
struct TaskList {
    tasks: Vec<ListedTask>,
    /// The number of all tasks.
    total: usize,
}

struct ListedTask {
    task: TaskRef,
    info: TaskInfo,
    /// The indexes of the listed tasks that it awaits.
    awaits: Vec<usize>,
    /// The indexes of its children; a group waits for its children.
    children: Vec<usize>,
    /// How long until its first timer expires.
    timer: Option<Duration>,
}

impl TaskList {
    fn of(core: &Core) -> Self {
        let now = core.timers.clock.now();
        let sleepers = core.timers.sleepers();
        let mut all = core.tasks.all();
        let total = all.len();
        all.truncate(MAX_COMPARED);
        let infos: Vec<TaskInfo> = all.iter().map(TaskRef::info).collect();
        let numbers = 0..all.len();
        let listed = |(task, info): (&TaskRef, &TaskInfo)| {
            let waker = task.waker();
            let is_child = |&n: &usize| all[n].is_child() && infos[n].parent == Some(info.id);
            ListedTask {
                task: task.clone(),
                info: info.clone(),
                awaits: numbers
                    .clone()
                    .filter(|&n| all[n].is_awaited_by(&waker))
                    .collect(),
                children: numbers.clone().filter(is_child).collect(),
                timer: first_timer(&sleepers, &waker, now),
            }
        };
        Self {
            tasks: all.iter().zip(&infos).map(listed).collect(),
            total,
        }
    }

    fn describe(&self, n: usize) -> String {
        let ListedTask { task, info, .. } = &self.tasks[n];
        let mut line = format!("{} (spawned at {})", info.name, info.location);
        let mut others = self.tasks.iter();
        if task.is_child()
            && let Some(parent) = others.find(|other| Some(other.info.id) == info.parent)
        {
            let _ = write!(line, ", a child of {}", parent.info.name);
        }
        let state = match info.state {
            TaskState::Ready => return line + ", is ready to run",
            TaskState::Running => return line + ", runs",
            TaskState::Cancelling => ", was asked to end and",
            _ => "",
        };
        let _ = write!(line, "{state} waits for {}", self.wake_sources(n));
        line
    }

    fn wake_sources(&self, n: usize) -> String {
        let task = &self.tasks[n];
        let name = |&other: &usize| self.tasks[other].info.name.to_string();
        let mut reasons: Vec<String> = task.awaits.iter().map(name).collect();
        if let Some(left) = task.timer {
            reasons.push(format!("a timer in {left:?}"));
        }
        match task.children.len() {
            0 => {}
            1 => reasons.push("its child".to_owned()),
            children => reasons.push(format!("its {children} children")),
        }
        if reasons.is_empty() {
            return "something that is neither a task nor a timer".to_owned();
        }
        reasons.join(", ")
    }
}

fn first_timer(sleepers: &[(u64, Waker)], waker: &Waker, now: u64) -> Option<Duration> {
    let of_task = sleepers
        .iter()
        .filter(|(_, sleeper)| sleeper.will_wake(waker));
    let first = of_task.map(|(deadline, _)| *deadline).min()?;
    Some(Duration::from_nanos(first.saturating_sub(now)))
}
