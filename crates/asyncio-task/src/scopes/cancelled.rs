//! The token of a cancellation: the code that has it decides what becomes of the request.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use crate::cancel::{Request, Resolution, ScopeKey};
use crate::engine::current::{self, is_in_task};
use crate::scopes::delivery;
use crate::scopes::propagation::{Propagation, propagate_here};

/// The token of a request to cancel, for the code that catches it.
///
/// While it lives, the enclosing code does not propagate the request: there is time to clean up, with `await`. Then it
/// goes one of three ways.
/// - [`resume`](Self::resume) sends the request on outwards and never returns: Python's `raise`.
/// - Dropping it sends the request on as well, without waiting: what runs goes on until it next waits.
/// - [`swallow`](Self::swallow) ends the request: Python's `except CancelledError: pass`.
///
/// A second request interrupts the cleanup, unless that is shielded.
#[must_use = "dropping a cancellation sends it on: the enclosing code propagates it at its next await"]
pub struct Cancelled {
    /// The scope that it holds; none where there is no task.
    holder: Option<ScopeKey>,
    request: Request,
    message: Option<Arc<str>>,
    /// Let go already.
    gone: bool,
}

const AGAIN: &str =
    "code that had resumed a cancellation was awaited again, but no request is under way";

impl Cancelled {
    pub(crate) fn new(
        holder: Option<ScopeKey>,
        request: Request,
        message: Option<Arc<str>>,
    ) -> Self {
        Self {
            holder,
            request,
            message,
            gone: false,
        }
    }

    /// The scope that it holds, and against which request.
    pub(crate) fn of(&self) -> Option<(ScopeKey, Request)> {
        Some((self.holder?, self.request))
    }

    /// The message of the request, from [`Task::cancel_with`](crate::Task::cancel_with) or from the handle of an
    /// enclosing scope. Of several open requests it is the last message.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Sends the request on to the enclosing code, which propagates it. Never returns. The future of a shield in
    /// between propagates it as well. In another task, that task propagates it.
    ///
    /// # Panics
    ///
    /// When it is polled again in code that propagates no request, as it was moved there: it would wait forever.
    #[doc(alias = "raise")]
    pub async fn resume(mut self) -> ! {
        let (was_holding, holds_here) = (self.is_holding(), self.holds_here());
        self.resolve(Resolution::Propagated);
        if !is_in_task() {
            std::future::pending::<()>().await;
        }
        let goes_on = match holds_here {
            true => is_propagating(),
            false => Propagation::NOWHERE.ends_here(),
        };
        if !goes_on {
            // It held another scope, or the held scope has ended: the code that awaits this propagates it as well.
            match was_holding {
                true => drop(propagate_here()),
                false => self.propagate_this(),
            }
        }
        let propagation = Propagation::here();
        match poll_fn(|_| propagation.poll_again::<Infallible>(AGAIN)).await {}
    }

    /// Has the enclosing code propagate the request of this token.
    fn propagate_this(&self) {
        current::running(|step| {
            if let Some((tasks, task)) = step {
                let here = tasks.innermost_scope(task);
                let effects = tasks.scopes.borrow_mut().resume(here, self.request);
                tasks.scopes.apply(effects);
            }
        });
    }

    /// Ends the request: the task goes on as if it had not been cancelled. If several tokens hold the same
    /// code, the request ends when all of them are swallowed.
    #[doc(alias = "uncancel")]
    pub fn swallow(mut self) {
        self.resolve(Resolution::Swallowed);
    }

    /// Lets the scope go that it holds, wherever that is.
    fn resolve(&mut self, resolution: Resolution) {
        let Some(holder) = self.holder.filter(|_| !self.gone) else {
            return;
        };
        self.gone = true;
        delivery::of_scope(holder, |scopes| {
            if let Some(scopes) = scopes {
                let mut tree = scopes.borrow_mut();
                let effects = tree.resolve(Some(holder), self.request, resolution);
                drop(tree);
                scopes.apply(effects);
            }
        });
    }

    /// Whether the scope that it holds has not ended.
    fn is_holding(&self) -> bool {
        self.holder
            .is_some_and(|holder| delivery::of_scope(holder, |scopes| scopes.is_some()))
    }

    /// Whether it holds code that this is called from.
    fn holds_here(&self) -> bool {
        current::running(|step| {
            let (Some((tasks, task)), Some(holder)) = (step, self.holder) else {
                return false;
            };
            let here = tasks.innermost_scope(task);
            tasks.scopes.borrow().holds_code_in(here, holder)
        })
    }
}

/// Whether the code that this is called from, or enclosing code, propagates a request.
fn is_propagating() -> bool {
    current::running(|step| {
        step.is_some_and(|(tasks, task)| {
            let here = tasks.innermost_scope(task);
            tasks.scopes.borrow().is_propagating(here)
        })
    })
}

/// Whether a request was made to the innermost scope that this is called from, or to its task, and has not been
/// swallowed. `false` outside of any task.
///
/// For futures that wait for several parts and ask each, at its end, whether it has answered a request.
#[must_use]
pub fn has_open_request() -> bool {
    current::running(|step| {
        step.is_some_and(|(tasks, task)| {
            let here = tasks.innermost_scope(task);
            tasks.scopes.borrow().is_asked_to_end(here)
        })
    })
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.resolve(Resolution::Propagated);
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}
