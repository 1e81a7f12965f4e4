//! A round of a child set: which of the members that were woken have a step now. The rules are those of `turn.rs`.

use std::ptr::NonNull;

use crate::cell::cell_ref::LocalRef;
use crate::cell::header::Header;
use crate::children::child_set::ChildSet;
use crate::engine::local::Local;
use crate::engine::order::Order;
use crate::engine::turn::{Cut, Marks};

/// See the head of this file. Each member that it allows has its step before the next is asked for. These are the
/// members that [`resume`](Self::resume) gives, then the first of the queue for each [`first`](Self::first) and
/// [`next`](Self::next) that is `true`.
pub(crate) struct Round<'a> {
    pub(crate) tasks: &'a Local,
    set: &'a ChildSet,
    /// How many of the batch have not run.
    left: usize,
    /// The cell that stands for the body, which is a part of the owner.
    body: Option<&'a LocalRef>,
    /// Nothing is to run.
    passes: bool,
    /// The budget was spent before.
    overdraws: bool,
    /// Whose step was the last.
    last: Option<NonNull<Header>>,
    /// The marks of the owner's step, which are not those of its children's steps.
    before: Marks,
    /// Whether values were handed over in the same step before it began.
    hands_over: bool,
    /// The members end in it.
    ends: bool,
}

/// The place of a round among the rounds of its child set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// The body has not run, and begins within the step of its owner, whatever the budget.
    First,
    Later,
    /// Another one is under way.
    Within,
}

impl<'a> Round<'a> {
    /// Begins a round with what is ready now, or goes on with the batch that was cut short.
    #[inline]
    pub(crate) fn begin(
        tasks: &'a Local,
        set: &'a ChildSet,
        body: Option<&'a LocalRef>,
        start: Begins,
    ) -> Self {
        let before = tasks.turn.marks.take();
        let cut_short = set.batch.get();
        let goes_on = start != Begins::Within && (cut_short > 0 || set.has_cut.get());
        let ready = set.ready.len();
        let ends = set.handover.is_ending();
        let left = match goes_on {
            _ if ends => 0, // all of them run without a budget
            true => cut_short,
            false if before.has(Marks::RESUMED) && start == Begins::Later => 0,
            false => ready,
        };
        if left == ready {
            set.handover.settle();
        }
        let hands_over = tasks.turn.hands_over.get();
        if set.handover.is_contest() || tasks.is_in_last_poll() {
            tasks.turn.hands_over.set(true);
        }
        let overdraws = start != Begins::First && !tasks.has_budget();
        let passes = start != Begins::First
            && (before.has(Marks::OTHERS_FIRST) && set.ran.get()
                || overdraws && tasks.turn.overdrawn.get());
        Self {
            tasks,
            set,
            left,
            body,
            passes,
            overdraws,
            last: None,
            before,
            hands_over,
            ends,
        }
    }

    /// Whether anything has run.
    #[inline]
    pub(crate) fn has_run(&self) -> bool {
        self.last.is_some()
    }

    /// A member that was cut short, if one was.
    #[inline]
    pub(crate) fn resume(&mut self) -> Option<Cut> {
        match self.set.has_cut.get() {
            true => self.resume_cut(),
            false => None,
        }
    }

    #[cold]
    fn resume_cut(&mut self) -> Option<Cut> {
        if !self.may_begin() {
            return None;
        }
        self.set.has_cut.set(false);
        let cut = self.set.cut.take()?;
        // Not one that has run since.
        if !cut.cell.state.is_scheduled() || cut.cell.state.is_done() {
            return None;
        }
        Some(cut)
    }

    /// A member begins its step.
    #[inline]
    pub(crate) fn note_step(&mut self, h: NonNull<Header>) {
        self.last = Some(h);
    }

    /// The member that was resumed has had its step.
    pub(crate) fn end_resumed(&mut self) {
        if self.tasks.turn.end_resumed() {
            self.keep_cut();
        }
    }

    /// Whether anything may run: the first whatever the budget.
    fn may_begin(&self) -> bool {
        !self.passes && (!self.has_run() || self.tasks.has_budget())
    }

    /// Whether the first of the batch may run.
    #[inline]
    pub(crate) fn first<const OBSERVED: bool>(&mut self) -> bool {
        self.may_begin() && self.count::<OBSERVED>()
    }

    /// Whether the next of the batch may run. Otherwise, the round is over.
    #[inline]
    pub(crate) fn next<const OBSERVED: bool>(&mut self) -> bool {
        self.tasks.has_budget() && self.count::<OBSERVED>()
    }

    /// Whether the round goes on with all that are ready, whatever the budget: the members end, or a value is handed
    /// over (`handover.rs`).
    #[inline]
    pub(crate) fn goes_on(&mut self) -> bool {
        !self.set.handover.is_calm() && self.has_to_go_on()
    }

    #[cold]
    fn has_to_go_on(&mut self) -> bool {
        let handover = &self.set.handover;
        if handover.take_end() {
            self.ends = true;
            return true;
        }
        let is_due = match self.ends {
            true => handover.has_ended(),
            false => handover.is_pending() && self.tasks.hands_over(),
        };
        is_due && self.set.ready.len() > 0
    }

    /// Takes all that are ready now as the batch, with what was cut short, which is in the queue.
    #[cold]
    pub(crate) fn begin_unbounded(&mut self) {
        self.set.forget_batch();
        self.set.handover.settle();
        self.left = self.set.ready.len();
    }

    /// Whether there is a next one of the batch, whatever the budget.
    #[cold]
    pub(crate) fn next_unbounded(&mut self) -> bool {
        if self.has_run() && self.tasks.turn.is_cut() {
            // The last member was cut short in its step. It is in the queue.
            drop(self.tasks.turn.take_cut());
        }
        self.count::<true>()
    }

    /// Counts one of the batch, which is then the first of the queue. `false`: none is left.
    #[inline(always)]
    fn count<const OBSERVED: bool>(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        if OBSERVED && let Some(order) = self.tasks.order() {
            self.choose(order);
        }
        self.left -= 1;
        true
    }

    /// Brings one of the batch forward, as the seed says.
    #[cold]
    fn choose(&self, order: &Order) {
        let ready = &self.set.ready;
        let batch = self.left.min(ready.len());
        if batch > 1 && !self.set.in_order.get() {
            ready.swap_to_front(order.below(batch));
        }
    }

    /// Keeps what was cut short in the last step, to resume it.
    #[inline]
    fn keep_cut(&mut self) {
        if self.tasks.turn.is_cut() {
            self.keep_cut_of(self.last);
        }
    }

    #[cold]
    fn keep_cut_of(&mut self, last: Option<NonNull<Header>>) {
        let Some(cut) = self.tasks.turn.take_cut() else {
            return;
        };
        let h = Some(cut.cell.as_raw());
        let body = self.body.filter(|body| last == Some(body.as_raw()));
        let cut = match body {
            _ if h == last => cut,
            // The body's step is a part of the owner's.
            Some(body) if h == self.tasks.step.as_raw() => cut.with_cell(body.clone()),
            // Not a member: a task that began in the step of one, say.
            _ => return,
        };
        self.set.cut.set(Some(cut));
        self.set.has_cut.set(true);
    }
}

impl Drop for Round<'_> {
    #[inline]
    fn drop(&mut self) {
        self.tasks.turn.hands_over.set(self.hands_over);
        self.set.ran.set(self.has_run());
        if self.has_run() && self.overdraws {
            self.tasks.turn.overdrawn.set(true);
        }
        let was_cut = self.tasks.turn.is_cut() || self.set.has_cut.get();
        if was_cut || self.left > 0 {
            self.end_with_cut();
        } else {
            self.set.batch.set(0);
            self.end(false);
        }
    }
}

impl Round<'_> {
    /// Ends a round that has left members of its batch, or in which one was cut short.
    #[cold]
    fn end_with_cut(&mut self) {
        self.keep_cut();
        // Another round within this one may have had their places.
        let left = self.left.min(self.set.ready.len());
        self.set.batch.set(left);
        self.end(left > 0 || self.set.has_cut.get());
    }

    #[inline]
    fn end(&self, is_cut: bool) {
        self.tasks.note_enclosing_step();
        let turn = &self.tasks.turn;
        let marks = self.before.with(Marks::CUT, is_cut);
        let marks = marks.with(Marks::PASSED_OVER, is_cut && !self.has_run());
        turn.marks.set(marks);
        if is_cut {
            self.tasks.put_off_requests();
        }
        if marks.has(Marks::CUT) {
            turn.note_cut(self.tasks.step.task());
        }
    }
}
