//! Turns, batches and rounds: how many steps run before the loop looks outside again, and in which order.
//!
//! - A *batch* is all steps that were ready in one queue at one moment. The steps that it makes ready are the next
//!   batch.
//! - A *turn* of the loop runs batches until nothing is ready or its budget of steps is spent. Every step counts:
//!   of tasks, of children, of bodies, of tasks that own children.
//! - A *round* is a batch of a group of children (`child_set.rs`), run within a step of the task that owns it, its
//!   *owner*.
//!
//! When the budget is spent, a batch is *cut short*. The batch of the loop goes on in the next turn. For a round
//! that is cut short, the owner is woken and so goes to the end of its queue. Children that were ready before
//! others would then come after them. Therefore the owner is also *resumed*: it has one step more, out of turn,
//! before anything else of its queue. If the owner is a child itself, so has its own owner, up to the loop. In that
//! step only what was cut short goes on, and no batch begins. The wake-up alone is enough for progress. The step
//! out of turn only keeps the order.
//!
//! The members of a batch were woken before it began. A request could end the owner, or a scope that encloses the
//! round, after a step that was cut short. So it is put off until the batch is over (`put_off_requests` in
//! `scopes/mod.rs`).
//!
//! A task may poll several groups in one step, as branches of a `join!`. The first of them could take the whole
//! budget each time. So a group that had steps passes once if another one got none.

use std::cell::Cell;

use crate::cell::cell_ref::LocalRef;

/// The turn under way.
pub(crate) struct Turn {
    /// The number of the last step that the budget allows.
    last_step: Cell<u64>,
    /// How many steps the budget still allows, below zero if it is overdrawn. Each step counts it down.
    left: Cell<i64>,
    /// A round has begun although the budget was spent. One round of a turn may do so, so that owners make progress.
    pub(crate) overdrawn: Cell<bool>,
    /// How many steps of the loop's batch have not run.
    pub(crate) batch: Cell<usize>,
    /// Facts about the rounds of the step under way.
    pub(crate) marks: Cell<Marks>,
    /// The task that was running when a round was cut short last.
    cut: Cell<Option<LocalRef>>,
    /// A race without a winner is being polled, or a task in its last poll: values are handed over in the same step
    /// (`handover.rs`).
    pub(crate) hands_over: Cell<bool>,
    /// A child was marked in a round that is over: a value is on its way in what it runs.
    pub(crate) expects: Cell<bool>,
}

/// A set of marks in one byte. Several fields would be stored one by one and loaded together, and the processor waits
/// for such stores.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    /// A round was cut short.
    pub(crate) const CUT: Self = Self(1 << 0);
    /// A round got no step at all.
    pub(crate) const PASSED_OVER: Self = Self(1 << 1);
    /// This is a step out of turn.
    pub(crate) const RESUMED: Self = Self(1 << 2);
    /// In the step before it, a round got no step at all.
    pub(crate) const OTHERS_FIRST: Self = Self(1 << 3);

    #[inline]
    pub(crate) fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    #[inline]
    pub(crate) fn with(self, mark: Self, is_set: bool) -> Self {
        Self(self.0 | if is_set { mark.0 } else { 0 })
    }

    #[inline]
    pub(crate) fn without(self, mark: Self) -> Self {
        Self(self.0 & !mark.0)
    }
}

/// The budget outside of turns.
pub(crate) const UNLIMITED: i64 = i64::MAX;

/// A task whose round was cut short.
pub(crate) struct Cut {
    pub(crate) cell: LocalRef,
    /// Whether another round of the same step got no step at all.
    others_first: bool,
}

impl Cut {
    /// Another cell that stands for the task.
    pub(crate) fn with_cell(self, cell: LocalRef) -> Self {
        Self { cell, ..self }
    }
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self {
            last_step: Cell::new(UNLIMITED as u64),
            left: Cell::new(UNLIMITED),
            overdrawn: Cell::new(false),
            batch: Cell::new(0),
            marks: Cell::default(),
            cut: Cell::new(None),
            hands_over: Cell::new(false),
            expects: Cell::new(false),
        }
    }

    /// How many steps have begun.
    #[inline]
    pub(crate) fn steps(&self) -> u64 {
        self.last_step.get().wrapping_sub(self.left.get() as u64)
    }

    #[inline]
    pub(crate) fn count_step(&self) {
        self.left.set(self.left.get() - 1);
    }

    #[inline]
    pub(crate) fn has_budget(&self) -> bool {
        self.left.get() > 0
    }

    /// The budget from the next step on.
    pub(crate) fn set_budget(&self, steps: i64) {
        self.last_step.set(self.steps().wrapping_add(steps as u64));
        self.left.set(steps);
    }

    /// Spends what is left of the budget, unless there is no limit.
    pub(crate) fn spend(&self) {
        if self.left.get() < UNLIMITED / 2 {
            self.set_budget(self.left.get().min(0));
        }
    }

    /// Whether a round was cut short in the step under way, or in the last one.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.marks.get().has(Marks::CUT)
    }

    /// Notes that a round of `owner` was cut short.
    #[cold]
    pub(crate) fn note_cut(&self, owner: Option<LocalRef>) {
        self.cut.set(owner);
    }

    /// The task whose round was cut short in the step that has just ended.
    #[cold]
    pub(crate) fn take_cut(&self) -> Option<Cut> {
        let others_first = self.marks.take().has(Marks::PASSED_OVER);
        let cell = self.cut.take()?;
        Some(Cut { cell, others_first })
    }

    /// Ends a step out of turn. Whether a round was cut short in it as well.
    pub(crate) fn end_resumed(&self) -> bool {
        let marks = self.marks.get();
        let step = marks.without(Marks::RESUMED).without(Marks::OTHERS_FIRST);
        self.marks.set(step);
        marks.has(Marks::CUT)
    }

    /// Notes that the step out of turn of a task begins, whose round was cut short.
    #[cold]
    pub(crate) fn begin_resumed(&self, cut: &Cut) {
        let others_first = Marks::default().with(Marks::OTHERS_FIRST, cut.others_first);
        self.marks.set(others_first.with(Marks::RESUMED, true));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_its_debt_stays() {
        let turn = Turn::new();
        turn.spend();
        assert!(turn.has_budget(), "there is no limit to spend");
        turn.set_budget(2);
        turn.count_step();
        assert_eq!((turn.steps(), turn.has_budget()), (1, true));
        turn.count_step();
        assert_eq!((turn.steps(), turn.has_budget()), (2, false));
        turn.set_budget(5);
        turn.spend();
        assert_eq!((turn.steps(), turn.has_budget()), (2, false));
        turn.count_step();
        turn.spend();
        turn.count_step();
        assert_eq!((turn.steps(), turn.left.get()), (4, -2));
    }

    #[test]
    fn a_mark_that_is_set_again_stays() {
        let marks = Marks::CUT.with(Marks::CUT, true).with(Marks::CUT, false);
        assert!(marks.has(Marks::CUT) && !marks.has(Marks::RESUMED));
        let both = marks.with(Marks::RESUMED, true);
        assert!(both.has(Marks::CUT) && both.has(Marks::RESUMED));
        assert!(!both.without(Marks::CUT).has(Marks::CUT));
    }
}
