//! The cancel scopes of one loop, which all code on its thread reaches, also while the loop does not run.
//!
//! A scope can be cancelled, and its future or token dropped, between two runs of its loop, or while another
//! loop of the thread runs. The tree is changed there and then. Only the wake-up of a task goes through the inbox, as
//! only its own loop has its queue. `delivery.rs` has the operations.
//!
//! A poll of branches has a frame in the tree only once anything changes the tree, or looks for the innermost scope,
//! while it is under way. Until then it is noted beside the tree. Most such polls see nothing of the tree.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;

use crate::cancel::{Request, ScopeTree, Task};
use crate::cell::cell_ref::{LocalRef, Owner};

/// The tree of cancel scopes, whose roots have a reference to their task.
pub(crate) type TaskScopes = ScopeTree<LocalRef>;

/// The cancel scopes of the tasks of one loop.
pub(crate) struct LoopScopes {
    tree: RefCell<TaskScopes>,
    /// The task that polls branches without a frame.
    frameless: Cell<Option<<LocalRef as Task>::Id>>,
    pub(crate) owner: Owner,
    /// The last request that has ended code, and the number of the step in which it has.
    cause: Cell<(Request, u64)>,
}

impl LoopScopes {
    /// No scopes.
    pub(crate) fn new(owner: Owner) -> Self {
        Self {
            tree: RefCell::default(),
            frameless: Cell::new(None),
            owner,
            cause: Cell::new((0, 0)),
        }
    }

    /// The tree, to be read. The polls under way that have no frame have no scope either.
    #[inline]
    pub(crate) fn borrow(&self) -> Ref<'_, TaskScopes> {
        self.tree.borrow()
    }

    /// The tree, with a frame for each poll that is under way.
    #[inline]
    pub(crate) fn borrow_mut(&self) -> RefMut<'_, TaskScopes> {
        if self.frameless.get().is_some() {
            self.frame_branches();
        }
        self.tree.borrow_mut()
    }

    /// Gives the poll of branches that has no frame one.
    #[cold]
    #[inline(never)]
    fn frame_branches(&self) {
        if let Some(task) = self.frameless.take() {
            self.tree.borrow_mut().enter_branches(task);
        }
    }

    /// A poll of several branches begins, of which none has a node. To be followed by
    /// [`end_branches`](Self::end_branches), or by what becomes of its frame.
    #[inline(always)]
    pub(crate) fn begin_branches(&self, task: <LocalRef as Task>::Id) {
        if self.frameless.get().is_some() {
            self.frame_branches();
        }
        self.frameless.set(Some(task));
    }

    /// Whether a scope has opened in the poll of branches that began last.
    #[inline(always)]
    pub(crate) fn has_opened(&self) -> bool {
        self.frameless.get().is_none() && self.has_opened_in_frame()
    }

    /// The same, if it has a frame. One without a scope gives its frame back.
    #[cold]
    #[inline(never)]
    fn has_opened_in_frame(&self) -> bool {
        let mut tree = self.tree.borrow_mut();
        let frameless = tree.unframe_branches();
        self.frameless.set(frameless);
        frameless.is_none() && tree.has_opened()
    }

    /// The poll of branches that began last ends, in which no scope has opened.
    #[inline(always)]
    pub(crate) fn end_branches(&self) {
        if self.frameless.take().is_none() {
            self.leave_branches();
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_branches(&self) {
        self.tree.borrow_mut().leave();
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

impl fmt::Debug for LoopScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.borrow().fmt(f)
    }
}
