//! The cancel state of a scope: what was asked of it, and where that has got to.
//!
//! Few scopes are ever asked for anything, so the state is allocated with the first request. All fields are numbers of
//! requests, unless they say otherwise; 0 is none.

use super::requests::OpenRequests;
use super::tokens::Tokens;
use super::{Request, ScopeKey};

/// The cancel state of one scope.
pub(super) struct CancelState {
    /// The open requests to this scope. Set when it is cancelled, cleared when a request is settled.
    pub(super) requests: OpenRequests,
    /// The highest number that a request here ever had. Set with each request, never cleared.
    pub(super) latest: Request,
    /// The task has one more poll before anything is decided. Set when a request comes to a task that was woken
    /// already, and when the scope lets others go first. Cleared by the next poll.
    pub(super) last_chance: bool,
    /// Nothing can take the value of this scope: no request leaves a last poll. Set by its owner, never cleared.
    pub(super) unwanted: bool,
    /// The request that was delivered to the scope. Set by a delivery, cleared when the scope handles it.
    pub(super) delivered: Request,
    /// The last request that was ever delivered to the scope. Set by a delivery, never cleared.
    pub(super) last_delivered: Request,
    /// The live tokens that hold the scope. A token is added when a scope inside handles a request, and taken when it
    /// is resolved.
    pub(super) tokens: Tokens,
    /// The request that the scope propagates, once no token of it holds the scope. Set when a token was not swallowed,
    /// never cleared: the scope ends by it.
    pub(super) resumed: Request,
    /// The number of scopes that were opened before `resumed` is propagated: it is not delivered to scopes that open
    /// later. Set when the last token goes, and put off by a new one.
    pub(super) resumed_at: u64,
    /// A request that an observed scope inside has deferred, while others still hold this one, or cleanups that it
    /// began go on deeper inside. Set by that, cleared when the last of these is over.
    pub(super) deferred_inside: Request,
    /// A request that goes on from here, as it was deferred. Set when the last token goes, cleared when it is settled.
    pub(super) deferred: Request,
    /// The requests after `spared`, up to this one, were swallowed. Set when the last token is swallowed, cleared when
    /// nothing inside may send them on any more, and they are settled.
    pub(super) swallowed: Request,
    /// The last request before `swallowed` that a live token is about. Set with `swallowed`.
    pub(super) spared: Request,
    /// The first request to an enclosing scope that anything inside has handled. Set by that, cleared when the last
    /// token is swallowed: code that got several requests has a say about each.
    pub(super) reached: Request,
    /// For an observed scope and a leftover: the request that it holds the enclosing scope against. Set when it has
    /// heard, cleared when it concludes.
    pub(super) holding: Request,
    /// The deadline has come, and this scope stands in the way (see `overdue.rs`). Set when the deadline comes, cleared
    /// when it is acted on.
    pub(super) due: Option<ScopeKey>,
    /// The scopes inside whose deadlines came while this one stood in the way. Cleared when its request is settled.
    pub(super) waiting: Vec<ScopeKey>,
}

impl CancelState {
    /// The state of a scope of which nothing was ever asked.
    pub(super) const NOTHING: &Self = &Self::new();

    const fn new() -> Self {
        Self {
            requests: OpenRequests::NONE,
            latest: 0,
            last_chance: false,
            unwanted: false,
            delivered: 0,
            last_delivered: 0,
            tokens: Tokens::NONE,
            resumed: 0,
            resumed_at: 0,
            deferred_inside: 0,
            deferred: 0,
            swallowed: 0,
            spared: 0,
            reached: 0,
            holding: 0,
            due: None,
            waiting: Vec::new(),
        }
    }

    /// The last request from here that has not been answered.
    pub(super) fn unanswered(&self) -> Request {
        self.requests.last().max(self.deferred).max(self.resumed)
    }

    /// The last request from here, unless all that were heard so far have swallowed it.
    pub(super) fn open(&self) -> Request {
        let asked = self.requests.last().max(self.deferred);
        let asked = if asked > self.swallowed { asked } else { 0 };
        asked.max(self.resumed)
    }

    /// The request that was deferred here and waits for cleanups deeper inside.
    pub(super) fn waits_for_cleanups(&self) -> Request {
        match self.tokens.request() {
            0 => self.deferred_inside,
            _ => 0,
        }
    }

    /// The last request that this scope is held against: by a token, or by one that waits for cleanups.
    pub(super) fn held_against(&self) -> Request {
        self.tokens.request().max(self.waits_for_cleanups())
    }

    /// The numbers that tokens here have or may get: what tells earlier requests apart.
    pub(super) fn marks(&self) -> impl Iterator<Item = Request> {
        let asked = [
            self.deferred,
            self.resumed,
            self.delivered,
            self.deferred_inside,
            self.holding,
        ];
        asked.into_iter().chain(self.tokens.requests())
    }

    /// Notes that a token of this request was not swallowed. It is not delivered to scopes that open after `at` scopes.
    pub(super) fn resume(&mut self, request: Request, at: u64) {
        if self.resumed < request {
            self.resumed = request;
            self.resumed_at = at;
        }
    }
}

impl Default for CancelState {
    fn default() -> Self {
        Self::new()
    }
}
