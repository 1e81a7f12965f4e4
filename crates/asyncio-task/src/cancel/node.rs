//! The data of the tree: scopes, and polls of scopes that are under way.

use std::task::Waker;

use super::key::Generation;
use super::state::CancelState;
use super::{Place, ScopeKey};

/// A scope.
pub(super) struct Node<T> {
    /// `None`: this place is free.
    pub(super) generation: Option<Generation>,
    /// `None`: a root, or a scope that has not been polled since the enclosing scope went.
    pub(super) parent: Option<ScopeKey>,
    pub(super) first_child: Option<u32>,
    pub(super) next: Option<u32>,
    pub(super) previous: Option<u32>,
    pub(super) wakes: Wakes<T>,
    pub(super) opened_at: u64,
    pub(super) polling: bool,
    /// Requests from outside do not enter. They are delivered to this scope, which handles them in its own time.
    pub(super) observed: bool,
    /// Observed, and they are never passed on inside either.
    pub(super) shielded: bool,
    /// It is over, and stays for its tokens (see `leftover.rs`).
    pub(super) leftover: bool,
    /// Its work is being dropped.
    pub(super) dropping: bool,
    pub(super) inside: Unresolved,
    /// `None` until something is asked of the scope.
    pub(super) cancel: Option<Box<CancelState>>,
}

/// The links of a scope.
pub(super) struct Links {
    pub(super) parent: Option<ScopeKey>,
    pub(super) previous: Option<u32>,
    pub(super) next: Option<u32>,
}

/// How to get a scope polled.
pub(super) enum Wakes<T> {
    Nobody,
    /// This is the root of that task.
    Root(T),
    /// It is polled with its task's own waker.
    Task,
    Waker(Waker),
}

/// How many scopes and tokens inside of a scope are not done with a request.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Unresolved {
    /// Scopes inside that have got a request and have not handled it.
    pub(super) delivered: u32,
    /// Tokens that hold this scope or a scope inside, and scopes inside that are to propagate a request.
    pub(super) live: u32,
}

impl Unresolved {
    pub(super) const NOTHING: Self = Self {
        delivered: 0,
        live: 0,
    };

    pub(super) fn replace(&mut self, before: Self, after: Self) {
        self.delivered = self.delivered + after.delivered - before.delivered;
        self.live = self.live + after.live - before.live;
    }
}

/// The treatment of requests from outside at a scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Isolation {
    None,
    /// It is observed: it gets them, and passes them on to the work inside.
    Observed,
    /// It is observed, and the work inside never gets them.
    Shielded,
    /// It is a branch inside of an observed scope that has no frame of its own: both get a node at once.
    Branch,
}

/// A scope that is being polled.
pub(super) struct Frame<I> {
    /// The task whose step it is.
    pub(super) task: I,
    /// `None` until it, or a scope inside of it, has to wait.
    pub(super) node: Option<ScopeKey>,
    pub(super) isolation: Isolation,
    /// How many scopes had handled a request before.
    pub(super) handled: u64,
    /// It had no node when the poll began.
    pub(super) is_new: bool,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            generation: None,
            parent: None,
            first_child: None,
            next: None,
            previous: None,
            wakes: Wakes::Nobody,
            opened_at: 0,
            polling: false,
            observed: false,
            shielded: false,
            leftover: false,
            dropping: false,
            inside: Unresolved::NOTHING,
            cancel: None,
        }
    }
}

impl<T> Node<T> {
    /// The cancel state; one without anything, if nothing was ever asked of the scope.
    #[inline]
    pub(super) fn state(&self) -> &CancelState {
        self.cancel.as_deref().unwrap_or(CancelState::NOTHING)
    }

    /// The cancel state, which is allocated when something is asked for the first time.
    pub(super) fn state_mut(&mut self) -> &mut CancelState {
        self.cancel.get_or_insert_with(Box::default)
    }

    #[inline]
    pub(super) fn take_links(&mut self) -> Links {
        Links {
            parent: self.parent.take(),
            previous: self.previous.take(),
            next: self.next.take(),
        }
    }

    /// Whether the enclosing scope is the one at that place, and nothing was ever asked of this one. A parent is in the
    /// tree, so its place names it.
    #[inline]
    pub(super) fn is_calm_in(&self, around: Place) -> bool {
        self.cancel.is_none() && Place::of(self.parent) == around
    }

    /// Whether it has that isolation, or more.
    #[inline]
    pub(super) fn is_isolated(&self, isolation: Isolation) -> bool {
        match isolation {
            Isolation::None | Isolation::Branch => true,
            Isolation::Observed => self.observed,
            Isolation::Shielded => self.shielded,
        }
    }

    #[inline]
    pub(super) fn isolate_node(&mut self, isolation: Isolation) {
        self.observed |= matches!(isolation, Isolation::Observed | Isolation::Shielded);
        self.shielded |= isolation == Isolation::Shielded;
    }
}
