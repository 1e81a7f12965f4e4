//! The tasks that await a task, and circles of tasks that await each other, which nothing inside of them ends.
//!
//! A request that is passed on along a circle comes back to a task that has passed it on. The wait that would pass it
//! on once more ends with an error that names the circle ([`closing`]). Only *bound* awaits count there: those behind a
//! shield, and those that have heard a request and hold their task until the end.
//!
//! Each task knows its awaiters: the task that has its handle, and, for a child, the task that runs its group. So
//! circles are looked for from a task to its awaiters.

use std::collections::HashSet;

use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::engine::current;
use crate::handle::circle::Circle;
use crate::scopes::delivery;

/// The circle of these tasks, each of which awaits the next.
pub(crate) fn circle_of(cells: &[LocalRef]) -> Circle {
    Circle::new(cells.iter().map(|cell| (cell.name(), cell.location)))
}

/// The circle that the running task closes by awaiting `target`, if `target` waits for the running task by bound
/// awaits.
#[cold]
pub(crate) fn closed_by_awaiting(target: &LocalRef) -> Option<Circle> {
    let here = current::tasks(|tasks| tasks?.step.task())?;
    let cells = closing(&here, target)?;
    Some(circle_of(&cells))
}

/// A request has come to the running task, and cannot be passed on, because a shield or a group has done that before.
/// If the task waits for itself by bound awaits, one of these ends with an error.
#[cold]
pub(crate) fn break_here() {
    let Some(here) = current::tasks(|tasks| tasks?.step.task()) else {
        return;
    };
    let Some(cells) = closing(&here, &here) else {
        return;
    };
    for (n, awaiter) in cells.iter().enumerate() {
        let awaited = &cells[(n + 1) % cells.len()];
        if handle_awaiter(awaited, true).as_ref() == Some(awaiter) {
            awaited.marks.set(Mark::InCircle);
            // Foreign code, with nothing borrowed. The awaiting task notes its waker again.
            if let Some(joiner) = awaited.take_joiner() {
                joiner.wake();
            }
            return;
        }
    }
}

/// The way from `target` to `from`, each awaiting the next, by bound awaits.
fn closing(from: &LocalRef, target: &LocalRef) -> Option<Vec<LocalRef>> {
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
fn awaiters(cell: &LocalRef) -> impl Iterator<Item = LocalRef> + use<> {
    let group = current::tasks(|tasks| {
        let children = tasks?.children_of(cell)?;
        tasks?.scopes.holding_task(children.heard_by()?)
    });
    handle_awaiter(cell, true).into_iter().chain(group)
}

/// The task that awaits a task by its handle.
pub(crate) fn awaiter_by_handle(cell: &LocalRef) -> Option<LocalRef> {
    handle_awaiter(cell, false)
}

/// The task that awaits a task by its handle; `bound`: only if it cannot go on without it.
pub(crate) fn handle_awaiter(cell: &LocalRef, bound: bool) -> Option<LocalRef> {
    delivery::of_task(cell, |scopes| scopes?.awaiting_task(cell, bound))
}
