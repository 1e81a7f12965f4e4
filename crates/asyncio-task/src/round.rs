//! A round of a family: who of those that were woken has a step now. The rules are those of `turn.rs`.

use std::ptr::NonNull;

use crate::cell::Header;
use crate::cell_ref::CellRef;
use crate::family::Family;
use crate::order::Order;
use crate::tasks::Tasks;
use crate::turn::{Cut, Marks};

/// See the head of this file. What it gives out is to have its step before the next is asked for.
pub(crate) struct Round<'a> {
    tasks: &'a Tasks,
    family: &'a Family,
    /// How many of the batch have not run.
    left: usize,
    /// What stands for the body, which is a part of the owner.
    body: Option<&'a CellRef>,
    progress: Progress,
    /// The budget was spent before.
    overdraws: bool,
    /// Whose step was the last.
    last: Option<NonNull<Header>>,
    /// The marks of the owner's step, which are not those of its children's steps.
    before: Marks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing has run yet.
    New,
    /// What had its step last was resumed.
    Resumed,
    /// What had its step last came from the queue.
    Going,
    /// Nothing is to run.
    Passes,
}

/// What the round of a family is to others of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    /// The body has not run, and begins within the step of its owner, whatever the budget.
    First,
    Later,
    /// Another one is under way.
    Within,
}

/// Whose step it is.
pub(crate) enum Member {
    /// The next in the queue.
    Next(NonNull<Header>),
    /// One that was cut short.
    Resumed(Cut),
}

impl<'a> Round<'a> {
    /// Begins a round with what is ready now, or goes on with the batch that was cut short.
    #[inline]
    pub(crate) fn begin(
        tasks: &'a Tasks,
        family: &'a Family,
        body: Option<&'a CellRef>,
        start: Begins,
    ) -> Self {
        let before = tasks.turn.marks.take();
        let cut_short = family.batch.get();
        let goes_on = start != Begins::Within && (cut_short > 0 || family.has_cut.get());
        let left = match goes_on {
            true => cut_short,
            false if before.resumed && start == Begins::Later => 0,
            false => family.ready.len(),
        };
        let overdraws = start != Begins::First && !tasks.has_budget();
        let passes = start != Begins::First
            && (before.others_first && family.ran.get() || overdraws && tasks.turn.overdrawn.get());
        Self {
            tasks,
            family,
            left,
            body,
            overdraws,
            progress: match passes {
                true => Progress::Passes,
                false => Progress::New,
            },
            last: None,
            before,
        }
    }

    /// Whether anything has run.
    #[inline]
    pub(crate) fn has_run(&self) -> bool {
        self.last.is_some()
    }

    /// Whose step it is. `None`: the round is over.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Member> {
        let pops = match self.progress {
            Progress::Going => self.tasks.has_budget(),
            Progress::New => !self.family.has_cut.get(),
            Progress::Resumed | Progress::Passes => false,
        };
        match self.progress {
            _ if pops => self.pop(),
            Progress::Going => None,
            _ => self.begin_or_resume(),
        }
    }

    #[cold]
    fn begin_or_resume(&mut self) -> Option<Member> {
        match self.progress {
            Progress::Passes => return None,
            Progress::Resumed => {
                if self.tasks.turn.end_resumed() {
                    self.keep_cut();
                }
                if !self.tasks.has_budget() {
                    return None;
                }
            }
            Progress::New | Progress::Going => {}
        }
        if self.family.has_cut.replace(false)
            && let Some(cut) = self.family.cut.take()
            // Not one that has run since.
            && cut.cell.state.is_scheduled()
            && !cut.cell.state.is_done()
        {
            self.progress = Progress::Resumed;
            self.last = Some(cut.cell.as_raw());
            return Some(Member::Resumed(cut));
        }
        self.pop()
    }

    #[inline]
    fn pop(&mut self) -> Option<Member> {
        if self.left == 0 {
            return None;
        }
        let ready = &self.family.ready;
        if let Some(order) = self.tasks.order() {
            self.choose(order);
        }
        self.left -= 1;
        // Another round within this one may have had the place.
        let h = ready.pop()?;
        self.progress = Progress::Going;
        self.last = Some(h);
        Some(Member::Next(h))
    }
    /// Brings one of the batch forward, as the seed says.
    #[cold]
    fn choose(&self, order: &Order) {
        let ready = &self.family.ready;
        let batch = self.left.min(ready.len());
        if batch > 1 && !self.family.in_order.get() {
            ready.bring_forward(order.below(batch));
        }
    }

    /// Keeps what was cut short in the last step, to resume it.
    #[inline]
    fn keep_cut(&mut self) {
        if self.tasks.turn.marks.get().cut {
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
            Some(body) if h == self.tasks.running_step() => cut.with_cell(body.clone()),
            // Not a member: a task that began in the step of one, say.
            _ => return,
        };
        self.family.cut.set(Some(cut));
        self.family.has_cut.set(true);
    }
}

impl Drop for Round<'_> {
    #[inline]
    fn drop(&mut self) {
        self.keep_cut();
        let (turn, family) = (&self.tasks.turn, self.family);
        let ran = self.has_run();
        family.ran.set(ran);
        let left = self.left.min(family.ready.len());
        family.batch.set(left);
        if ran && self.overdraws {
            turn.overdrawn.set(true);
        }
        let is_cut = left > 0 || family.has_cut.get();
        let marks = Marks {
            cut: self.before.cut || is_cut,
            passed_over: self.before.passed_over || is_cut && !ran,
            ..self.before
        };
        turn.marks.set(marks);
        if is_cut {
            self.tasks.put_off_requests();
        }
        if marks.cut {
            let owner = self.tasks.running_task();
            turn.note_cut(owner.map(|owner| owner.cell().clone()));
        }
    }
}
