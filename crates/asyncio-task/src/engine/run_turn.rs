//! Turns of a loop, batch by batch. The rules are those of `turn.rs`.

use crate::cell::marks::Mark;
use crate::engine::local::Local;
use crate::engine::turn::UNLIMITED;

impl Local {
    /// Runs what is ready, batch by batch, until nothing is, until `budget` steps have run, or until `is_over`
    /// says so after a batch. A batch that the budget cuts short goes on in the next turn.
    ///
    /// To be called while these tasks are entered.
    // Apart: with all of the loop around, its registers would not suffice for a step.
    #[inline(never)]
    pub(crate) fn run_turn(&self, budget: usize, is_over: impl Fn() -> bool) {
        self.run_turn_with(budget, || false, is_over);
    }

    /// Runs a turn like [`run_turn`](Self::run_turn), and ends it early once `enough` is true before a step. The
    /// batch goes on in the next turn. The steps of a group's children are not asked one by one.
    #[inline(never)]
    pub(crate) fn run_turn_until(
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
        struct Over<'a>(&'a Local);
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
        if turn.is_cut() {
            self.resume();
        }
        loop {
            if turn.batch.get() == 0 {
                turn.batch.set(self.ready.len());
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
            if left > 0 || turn.is_cut() || is_over() {
                return;
            }
        }
    }

    /// Runs steps of a batch in the order of the seed, and times them. How many are left.
    #[cold]
    fn run_observed(&self, mut left: usize, enough: impl Fn() -> bool) -> usize {
        while left > 0 && self.has_budget() && !enough() {
            if let Some(order) = self.order() {
                self.ready.swap_to_front(order.below(left));
            }
            left -= 1;
            self.run_one();
        }
        left
    }

    /// Runs what is ready now, and nothing that this makes ready, whatever the budget.
    pub(crate) fn run_last_batch(&self) {
        self.turn.batch.set(0);
        self.run_turn(usize::MAX, || true);
    }

    /// Runs the callbacks that are ready now, in their order, and no task.
    pub(crate) fn run_ready_callbacks(&self) {
        for _ in 0..self.ready.len() {
            let Some(first) = self.ready.first() else {
                return;
            };
            match first.marks.has(Mark::Callback) {
                true => {
                    self.run_one();
                }
                false => self.ready.first_to_back(),
            }
        }
    }

    /// Whether no batch is cut short.
    pub(crate) fn is_between_batches(&self) -> bool {
        self.turn.batch.get() == 0 && !self.turn.is_cut()
    }

    /// Gives the task whose round the last turn cut short one step more, before all others.
    #[cold]
    fn resume(&self) {
        // It was cut short again with budget left, if one of its child_sets let others go first.
        while self.has_budget()
            && let Some(cut) = self.turn.take_cut()
        {
            let state = &cut.cell.state;
            // Not one that has run since, nor a child, whose owner would resume it.
            if !state.is_scheduled() || state.is_done() || !cut.cell.is_local() {
                return;
            }
            self.run_resumed_step(&cut);
            if !self.turn.end_resumed() {
                return;
            }
        }
    }
}
