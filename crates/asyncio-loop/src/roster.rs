//! A list of the tasks that have not ended, for people: name, place, and what each waits for.
//!
//! What is known is which tasks and timers would wake a task. What else it waits for, such as a lock, a queue or
//! a socket, knows the task and not the task it.

use std::fmt::Write;
use std::time::Duration;

use asyncio_task::{TaskRef, TaskState};

use crate::event_loop::Core;

/// How many tasks are listed one by one.
const MOST: usize = 50;

impl Core {
    /// The tasks that have not ended, a line each, and what is pending outside of the loop.
    pub(crate) fn list_tasks(&self) -> String {
        let tasks = self.tasks.all();
        let sleepers = self.timers.sleepers();
        let mut list = String::new();
        for task in tasks.iter().take(MOST) {
            let _ = writeln!(list, "  {}", self.describe(task, &tasks, &sleepers));
        }
        if tasks.len() > MOST {
            let _ = writeln!(list, "  and {} more tasks", tasks.len() - MOST);
        }
        let sources = self.reactor.len();
        let work = self.outside_work();
        let _ = write!(
            list,
            "registered sources: {sources}, work under way outside of the loop: {work}"
        );
        list
    }

    fn describe(
        &self,
        task: &TaskRef,
        tasks: &[TaskRef],
        sleepers: &[(u64, std::task::Waker)],
    ) -> String {
        let info = task.info();
        let mut line = format!("{} (spawned at {})", info.name, info.location);
        let parent = tasks.iter().find(|other| Some(other.id()) == info.parent);
        if let Some(parent) = parent.filter(|_| task.is_child()) {
            let _ = write!(line, ", a child of {}", parent.name());
        }
        match info.state {
            TaskState::Ready => line.push_str(", is ready to run"),
            TaskState::Running => line.push_str(", runs"),
            TaskState::Cancelling => line.push_str(", was asked to end and"),
            _ => {}
        }
        if matches!(info.state, TaskState::Ready | TaskState::Running) {
            return line;
        }
        line.push_str(" waits for ");
        line.push_str(&self.what_wakes(task, tasks, sleepers));
        line
    }

    fn what_wakes(
        &self,
        task: &TaskRef,
        tasks: &[TaskRef],
        sleepers: &[(u64, std::task::Waker)],
    ) -> String {
        let waker = task.waker();
        let awaited = tasks.iter().filter(|other| other.is_awaited_by(&waker));
        let mut reasons: Vec<String> = awaited.map(|other| other.name().to_string()).collect();
        let mine = sleepers
            .iter()
            .filter(|(_, sleeper)| sleeper.will_wake(&waker));
        if let Some(&(deadline, _)) = mine.min_by_key(|(deadline, _)| *deadline) {
            let left = deadline.saturating_sub(self.timers.clock.now());
            reasons.push(format!("a timer in {:?}", Duration::from_nanos(left)));
        }
        let children = tasks
            .iter()
            .filter(|other| other.is_child() && other.info().parent == Some(task.id()));
        match children.count() {
            0 => {}
            1 => reasons.push("its child".to_owned()),
            n => reasons.push(format!("its {n} children")),
        }
        if reasons.is_empty() {
            return "something that is neither a task nor a timer".to_owned();
        }
        reasons.join(", ")
    }
}
