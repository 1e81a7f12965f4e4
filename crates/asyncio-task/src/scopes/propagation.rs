//! Code that propagates a request, and the futures that have made it do so.
//!
//! Such a future gives nothing to that code. It may be polled again before that code is dropped, as a branch of a
//! `join!` is while another one cleans up. There it stays pending. Polled anywhere else it is over, and says so. A
//! cleanup is elsewhere, even if enclosing code propagates the request: that waits for the cleanup, so the future must
//! not.

use std::task::Poll;

use crate::cancel::ScopeKey;
use crate::engine::current;

/// The code that a future has made propagate a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Propagation {
    scope: Option<ScopeKey>,
}

impl Propagation {
    /// No code: the future is over for another reason.
    pub const NOWHERE: Self = Self::of(None);

    /// The code that this is called from, which has just been made to propagate a request.
    #[must_use]
    pub fn here() -> Self {
        Self::of(current::running(|step| {
            step.map(|(tasks, task)| tasks.innermost_scope(task))
        }))
    }

    /// The code in that scope.
    pub(crate) const fn of(scope: Option<ScopeKey>) -> Self {
        Self { scope }
    }

    pub(crate) fn scope(self) -> Option<ScopeKey> {
        self.scope
    }

    /// Whether the calling code is dropped: it propagates the request itself, or no cleanup in it keeps the enclosing
    /// code from propagating. `false` outside of any task.
    #[must_use]
    pub fn ends_here(self) -> bool {
        current::running(|step| {
            step.is_some_and(|(tasks, task)| {
                let here = tasks.innermost_scope(task);
                let tree = tasks.scopes.borrow();
                match self.scope == Some(here) {
                    true => tree.is_propagating(here),
                    false => tree.is_ended_without_say(here),
                }
            })
        })
    }

    /// The result of the future when it is polled again: `Pending` in code that is [dropped](Self::ends_here).
    ///
    /// # Panics
    ///
    /// With `message`, in any other code: it would wait there forever.
    pub fn poll_again<T>(self, message: &'static str) -> Poll<T> {
        assert!(self.ends_here(), "{message}");
        Poll::Pending
    }
}

/// Has the code that this is called from propagate a request when it next waits, as if a request to cancel had come.
///
/// For code that waits on behalf of other code and finds that what it waits for was cancelled.
pub fn propagate_here() -> Propagation {
    current::running(|step| {
        if let Some((tasks, task)) = step {
            let here = tasks.innermost_scope(task);
            let effects = tasks.scopes.borrow_mut().propagate_anew(here);
            tasks.scopes.apply(effects);
        }
    });
    Propagation::here()
}
