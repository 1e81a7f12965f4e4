//! Where tasks and cancel scopes meet: the step of a task that is being cancelled, and what a scope asks of
//! the tasks around it. The rules are those of `cancel/mod.rs`.
//!
//! S2 is in `delivery.rs`.

pub(crate) mod awaits;
pub(crate) mod branch;
pub(crate) mod cancelled;
pub(crate) mod delivery;
#[cfg(all(test, not(loom)))]
mod effort;
pub(crate) mod listener;
pub(crate) mod loop_scopes;
pub(crate) mod propagation;
pub(crate) mod scope;
pub(crate) mod scope_state;

use std::task::Waker;

use crate::cancel::{Next, Origin, Place, Request, ScopeKey, Task};
use crate::cell::cell_ref::{Ended, LocalRef, Polled, Running};
use crate::cell::marks::Mark;
use crate::cell::waker;
use crate::engine::current;
use crate::engine::local::Local;
use crate::scopes::delivery::{of_scope, of_task};
use crate::scopes::loop_scopes::{LoopScopes, TaskScopes};

impl Local {
    /// The scope that code here and now is in, in the step of that task.
    pub(crate) fn innermost_scope(&self, task: &LocalRef) -> ScopeKey {
        Self::innermost_in(&mut self.scopes.borrow_mut(), task)
    }

    /// The same, for code that has borrowed the tree.
    pub(crate) fn innermost_in(tree: &mut TaskScopes, task: &LocalRef) -> ScopeKey {
        let place = Self::innermost_place(tree, task);
        tree.at(place).expect("the innermost scope is in the tree")
    }

    /// The place of that scope in the tree.
    #[inline]
    pub(crate) fn innermost_place(tree: &mut TaskScopes, task: &LocalRef) -> Place {
        let polled = tree.innermost_polled(task.id());
        match polled.unwrap_or(task.root()) {
            Place::NONE => furnish(tree, task),
            place => place,
        }
    }

    /// Notes the waker that a scope is polled with.
    #[inline]
    pub(crate) fn note_waker(&self, key: ScopeKey, task: &LocalRef, waker: &Waker) {
        if waker::is_of(waker, task) {
            let old = self.scopes.borrow_mut().note_own_waker(key);
            drop(old);
        } else if !self.scopes.borrow().has_waker(key, waker) {
            let waker = waker.clone();
            let old = self.scopes.borrow_mut().set_waker(key, waker);
            drop(old);
        }
    }

    /// A step of a task that is being cancelled: it ends the task, unless a scope inside of it handles the request.
    /// `polled`: its poll has just returned `Pending`. `None`: the task goes on, and is parked.
    #[cold]
    pub(crate) fn cancel_step(&self, running: Running, polled: bool) -> Option<Ended> {
        let mut running = running;
        let mut tree = self.scopes.borrow_mut();
        let root = tree.at(running.root());
        if let Some(root) = root.filter(|_| !running.state.ends_at_once()) {
            let mut next = match polled {
                true => {
                    tree.clear_yield(root);
                    let handled = tree.handled();
                    tree.after_poll(root, handled, self.turn.steps(), 0)
                }
                false => tree.before_poll(root, self.turn.steps()),
            };
            drop(tree);
            let mut rounds = 0;
            loop {
                match next {
                    Next::Poll(reached) => self.wake_reached(&running, reached),
                    Next::End => break,
                    Next::Settled(overdue) => {
                        if !self.scopes.borrow().has_request(root) {
                            running.state.answer();
                        }
                        let overdue = self.scopes.wakers(overdue);
                        let cell = LocalRef::clone(&running);
                        self.ready.park(running);
                        self.wake_reached(&cell, overdue);
                        return None;
                    }
                    Next::Wait => {
                        self.ready.park(running);
                        return None;
                    }
                    Next::Yield => {
                        let cell = LocalRef::clone(&running);
                        self.ready.park(running);
                        self.wake(&cell);
                        return None;
                    }
                }
                let handled = self.scopes.borrow().handled();
                running = match self.poll(running) {
                    Polled::Pending(pending) => pending,
                    Polled::Ended(ended) => return Some(ended),
                };
                if running.state.ends_at_once() {
                    break; // it was doomed meanwhile: it closed its loop, say
                }
                rounds += 1;
                let mut tree = self.scopes.borrow_mut();
                next = tree.after_poll(root, handled, self.turn.steps(), rounds);
            }
        } else {
            drop(tree);
        }
        // The request has come to its target.
        let tree = self.scopes.borrow();
        let cause = match root {
            Some(root) => tree.last_request(root),
            None => Self::request_passed_on(&tree, &running),
        };
        let message = root.and_then(|root| tree.last_message(root));
        drop(tree);
        self.scopes.note_cause(cause, self.turn.steps());
        if message.is_some() {
            running.extra_or_new().keep_message(message);
        }
        Some(self.drop_future(running))
    }

    /// The request that ends a task without scopes: that which the awaiting task, or its group, has passed on to it.
    fn request_passed_on(tree: &TaskScopes, task: &LocalRef) -> Request {
        let heard_by = tree.at(task.awaiting());
        let heard_by = heard_by.or_else(|| task.child_queue()?.heard_by());
        heard_by.map_or(0, |key| tree.request_heard(key))
    }

    /// The budget of the turn has cut a round short in the step under way. Its members were woken before. A request
    /// that would take effect after this poll, on the task or on a scope that encloses the round, waits until they have
    /// run.
    #[cold]
    pub(crate) fn put_off_requests(&self) {
        self.step.with(|task| {
            let Some(task) = task else { return };
            let mut tree = self.scopes.borrow_mut();
            let innermost = Self::innermost_in(&mut tree, task);
            if tree.put_off(innermost) {
                task.state.put_off();
            }
        });
    }

    /// Wakes scopes that a delivery has reached, and does not unwind: the step has to be finished.
    fn wake_reached(&self, cell: &LocalRef, reached: Vec<Waker>) {
        for waker in reached {
            self.wake_guarded_waker(cell, waker, "the waker of a cancel scope panicked");
        }
    }
}

/// Takes the scopes of a task that are being polled into the tree, with its root. The place of the innermost.
#[cold]
#[inline(never)]
fn furnish(tree: &mut TaskScopes, task: &LocalRef) -> Place {
    let root = match tree.at(task.root()) {
        Some(root) => root,
        None => make_root(tree, task),
    };
    Place::of(Some(tree.furnish_frames(task.id(), root)))
}

/// The root of a task that had none.
fn make_root(tree: &mut TaskScopes, task: &LocalRef) -> ScopeKey {
    let root = tree.insert_root(task.clone());
    task.set_root(Place::of(Some(root)));
    if task.state.is_cancelling() {
        pass_on_requests(tree, root, task);
    }
    root
}

/// Tells the new root of a task of the request that its state notes, and of those that were noted in its extra part.
fn pass_on_requests(tree: &mut TaskScopes, root: ScopeKey, task: &LocalRef) {
    let noted = task.take_requests();
    let origin = noted
        .origin
        .unwrap_or(match task.marks.has(Mark::Unneeded) {
            true => Origin::UNNEEDED,
            false => Origin::ANEW,
        });
    // The canceller has woken the task.
    let _ = tree.request(root, false, origin, noted.message);
    tree.count_again(root, noted.further);
}

/// A task is to end when the request that it propagates is answered.
#[cold]
pub(crate) fn note_overdue(cell: &LocalRef, origin: Origin) {
    of_task(cell, |scopes| {
        let Some(scopes) = scopes else { return };
        let mut tree = scopes.borrow_mut();
        let root = tree.at(cell.root());
        let root = root.unwrap_or_else(|| make_root(&mut tree, cell));
        let wake = tree.request_when_free(root, origin);
        drop(tree);
        debug_assert!(wake.is_none(), "it propagates a request");
    });
}

/// Whether a request of this origin asks anything of a task that was not asked before.
pub(crate) fn is_news(cell: &LocalRef, origin: Origin) -> bool {
    if !cell.state.is_cancelling() {
        return true;
    }
    // Without a root, nothing was delivered to a scope in it: all requests until then arrive as one.
    !origin.is_unneeded()
        && with_root(cell, |tree, root| tree.is_news(root, origin)).unwrap_or(false)
}

/// Calls `f` with the tree and the root of a task, wherever its loop is. `None`: it has no root, or its loop is gone.
pub(crate) fn with_root<R>(
    cell: &LocalRef,
    f: impl FnOnce(&mut TaskScopes, ScopeKey) -> R,
) -> Option<R> {
    if cell.root() == Place::NONE {
        return None;
    }
    of_task(cell, |scopes| {
        let mut tree = scopes?.borrow_mut();
        let root = tree.at(cell.root())?;
        Some(f(&mut tree, root))
    })
}

/// The origin of a request to a task whose handle is dropped here and now: perhaps a request has ended this code.
pub(crate) fn origin_of_drop(cell: &LocalRef) -> Origin {
    let cause = current::of(cell, |tasks| {
        let tasks = tasks?;
        tasks.scopes.cause(tasks.turn.steps())
    });
    Origin::unneeded_by(cause.unwrap_or(0))
}

/// A task is over, and its root with it.
#[inline]
pub(crate) fn close_root(cell: &LocalRef) {
    if cell.root() != Place::NONE {
        close_scopes(cell);
    }
}

#[inline(never)]
fn close_scopes(cell: &LocalRef) {
    let root = cell.take_root();
    of_task(cell, |scopes| {
        if let Some(scopes) = scopes {
            let root = scopes.borrow().at(root);
            root.into_iter().for_each(|root| scopes.close_scope(root));
        }
    });
}

/// A scope is dropped, and its work with it, wherever that is. `panicked`: a panic of its work has left it.
#[inline(never)]
pub(crate) fn drop_scope(key: ScopeKey, panicked: bool, mut drop_work: impl FnMut()) {
    struct End(ScopeKey, bool);
    impl Drop for End {
        fn drop(&mut self) {
            of_scope(self.0, |scopes| match scopes {
                Some(scopes) if self.1 => scopes.complete_scope(self.0),
                Some(scopes) => scopes.end_drop(self.0),
                None => {}
            });
        }
    }
    let begin = |scopes: Option<&LoopScopes>| scopes.is_some_and(|scopes| scopes.begin_drop(key));
    // After a panic the tokens of the work go first, and what they let go is passed on.
    if panicked || of_scope(key, begin) {
        let _end = End(key, panicked);
        drop_work();
    }
}

/// A scope is over, as its drop finds, wherever that is.
#[inline(never)]
pub(crate) fn close(key: ScopeKey) {
    of_scope(key, |scopes| {
        if let Some(scopes) = scopes {
            scopes.close_scope(key);
        }
    });
}
