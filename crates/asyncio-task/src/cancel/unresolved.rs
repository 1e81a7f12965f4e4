//! How much is unresolved inside of a scope: the scopes that have not handled a delivered request, and the live tokens.
//!
//! A request that was swallowed is answered once nothing is left inside that may still send it on. Each scope counts
//! that, so that the question costs one look, however many scopes are there.
//!
//! A scope counts in its enclosing scopes up to the first observed one, which is included. Requests from outside do not
//! enter there, so a delivery inside does not matter further out. Each change of the counts walks that way.

use super::node::{Node, Unresolved};
use super::{Request, ScopeKey, ScopeTree, Task};

/// How many scopes inside there may be for debug builds to check the counts.
#[cfg(any(debug_assertions, test))]
const SMALL: usize = 32;

impl<T> Node<T> {
    /// How much a scope adds to the counts of its enclosing scope.
    pub(super) fn share(&self) -> Unresolved {
        let inside = match self.observed {
            true => Unresolved::NOTHING,
            false => self.inside,
        };
        if self.cancel.is_none() {
            return inside;
        }
        Unresolved {
            delivered: inside.delivered + u32::from(self.state().delivered > 0),
            live: inside.live + u32::from(self.is_propagating() || self.is_deferring()),
        }
    }

    /// Whether a request goes on from here as soon as this scope has handled it.
    pub(super) fn is_propagating(&self) -> bool {
        self.state().resumed > self.state().tokens.request()
    }

    /// Whether a request that was deferred is to come to this scope again.
    fn is_deferring(&self) -> bool {
        let state = self.state();
        state.deferred > state.swallowed || state.waits_for_cleanups() > 0
    }
}

impl<T: Task> ScopeTree<T> {
    /// Whether a scope inside has got a request and has not handled it.
    pub(super) fn has_unhandled(&self, key: ScopeKey) -> bool {
        #[cfg(debug_assertions)]
        self.check_counts(key);
        self.get(key).is_some_and(|node| node.inside.delivered > 0)
    }

    /// Whether a token inside may still send on the requests after `spared` that were swallowed. `apart`: so many
    /// tokens inside are of earlier requests.
    pub(super) fn has_live(&self, key: ScopeKey, apart: u32) -> bool {
        #[cfg(debug_assertions)]
        self.check_counts(key);
        self.get(key).is_some_and(|node| node.inside.live > apart)
    }

    /// Changes a scope, and the counts around it.
    pub(super) fn change<R>(
        &mut self,
        key: ScopeKey,
        change: impl FnOnce(&mut Node<T>) -> R,
    ) -> Option<R> {
        let node = self.get_mut(key)?;
        let before = node.share();
        let result = change(node);
        let (after, parent) = (node.share(), node.parent);
        self.recount(parent, before, after);
        Some(result)
    }

    /// Takes from a scope the request that was delivered to it; 0 if there is none.
    pub(super) fn take_delivered(&mut self, key: ScopeKey) -> Request {
        match self.get(key).is_some_and(|node| node.state().delivered > 0) {
            true => self
                .change(key, |node| std::mem::take(&mut node.state_mut().delivered))
                .unwrap_or(0),
            false => 0,
        }
    }

    /// Changes the counts of the enclosing scopes: the part that was `before` is now `after`.
    pub(super) fn recount(
        &mut self,
        around: Option<ScopeKey>,
        before: Unresolved,
        after: Unresolved,
    ) {
        let mut next = around.filter(|_| before != after);
        while let Some(node) = next.and_then(|key| self.get_mut(key)) {
            node.inside.replace(before, after);
            next = node.parent.filter(|_| !node.observed);
        }
    }

    #[cfg(any(debug_assertions, test))]
    pub(super) fn check_counts(&self, key: ScopeKey) {
        if !self.contains(key) {
            return;
        }
        let (mut inside, mut seen) = (Unresolved::NOTHING, 0);
        let mut to_do = vec![key];
        while let Some(key) = to_do.pop() {
            let node = &self.nodes[key.index as usize];
            inside.live += node.state().tokens.len();
            let mut next = node.first_child;
            while let Some(child) = next {
                seen += 1;
                if seen > SMALL {
                    return;
                }
                let node = &self.nodes[child as usize];
                next = node.next;
                inside.delivered += u32::from(node.state().delivered > 0);
                inside.live += u32::from(node.is_propagating() || node.is_deferring());
                if !node.observed {
                    to_do.push(self.key_of(child));
                }
            }
        }
        assert_eq!(self.nodes[key.index as usize].inside, inside);
    }
}
