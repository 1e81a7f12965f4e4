//! The cooperative budget: how many awaits in a row may be ready before one steps back.
//!
//! A loop of awaits that are all ready never lets other tasks run, and no time limit around it can end it. So awaits
//! that may be ready at their first poll, of this crate and of crates built on it, draw on a budget of the thread.
//! Examples are a [`Scope`](crate::Scope), a [`Task`](crate::Task) that has ended, and a [`StepBack`](crate::StepBack).
//! When the budget is spent, the next one steps back: it wakes its task and returns `Pending`, once, before it does
//! anything else. So nothing was taken that could be lost.
//!
//! The budget is for one step of a task. Nothing fills it for each step: only when it is spent is the [step under
//! way](crate::current_step) looked at. If that is not the one in which the budget was filled last, it is filled and
//! nothing else happens. So an await steps back after 122 to 257 ready awaits of one step. A task with a few in each
//! step never steps back. Outside of any task none does.
//!
//! Shielded code defers requests, also while it steps back. If a shield stepped back each time, a loop of shields and
//! other awaits could never be ended. So the budget is not always filled to the same number.

use std::cell::Cell;

/// How many awaits a filled budget is good for, at most.
const FULL: u32 = 128;

/// So many numbers of awaits are taken in turns.
const VARIETY: u32 = 8;

thread_local! {
    // Without destructors, so that they can be used until the very end of the thread.
    static LEFT: Cell<u32> = const { Cell::new(FULL) };
    /// The step in which it was filled last.
    static FILLED_IN: Cell<Option<u64>> = const { Cell::new(None) };
    /// How often it was filled.
    static FILLS: Cell<u32> = const { Cell::new(0) };
}

/// Begins anew, so that what a loop does depends on nothing that ran on this thread before.
pub(crate) fn reset() {
    LEFT.set(FULL);
    FILLED_IN.set(None);
    FILLS.set(0);
}

/// Draws on the budget. `false`: it is spent, and the await has to step back. `step`: which step is under way.
#[inline(always)]
pub(crate) fn draw(step: fn() -> Option<u64>) -> bool {
    // Otherwise the rest of one run of the model checker would change the next run.
    cfg!(loom)
        || LEFT.with(|left| {
            let n = left.get();
            left.set(n.wrapping_sub(1));
            n > 0 || fill(step)
        })
}

/// Fills the budget. Whether it was filled in another step the last time.
#[cold]
#[inline(never)]
fn fill(step: fn() -> Option<u64>) -> bool {
    let fills = FILLS.get();
    FILLS.set(fills.wrapping_add(1));
    LEFT.set(FULL - fills % VARIETY);
    let step = step();
    FILLED_IN.replace(step) != step || step.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many awaits are ready before each of the first steps back of one step.
    fn ready_awaits(step: fn() -> Option<u64>) -> Vec<u32> {
        reset();
        let ready = |_| (0..1000).take_while(|_| draw(step)).count() as u32;
        (0..20).map(ready).collect()
    }

    #[test]
    fn a_step_has_a_budget_and_each_filling_is_another() {
        let ready = ready_awaits(|| Some(7));
        assert_eq!(
            ready[0],
            2 * FULL + 1,
            "the first filling belongs to the step"
        );
        let varied: Vec<u32> = (1..20).map(|n| FULL - n % VARIETY).collect();
        assert_eq!(ready[1..], varied);
    }

    #[test]
    fn outside_of_any_step_all_are_ready() {
        assert_eq!(ready_awaits(|| None), [1000; 20]);
    }
}
