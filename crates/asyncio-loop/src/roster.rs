//! A list of the tasks that have not ended, for people: name, place, and what each waits for.
//!
//! What is known is which tasks and timers would wake a task. What else it waits for, such as a lock, a queue or
//! a socket, knows the task, but the task does not know it.

use std::fmt::Write;
use std::task::Waker;
use std::time::Duration;

use asyncio_task::{TaskInfo, TaskRef, TaskState, circles};

use crate::core::Core;

/// How many tasks are listed one by one.
const MOST: usize = 50;

/// How many tasks, the oldest ones, are compared with each other to find out what each awaits.
const MOST_COMPARED: usize = 1000;

impl Core {
    /// The tasks that have not ended, a line each, circles of them, and what is pending outside of the loop.
    pub(crate) fn list_tasks(&self) -> String {
        let roster = Roster::of(self);
        let mut list = String::new();
        for n in 0..roster.tasks.len().min(MOST) {
            let _ = writeln!(list, "  {}", roster.describe(n));
        }
        if roster.total > MOST {
            let _ = writeln!(list, "  and {} more tasks", roster.total - MOST);
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

/// The oldest tasks at one moment.
struct Roster {
    tasks: Vec<Listed>,
    /// How many tasks there are in all.
    total: usize,
}

struct Listed {
    task: TaskRef,
    info: TaskInfo,
    /// Which of the others it awaits.
    awaits: Vec<usize>,
    /// Which of the others are its children: a group waits for them.
    children: Vec<usize>,
    /// How long until the first of its timers.
    timer: Option<Duration>,
}

impl Roster {
    fn of(core: &Core) -> Self {
        let now = core.timers.clock.now();
        let sleepers = core.timers.sleepers();
        let mut all = core.tasks.all();
        let total = all.len();
        all.truncate(MOST_COMPARED);
        let infos: Vec<TaskInfo> = all.iter().map(TaskRef::info).collect();
        let numbers = 0..all.len();
        let listed = |(task, info): (&TaskRef, &TaskInfo)| {
            let waker = task.waker();
            let is_child = |&n: &usize| all[n].is_child() && infos[n].parent == Some(info.id);
            Listed {
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
        let Listed { task, info, .. } = &self.tasks[n];
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
        let _ = write!(line, "{state} waits for {}", self.what_wakes(n));
        line
    }

    fn what_wakes(&self, n: usize) -> String {
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
