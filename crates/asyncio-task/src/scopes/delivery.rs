//! The changes of a loop's cancel scopes, and what comes of them: tasks and wakers are woken, states change.
//!
//! - **S2** The tree is never borrowed while anything foreign runs: futures, wakers, destructors.

use std::sync::Arc;
use std::task::Waker;

use crate::cancel::{Effect, Origin, Resolution, ScopeKey};
use crate::cell::cell_ref::LocalRef;
use crate::cell::state::LastPoll;
use crate::cell::waker;
use crate::engine::current;
use crate::scopes::loop_scopes::LoopScopes;

type Effects = crate::cancel::Effects<LocalRef>;
type WakeTarget = crate::cancel::WakeTarget<LocalRef>;

impl LoopScopes {
    /// Cancels a scope, on behalf of its handle. `false` if it is over.
    pub(crate) fn cancel_scope(
        &self,
        key: ScopeKey,
        origin: Origin,
        message: Option<Arc<str>>,
        last_poll: LastPoll,
    ) -> bool {
        let woken = last_poll == LastPoll::Allowed && self.is_woken(key);
        let mut tree = self.borrow_mut();
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

    /// Asks a scope to end as soon as it propagates no other request.
    pub(crate) fn cancel_scope_when_free(
        &self,
        key: ScopeKey,
        origin: Origin,
        last_poll: LastPoll,
    ) {
        let mut tree = self.borrow_mut();
        let wake = tree.request_when_free(key, origin);
        if last_poll == LastPoll::Refused {
            tree.refuse_last_poll(key);
        }
        drop(tree);
        self.wake_one(wake);
    }

    /// An observed scope has swallowed the request that it held up, and stays.
    #[cold]
    pub(crate) fn answer_scope(&self, key: ScopeKey) {
        let effects = self.borrow_mut().conclude(key, Resolution::Swallowed);
        self.apply(effects);
    }

    /// The deadline of a scope has come.
    pub(crate) fn expire_scope(&self, key: ScopeKey, polled_once: bool) {
        let woken = polled_once || self.is_woken(key);
        let wake = self.borrow_mut().expire(key, woken);
        self.wake_one(wake);
    }

    /// Whether the task of a scope has been woken and not run since.
    fn is_woken(&self, key: ScopeKey) -> bool {
        let task = self.borrow().task_of(key);
        task.is_some_and(|cell| cell.state.is_scheduled() || cell.is_posted())
    }

    /// A scope is over. If it held up a request, that is still where it came from.
    pub(crate) fn close_scope(&self, key: ScopeKey) {
        self.conclude_scope(key, Resolution::Deferred);
    }

    /// A scope is over. `resolution` is for the request that it held up. `true` if there was one.
    #[inline]
    pub(crate) fn conclude_scope(&self, key: ScopeKey, resolution: Resolution) -> bool {
        let mut tree = self.borrow_mut();
        let effects = tree.is_holding(key).then(|| tree.conclude(key, resolution));
        let rest = tree.remove(key);
        drop(tree);
        let held = effects.is_some();
        if let Some(effects) = effects {
            self.apply(effects);
        }
        // A foreign waker: its destructor may end tasks that nothing holds any more.
        drop(rest);
        held
    }

    /// A scope that a request concerned has come to a value, or a panic has left it.
    #[cold]
    pub(crate) fn complete_scope(&self, key: ScopeKey) {
        let (effects, rest) = self.borrow_mut().complete(key);
        self.apply(effects);
        drop(rest);
    }

    /// A scope is dropped, and then its work. `true` if it is in the tree meanwhile, as a request concerns it.
    /// Otherwise the scopes inside have no enclosing scope any more.
    pub(crate) fn begin_drop(&self, key: ScopeKey) -> bool {
        let is_asked = self.borrow().is_asked(key);
        match is_asked {
            true => self.borrow_mut().begin_drop(key),
            false => self.close_scope(key),
        }
        is_asked
    }

    /// The work of a scope that is dropped has been dropped.
    #[cold]
    pub(crate) fn end_drop(&self, key: ScopeKey) {
        let rest = self.borrow_mut().end_drop(key);
        drop(rest);
    }

    /// Does what came of a change.
    pub(crate) fn apply(&self, effects: Effects) {
        let mut overdue = effects.overdue;
        if let Effect::Answered { task, root, apart } = &effects.effect {
            let (root, apart) = (*root, *apart);
            let state = &task.state;
            let mut tree = self.borrow_mut();
            // If it runs, those that have yet to be heard may be before the end of this poll.
            if !state.is_running() && !tree.is_undecided(root, apart) {
                overdue.extend(tree.settle(root));
            }
            if !tree.has_request(root) {
                state.answer();
            }
        }
        let overdue = self.wakers(overdue);
        match effects.effect {
            Effect::None | Effect::Answered { .. } => {}
            Effect::Wake(target) => self.wake_one(Some(target)),
            Effect::AskedAgain(task) => {
                task.state.ask_again();
                self.wake_unless_running(&task);
            }
            Effect::Propagates(task) => {
                task.state.propagate();
                self.wake_unless_running(&task);
            }
        }
        overdue.into_iter().for_each(Waker::wake);
    }

    /// Wakes a task. If it runs, it sees to what was asked at the end of its poll.
    fn wake_unless_running(&self, cell: &LocalRef) {
        if !cell.state.is_running() {
            self.wake(cell);
        }
    }

    /// Wakers for scopes that are asked to end.
    pub(crate) fn wakers(&self, all: Vec<WakeTarget>) -> Vec<Waker> {
        let waker = |wake| match wake {
            WakeTarget::Task(task) => waker::owned(task),
            WakeTarget::Waker(waker) => waker,
        };
        let wakers: Vec<_> = all.into_iter().map(waker).collect();
        for waker in &wakers {
            waker::span_id_of(waker).note_clone();
        }
        wakers
    }

    /// The task that awaits a task by its handle; `bound`: only if it cannot go on without it.
    pub(crate) fn awaiting_task(&self, cell: &LocalRef, bound: bool) -> Option<LocalRef> {
        let tree = self.borrow();
        let key = tree.at(cell.awaiting())?;
        if bound && !tree.is_bound(key) {
            return None;
        }
        tree.task_of(key)
    }

    /// The task that an observed scope holds.
    pub(crate) fn holding_task(&self, key: ScopeKey) -> Option<LocalRef> {
        let tree = self.borrow();
        tree.is_bound(key).then(|| tree.task_of(key)).flatten()
    }

    fn wake_one(&self, wake: Option<WakeTarget>) {
        match wake {
            Some(WakeTarget::Task(task)) => self.wake(&task),
            Some(WakeTarget::Waker(waker)) => waker.wake(),
            None => {}
        }
    }

    /// Wakes a task that lives here.
    fn wake(&self, cell: &LocalRef) {
        current::tasks(
            |tasks| match tasks.filter(|tasks| tasks.owner() == self.owner) {
                Some(tasks) => tasks.wake(cell),
                None => cell.post_wake(),
            },
        );
    }
}

/// Calls `f` with the scopes of the loop that has this one, wherever that is; `None` if the scope is over, or its loop
/// gone.
#[inline]
pub(crate) fn of_scope<R>(key: ScopeKey, f: impl FnOnce(Option<&LoopScopes>) -> R) -> R {
    current::tasks(|tasks| match tasks {
        Some(tasks) if tasks.scopes.borrow().contains(key) => f(Some(&tasks.scopes)),
        _ => f(current::find_scopes(|scopes| scopes.borrow().contains(key)).as_deref()),
    })
}

/// Calls `f` with the scopes of a task's loop, wherever that is; `None` if that is gone.
#[inline]
pub(crate) fn of_task<R>(cell: &LocalRef, f: impl FnOnce(Option<&LoopScopes>) -> R) -> R {
    current::tasks(|tasks| match tasks {
        Some(tasks) if cell.is_owned_by(tasks.owner()) => f(Some(&tasks.scopes)),
        _ => f(current::find_scopes(|scopes| cell.is_owned_by(scopes.owner)).as_deref()),
    })
}
