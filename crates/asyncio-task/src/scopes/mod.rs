//! Where tasks and cancel scopes meet: the step of a task that is being cancelled, and what a scope asks of
//! the tasks around it. The rules are those of `cancel/mod.rs`.
//!
//! - **S1** A node that names a task is gone before the task's cell is: its root goes at the end of the task
//!   ([`close_root`]), and the scopes that its future holds go with the future. So a task named by a
//!   node of the tree is alive, and one of these tasks. A scope that outlives the task it was polled by, being
//!   held by something else, is named by no root any more, and a wake-up for it finds a waker of its own.
//! - **S2** The tree is never borrowed while anything foreign runs: futures, wakers, destructors.
#![allow(unsafe_code)]

pub(crate) mod cancelled;
pub(crate) mod circle;
#[cfg(all(test, not(loom)))]
mod effort;
pub(crate) mod home;
pub(crate) mod listener;
pub(crate) mod scope;
pub(crate) mod scope_state;

use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use crate::cancel::{Next, Origin, Place, ScopeKey};
use crate::cell::cell_ref::CellRef;
use crate::cell::marks::Mark;
use crate::cell::state::{Outcome, Pause};
use crate::cell::waker;
use crate::cell::{Header, Progress};
use crate::engine::tasks::Tasks;
use crate::scopes::home::TaskScopes;

impl Tasks {
    /// How many cancel scopes are open that have to wait, those of the tasks themselves included.
    #[must_use]
    pub fn scopes(&self) -> usize {
        self.scopes.borrow().len()
    }

    /// The scope that code here and now is in, in the step of that task.
    pub(crate) fn innermost_scope(&self, task: NonNull<Header>) -> ScopeKey {
        Self::innermost_in(&mut self.scopes.borrow_mut(), task)
    }

    /// The same, for those who have borrowed the tree.
    pub(crate) fn innermost_in(tree: &mut TaskScopes, task: NonNull<Header>) -> ScopeKey {
        let place = Self::innermost_place(tree, task);
        tree.at(place).expect("the innermost scope is in the tree")
    }

    /// The place of that scope in the tree.
    #[inline]
    pub(crate) fn innermost_place(tree: &mut TaskScopes, task: NonNull<Header>) -> Place {
        // SAFETY: its step is under way, so it is alive (R2 in `tasks.rs`), and this is its thread.
        let header = unsafe { task.as_ref() };
        let polled = tree.innermost_polled(task);
        match polled.unwrap_or(header.root.get()) {
            Place::NONE => furnish(tree, task, header),
            place => place,
        }
    }

    /// Notes the waker that a scope is polled with.
    #[inline]
    pub(crate) fn note_waker(&self, key: ScopeKey, task: NonNull<Header>, waker: &Waker) {
        if waker::cell_of(waker) == Some(task) {
            let old = self.scopes.borrow_mut().note_own_waker(key);
            drop(old);
        } else if !self.scopes.borrow().has_waker(key, waker) {
            let waker = waker.clone();
            let old = self.scopes.borrow_mut().set_waker(key, waker);
            drop(old);
        }
    }

    /// A step of a task that is being cancelled, whose state says running: it ends the task, unless a scope
    /// inside of it wants to hear of the request. `polled`: its poll has just returned `Pending`. `None`: the
    /// task goes on, and is parked.
    ///
    /// # Safety
    ///
    /// The caller has the right to poll (C6 in `cell/mod.rs`), and the future has not gone.
    #[cold]
    pub(crate) unsafe fn cancel_step(&self, cell: &CellRef, polled: bool) -> Option<Outcome> {
        // SAFETY: C6, by the caller's promise; each poll below that comes before this has returned `Pending`.
        let end = || Some(self.running(cell, || unsafe { cell.drop_future() }));
        let mut tree = self.scopes.borrow_mut();
        let Some(root) = tree
            .at(cell.root.get())
            .filter(|_| !cell.state.ends_at_once())
        else {
            drop(tree);
            return end();
        };
        if polled {
            tree.clear_yield(root);
        }
        let handled = tree.handled();
        let mut next = if polled {
            tree.after_poll(root, handled, self.steps())
        } else {
            tree.before_poll(root, self.steps())
        };
        drop(tree);
        let mut rounds = 0;
        loop {
            match next {
                Next::Poll(told) => self.wake_told(cell, told),
                Next::End => {
                    self.keep_message(cell);
                    return end();
                }
                Next::Settled(overdue) => {
                    if !self.scopes.borrow().has_request(root) {
                        cell.state.answer();
                    }
                    let overdue = self.scopes.wakers(overdue);
                    self.park_asked(cell);
                    self.wake_told(cell, overdue);
                    return None;
                }
                Next::Wait => {
                    self.park_asked(cell);
                    return None;
                }
                Next::Yield => {
                    self.park_asked(cell);
                    self.wake(cell);
                    return None;
                }
            }
            let handled = self.scopes.borrow().handled();
            // SAFETY: C6, by the caller's promise; every poll so far has returned `Pending`.
            match unsafe { self.poll(cell) } {
                // It was doomed meanwhile: it closed its loop, say.
                Progress::Pending if cell.state.ends_at_once() => return end(),
                Progress::Pending => {
                    rounds += 1;
                    let mut tree = self.scopes.borrow_mut();
                    next = tree.after_round(root, handled, self.steps(), rounds);
                }
                Progress::Ready => return Some(Outcome::Value),
                Progress::Panicked => return Some(Outcome::Panicked),
            }
        }
    }

    /// The budget of the turn has cut a round short in the step under way. Its members were woken before: a request to
    /// the task, or to a scope around the round, that would take effect after this poll waits until they have run.
    #[cold]
    pub(crate) fn put_off_requests(&self) {
        let Some(running) = self.running_step() else {
            return;
        };
        // SAFETY: its step is under way, so it is alive (R2 in `tasks.rs`), and this is its thread.
        let cell = unsafe { CellRef::borrow(&running) };
        let mut tree = self.scopes.borrow_mut();
        let innermost = Self::innermost_in(&mut tree, running);
        if tree.put_off(innermost) {
            cell.state.put_off();
        }
    }

    /// A task that is being cancelled goes on.
    fn park_asked(&self, cell: &CellRef) {
        if cell.state.park() == Pause::Again {
            // SAFETY: its state was running, and it goes on, so it has not ended.
            unsafe { self.enqueue(cell) };
        }
    }

    /// Keeps what was said by whoever cancelled a task that ends of it, for whoever awaits it.
    pub(crate) fn keep_message(&self, cell: &CellRef) {
        let tree = self.scopes.borrow();
        let root = tree.at(cell.root.get());
        let message = root.and_then(|root| tree.last_message(root));
        drop(tree);
        if message.is_some() {
            cell.aside_or_new().keep_message(message);
        }
    }

    /// Wakes scopes that were told, and does not unwind: the step has to be finished.
    fn wake_told(&self, cell: &CellRef, told: Vec<Waker>) {
        for waker in told {
            self.wake_guarded_waker(cell, waker, "the waker of a cancel scope panicked");
        }
    }
}

/// Takes the scopes of a task that are being polled into the tree, with its root. The place of the innermost.
#[cold]
#[inline(never)]
fn furnish(tree: &mut TaskScopes, task: NonNull<Header>, header: &Header) -> Place {
    let root = match tree.at(header.root.get()) {
        Some(root) => root,
        None => make_root(tree, task, header),
    };
    Place::of(Some(tree.furnish_frames(task, root)))
}

/// The root of a task that had none.
fn make_root(tree: &mut TaskScopes, task: NonNull<Header>, header: &Header) -> ScopeKey {
    let root = tree.insert_root(task);
    header.root.set(Place::of(Some(root)));
    if header.state.is_cancelling() {
        pass_on_requests(tree, root, header);
    }
    root
}

/// Tells the new root of a task of the request that its state notes, and of those that were noted aside.
fn pass_on_requests(tree: &mut TaskScopes, root: ScopeKey, header: &Header) {
    let noted = header.take_requests();
    let origin = noted.origin.unwrap_or(match header.marks.has(Mark::LetGo) {
        true => Origin::LET_GO,
        false => Origin::ANEW,
    });
    // The canceller has woken the task.
    let _ = tree.request(root, false, origin, noted.message);
    tree.count_again(root, noted.further);
}

/// Whether a request of this origin asks anything of a task that was not asked before.
pub(crate) fn is_news(cell: &CellRef, origin: Origin) -> bool {
    if !cell.state.is_cancelling() {
        return true;
    }
    if origin == Origin::LET_GO {
        return false;
    }
    home::of_task(cell, |home| {
        // Without a root, no scope in it has been told of anything: whatever comes is heard as one.
        home.is_some_and(|home| {
            let tree = home.borrow();
            let root = tree.at(cell.root.get());
            root.is_some_and(|root| tree.is_news(root, origin))
        })
    })
}

/// Notes that a task was cancelled, beyond what its state says: at its root; or aside, if there is more to note
/// than the state does. `again`: a request to it was open.
pub(crate) fn note_request(cell: &CellRef, again: bool, origin: Origin, message: Option<Arc<str>>) {
    if cell.root.get() == Place::NONE {
        return cell.aside_or_new().note_request(again, origin, message);
    }
    home::of_task(cell, |home| {
        let Some(home) = home else { return };
        let mut tree = home.borrow_mut();
        if let Some(root) = tree.at(cell.root.get()) {
            // The canceller wakes the task.
            let _ = tree.request(root, false, origin, message);
            if tree.is_unwanted(root) {
                cell.state.refuse_last_poll();
            }
        }
    });
}

/// Nobody can take the value of a task any more, which has been asked to end.
pub(crate) fn refuse_last_poll(cell: &CellRef) {
    home::of_task(cell, |home| {
        let Some(home) = home else { return };
        let mut tree = home.borrow_mut();
        if let Some(root) = tree.at(cell.root.get()) {
            tree.refuse_last_poll(root);
        }
    });
}

/// The same, beyond the last poll that the task has.
pub(crate) fn refuse_later_polls(cell: &CellRef) {
    home::of_task(cell, |home| {
        let Some(home) = home else { return };
        let mut tree = home.borrow_mut();
        if let Some(root) = tree.at(cell.root.get()) {
            tree.refuse_later_polls(root);
        }
    });
}

/// How many requests to cancel a task are open, as its root knows.
pub(crate) fn requests(cell: &CellRef) -> usize {
    home::of_task(cell, |home| {
        let Some(home) = home else { return 0 };
        let tree = home.borrow();
        tree.at(cell.root.get())
            .map_or(0, |root| tree.requests(root))
    })
}

/// A task is over, and its root with it.
#[inline]
pub(crate) fn close_root(cell: &CellRef) {
    if cell.root.get() != Place::NONE {
        close_scopes(cell);
    }
}

#[inline(never)]
fn close_scopes(cell: &CellRef) {
    let root = cell.root.replace(Place::NONE);
    home::of_task(cell, |home| {
        if let Some(home) = home {
            let root = home.borrow().at(root);
            root.into_iter().for_each(|root| home.close_scope(root));
        }
    });
}

/// A scope is dropped, and its work with it, wherever that is. `panicked`: a panic of its work has left it.
#[inline(never)]
pub(crate) fn drop_scope(key: ScopeKey, panicked: bool, mut drop_work: impl FnMut()) {
    struct End(ScopeKey, bool);
    impl Drop for End {
        fn drop(&mut self) {
            home::of_scope(self.0, |home| match home {
                Some(home) if self.1 => home.complete_scope(self.0),
                Some(home) => home.end_drop(self.0),
                None => {}
            });
        }
    }
    let begin = |home: Option<&home::Home>| home.is_some_and(|home| home.begin_drop(key));
    // After a panic the tokens of the work go first, and what they let go is passed on.
    if panicked || home::of_scope(key, begin) {
        let _end = End(key, panicked);
        drop_work();
    }
}

/// A scope is over, as whoever drops it finds, wherever that is.
#[inline(never)]
pub(crate) fn close(key: ScopeKey) {
    home::of_scope(key, |home| {
        if let Some(home) = home {
            home.close_scope(key);
        }
    });
}
