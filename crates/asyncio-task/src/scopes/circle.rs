//! Circles of tasks that await each other, which nothing inside of them ends.
//!
//! A request that is passed on along a circle comes back to a task that has passed it on. The wait that would
//! pass it on once more ends with an error that names the circle ([`closing`]). Only *bound* awaits count there:
//! those that have heard a request and hold their task until what they await has ended, and those behind a shield.
//!
//! Each task knows by whom it is awaited, so circles are looked for from a task to its awaiters: the task that has
//! its handle, and, for a child, the task that runs its group.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;

use crate::cell::cell_ref::CellRef;
use crate::cell::marks::Mark;
use crate::engine::current;
use crate::handle::id::TaskName;
use crate::handle::task_ref::TaskRef;
use crate::scopes::home;

/// Tasks that await each other: each the next, and the last one the first.
#[derive(Clone, PartialEq, Eq)]
pub struct Circle {
    tasks: Box<[(TaskName, &'static Location<'static>)]>,
}

impl Circle {
    fn new(cells: &[CellRef]) -> Self {
        let tasks = cells.iter().map(|cell| (cell.name(), cell.location));
        Self {
            tasks: tasks.collect(),
        }
    }

    /// The tasks, with the places where they were spawned.
    #[must_use]
    pub fn tasks(&self) -> &[(TaskName, &'static Location<'static>)] {
        &self.tasks
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, location)) in self.tasks.iter().enumerate() {
            let awaits = if n == 0 { "" } else { " awaits " };
            write!(f, "{awaits}{name} (spawned at {location})")?;
        }
        match self.tasks.first() {
            Some((name, _)) => write!(f, " awaits {name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Circle({self})")
    }
}

/// The circle that is closed by the await of `target` in the task whose step is under way, if `target` waits for
/// that task by bound awaits.
#[cold]
pub(crate) fn closed_by_awaiting(target: &CellRef) -> Option<Circle> {
    let here = current::tasks(|tasks| tasks?.running_task())?;
    let cells = closing(here.cell(), target)?;
    Some(Circle::new(&cells))
}

/// A request has come to the task whose step is under way, and cannot be passed on, as a shield or a group has done
/// that before. If the task waits for itself by bound awaits, one of these ends with an error.
#[cold]
pub(crate) fn break_here() {
    let Some(here) = current::tasks(|tasks| tasks?.running_task()) else {
        return;
    };
    let Some(cells) = closing(here.cell(), here.cell()) else {
        return;
    };
    for (n, awaiter) in cells.iter().enumerate() {
        let awaited = &cells[(n + 1) % cells.len()];
        if handle_awaiter(awaited, true).as_ref() == Some(awaiter) {
            awaited.marks.set(Mark::InCircle);
            // Foreign code, with nothing borrowed. The awaiting task notes its waker again.
            if let Some(joiner) = awaited.joiner.take() {
                joiner.wake();
            }
            return;
        }
    }
}

/// The way from `target` to `from`, each awaiting the next, by bound awaits.
fn closing(from: &CellRef, target: &CellRef) -> Option<Vec<CellRef>> {
    // Each with the place of what it awaits.
    let mut found = vec![(from.clone(), 0)];
    let mut seen = HashSet::from([from.as_raw()]);
    let mut n = 0;
    while n < found.len() {
        for awaiter in awaiters(&found[n].0) {
            if awaiter == *target {
                let mut cells = Vec::new();
                if target != from {
                    cells.push(awaiter);
                }
                let mut at = n;
                while at != 0 {
                    cells.push(found[at].0.clone());
                    at = found[at].1;
                }
                if target == from {
                    cells.insert(0, from.clone());
                } else {
                    cells.push(from.clone());
                }
                return Some(cells);
            }
            if seen.insert(awaiter.as_raw()) {
                found.push((awaiter, n));
            }
        }
        n += 1;
    }
    None
}

/// The tasks that wait for a task by bound awaits.
fn awaiters(cell: &CellRef) -> impl Iterator<Item = CellRef> + use<> {
    let group = current::tasks(|tasks| {
        let family = tasks?.family_of(cell)?;
        tasks?.scopes.holding_task(family.heard_by.get()?)
    });
    handle_awaiter(cell, true).into_iter().chain(group)
}

/// The task that awaits a task by its handle.
pub(crate) fn awaiter_by_handle(cell: &CellRef) -> Option<CellRef> {
    handle_awaiter(cell, false)
}

/// The task that awaits a task by its handle; `bound`: only if it cannot go on without it.
fn handle_awaiter(cell: &CellRef, bound: bool) -> Option<CellRef> {
    home::of_task(cell, |home| home?.awaiting_task(cell, bound))
}

/// The task that awaits a task by its handle, if it is known.
#[must_use]
pub fn awaiter_of(task: &TaskRef) -> Option<TaskRef> {
    awaiter_by_handle(task.cell()).map(TaskRef::new)
}

/// The circles of tasks of the loop that runs here which await each other by their handles, or through groups.
/// Nothing inside of such a circle ends it: a request to cancel, a time limit or another branch has to.
#[must_use]
pub fn circles() -> Vec<Circle> {
    let all = current::tasks(|tasks| tasks.map(|tasks| tasks.all()).unwrap_or_default());
    let by_id: HashMap<_, _> = all.iter().map(|task| (task.id(), task)).collect();
    let awaiters = |task: &TaskRef| -> Vec<TaskRef> {
        let handle = handle_awaiter(task.cell(), false).map(TaskRef::new);
        let group = current::tasks(|tasks| tasks?.family_of(task.cell())?.runner());
        let joiner = task.cell().joiner_id();
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
                circles.push(Circle::new(&cells));
            } else if done.insert(next.id()) {
                on_path.insert(next.id(), path.len());
                let further = awaiters(&next);
                path.push((next, further));
            }
        }
    }
    circles
}
