//! Scopes that are over while something that was asked of them is not.
//!
//! A token may leave the scope that it holds: the work returns it, or keeps it elsewhere. A scope that is over stays
//! in the tree as long as tokens hold it, as a *leftover*: it holds the scope around it, and passes on what its tokens
//! come to. So a request is never told anew because its token has left a scope, and a token holds what is around it
//! wherever it is.
//!
//! A request that was resumed inside, and on which the scope has not acted, goes on to the scope around.
//!
//! Only a request to a scope around matters: one to the scope itself is spent.

use super::{DropLater, Fate, LetGo, Request, ScopeKey, ScopeTree};

impl ScopeTree {
    /// Whether anything was ever asked of a scope.
    #[inline]
    pub(crate) fn is_asked(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.asked.is_some())
    }

    /// A scope has come to a value, or a panic has left it.
    #[must_use]
    pub(crate) fn complete(&mut self, key: ScopeKey) -> (LetGo, Option<DropLater>) {
        let Some(node) = self.get(key) else {
            return (LetGo::default(), None);
        };
        let (held, resumed) = (node.tokens.request(), node.resumed);
        let around = node.parent.filter(|&parent| !self.is_opaque(parent));
        let Some(around) = around else {
            return (LetGo::default(), self.remove(key));
        };
        if held > 0 {
            return match self.open_up_to(around, held) {
                0 => (LetGo::default(), self.remove(key)),
                request => (LetGo::default(), self.leave_behind(key, around, request)),
            };
        }
        let rest = self.remove(key);
        let let_go = match self.open_up_to(around, resumed) {
            0 => LetGo::default(),
            request => self.resume(around, request),
        };
        (let_go, rest)
    }

    /// The last request that is open here or further out, up to this one.
    fn open_up_to(&self, key: ScopeKey, request: Request) -> Request {
        let open = self.upwards(key).flat_map(|node| {
            let asked = node.requests.up_to(request);
            [asked, node.carried, node.resumed]
        });
        open.filter(|&open| open <= request).max().unwrap_or(0)
    }

    /// A scope that tokens hold is over. It holds the one around it until they have gone.
    fn leave_behind(
        &mut self,
        key: ScopeKey,
        around: ScopeKey,
        request: Request,
    ) -> Option<DropLater> {
        self.let_code_go(key);
        let wakes = self.change(key, |node| {
            node.leftover = true;
            node.opaque = true;
            node.polling = false;
            node.told = 0;
            node.holding = request;
            std::mem::take(&mut node.wakes)
        })?;
        self.hold(Some(around), request);
        Some(DropLater(wakes))
    }

    /// Unlinks all that is inside of a scope, but for what holds it: leftovers, and opaque scopes that have heard.
    fn let_code_go(&mut self, key: ScopeKey) {
        let mut next = self.get(key).and_then(|node| node.first_child);
        while let Some(child) = next {
            let node = &self.nodes[child as usize];
            next = node.next;
            if node.holding == 0 {
                let child = self.key_of(child);
                self.unlink(child);
            }
        }
    }

    /// The last token of a leftover has gone. Gives the scope around it, if that is still there, and its request.
    pub(super) fn end_leftover(&mut self, key: ScopeKey) -> (Option<ScopeKey>, Request) {
        let Some(node) = self.get_mut(key) else {
            return (None, 0);
        };
        let (around, request) = (node.parent, std::mem::take(&mut node.holding));
        // It has no waker.
        let _ = self.remove(key);
        (around, request)
    }

    /// A scope is dropped, and then its work. Tokens that go with the work leave the request where it came from.
    pub(crate) fn begin_drop(&mut self, key: ScopeKey) {
        self.let_code_go(key);
        self.change(key, |node| {
            node.dropping = true;
            node.told = 0;
        });
    }

    /// The work of a scope that is dropped has been dropped.
    #[must_use]
    pub(crate) fn end_drop(&mut self, key: ScopeKey) -> Option<DropLater> {
        let node = self.get_mut(key)?;
        node.dropping = false;
        self.change(key, |node| {
            if node.asked.is_some() {
                node.resumed = 0;
            }
        });
        self.complete(key).1
    }

    /// A request that a panic has let go goes on with that panic, in place of the scope that it left.
    pub(crate) fn stand_in(&mut self, around: ScopeKey, request: Request) -> ScopeKey {
        let key = self.insert(Some(around));
        self.change(key, |node| node.resumed = request);
        key
    }

    /// Whether a scope, which a panic has left, was to pass on a request.
    pub(crate) fn has_let_go(&self, key: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.resumed.max(node.carried) > 0)
    }

    /// What the tokens of a scope have come to.
    pub(super) fn fate_of(&mut self, key: ScopeKey, request: Request) -> Fate {
        let Some(node) = self.get_mut(key).filter(|node| node.asked.is_some()) else {
            return Fate::HeldUp;
        };
        let kept = std::mem::take(&mut node.kept);
        if node.resumed >= request {
            Fate::Resumed
        } else if kept >= request {
            Fate::HeldUp
        } else {
            Fate::Swallowed
        }
    }
}
