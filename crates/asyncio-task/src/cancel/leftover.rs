//! Scopes that are over while a request to them is not.
//!
//! A token may leave the scope that it holds: the work returns it, or keeps it elsewhere. A scope that is over stays in
//! the tree as long as tokens hold it, as a *leftover*. It holds its enclosing scope, and passes the resolution of its
//! tokens on. So a request is never delivered anew because its token has left a scope, and a token holds its enclosing
//! scope wherever it is.
//!
//! A request that was resumed inside, and that the scope has not handled, goes on to the enclosing scope.
//!
//! Only a request to an enclosing scope matters: a request to the scope itself is spent.

use super::node::Wakes;
use super::{DropLater, Effects, Request, Resolution, ScopeKey, ScopeTree, Task};

impl<T: Task> ScopeTree<T> {
    /// Whether any request ever concerned a scope.
    #[inline]
    pub(crate) fn is_asked(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.cancel.is_some())
    }

    /// A scope has come to a value, or a panic has left it.
    pub(crate) fn complete(&mut self, key: ScopeKey) -> (Effects<T>, Option<DropLater<T>>) {
        let Some(node) = self.get(key) else {
            return (Effects::NONE, None);
        };
        let (held, resumed) = (node.state().tokens.request(), node.state().resumed);
        let around = node.parent.filter(|&parent| !self.is_observed(parent));
        let Some(around) = around else {
            return (Effects::NONE, self.remove(key));
        };
        if held > 0 {
            return match self.open_up_to(around, held) {
                0 => (Effects::NONE, self.remove(key)),
                request => (Effects::NONE, self.leave_behind(key, around, request)),
            };
        }
        let rest = self.remove(key);
        let effects = match self.open_up_to(around, resumed) {
            0 => Effects::NONE,
            request => self.resume(around, request),
        };
        (effects, rest)
    }

    /// The last request that is open here or further out, up to this one.
    pub(super) fn open_up_to(&self, key: ScopeKey, request: Request) -> Request {
        let open = self.upwards(key).flat_map(|node| {
            let asked = node.state().requests.up_to(request);
            [asked, node.state().deferred, node.state().resumed]
        });
        open.filter(|&open| open <= request).max().unwrap_or(0)
    }

    /// A scope that tokens hold is over. It holds its enclosing scope until they have gone.
    pub(super) fn leave_behind(
        &mut self,
        key: ScopeKey,
        around: ScopeKey,
        request: Request,
    ) -> Option<DropLater<T>> {
        self.unlink_inside(key);
        let wakes = self.change(key, |node| {
            node.leftover = true;
            node.observed = true;
            node.polling = false;
            node.state_mut().delivered = 0;
            node.state_mut().deferred = 0;
            node.state_mut().holding = request;
            std::mem::replace(&mut node.wakes, Wakes::Nobody)
        })?;
        self.hold(Some(around), request);
        Some(DropLater(wakes))
    }

    /// Unlinks all scopes inside of a scope, except those that hold it: leftovers, and observed scopes with a request.
    pub(super) fn unlink_inside(&mut self, key: ScopeKey) {
        let mut next = self.get(key).and_then(|node| node.first_child);
        while let Some(child) = next {
            let node = &self.nodes[child as usize];
            next = node.next;
            if node.state().holding == 0 {
                let child = self.key_of(child);
                self.unlink(child);
            }
        }
    }

    /// The last token of a leftover has gone. Gives its enclosing scope, if that is still there, and its request.
    pub(super) fn end_leftover(&mut self, key: ScopeKey) -> (Option<ScopeKey>, Request) {
        let Some(node) = self.get_mut(key) else {
            return (None, 0);
        };
        let (around, request) = (node.parent, std::mem::take(&mut node.state_mut().holding));
        // It has no waker.
        let _ = self.remove(key);
        (around, request)
    }

    /// A scope is dropped, and then its work. Tokens that go with the work leave the request where it came from.
    pub(crate) fn begin_drop(&mut self, key: ScopeKey) {
        self.unlink_inside(key);
        self.change(key, |node| {
            node.dropping = true;
            node.state_mut().delivered = 0;
        });
    }

    /// The work of a scope that is dropped has been dropped.
    pub(crate) fn end_drop(&mut self, key: ScopeKey) -> Option<DropLater<T>> {
        let node = self.get_mut(key)?;
        node.dropping = false;
        self.change(key, |node| {
            if node.cancel.is_some() {
                node.state_mut().resumed = 0;
            }
        });
        self.complete(key).1
    }

    /// A request whose token a panic has dropped goes on with that panic, in place of the scope that it left.
    pub(crate) fn stand_in(&mut self, around: ScopeKey, request: Request) -> ScopeKey {
        let key = self.insert(Some(around));
        self.change(key, |node| node.state_mut().resumed = request);
        key
    }

    /// Whether a panic that has left this scope takes a request along.
    pub(crate) fn takes_request_along(&self, key: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.state().resumed.max(node.state().deferred) > 0)
    }

    /// The resolution that the tokens of a scope came to together.
    pub(super) fn resolution_of(&mut self, key: ScopeKey, request: Request) -> Resolution {
        if self.get(key).is_none_or(|node| node.cancel.is_none()) {
            return Resolution::Deferred;
        }
        let kept = self.change(key, |node| {
            std::mem::take(&mut node.state_mut().deferred_inside)
        });
        let kept = kept.unwrap_or(0);
        let node = &self.nodes[key.index as usize];
        if node.state().resumed >= request {
            Resolution::Propagated
        } else if kept >= request {
            Resolution::Deferred
        } else {
            Resolution::Swallowed
        }
    }
}
