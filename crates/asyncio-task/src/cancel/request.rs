//! Move 1: a request is noted at its target. The open requests, and the scopes that they are open for.

use std::sync::Arc;

use super::node::Node;
use super::{Origin, Place, Request, ScopeKey, ScopeTree, Task, WakeTarget};

impl<T: Task> ScopeTree<T> {
    pub(super) fn next_request(&mut self) -> Request {
        self.last_request += 1;
        self.last_request
    }

    /// The origin of a request that begins here and goes to several.
    pub(crate) fn new_origin(&mut self) -> Origin {
        Origin::of(self.next_request())
    }

    /// Whether a request of this origin asks anything of a scope that was not asked before.
    pub(crate) fn is_news(&self, key: ScopeKey, origin: Origin) -> bool {
        self.get(key).is_some_and(|node| {
            node.state()
                .requests
                .origin()
                .is_none_or(|before| before.is_older_than(origin))
        })
    }

    /// Notes a request at its target. `woken`: the task was woken already.
    pub(crate) fn request(
        &mut self,
        key: ScopeKey,
        woken: bool,
        origin: Origin,
        message: Option<Arc<str>>,
    ) -> Option<WakeTarget<T>> {
        if !self.is_news(key, origin) {
            return None;
        }
        let request = self.number_of(key, origin)?;
        let node = self.get_mut(key)?;
        node.state_mut()
            .requests
            .push(request, origin.settled(request), message);
        node.state_mut().latest = request;
        node.state_mut().last_chance |= woken && !node.polling && !node.state().unwanted;
        if node.state().requests.is_full() {
            self.merge_requests(key);
        }
        self.waker_of(key)
    }

    /// The number of a new request to a scope: that of its cause, unless the scope has had a later one. The drop of a
    /// handle is not passed on, so it comes late if a scope inside has had a later request.
    fn number_of(&mut self, key: ScopeKey, origin: Origin) -> Option<Request> {
        let node = self.get(key)?;
        let last = node.state().unanswered().max(node.state().latest);
        let continued = origin.number().filter(|&number| {
            number > last && !(origin.is_unneeded() && self.has_later_inside(key, number))
        });
        Some(continued.unwrap_or_else(|| self.next_request()))
    }

    /// Whether a scope inside has had a request after this one. Its token would answer for this one as well.
    fn has_later_inside(&self, key: ScopeKey, request: Request) -> bool {
        let mut to_do = vec![key];
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            while let Some(child) = next {
                let node = &self.nodes[child as usize];
                if node.state().latest.max(node.state().last_delivered) > request {
                    return true;
                }
                to_do.push(self.key_of(child));
                next = node.next;
            }
        }
        false
    }

    /// The last request to a root was made so many times more.
    pub(crate) fn count_again(&mut self, root: ScopeKey, times: usize) {
        if let Some(node) = self.get_mut(root).filter(|_| times > 0) {
            node.state_mut().requests.count_again(times);
        }
    }

    /// Forgets which of the earlier requests to a scope came when, as far as no token makes a difference.
    #[cold]
    pub(super) fn merge_requests(&mut self, root: ScopeKey) {
        let (mut to_do, mut marks, mut seen) = (vec![root], Vec::new(), 0);
        while let Some(key) = to_do.pop() {
            let Some(node) = self.get(key) else { continue };
            seen += 1;
            if let Some(asked) = &node.cancel {
                marks.extend(asked.marks());
            }
            let mut next = node.first_child;
            while let Some(child) = next {
                to_do.push(self.key_of(child));
                next = self.nodes[child as usize].next;
            }
        }
        if let Some(node) = self.get_mut(root) {
            node.state_mut().requests.merge(marks, seen);
        }
    }

    /// Takes back the last poll that a request left, as the value of the scope has no taker any more.
    pub(crate) fn refuse_last_poll(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key) {
            node.state_mut().unwanted = true;
            node.state_mut().last_chance = false;
        }
    }

    /// [`refuse_last_poll`](Self::refuse_last_poll), beyond the last poll that the scope has.
    pub(crate) fn refuse_later_polls(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key) {
            node.state_mut().unwanted = true;
        }
    }

    /// Whether the value of a scope has no taker any more.
    pub(crate) fn is_unwanted(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.state().unwanted)
    }

    /// Puts requests to the enclosing scopes off until the next step, in which the code in this scope goes on. `false`
    /// if nothing can take a value any more.
    pub(crate) fn put_off(&mut self, key: ScopeKey) -> bool {
        let is_over = |node: &Node<T>| node.state().unwanted && node.state().unanswered() > 0;
        if self.upwards(key).any(is_over) {
            return false;
        }
        let mut next = Some(key);
        while let Some(key) = next.filter(|&key| !self.is_observed(key)) {
            let Some(node) = self.get_mut(key) else { break };
            next = node.parent;
            if node.cancel.is_some() && node.state().unanswered() > 0 {
                node.state_mut().last_chance = true;
            }
        }
        true
    }

    /// Whether a request to the task of this root takes effect after this poll: no cleanup holds it up. `true` if the
    /// task has no root.
    #[cold]
    pub(crate) fn acts_after_poll(&self, root: Place) -> bool {
        self.at(root).is_none_or(|root| self.is_open(root))
    }

    /// Whether a request to one of the scopes that are being polled takes effect after this poll.
    pub(crate) fn asks_what_is_polled(&self) -> bool {
        let nodes = self.frames.iter().filter_map(|frame| self.get(frame.node?));
        nodes
            .filter(|node| node.cancel.is_some())
            .any(|node| node.state().open() > node.state().tokens.request())
    }

    /// Whether the request that an observed scope has heard leaves no last poll. That is so if it ends a scope whose
    /// value nothing can take, this one or an enclosing one.
    pub(crate) fn is_dismissed(&self, key: ScopeKey) -> bool {
        let heard = self.get(key).map_or(0, |node| node.state().holding);
        let ends = |node: &Node<T>| node.state().unwanted && node.state().unanswered() >= heard;
        heard > 0 && self.upwards(key).any(ends)
    }

    /// Whether a request concerns this scope: one to itself or to an enclosing scope, unless a token in
    /// between holds against it.
    pub(crate) fn is_open(&self, key: ScopeKey) -> bool {
        let mut held_against = 0;
        self.upwards(key).any(|node| {
            held_against = held_against.max(node.state().tokens.request());
            node.state().open() > held_against
        })
    }

    /// Whether a request that was delivered to a scope has not been answered since. Tokens do not matter here: the
    /// delivery came before they were made.
    pub(super) fn is_unanswered(&self, key: ScopeKey, delivered: Request) -> bool {
        self.upwards(key)
            .any(|node| node.state().unanswered() >= delivered)
    }

    /// Whether a request concerns an enclosing scope, and comes in from there.
    pub(super) fn is_open_around(&self, key: ScopeKey) -> bool {
        self.get(key)
            .and_then(|node| node.parent)
            .filter(|&parent| !self.is_observed(parent))
            .is_some_and(|parent| self.is_open(parent))
    }

    /// Whether a request to an enclosing scope that comes in from there has not been settled. Tokens of siblings may
    /// hold against it, or may have been swallowed.
    pub(super) fn is_unanswered_around(&self, key: ScopeKey, request: Request) -> bool {
        self.get(key)
            .and_then(|node| node.parent)
            .filter(|&parent| request > 0 && !self.is_observed(parent))
            .is_some_and(|parent| self.is_unanswered(parent, request))
    }

    /// How many requests to a root are open.
    pub(crate) fn requests(&self, root: ScopeKey) -> usize {
        self.get(root)
            .map_or(0, |node| node.state().requests.count())
    }

    /// Whether a request to this scope itself is open, and not swallowed.
    pub(crate) fn is_asked_to_end(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.state().open() > 0)
    }

    /// Whether a request to this scope itself is open.
    pub(crate) fn has_request(&self, key: ScopeKey) -> bool {
        self.get(key)
            .is_some_and(|node| node.state().requests.last() > 0)
    }

    /// The message of a request to this scope or to an enclosing one, and of those that were heard with it. Those that
    /// earlier tokens hold against are others.
    pub(crate) fn message(&self, key: ScopeKey, request: Request) -> Option<Arc<str>> {
        let mut apart = 0;
        self.upwards(key).find_map(|node| {
            apart = apart.max(node.state().tokens.before(request));
            node.state().requests.message(apart, request)
        })
    }

    /// The message of the requests to the task that are open.
    pub(crate) fn last_message(&self, root: ScopeKey) -> Option<Arc<str>> {
        self.message(root, self.get(root)?.state().unanswered())
    }

    /// The last request to a scope that has not been answered; 0 if there is none.
    pub(crate) fn last_request(&self, key: ScopeKey) -> Request {
        self.get(key).map_or(0, |node| node.state().unanswered())
    }

    /// The request that an observed scope has heard; 0 if there is none.
    pub(crate) fn request_heard(&self, key: ScopeKey) -> Request {
        self.get(key).map_or(0, |node| node.state().holding)
    }

    /// The message of the request that an observed scope has heard.
    pub(crate) fn message_heard(&self, key: ScopeKey) -> Option<Arc<str>> {
        let node = self.get(key)?;
        let around = node.parent.filter(|&parent| !self.is_observed(parent))?;
        self.message(around, node.state().holding)
    }

    /// The origin of the request that an observed scope has heard.
    pub(crate) fn origin_heard(&self, key: ScopeKey) -> Origin {
        let heard = self.get(key).map_or(0, |node| node.state().holding);
        let target = self
            .upwards(key)
            .find(|node| node.state().requests.last() >= heard);
        let origin = target.and_then(|node| node.state().requests.origin());
        origin.unwrap_or(Origin::of(heard))
    }

    /// Whether the task of an observed scope must wait for the end of the thing that the scope stands for. That is so
    /// if it holds up a request, or stands behind a shield.
    pub(crate) fn is_bound(&self, key: ScopeKey) -> bool {
        let mut next = Some(key).filter(|&key| !self.is_holding(key));
        while let Some(node) = next.and_then(|key| self.get(key)) {
            if node.shielded {
                return true;
            }
            next = node.parent;
        }
        self.is_holding(key)
    }

    /// Whether an observed scope holds its enclosing scope.
    pub(crate) fn is_holding(&self, key: ScopeKey) -> bool {
        self.get(key).is_some_and(|node| node.state().holding > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Proves rule 7.
    #[test]
    fn a_request_that_comes_on_another_way_changes_nothing() {
        let mut tree = ScopeTree::<u32>::default();
        let root = tree.insert_root(7);
        let origin = tree.new_origin();
        assert!(tree.request(root, false, origin, None).is_some());
        assert!(tree.request(root, false, origin, None).is_none());
        assert_eq!(tree.requests(root), 1);
    }

    #[test]
    fn a_request_that_was_made_again_is_counted() {
        let mut tree = ScopeTree::<u32>::default();
        let root = tree.insert_root(7);
        let origin = tree.new_origin();
        assert!(tree.request(root, false, origin, None).is_some());
        tree.count_again(root, 2);
        assert_eq!(tree.requests(root), 3);
    }

    #[test]
    fn many_requests_are_counted_in_few_records() {
        let mut tree = ScopeTree::<u32>::default();
        let root = tree.insert_root(7);
        for _ in 0..1_000 {
            let origin = tree.new_origin();
            assert!(tree.request(root, false, origin, None).is_some());
            let requests = tree.get(root).map(|node| &node.state().requests);
            assert!(requests.is_some_and(|requests| !requests.is_full()));
        }
        assert_eq!(tree.requests(root), 1_000);
    }
}
