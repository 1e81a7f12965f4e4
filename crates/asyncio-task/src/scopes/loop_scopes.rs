//! The cancel scopes of one loop, which all code on its thread reaches, also while the loop does not run.
//!
//! A scope can be cancelled, and its future or token dropped, between two runs of its loop, or while another
//! loop of the thread runs. The tree is changed there and then. Only the wake-up of a task goes through the inbox, as
//! only its own loop has its queue. `delivery.rs` has the operations.

use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

use crate::cancel::ScopeTree;
use crate::cell::cell_ref::{LocalRef, Owner};

/// The tree of cancel scopes, whose roots have a reference to their task.
pub(crate) type TaskScopes = ScopeTree<LocalRef>;

/// The cancel scopes of the tasks of one loop.
pub(crate) struct LoopScopes {
    tree: RefCell<TaskScopes>,
    pub(crate) owner: Owner,
}

impl LoopScopes {
    /// No scopes.
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            tree: RefCell::default(),
            owner,
        }
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
