//! The end of a task: its outcome is left for the handle or dropped, and what awaits it is woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::cell::cell_ref::{Ended, LocalRef, OwnerRef};
use crate::cell::header::{Joiner, Payload};
use crate::cell::waker;
use crate::engine::local::Local;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::panic_payload::PanicPayload;
use crate::scopes;

/// So many tasks that come after closing are ended one within the other.
const DEEPEST: u32 = 16;

/// So many tasks that come while all are ended are ended too.
const MOST_REFUSED: u64 = 1 << 20;

impl Local {
    /// The end of a task that is no child, whose future is gone.
    #[inline(never)]
    pub(crate) fn complete(&self, ended: Ended) {
        self.complete_inline(ended);
    }

    /// [`complete`](Self::complete), for the one loop in which most tasks end.
    #[inline(always)]
    pub(crate) fn complete_inline(&self, ended: Ended) {
        let owned = ended.finish(|cell| self.registry.leave(cell.take_place()));
        if let Some(owned) = owned {
            self.complete_with(owned);
        }
    }

    /// The work that is left when a task is done: its scopes are closed, and its awaiting task is woken.
    #[inline(always)]
    pub(crate) fn complete_with(&self, owned: OwnerRef) {
        let cell: &LocalRef = &owned;
        // First everything here, so that it is seen to when foreign code comes in below.
        let joiner = cell.take_joiner();
        scopes::close_root(cell);
        cell.span.close(cell.span_id);
        if !cell.state.is_awaited() {
            self.drop_unclaimed(cell);
        }
        if let Some(joiner) = joiner {
            self.wake_joiner(cell, joiner);
        }
    }

    /// Drops an outcome that nothing awaits; if it is a panic, reports it.
    #[inline(always)]
    pub(crate) fn drop_unclaimed(&self, cell: &LocalRef) {
        if self.reports_forgotten.get() {
            self.report_forgotten_error(cell);
        }
        if let Some(payload) = cell.take_unwanted() {
            self.report_panic(cell, payload);
        }
        cell.clear_extra();
    }

    #[cold]
    fn report_panic(&self, cell: &LocalRef, payload: Payload) {
        self.report_and_drop(cell, Unhandled::panic(cell, payload));
    }

    #[inline]
    fn wake_joiner(&self, cell: &LocalRef, joiner: Joiner) {
        let is_woken = waker::with_cell(&joiner, self, |waiting| {
            let waiting = waiting.filter(|waiting| waiting.is_local());
            let is_local = waiting.map(|waiting| {
                waiting.span_id.note_wake_by_ref();
                self.wake(waiting);
            });
            is_local.is_some()
        });
        if !is_woken {
            self.wake_foreign_joiner(cell, joiner);
        }
    }

    #[inline(never)]
    fn wake_foreign_joiner(&self, cell: &LocalRef, joiner: Joiner) {
        self.guard_wake(
            cell,
            || joiner.wake(),
            "the waker of the code that awaits a task panicked",
        );
    }

    /// Wakes a waker on behalf of a task, and does not unwind: the task has to be seen to.
    pub(crate) fn wake_guarded_waker(&self, cell: &LocalRef, waker: Waker, panicked: &'static str) {
        self.guard_wake(cell, || waker.wake(), panicked);
    }

    fn guard_wake(&self, cell: &LocalRef, wake: impl FnOnce(), panicked: &'static str) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(wake)) {
            let cause = Cause::Panic(PanicPayload::new(payload));
            self.report_and_drop(cell, Unhandled::of_task(panicked, cell, cause));
        }
    }

    /// Ends a task out of turn, or, if it runs, after its poll. A child is its group's to end (H1 in
    /// `children/members.rs`).
    pub(crate) fn end(&self, cell: &LocalRef) {
        if cell.borrows() {
            return;
        }
        match cell.seize() {
            Some(running) => {
                let ended = self.drop_future(running);
                self.note_enclosing_step();
                self.complete(ended);
            }
            None => cell.state.doom(),
        }
    }

    /// Ends a task that came after the loop was closed. Its destructors may spawn more, and so on. Tasks deeper than a
    /// few of these within each other stay in the registry until the outermost has ended.
    #[cold]
    pub(crate) fn refuse(&self, cell: &LocalRef) {
        let depth = self.refusing.get();
        if depth < DEEPEST {
            self.refusing.set(depth + 1);
            self.end(cell);
            self.refusing.set(depth);
        }
        // Most leave nothing. To look for more is a step for each place of the registry, of which there may be
        // thousands.
        if depth == 0 && self.registry.len() > 0 {
            self.end_all();
        }
    }

    /// Ends all tasks, oldest first, and what they spawn while they end. A chain of destructors that spawn has
    /// an end: the futures that are left after [`MOST_REFUSED`] are leaked, and one report tells of them.
    pub(crate) fn end_all(&self) {
        let before = self.refusing.replace(self.refusing.get().max(1));
        let last = self.ids.get() + MOST_REFUSED;
        loop {
            let mut cells = self.registry.collect(|cell| Some(LocalRef::clone(cell)));
            cells.sort_by_key(|cell| cell.id);
            // A task that runs ends when its step is over.
            cells.retain(|cell| {
                if cell.state.is_running() {
                    cell.state.doom();
                }
                !cell.state.is_running()
            });
            if cells.is_empty() {
                break;
            }
            if self.ids.get() >= last {
                self.leak_all(&cells);
                break;
            }
            for cell in &cells {
                self.end(cell);
            }
        }
        self.refusing.set(before);
    }

    #[cold]
    fn leak_all(&self, cells: &[LocalRef]) {
        let first = &cells[0];
        let cause = Cause::Error(format!("{} futures are leaked", cells.len()));
        let message = "destructors of tasks spawn tasks without end while their event loop closes";
        self.report_and_drop(first, Unhandled::of_task(message, first, cause));
        for running in cells.iter().filter_map(LocalRef::seize) {
            self.complete(running.leak_future());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::marker::PhantomPinned;
    use std::panic::Location;
    use std::pin::Pin;
    use std::ptr;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use super::*;
    use crate::handle::spawn::spawn_at;

    /// Notes where it is pinned. Code that is told so may use that memory until the destructor has run.
    struct Pinned {
        at: Rc<Cell<usize>>,
        is_dropped: Rc<Cell<bool>>,
        _pin: PhantomPinned,
    }

    impl Future for Pinned {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.at.set(ptr::from_ref(&*self).addr());
            Poll::Pending
        }
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            self.is_dropped.set(true);
        }
    }

    #[test]
    fn the_memory_of_a_leaked_future_is_not_used_again() {
        /// For sanitizers: this leak is meant.
        static LEAKED: AtomicUsize = AtomicUsize::new(0);
        let local = Local::new(|| ());
        let spawn = || {
            let (at, is_dropped) = <(Rc<Cell<usize>>, Rc<Cell<bool>>)>::default();
            let future = Pinned {
                at: at.clone(),
                is_dropped: is_dropped.clone(),
                _pin: PhantomPinned,
            };
            let task = spawn_at(&local, Location::caller(), future);
            assert!(local.run_one());
            (task, at.get(), is_dropped)
        };
        let (task, at, is_dropped) = spawn();
        LEAKED.store(at, Ordering::Relaxed);
        local.leak_all(&[task.cell().clone()]);
        drop(task);
        assert!(!is_dropped.get());
        let (task, next, is_dropped) = spawn();
        assert_ne!(next, at);
        local.end(task.cell());
        assert!(is_dropped.get());
    }

    /// Such a look is a step for each place of the registry, of which a burst of tasks leaves thousands.
    #[test]
    fn a_task_that_comes_too_late_is_refused_without_a_look_at_all_places() {
        let local = Local::new(|| ());
        let spawn = || spawn_at(&local, Location::caller(), async {});
        let tasks: Vec<_> = (0..100).map(|_| spawn()).collect();
        while local.run_one() {}
        drop(tasks);
        local.closed.set(true);
        for _ in 0..1_000 {
            assert!(spawn().is_finished());
        }
        assert_eq!(local.registry.looks.get(), 0);
    }
}
