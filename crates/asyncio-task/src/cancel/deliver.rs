//! Move 2: a request is delivered to the innermost scopes inside of its target. The target is polled until the delivery
//! reaches no further scope.

use std::task::Waker;

use super::allowance::MOST_ROUNDS;
use super::node::{Unresolved, Wakes};
use super::{Request, ScopeKey, ScopeTree, Task, WakeTarget};

/// The next action of a scope.
pub(crate) enum Next<T> {
    /// No request is open, or the request goes on elsewhere.
    Wait,
    /// The same, and no request is open any more. These are to be woken.
    Settled(Vec<WakeTarget<T>>),
    /// Poll what it wraps, after waking these scopes, which a delivery has reached.
    Poll(Vec<Waker>),
    /// Let others go first, and be polled again then before anything is decided.
    Yield,
    /// End what it wraps.
    End,
}

/// The state of one delivery.
pub(super) struct Round {
    request: Request,
    opened_by: u64,
    /// Whether it has reached a scope.
    news: bool,
    /// Whether an earlier delivery reached a scope that has not handled the request.
    unreached: bool,
    wake: Vec<Waker>,
    /// Whether a cleanup is under way.
    busy: bool,
}

impl<T: Task> ScopeTree<T> {
    /// The action of a scope at the beginning of its poll.
    pub(crate) fn before_poll(&mut self, key: ScopeKey, step: u64) -> Next<T> {
        let Some(node) = self.get(key) else {
            return Next::Poll(Vec::new());
        };
        if node.cancel.is_none() {
            return Next::Poll(Vec::new());
        }
        let delivered = self.take_delivered(key);
        if delivered > 0 && self.is_unanswered(key, delivered) {
            self.handled += 1;
            return Next::End;
        }
        let Some(node) = self.get_mut(key) else {
            return Next::Poll(Vec::new());
        };
        if std::mem::take(&mut node.state_mut().last_chance) || node.state().open() == 0 {
            return Next::Poll(Vec::new());
        }
        // Scopes inside to which the request was delivered for an enclosing target have not been polled since.
        match self.after_poll(key, self.handled.wrapping_sub(1), step, 0) {
            Next::Wait => Next::Poll(Vec::new()),
            next => next,
        }
    }

    /// A scope that was put off has been polled.
    pub(crate) fn clear_yield(&mut self, key: ScopeKey) {
        if let Some(node) = self.get_mut(key).filter(|node| node.cancel.is_some()) {
            node.state_mut().last_chance = false;
        }
    }

    /// How many scopes have handled a request so far; for [`after_poll`](Self::after_poll).
    pub(crate) fn handled(&self) -> u64 {
        self.handled
    }

    /// The action of a scope whose poll has returned `Pending`. `handled` is the count from before the poll, `step` is
    /// the number of the step under way, and `rounds` is the number of polls at a stretch before this one.
    pub(crate) fn after_poll(
        &mut self,
        key: ScopeKey,
        handled: u64,
        step: u64,
        rounds: u32,
    ) -> Next<T> {
        let Some(node) = self.get_mut(key).filter(|node| node.cancel.is_some()) else {
            return Next::Wait;
        };
        if rounds >= MOST_ROUNDS {
            // Nothing is delivered: a scope that got the request and is not polled would count as put aside.
            node.state_mut().last_chance = true;
            return Next::Yield;
        }
        if node.state().waits_for_cleanups() > 0 {
            let over = self.take_waiting(key);
            self.change(key, |node| {
                node.state_mut().deferred = node.state().deferred.max(over);
            });
        }
        let Some(node) = self.get(key) else {
            return Next::Wait;
        };
        let request = node.state().unanswered();
        let held = node.state().held_against() >= request;
        if request == 0 || held || node.state().last_chance {
            return Next::Wait;
        }
        let (swallowed, opened_at) = (node.state().open() == 0, node.opened_at);
        // A combinator may poll only some of its futures at a time. It is polled again as long as that reaches a scope
        // that has not handled the request.
        let reaching = self.handled != handled;
        self.of_this_moment = 0;
        if !self.allowance.allows(step, opened_at, self.opened) {
            self.nodes[key.index as usize].state_mut().last_chance = true;
            return Next::Yield;
        }
        if swallowed {
            // Nothing is delivered any more, so there is no need to look at all scopes inside.
            return if reaching && self.has_unhandled(key) {
                Next::Poll(Vec::new())
            } else if self.is_undecided(key, 0) {
                Next::Wait
            } else {
                Next::Settled(self.settle(key))
            };
        }
        let Some(node) = self.get(key) else {
            return Next::Wait;
        };
        let mut round = Round {
            request,
            // A scope that opened after the last token went is not asked: it would never end if it opened forever.
            opened_by: if node.state().resumed == request {
                node.state().resumed_at
            } else {
                u64::MAX
            },
            news: false,
            unreached: false,
            busy: false,
            wake: Vec::new(),
        };
        self.deliver_inside(key, &mut round);
        if round.news || (round.unreached && reaching) {
            round.wake.reverse(); // those that opened first come first
            return Next::Poll(round.wake);
        }
        if round.busy { Next::Wait } else { Next::End }
    }

    /// Delivers a request to the innermost scopes inside of this one that have not got it.
    pub(super) fn deliver_inside(&mut self, key: ScopeKey, round: &mut Round) {
        // Not recursive: scopes may be nested deeper than a stack is.
        let mut to_do = vec![key];
        let mut propagating = Vec::new();
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            let mut delivered = 0;
            while let Some(child) = next {
                let child_key = self.key_of(child);
                let node = &mut self.nodes[child as usize];
                next = node.next;
                if node.state().held_against() >= round.request {
                    round.busy = true; // a cleanup is under way in there
                } else if node.leftover {
                    // It holds the enclosing scope, or nothing any more.
                } else if node.state().resumed >= round.request {
                    // It propagates the request, has been woken for that, and delivers it to the scopes inside by
                    // itself.
                    round.unreached = true;
                    propagating.push(child_key);
                } else if node.first_child.is_some() && !node.observed {
                    to_do.push(child_key);
                } else if node.state().delivered > 0 {
                    round.unreached = true;
                } else if node.state().last_delivered < round.request
                    && (node.observed || node.opened_at <= round.opened_by)
                {
                    node.state_mut().delivered = round.request;
                    node.state_mut().last_delivered = round.request;
                    delivered += 1;
                    // With the task's own waker it is polled without further ado.
                    if let Wakes::Waker(_) = node.wakes
                        && let Wakes::Waker(waker) =
                            std::mem::replace(&mut node.wakes, Wakes::Nobody)
                    {
                        round.wake.push(waker);
                    }
                }
            }
            let more = Unresolved { delivered, live: 0 };
            self.recount(Some(key), Unresolved::NOTHING, more);
            round.news |= delivered > 0;
        }
        round.busy = round.busy || self.is_any_held(propagating, round.request);
    }

    /// Whether a token of this request holds anything inside of these scopes: a cleanup is under way there, and its
    /// enclosing scopes come after it.
    pub(super) fn is_any_held(&self, mut to_do: Vec<ScopeKey>, request: Request) -> bool {
        while let Some(key) = to_do.pop() {
            let mut next = self.get(key).and_then(|node| node.first_child);
            while let Some(child) = next {
                let node = &self.nodes[child as usize];
                if node.state().tokens.request() >= request {
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
}
