//! All circles of tasks that await each other.

use std::collections::{HashMap, HashSet};

use crate::cell::waker;
use crate::engine::current;
use crate::handle::circle::Circle;
use crate::handle::task_ref::{TaskRef, all_tasks};
use crate::scopes::awaits;

/// The task that awaits a task by its handle, if it is known.
#[must_use]
pub fn awaiter_of(task: &TaskRef) -> Option<TaskRef> {
    awaits::awaiter_by_handle(task.cell()).map(TaskRef::new)
}

/// The circles of tasks of the loop that runs here which await each other by their handles, or through groups.
/// Nothing inside of such a circle ends it: a request to cancel, a time limit or another branch has to.
#[must_use]
pub fn circles() -> Vec<Circle> {
    let all = all_tasks();
    let by_id: HashMap<_, _> = all.iter().map(|task| (task.id(), task)).collect();
    let awaiters = |task: &TaskRef| -> Vec<TaskRef> {
        let handle = awaits::awaiter_by_handle(task.cell()).map(TaskRef::new);
        let group = current::tasks(|tasks| tasks?.children_of(task.cell())?.runner());
        let joiner = task.cell().look_at_joiner(|joiner| waker::task_of(joiner?));
        let others = [group, joiner].into_iter().flatten();
        let others = others.filter_map(|id| by_id.get(&id).map(|&task| task.clone()));
        let mut all: Vec<_> = handle.into_iter().chain(others).collect();
        all.sort_by_key(TaskRef::id);
        all.dedup(); // the awaiting task of a handle is most often the one that is woken
        all
    };
    // Depth first, from each task that no earlier search came to.
    let mut circles = Vec::new();
    let mut done = HashSet::new();
    for start in &all {
        if !done.insert(start.id()) {
            continue;
        }
        let mut path = vec![(start.clone(), awaiters(start))];
        let mut on_path = HashMap::from([(start.id(), 0)]);
        while let Some((task, left)) = path.last_mut() {
            let Some(next) = left.pop() else {
                on_path.remove(&task.id());
                path.pop();
                continue;
            };
            if let Some(&from) = on_path.get(&next.id()) {
                // From what is awaited to its awaiters: the other way round it reads as people say it.
                let cells = path[from..].iter().rev();
                let mut cells: Vec<_> = cells.map(|(task, _)| task.cell().clone()).collect();
                cells.rotate_right(1); // the task at which the search came in is the first
                circles.push(awaits::circle_of(&cells));
            } else if done.insert(next.id()) {
                on_path.insert(next.id(), path.len());
                let further = awaiters(&next);
                path.push((next, further));
            }
        }
    }
    circles
}
