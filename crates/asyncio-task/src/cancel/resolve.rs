//! Moves 3 to 6: a scope handles a request, tokens hold and are resolved, requests are answered or go on.

use std::sync::Arc;

use super::node::{Node, Wakes};
use super::{DropLater, Effect, Effects, Origin, Request, ScopeKey, ScopeTree, Task, WakeTarget};

/// The end of a token, or of the wait of an observed scope: the request ends, goes on, or was deferred.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolution {
    /// It ends.
    Swallowed,
    /// The enclosing code propagates it.
    Propagated,
    /// It was deferred: it goes on to what opens next, and to the enclosing code.
    Deferred,
}

/// How a scope ended that was cancelled.
pub(crate) struct Interruption {
    /// The request was to itself, and none to an enclosing scope is open.
    pub(crate) own: bool,
    pub(crate) request: Request,
    pub(crate) parent: Option<ScopeKey>,
    pub(crate) message: Option<Arc<str>>,
}

/// The earlier of two requests, if there are any.
pub(super) fn first(one: Request, other: Request) -> Request {
    match (one, other) {
        (0, only) | (only, 0) => only,
        _ => one.min(other),
    }
}

impl<T: Task> ScopeTree<T> {
    /// A scope ends what it wraps. It is gone from here; what is left of it is to be dropped outside. If an enclosing
    /// scope is asked, a token for the code that opened this one holds it.
    pub(crate) fn end(&mut self, key: ScopeKey) -> Option<(Interruption, DropLater<T>)> {
        let state = self.get(key)?.state();
        let reached = first(state.reached, state.last_delivered);
        let around = self.is_open_around(key) || self.is_unanswered_around(key, reached);
        let node = self.get(key)?;
        let (parent, own) = (node.parent, node.state().requests.last() > 0 && !around);
        let inner = node.state().last_delivered;
        let highest = |node: &Node<T>| node.state().unanswered();
        // A request to this scope alone ends with it, and so does the message of that request.
        let outside = parent.filter(|&parent| !self.is_observed(parent));
        let outer = outside.and_then(|parent| self.upwards(parent).map(highest).max());
        let request = match outer {
            Some(outer) if outer > 0 && !own => outer,
            _ => self.upwards(key).map(highest).max().unwrap_or(0).max(inner),
        };
        let message = outside.and_then(|parent| self.message(parent, request));
        let rest = self.remove(key)?;
        if !own {
            self.note_reached(parent, reached);
            self.hold(parent, request);
        }
        Some((
            Interruption {
                own,
                request,
                parent,
                message,
            },
            rest,
        ))
    }

    /// For an observed scope, at each poll: whether a request has reached it since the last. It then holds
    /// its enclosing scope.
    pub(crate) fn observe(&mut self, key: ScopeKey) -> bool {
        if self.get(key).is_none_or(|node| node.cancel.is_none()) {
            return false;
        }
        let delivered = self.take_delivered(key);
        if delivered == 0 || !self.is_unanswered(key, delivered) {
            return false;
        }
        self.handled += 1;
        let Some(node) = self.get_mut(key) else {
            return false;
        };
        let held_before = node.state().holding;
        let parent = node.parent;
        if held_before < delivered {
            // As a token does, it holds against all requests that are open at that moment.
            let outside = parent.filter(|&parent| !self.is_observed(parent));
            let open = outside.map_or(0, |parent| {
                let asked = self.upwards(parent).map(|node| node.state().unanswered());
                asked.max().unwrap_or(0)
            });
            let holding = delivered.max(open);
            if let Some(node) = self.get_mut(key) {
                node.state_mut().holding = holding;
                node.state_mut().last_delivered = node.state().last_delivered.max(holding);
            }
            self.hold(parent, holding);
            self.note_reached(parent, delivered);
            // It is one token, whatever it has heard.
            self.unhold(parent, held_before);
        }
        true
    }

    /// For an observed scope: what it stands for has ended, or is gone.
    pub(crate) fn conclude(&mut self, key: ScopeKey, resolution: Resolution) -> Effects<T> {
        match self.get_mut(key) {
            Some(node) if node.state().holding > 0 => {
                let holding = std::mem::take(&mut node.state_mut().holding);
                let parent = node.parent;
                self.resolve(parent, holding, resolution)
            }
            _ => Effects::NONE,
        }
    }

    /// Something inside of a scope has handled a request. Notes that if the request is one to an enclosing scope.
    fn note_reached(&mut self, scope: Option<ScopeKey>, request: Request) {
        let outer = scope.filter(|&key| self.is_unanswered_around(key, request));
        if let Some(node) = outer.and_then(|key| self.get_mut(key)) {
            node.state_mut().reached = first(node.state().reached, request);
        }
    }

    pub(crate) fn hold(&mut self, holder: Option<ScopeKey>, request: Request) {
        let Some(holder) = holder else { return };
        self.change(holder, |node| {
            node.state_mut().tokens.add(request);
            node.inside.live += 1;
            if node.state().resumed == request {
                // It is decided anew when this token goes.
                node.state_mut().resumed_at = u64::MAX;
            }
        });
    }

    /// A token of this request holds no more. Gives whether it was the last one; `None` if there was none.
    pub(super) fn unhold(&mut self, holder: Option<ScopeKey>, request: Request) -> Option<bool> {
        self.change(holder?, |node| {
            node.cancel.as_ref()?;
            let was_last = node.state_mut().tokens.remove(request)?;
            node.inside.live -= 1;
            Some(was_last)
        })?
    }

    pub(crate) fn resolve(
        &mut self,
        holder: Option<ScopeKey>,
        request: Request,
        resolution: Resolution,
    ) -> Effects<T> {
        let (mut holder, mut request, mut resolution) = (holder, request, resolution);
        loop {
            let Some((key, node)) = holder.and_then(|key| Some((key, self.get(key)?))) else {
                return Effects::NONE;
            };
            let (held_against, leftover, dropping) =
                (node.state().tokens.request(), node.leftover, node.dropping);
            let was_last = self.unhold(holder, request);
            if dropping {
                return Effects::NONE; // The request is still where it came from.
            }
            let Some(was_last) = was_last.filter(|_| held_against == request) else {
                return self.resolve_late(key, request, held_against, resolution, was_last);
            };
            let enclosing = match resolution {
                Resolution::Propagated if !leftover => self.propagates_around(key, request),
                _ => None,
            };
            if let Some(enclosing) = enclosing {
                // Code that opened when the request was propagated already is dropped with it, without another
                // delivery.
                return match was_last {
                    true => self.propagate(enclosing),
                    false => Effects::NONE,
                };
            }
            self.change(key, |node| match resolution {
                Resolution::Swallowed => {}
                Resolution::Propagated => node.state_mut().resume(request, u64::MAX),
                Resolution::Deferred => {
                    node.state_mut().deferred_inside = node.state().deferred_inside.max(request)
                }
            });
            if !was_last {
                return Effects::NONE;
            }
            // The last token has gone. All of them together have come to this.
            let all = self.resolution_of(key, request);
            if leftover {
                // The tokens of earlier requests, if any are left, mean nothing any more.
                (holder, request) = self.end_leftover(key);
                resolution = all;
                continue;
            }
            return match all {
                Resolution::Swallowed => self.answer(key, request),
                Resolution::Deferred => self.redeliver_or_wait(key, request),
                Resolution::Propagated => {
                    let opened = self.opened;
                    if let Some(node) = self
                        .get_mut(key)
                        .filter(|_| resolution != Resolution::Deferred)
                    {
                        node.state_mut().resumed_at = opened;
                    }
                    self.propagate(key)
                }
            };
        }
    }

    /// A request is let go that does not hold, as a later one has come since, or as it held something else.
    /// `was_last`: whether it was the last token of its request; `None`: it was not known here.
    pub(super) fn resolve_late(
        &mut self,
        key: ScopeKey,
        request: Request,
        held_against: Request,
        resolution: Resolution,
        was_last: Option<bool>,
    ) -> Effects<T> {
        let Some(node) = self.get(key) else {
            return Effects::NONE;
        };
        let is_propagating = node.state().resumed >= request;
        match resolution {
            Resolution::Swallowed if was_last == Some(true) && !is_propagating => {
                self.answer(key, request)
            }
            // Tokens that hold against the later one are waited for. Even if they swallow that, this was not.
            Resolution::Propagated if held_against > 0 => {
                self.change(key, |node| node.state_mut().resume(held_against, u64::MAX));
                Effects::NONE
            }
            Resolution::Deferred if held_against > 0 => {
                self.change(key, |node| {
                    node.state_mut().deferred_inside =
                        node.state().deferred_inside.max(held_against)
                });
                Effects::NONE
            }
            Resolution::Propagated if !is_propagating => self.resume(key, request),
            // It was not polled when the later one came, or it comes from elsewhere.
            _ => Effects::NONE,
        }
    }

    /// [`redeliver`](Self::redeliver), once all cleanups inside are over that the request began. Until then the scope
    /// is held as by a token, so that it makes no difference which of them ends first.
    fn redeliver_or_wait(&mut self, key: ScopeKey, request: Request) -> Effects<T> {
        if !self.is_any_at_it(key, request) {
            return self.redeliver(key, request);
        }
        self.change(key, |node| {
            let state = node.state_mut();
            // Nor is a later request over that others have swallowed meanwhile.
            let request = request.max(std::mem::take(&mut state.swallowed));
            state.deferred_inside = state.deferred_inside.max(request);
        });
        Effects::NONE
    }

    /// Whether anything inside of a scope cleans up for this request, propagates it, or is yet to hear of it again.
    fn is_any_at_it(&self, key: ScopeKey, request: Request) -> bool {
        let is_at_it = |node: &Node<T>| {
            let state = node.state();
            let asked = state.resumed.max(state.deferred).max(state.deferred_inside);
            asked.max(state.tokens.request()) >= request
        };
        let mut to_do = vec![key];
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            while let Some(child) = next {
                let node = &self.nodes[child as usize];
                if is_at_it(node) {
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

    /// Takes the request that waits for cleanups inside of a scope, if they are over; 0 if there is none.
    pub(super) fn take_waiting(&mut self, key: ScopeKey) -> Request {
        let waiting = self
            .get(key)
            .map_or(0, |node| node.state().waits_for_cleanups());
        if waiting == 0 || self.is_any_at_it(key, waiting) {
            return 0;
        }
        self.change(key, |node| node.state_mut().deferred_inside = 0);
        waiting
    }

    /// A request that was held up goes on from here: to what is inside, and if that is nothing, to the scope
    /// itself. Unlike one that was resumed it can still be answered.
    pub(super) fn redeliver(&mut self, key: ScopeKey, request: Request) -> Effects<T> {
        self.change(key, |node| {
            if node.state().swallowed >= request {
                node.state_mut().swallowed = 0; // Not by this one.
            }
            if !matches!(node.wakes, Wakes::Root(_)) {
                node.state_mut().deferred = node.state().deferred.max(request);
            }
        });
        let Some(node) = self.get_mut(key) else {
            return Effects::NONE;
        };
        if let Wakes::Root(task) = &node.wakes {
            let task = task.clone();
            if node.state().requests.last() == 0 {
                node.state_mut()
                    .requests
                    .push(request, Origin::of(request), None);
                node.state_mut().latest = request;
            }
            return Effect::AskedAgain(task).into();
        }
        if node.polling {
            return Effects::NONE; // it sees to it at the end of its poll
        }
        Effects::wake(self.waker_of(key))
    }

    /// All tokens were swallowed: requests up to this one are answered, here and in enclosing scopes, but for those
    /// that an earlier token is about. That waits until nothing inside may still send them on. While their target is
    /// polled, it is left to the end of the poll. Other scopes that got the request may not have handled it yet.
    pub(super) fn answer(&mut self, key: ScopeKey, request: Request) -> Effects<T> {
        let mut effects = Effects::NONE;
        let mut due = Vec::new();
        // The earlier requests that tokens on the way hold against, and how many those are.
        let (mut spared, mut apart) = (0, 0);
        let mut next = Some(key);
        while let Some(key) = next {
            let waiting = self
                .get(key)
                .map_or(0, |node| node.state().waits_for_cleanups());
            // A later request to this scope, or from further out, was for all of it.
            let is_over = waiting > 0 && self.open_up_to(key, request) > waiting;
            if is_over {
                self.change(key, |node| node.state_mut().deferred_inside = 0);
            }
            let Some(node) = self.get_mut(key) else { break };
            if node.cancel.is_some() {
                if waiting > 0 && !is_over {
                    // Other code in this scope has only deferred the request, which was delivered to it with this.
                    let over = self.take_waiting(key);
                    if over > 0 {
                        effects.effect = self.redeliver(key, over).effect;
                    }
                    break;
                }
                let tokens = &node.state().tokens;
                spared = spared.max(tokens.request());
                apart += tokens.len_before(request);
                if tokens.request() == 0 && node.state().resumed == 0 {
                    node.state_mut().reached = 0;
                }
                if node.state().due.is_some() {
                    due.push(key);
                }
                let asked = node.state().requests.last().max(node.state().deferred);
                // Tokens of earlier requests are apart only from what this one answers.
                let mut apart_here = 0;
                if spared < asked && asked <= request && node.state().resumed < asked {
                    apart_here = apart;
                    self.change(key, |node| {
                        node.state_mut().swallowed = node.state().swallowed.max(request);
                        node.state_mut().spared = spared;
                    });
                } else if spared < request {
                    let answered = request.min(node.state().resumed.wrapping_sub(1));
                    node.state_mut().requests.answer(spared, answered);
                }
                let Some(node) = self.get(key) else { break };
                if node.state().swallowed > 0 {
                    let polling = match &node.wakes {
                        Wakes::Root(task) => {
                            let task = task.clone();
                            effects.effect = Effect::Answered {
                                task,
                                root: key,
                                apart: apart_here,
                            };
                            true // To be safe: `apply` checks whether the task runs.
                        }
                        _ => node.polling,
                    };
                    let to_be_heard = polling && self.has_unhandled(key);
                    if !to_be_heard && !self.is_undecided(key, apart_here) {
                        effects.overdue.extend(self.settle(key));
                    }
                }
            }
            let Some(node) = self.get(key) else { break };
            // A token that holds an observed scope comes from inside of it, where requests from outside never
            // were.
            let enclosed = node.observed;
            next = node
                .parent
                .filter(|&parent| !enclosed && !self.is_observed(parent));
        }
        effects
            .overdue
            .extend(self.look_again(due.into_iter().rev()));
        effects
    }

    /// Whether something inside may still send on a request that was swallowed. `apart`: so many tokens inside are of
    /// earlier requests.
    pub(crate) fn is_undecided(&self, key: ScopeKey, apart: u32) -> bool {
        let own = self.get(key).map_or(0, |node| {
            node.state().tokens.len_before(node.state().spared + 1)
        });
        self.has_live(key, apart.max(own))
    }

    /// Nothing inside may send on what was swallowed: it is over. Gives those whose deadlines are acted on now.
    #[must_use]
    pub(crate) fn settle(&mut self, key: ScopeKey) -> Vec<WakeTarget<T>> {
        if self.get(key).is_none_or(|node| node.cancel.is_none()) {
            return Vec::new();
        }
        self.change(key, |node| {
            let state = node.state_mut();
            let swallowed = std::mem::take(&mut state.swallowed);
            // Requests that were propagated since are not answered.
            let answered = swallowed.min(state.resumed.wrapping_sub(1));
            state.requests.answer(state.spared, answered);
            if state.requests.last() == 0 {
                state.last_chance = false;
            }
            if state.deferred <= swallowed {
                state.deferred = 0;
            }
        });
        self.look_at_waiting(key)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Next, Place};
    use super::*;

    /// Two scopes of a task, and an observed one that has heard a request to the first and was moved to the second.
    fn moved() -> (ScopeTree<u32>, [ScopeKey; 3]) {
        let mut tree = ScopeTree::default();
        let root = tree.insert_root(7);
        let [first, second] = [(); 2].map(|()| tree.insert(Some(root)));
        let observed = tree.insert_observed(Place::of(Some(first)));
        drop(tree.request(first, false, Origin::ANEW, None));
        drop(tree.after_poll(first, 0, 1, 0));
        assert!(tree.observe(observed) && tree.is_holding(observed));
        drop(tree.reparent(observed, second));
        (tree, [first, second, observed])
    }

    #[test]
    fn a_request_that_comes_from_elsewhere_is_propagated_where_it_is_awaited() {
        let (mut tree, [first, second, observed]) = moved();
        assert!(tree.is_asked_to_end(first), "it goes on where it was made");
        drop(tree.conclude(observed, Resolution::Propagated));
        assert!(tree.is_propagating(second) && !tree.is_propagating(first));
    }

    #[test]
    fn a_request_from_elsewhere_that_ends_leaves_the_code_around_alone() {
        for resolution in [Resolution::Swallowed, Resolution::Deferred] {
            let (mut tree, [first, second, observed]) = moved();
            drop(tree.conclude(observed, resolution));
            drop(tree.remove(observed));
            assert!(!tree.is_propagating(second) && !tree.is_asked_to_end(second));
            assert!(tree.is_asked_to_end(first));
        }
    }

    #[test]
    fn an_observed_scope_that_hears_of_one_request_holds_against_all_that_are_open() {
        let mut tree = ScopeTree::default();
        let root = tree.insert_root(7);
        let scope = tree.insert(Some(root));
        let observed = tree.insert_observed(Place::of(Some(scope)));
        drop(tree.request(root, false, Origin::ANEW, None));
        drop(tree.after_poll(root, 0, 1, 0));
        drop(tree.request(scope, false, Origin::ANEW, None));
        assert!(tree.observe(observed));
        assert_eq!(tree.request_heard(observed), tree.last_request(scope));
    }

    /// A scope ends by a request that has reached it. The request of its token.
    fn end(tree: &mut ScopeTree<u32>, scope: ScopeKey) -> Request {
        assert!(matches!(tree.before_poll(scope, 1), Next::End));
        let (interruption, rest) = tree.end(scope).expect("it is there");
        drop(rest);
        interruption.request
    }

    #[test]
    fn a_request_that_one_has_swallowed_comes_again_if_another_defers_it() {
        let mut tree = ScopeTree::default();
        let root = tree.insert_root(7);
        let [quick, slow] = [(); 2].map(|()| tree.insert(Some(root)));
        let inside = tree.insert(Some(slow));
        drop(tree.request(root, false, Origin::ANEW, None));
        drop(tree.after_poll(root, 0, 1, 0));
        let (swallowed, cleans_up) = (end(&mut tree, quick), end(&mut tree, inside));
        drop(tree.resolve(Some(root), swallowed, Resolution::Swallowed));
        assert!(!tree.is_open(root) && tree.is_undecided(root, 0));
        drop(tree.resolve(Some(slow), cleans_up, Resolution::Propagated));
        let deferred = end(&mut tree, slow);
        drop(tree.resolve(Some(root), deferred, Resolution::Deferred));
        assert!(tree.is_open(root));
    }
}
