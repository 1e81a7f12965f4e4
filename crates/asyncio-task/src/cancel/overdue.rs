//! Deadlines that come while they cannot be acted on.
//!
//! A deadline interrupts nothing while its scope propagates a request. If that request is answered, the
//! work goes on, and its time is over all the same: the deadline is acted on then. Until then the scope is
//! *due*, and waits at its *obstacle*, the innermost of these:
//! - itself, while a token holds it, or holds a scope inside against a request that siblings hold against as well. It
//!   is looked at again when the last token goes ([`ScopeTree::answer`]);
//! - a scope with an open request, itself included: looked at again when that is [settled](ScopeTree::settle);
//! - an enclosing scope that is due as well and that nothing holds. It is asked in place of this one, because of
//!   several limits the outermost reports. It goes on from there as from any scope with an open request.
//!
//! So each look costs the way to the next obstacle, and of many limits one inside the other only the outermost
//! one's goes far.

use super::node::{Node, Unresolved};
use super::{Origin, Request, ScopeKey, ScopeTree, Task, WakeTarget};

impl<T: Task> ScopeTree<T> {
    /// The deadline of a scope has come. While the scope propagates a request already, that interrupts nothing, and is
    /// noted.
    pub(crate) fn expire(&mut self, key: ScopeKey, woken: bool) -> Option<WakeTarget<T>> {
        let Some(obstacle) = self.obstacle(key) else {
            if let Some(node) = self.get_mut(key).filter(|node| node.cancel.is_some()) {
                node.state_mut().due = None;
            }
            if self.of_this_moment == 0 {
                self.of_this_moment = self.next_request();
            }
            // All deadlines of one moment make one request, so the order in which they were armed makes no difference.
            return self.request(key, woken, Origin::of(self.of_this_moment), None);
        };
        let before = self.get_mut(key)?.state_mut().due.replace(obstacle);
        if obstacle != key && before != Some(obstacle) {
            self.wait_at(obstacle, key);
        }
        None
    }

    /// Asks a scope to end, and interrupts nothing: while it propagates a request already, this waits as a deadline
    /// does.
    pub(crate) fn request_when_free(
        &mut self,
        key: ScopeKey,
        origin: Origin,
    ) -> Option<WakeTarget<T>> {
        match self.obstacle(key) {
            Some(_) => self.expire(key, false),
            None => self.request(key, false, origin, None),
        }
    }

    /// The scope that keeps the deadline of a scope from being acted on.
    pub(crate) fn obstacle(&self, key: ScopeKey) -> Option<ScopeKey> {
        let mut held_against = 0;
        // The request that tokens of siblings hold against: this scope may have got it as they have.
        let mut masked = 0;
        let mut next = Some(key);
        while let Some(here) = next {
            let node = self.get(here)?;
            if here == key && node.state().tokens.request() > 0 {
                return Some(key);
            }
            held_against = held_against.max(node.state().tokens.request());
            // The scopes that a cleanup opens have limits of their own.
            let is_due = here != key && node.state().due.is_some() && held_against == 0;
            if is_due || node.state().open() > held_against {
                return Some(here);
            }
            masked = masked.max(node.state().open());
            next = node.parent.filter(|&parent| !self.is_observed(parent));
        }
        (masked > 0 && self.is_concerned(key, masked)).then_some(key)
    }

    /// Whether anything in a scope has got a request and is not done with it.
    pub(super) fn is_concerned(&self, key: ScopeKey, request: Request) -> bool {
        let is_of = |node: &Node<T>| {
            let asked = [
                node.state().delivered,
                node.state().resumed,
                node.state().holding,
            ];
            asked.contains(&request) || node.state().tokens.requests().any(|held| held == request)
        };
        let Some(node) = self.get(key) else {
            return false;
        };
        if is_of(node) {
            return true;
        }
        let mut to_do = vec![key];
        while let Some(key) = to_do.pop() {
            if self
                .get(key)
                .is_none_or(|node| node.inside == Unresolved::NOTHING)
            {
                continue;
            }
            let mut next = self.get(key).and_then(|node| node.first_child);
            while let Some(child) = next {
                let node = &self.nodes[child as usize];
                if is_of(node) {
                    return true;
                }
                if !node.observed {
                    to_do.push(self.key_of(child));
                }
                next = node.next;
            }
        }
        false
    }

    pub(super) fn wait_at(&mut self, obstacle: ScopeKey, key: ScopeKey) {
        let Some(node) = self.get_mut(obstacle) else {
            return;
        };
        let mut waiting = std::mem::take(&mut node.state_mut().waiting);
        if waiting.len() == waiting.capacity() {
            // Before it grows: those that have ended, or wait elsewhere by now, are of no use.
            waiting.retain(|&key| self.waits_at(key, obstacle));
        }
        waiting.push(key);
        if let Some(node) = self.get_mut(obstacle) {
            node.state_mut().waiting = waiting;
        }
    }

    pub(super) fn waits_at(&self, key: ScopeKey, obstacle: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.state().due == Some(obstacle))
    }

    /// The request to a scope has been settled: looks at those that it stood in the way of.
    pub(super) fn look_at_waiting(&mut self, obstacle: ScopeKey) -> Vec<WakeTarget<T>> {
        let Some(node) = self.get_mut(obstacle).filter(|node| node.cancel.is_some()) else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut node.state_mut().waiting);
        let mut wake = self.look_again([obstacle]);
        for key in waiting {
            if let Some(node) = self
                .get_mut(key)
                .filter(|node| node.state().due == Some(obstacle))
            {
                node.state_mut().due = Some(key); // It is on no list now.
                wake.extend(self.expire(key, false));
            }
        }
        wake
    }

    /// Looks at scopes that may be due, the outermost first: what stood in their way may be gone.
    pub(super) fn look_again(
        &mut self,
        due: impl IntoIterator<Item = ScopeKey>,
    ) -> Vec<WakeTarget<T>> {
        let mut wake = Vec::new();
        for key in due {
            if self.get(key).is_some_and(|node| node.state().due.is_some()) {
                wake.extend(self.expire(key, false));
            }
        }
        wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_comes_again_waits_in_one_place_once() {
        let mut tree = ScopeTree::<u32>::default();
        let root = tree.insert_root(7);
        let limited = tree.insert(Some(root));
        drop(tree.request(root, false, Origin::ANEW, None));
        let waiting = |tree: &ScopeTree<u32>, at| tree.get(at).map(|it| it.state().waiting.len());
        for _ in 0..3 {
            assert!(
                tree.expire(limited, false).is_none(),
                "the task ends anyway"
            );
        }
        assert_eq!(waiting(&tree, root), Some(1));
        // A token holds the scope itself, which is looked at when that goes.
        let held = tree.insert(Some(root));
        let request = tree.last_request(root);
        tree.hold(Some(held), request);
        assert!(tree.expire(held, false).is_none());
        assert_eq!(waiting(&tree, held), Some(0));
    }
}
