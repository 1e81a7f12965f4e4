//! Where tasks and cancel scopes meet: the step of a task that is being cancelled, and what a scope asks of
//! the tasks around it. The rules are those of `scope_tree.rs`.
//!
//! - **S1** A node that names a task is gone before the task's cell is: its root goes at the end of the task
//!   ([`Tasks::close_scopes`]), and the scopes that its future holds go with the future. So a task named by a
//!   node of the tree is alive, and one of these tasks. A scope that outlives the task it was polled by, being
//!   held by something else, is named by no root any more, and a wake-up for it finds a waker of its own.
//! - **S2** The tree is never borrowed while anything foreign runs: futures, wakers, destructors.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::task::Waker;

use crate::cell::{Header, Progress};
use crate::cell_ref::CellRef;
use crate::current;
use crate::marks::Mark;
use crate::origin::Origin;
use crate::scope_tree::{Fate, LetGo, Next, Place, Request, ScopeKey, ScopeTree, ToWake};
use crate::state::{LastPoll, Outcome, Pause};
use crate::tasks::{self, Tasks};
use crate::waker;

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
    #[inline]
    pub(crate) fn innermost_in(tree: &mut ScopeTree, task: NonNull<Header>) -> ScopeKey {
        // SAFETY: its step is under way, so it is alive (R2 in `tasks.rs`), and this is its thread.
        let header = unsafe { task.as_ref() };
        let root = tree.at(header.root.get()).unwrap_or_else(|| {
            let root = tree.insert_root(task);
            header.root.set(Place::of(Some(root)));
            if header.state.is_cancelling() {
                pass_on_requests(tree, root, 1, header);
            }
            root
        });
        tree.innermost(task, root)
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

    /// A scope is over. If it held up a request, that is still where it came from.
    pub(crate) fn close_scope(&self, key: ScopeKey) {
        self.conclude_scope(key, Fate::HeldUp);
    }

    /// A scope is over, and that is what becomes of a request that it held up. Whether it did.
    #[inline]
    pub(crate) fn conclude_scope(&self, key: ScopeKey, fate: Fate) -> bool {
        let mut tree = self.scopes.borrow_mut();
        let let_go = tree.is_holding(key).then(|| tree.conclude(key, fate));
        let rest = tree.remove(key);
        drop(tree);
        let held = let_go.is_some();
        if let Some(let_go) = let_go {
            self.carry_out(let_go);
        }
        // A waker of others: its destructor may end the tasks that were let go.
        drop(rest);
        held
    }

    /// A task is over, and its root with it.
    #[inline]
    pub(crate) fn close_scopes(&self, cell: &CellRef) {
        let root = cell.root.replace(Place::NONE);
        if root != Place::NONE {
            let root = self.scopes.borrow().at(root);
            root.into_iter().for_each(|root| self.close_scope(root));
        }
    }

    /// Somebody cancels a scope.
    pub(crate) fn cancel_scope(
        &self,
        key: ScopeKey,
        origin: Origin,
        message: Option<Arc<str>>,
        last_poll: LastPoll,
    ) -> bool {
        let woken = last_poll == LastPoll::Allowed && self.is_woken(key);
        let mut tree = self.scopes.borrow_mut();
        if !tree.contains(key) {
            return false;
        }
        let wake = tree.request(key, woken, origin, message);
        if last_poll == LastPoll::Refused {
            tree.refuse_last_poll(key);
        }
        drop(tree);
        self.wake_one(wake);
        true
    }

    /// Nobody can take the value of a task any more, which has been asked to end.
    pub(crate) fn refuse_last_poll(&self, cell: &CellRef) {
        let mut tree = self.scopes.borrow_mut();
        if let Some(root) = tree.at(cell.root.get()) {
            tree.refuse_last_poll(root);
        }
    }

    /// The deadline of a scope has come.
    pub(crate) fn expire_scope(&self, key: ScopeKey, polled_once: bool) {
        let woken = polled_once || self.is_woken(key);
        let wake = self.scopes.borrow_mut().expire(key, woken);
        self.wake_one(wake);
    }

    /// Whether the task of a scope has been woken and not run since.
    fn is_woken(&self, key: ScopeKey) -> bool {
        let task = self.scopes.borrow().task_of(key);
        // SAFETY: S1.
        task.is_some_and(|task| unsafe { task.as_ref() }.state.is_scheduled())
    }

    /// Lets a token go.
    pub(crate) fn let_go(
        &self,
        holder: Option<ScopeKey>,
        request: Request,
        fate: Fate,
        message: Option<Arc<str>>,
    ) {
        let mut tree = self.scopes.borrow_mut();
        let let_go = tree.let_go(holder, request, fate);
        if let (Some(holder), Some(message), true) = (holder, message, fate != Fate::Swallowed) {
            tree.remind(holder, message);
        }
        drop(tree);
        self.carry_out(let_go);
    }

    /// Sees to what came of letting go, before anything foreign runs (S1).
    pub(crate) fn carry_out(&self, let_go: LetGo) {
        if let Some((task, root)) = let_go.answered {
            // SAFETY: S1.
            let state = &unsafe { task.as_ref() }.state;
            let mut tree = self.scopes.borrow_mut();
            // If it runs, those who have yet to be heard may be before the end of this poll.
            if !state.is_running() {
                tree.settle(root);
            }
            if !tree.has_request(root) {
                state.answer();
            }
        }
        if let Some(task) = let_go.asked_again {
            // SAFETY: S1.
            let cell = unsafe { CellRef::borrow(&task) };
            cell.state.ask_again();
            if !cell.state.is_running() {
                self.wake(cell);
            }
        }
        if let Some(task) = let_go.unwinds {
            // SAFETY: S1.
            let cell = unsafe { CellRef::borrow(&task) };
            cell.state.unwind();
            // If it runs, it sees to it at the end of this poll.
            if !cell.state.is_running() {
                self.wake(cell);
            }
        }
        self.wake_one(let_go.wake);
    }

    fn wake_one(&self, wake: Option<ToWake>) {
        match wake {
            // SAFETY: S1, and nothing foreign has run since.
            Some(ToWake::Task(task)) => self.wake(unsafe { CellRef::borrow(&task) }),
            Some(ToWake::Waker(waker)) => waker.wake(),
            None => {}
        }
    }

    /// A step of a task that is being cancelled, whose state says running: it ends the task, unless a scope
    /// inside of it wants to hear of the request. `polled`: its poll has just returned `Pending`. `None`: the
    /// task goes on, and is parked.
    #[cold]
    pub(crate) fn cancel_step(&self, cell: &CellRef, polled: bool) -> Option<Outcome> {
        let end = || Some(self.running(cell, || cell.drop_future()));
        let mut tree = self.scopes.borrow_mut();
        let Some(root) = tree
            .at(cell.root.get())
            .filter(|_| !cell.state.ends_at_once())
        else {
            drop(tree);
            return end();
        };
        pass_on_requests(&mut tree, root, 0, cell); // those made while these tasks did not run
        if polled {
            tree.take_up(root);
        }
        let acts = tree.acts();
        let mut next = if polled {
            tree.after_poll(root, acts)
        } else {
            tree.before_poll(root)
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
                Next::Wait | Next::Answered | Next::PutOff => {
                    if let Next::Answered = next {
                        cell.state.answer();
                    }
                    if cell.state.park() == Pause::Again {
                        self.enqueue(cell);
                    }
                    if let Next::PutOff = next {
                        self.wake(cell);
                    }
                    return None;
                }
            }
            let acts = self.scopes.borrow().acts();
            match self.running(cell, || cell.poll()) {
                // It was doomed meanwhile: it closed its loop, say.
                Progress::Pending if cell.state.ends_at_once() => return end(),
                Progress::Pending => {
                    rounds += 1;
                    next = self.scopes.borrow_mut().after_round(root, acts, rounds);
                }
                Progress::Ready => return Some(Outcome::Value),
                Progress::Panicked => return Some(Outcome::Panicked),
            }
        }
    }

    /// Keeps what was said by whoever cancelled a task that ends of it, for whoever awaits it.
    pub(crate) fn keep_message(&self, cell: &CellRef) {
        let tree = self.scopes.borrow();
        let root = tree.at(cell.root.get());
        let message = root.and_then(|root| tree.message(root));
        drop(tree);
        if message.is_some() {
            cell.aside_or_new().keep_message(message);
        }
    }

    /// How many requests to cancel a task are open; it has a root.
    pub(crate) fn requests(&self, cell: &CellRef) -> usize {
        let tree = self.scopes.borrow();
        tree.at(cell.root.get())
            .map_or(0, |root| tree.requests(root))
    }

    /// Wakes scopes that were told, and does not unwind: the step has to be finished.
    fn wake_told(&self, cell: &CellRef, told: Vec<Waker>) {
        for waker in told {
            self.wake_guarded_waker(cell, waker, "the waker of a cancel scope panicked");
        }
    }
}

/// Tells the root of a task of requests that were noted aside, and of so many more.
fn pass_on_requests(tree: &mut ScopeTree, root: ScopeKey, more: usize, header: &Header) {
    let noted = header.take_requests();
    let count = noted.further.saturating_add(more);
    if count > 0 {
        let origin = noted.origin.unwrap_or(match header.marks.has(Mark::LetGo) {
            true => Origin::LET_GO,
            false => Origin::ANEW,
        });
        // Whoever cancelled it has woken it.
        let _ = tree.request(root, false, origin, noted.message);
        tree.count_again(root, count - 1);
    }
}

/// Whether a request of this origin asks anything of a task that was not asked before.
pub(crate) fn is_news(cell: &CellRef, origin: Origin) -> bool {
    if !cell.state.is_cancelling() {
        return true;
    }
    if origin == Origin::LET_GO {
        return false;
    }
    tasks::of(cell, |tasks| {
        let Some(tasks) = tasks else { return true };
        let tree = tasks.scopes.borrow();
        // Without a root, no scope in it has been told of anything: whatever comes is heard as one.
        let root = tree.at(cell.root.get());
        root.is_some_and(|root| tree.is_news(root, origin))
    })
}

/// Notes that a task was cancelled, beyond what its state says: at its root; or aside, if there is more to note
/// than the state does. `again`: a request to it was open.
pub(crate) fn note_request(cell: &CellRef, again: bool, origin: Origin, message: Option<Arc<str>>) {
    if cell.root.get() == Place::NONE {
        return cell.aside_or_new().note_request(again, origin, message);
    }
    tasks::of(cell, |tasks| {
        let Some(tasks) = tasks else {
            return cell.aside_or_new().note_request(true, origin, message);
        };
        let mut tree = tasks.scopes.borrow_mut();
        if let Some(root) = tree.at(cell.root.get()) {
            // Whoever cancels wakes it.
            let _ = tree.request(root, false, origin, message);
            if tree.is_unwanted(root) {
                cell.state.refuse_last_poll();
            }
        }
    });
}

/// A scope is over, as whoever drops it finds, with or without tasks that run here.
#[inline(never)]
pub(crate) fn close(key: ScopeKey) {
    current::tasks(|tasks| {
        if let Some(tasks) = tasks {
            tasks.close_scope(key);
        }
    });
}
