//! The cancel scopes of one loop, which all code on its thread reaches, also while the loop does not run.
//!
//! A scope can be cancelled, and its future or token dropped, between two runs of its loop, or while another
//! loop of the thread runs. The tree is changed there and then. Only the wake-up of a task goes through the inbox, as
//! only its own loop has its queue. `delivery.rs` has the operations.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

use crate::cancel::{Request, ScopeTree};
use crate::cell::cell_ref::{LocalRef, Owner};

/// The tree of cancel scopes, whose roots have a reference to their task.
pub(crate) type TaskScopes = ScopeTree<LocalRef>;

/// The cancel scopes of the tasks of one loop.
pub(crate) struct LoopScopes {
    tree: RefCell<TaskScopes>,
    pub(crate) owner: Owner,
    /// The last request that has ended code, and the number of the step in which it has.
    cause: Cell<(Request, u64)>,
}

impl LoopScopes {
    /// No scopes.
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            tree: RefCell::default(),
            owner,
            cause: Cell::new((0, 0)),
        }
    }

    /// A request has ended code in the step of this number. The handles that are dropped in that step are dropped by
    /// it.
    pub(crate) fn note_cause(&self, request: Request, step: u64) {
        self.cause.set((request, step));
    }

    /// The request that has ended code in the step of this number.
    pub(crate) fn cause(&self, step: u64) -> Option<Request> {
        let (request, ended_in) = self.cause.get();
        (request > 0 && ended_in == step).then_some(request)
    }
}

impl Deref for LoopScopes {
    type Target = RefCell<TaskScopes>;

    #[inline]
    fn deref(&self) -> &RefCell<TaskScopes> {
        &self.tree
    }
}

impl fmt::Debug for LoopScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.borrow().fmt(f)
    }
}
