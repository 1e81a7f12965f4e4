//! The scopes that propagate a request, and the way in which they are made to.

use super::node::Wakes;
use super::{Effect, Effects, Request, ScopeKey, ScopeTree, Task};

impl<T: Task> ScopeTree<T> {
    /// Whether code in `here` is going to be dropped. Then this scope or an enclosing one propagates a request, or will
    /// when all cleanups inside are over. An observed scope in between passes that on, unless it keeps requests out.
    pub(crate) fn is_propagating(&self, here: ScopeKey) -> bool {
        let mut next = Some(here);
        while let Some(node) = next.and_then(|key| self.get(key)) {
            if node.state().resumed > 0 {
                return true;
            }
            next = node.parent.filter(|_| !node.shielded);
        }
        false
    }

    /// [`is_propagating`](Self::is_propagating), if code in `here` has no say before that. A token that holds one of
    /// these scopes may belong to a cleanup that this code is in.
    pub(crate) fn is_ended_without_say(&self, here: ScopeKey) -> bool {
        let mut held_against = 0;
        let mut next = Some(here);
        while let Some(node) = next.and_then(|key| self.get(key)) {
            held_against = held_against.max(node.state().tokens.request());
            if node.state().resumed > held_against {
                return true;
            }
            next = node.parent.filter(|_| !node.shielded);
        }
        false
    }

    /// Whether tokens of `holder` hold code in `here`: it is this scope or an enclosing one, or a leftover in that.
    pub(crate) fn holds_code_in(&self, here: ScopeKey, holder: ScopeKey) -> bool {
        let mut held = Some(holder);
        while let Some(node) = held
            .and_then(|key| self.get(key))
            .filter(|node| node.leftover)
        {
            held = node.parent;
        }
        let mut next = Some(here);
        while let Some(node) = next.and_then(|key| self.get(key)) {
            if next == held {
                return true;
            }
            next = node.parent.filter(|_| !node.shielded);
        }
        false
    }

    /// The enclosing scope that propagated this request already when the code in `key` opened.
    pub(super) fn propagates_around(&self, key: ScopeKey, request: Request) -> Option<ScopeKey> {
        let mut inside = self.get(key)?;
        loop {
            let parent = inside.parent.filter(|_| !inside.observed)?;
            let node = self.get(parent)?;
            let state = node.state();
            if state.resumed >= request && inside.opened_at > state.resumed_at {
                return Some(parent);
            }
            inside = node;
        }
    }

    /// Makes a scope propagate a request although no token held it.
    pub(crate) fn resume(&mut self, key: ScopeKey, request: Request) -> Effects<T> {
        let opened = self.opened;
        let resumed = self.change(key, |node| {
            node.state_mut().resumed = node.state().resumed.max(request);
            node.state_mut().resumed_at = opened;
        });
        match resumed {
            Some(()) => self.propagate(key),
            None => Effects::NONE,
        }
    }

    /// [`resume`](Self::resume), for a request that begins here.
    pub(crate) fn propagate_anew(&mut self, key: ScopeKey) -> Effects<T> {
        let request = self.next_request();
        self.resume(key, request)
    }

    /// A scope propagates its request: it is polled for that, or its task ends.
    pub(super) fn propagate(&mut self, key: ScopeKey) -> Effects<T> {
        // An enclosing scope that is being polled polls it once more.
        self.handled += 1;
        match self.get(key).map(|node| &node.wakes) {
            Some(Wakes::Root(task)) => Effect::Propagates(task.clone()).into(),
            _ => Effects::wake(self.waker_of(key)),
        }
    }
}
