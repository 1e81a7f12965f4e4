//! Turns, batches and rounds: how many steps run before the loop looks outside again, and in which order.
//!
//! - A *batch* is what was ready in one queue at one moment. What it makes ready is the next batch.
//! - A *turn* of the loop runs batches until nothing is ready or its budget of steps is spent. Every step counts:
//!   of tasks, of children, of bodies, of tasks that own children.
//! - A *round* is a batch of a [`Family`](crate::children::family::Family), run within a step of the task that owns it, its *owner*.
//!
//! When the budget is spent, a batch is *cut short*. The batch of the loop goes on in the next turn. For a round
//! that is cut short, the owner is woken and so goes to the end of its queue. Children that were ready before
//! others would then come after them. Therefore the owner is also *resumed*: it has one step more, out of turn,
//! before anything else of its queue. If the owner is a child itself, so has its own owner, up to the loop. In that
//! step only what was cut short goes on, and no batch begins. The wake-up alone is enough for progress. The step
//! out of turn only keeps the order.
//!
//! The members of a batch were woken before it began. A request that would end the owner, or a scope around the round,
//! after a step that was cut short is therefore put off until the batch is over ([`Tasks::put_off_requests`]).
//!
//! A task may poll several families in one step, as branches of a `join!`. The first of them could take the whole
//! budget each time. So a family that had steps passes once if another one got none.

use std::cell::Cell;

use crate::cell::cell_ref::CellRef;
use crate::cell::state::Begin;
use crate::engine::tasks::Tasks;

/// The turn under way.
pub(crate) struct Turn {
    /// The number of the last step that the budget allows.
    last_step: Cell<u64>,
    /// How many steps the budget still allows, below zero if it is overdrawn. Each step counts it down.
    left: Cell<i64>,
    /// A round has begun although the budget was spent. One in a turn may, so that owners make progress.
    pub(crate) overdrawn: Cell<bool>,
    /// How many steps of the loop's batch have not run.
    batch: Cell<usize>,
    /// What happened to the rounds of the step under way.
    pub(crate) marks: Cell<Marks>,
    /// The task that was running when a round was cut short last.
    cut: Cell<Option<CellRef>>,
    /// A race without a winner is being polled, or a task in its last poll: values are handed over in the same step
    /// (`handover.rs`).
    pub(crate) hands_over: Cell<bool>,
    /// A child was marked in a round that is over: a value is on its way in what it runs.
    pub(crate) expects: Cell<bool>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    /// A round was cut short.
    pub(crate) cut: bool,
    /// A round got no step at all.
    pub(crate) passed_over: bool,
    /// This is a step out of turn.
    pub(crate) resumed: bool,
    /// In the step before it, a round got no step at all.
    pub(crate) others_first: bool,
}

/// The budget outside of turns.
const UNLIMITED: i64 = i64::MAX;

/// A task whose round was cut short.
pub(crate) struct Cut {
    pub(crate) cell: CellRef,
    /// Whether another round of the same step got no step at all.
    others_first: bool,
}

impl Cut {
    /// Another cell that stands for the task.
    pub(crate) fn with_cell(self, cell: CellRef) -> Self {
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
    fn has_budget(&self) -> bool {
        self.left.get() > 0
    }

    /// The budget from the next step on.
    fn set_budget(&self, steps: i64) {
        self.last_step.set(self.steps().wrapping_add(steps as u64));
        self.left.set(steps);
    }

    /// Spends what is left of the budget, unless there is no limit.
    fn spend(&self) {
        if self.left.get() < UNLIMITED / 2 {
            self.set_budget(self.left.get().min(0));
        }
    }

    /// Notes that a round of `owner` was cut short.
    #[cold]
    pub(crate) fn note_cut(&self, owner: Option<CellRef>) {
        self.cut.set(owner);
    }

    /// The task whose round was cut short in the step that has just ended.
    #[cold]
    pub(crate) fn take_cut(&self) -> Option<Cut> {
        let others_first = self.marks.take().passed_over;
        let cell = self.cut.take()?;
        Some(Cut { cell, others_first })
    }

    /// Ends a step out of turn. Whether a round was cut short in it as well.
    pub(crate) fn end_resumed(&self) -> bool {
        let marks = self.marks.get();
        self.marks.set(Marks {
            resumed: false,
            others_first: false,
            ..marks
        });
        marks.cut
    }

    /// Begins the step out of turn of a task whose round was cut short.
    #[cold]
    pub(crate) fn begin_resumed(&self, cut: &Cut) -> Begin {
        self.marks.set(Marks {
            resumed: true,
            others_first: cut.others_first,
            ..Marks::default()
        });
        cut.cell.state.begin_out_of_turn()
    }
}

impl Tasks {
    #[inline]
    pub(crate) fn has_budget(&self) -> bool {
        self.turn.has_budget()
    }

    /// Ends the turn under way after this step, so that the caller of [`run_turn`](Self::run_turn) looks at its clock. The
    /// batch goes on in the next turn. Does nothing in [`run_last_batch`](Self::run_last_batch) and outside of turns.
    #[cold]
    pub fn end_turn(&self) {
        self.turn.spend();
    }

    /// Runs what is ready, batch by batch, until nothing is, until `budget` steps have run, or until `is_over`
    /// says so after a batch. A batch that the budget cuts short goes on in the next turn.
    ///
    /// To be called while these tasks are [entered](Self::enter).
    // Apart: with all of the loop around, its registers would not suffice for a step.
    #[inline(never)]
    pub fn run_turn(&self, budget: usize, is_over: impl Fn() -> bool) {
        self.run_turn_with(budget, || false, is_over);
    }

    /// Runs a turn like [`run_turn`](Self::run_turn), and ends it early once `enough` is true before a step. The
    /// batch goes on in the next turn. The steps of a group's children are not asked one by one.
    #[inline(never)]
    pub fn run_turn_until(
        &self,
        budget: usize,
        enough: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
    ) {
        self.run_turn_with(budget, enough, is_over);
    }

    #[inline(always)]
    fn run_turn_with(&self, budget: usize, enough: impl Fn() -> bool, is_over: impl Fn() -> bool) {
        /// Outside of turns there is no budget.
        struct Over<'a>(&'a Tasks);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.turn.set_budget(UNLIMITED);
                self.0.pulse.leave();
            }
        }
        let turn = &self.turn;
        let _over = Over(self);
        turn.set_budget(i64::try_from(budget).unwrap_or(UNLIMITED));
        turn.overdrawn.set(false);
        if turn.marks.get().cut {
            self.resume();
        }
        loop {
            if turn.batch.get() == 0 {
                turn.batch.set(self.ready());
            }
            let mut left = turn.batch.get();
            if left == 0 {
                return;
            }
            if self.is_observed() {
                left = self.run_observed(left, &enough);
            } else {
                while left > 0 && self.has_budget() && !enough() {
                    left -= 1;
                    self.run_one_as::<false>();
                }
            }
            turn.batch.set(left);
            if left > 0 || turn.marks.get().cut || is_over() {
                return;
            }
        }
    }

    /// Whether a seed orders the steps, or debug mode times them. Asked once a batch: a step without either pays
    /// for neither.
    #[inline]
    pub(crate) fn is_observed(&self) -> bool {
        self.order().is_some() || self.timing.is_on()
    }

    /// Runs steps of a batch in the order of the seed, and times them. How many are left.
    #[cold]
    fn run_observed(&self, mut left: usize, enough: impl Fn() -> bool) -> usize {
        while left > 0 && self.has_budget() && !enough() {
            if let Some(order) = self.order() {
                self.bring_forward(order.below(left));
            }
            left -= 1;
            self.run_one();
        }
        left
    }

    /// Runs what is ready now, and nothing that this makes ready, whatever the budget.
    pub fn run_last_batch(&self) {
        self.turn.batch.set(0);
        self.run_turn(usize::MAX, || true);
    }

    /// Whether no batch is cut short.
    #[must_use]
    pub fn is_between_batches(&self) -> bool {
        self.turn.batch.get() == 0 && !self.turn.marks.get().cut
    }

    /// Gives the task whose round the last turn cut short one step more, before all others.
    #[cold]
    fn resume(&self) {
        // It was cut short again with budget left, if one of its families let others go first.
        while self.has_budget()
            && let Some(cut) = self.turn.take_cut()
        {
            let state = &cut.cell.state;
            // Not one that has run since, nor a child, whose owner would resume it.
            if !state.is_scheduled() || state.is_done() || !cut.cell.is_at_home() {
                return;
            }
            self.run_resumed_step(&cut);
            if !self.turn.end_resumed() {
                return;
            }
        }
    }
}
