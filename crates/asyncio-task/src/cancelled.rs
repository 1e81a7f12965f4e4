//! The token of a cancellation: whoever has it decides what becomes of the request.

use std::fmt;
use std::sync::Arc;

use crate::current;
use crate::home;
use crate::scope_tree::{Fate, Request, ScopeKey};

/// A request to cancel, as it reaches code that asked to hear of it.
///
/// While it lives, the code around does not unwind: there is time to clean up, with `await`. Then it goes
/// one of three ways.
/// - [`resume`](Self::resume) sends the request on outwards and never returns: Python's `raise`.
/// - Dropping it sends the request on as well, without waiting: what runs goes on until it next waits.
/// - [`swallow`](Self::swallow) ends the request: Python's `except CancelledError: pass`.
///
/// A second request interrupts the cleanup, unless that is shielded.
#[must_use = "dropping a cancellation sends it on: the code around unwinds at its next await"]
pub struct Cancelled {
    /// The scope that it holds; none where there is no task.
    holder: Option<ScopeKey>,
    request: Request,
    message: Option<Arc<str>>,
    /// Let go already.
    gone: bool,
}

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

    /// What was said by whoever cancelled, be it the task, with [`Task::cancel_with`](crate::Task::cancel_with),
    /// or a scope around this. Of several requests that are open, the last message that was given.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Sends the request on to the code around, which unwinds with this. Never returns. Inside of a shield that
    /// stands in between, the shield's future unwinds as well.
    #[doc(alias = "raise")]
    pub async fn resume(mut self) -> ! {
        self.gone = true;
        let here = current::running(|step| step.map(|(tasks, task)| tasks.innermost_scope(task)));
        match here {
            None => self.send(Fate::Resumed),
            Some(here) if self.is_cut_off_from(here) => {
                self.send(Fate::Resumed);
                unwind_here(); // or nothing would end this
            }
            Some(_) if self.is_holding() => self.send(Fate::Resumed),
            // What it held has ended: what this is awaited in unwinds instead.
            Some(here) => current::tasks(|tasks| {
                if let Some(tasks) = tasks {
                    let let_go = tasks.scopes.borrow_mut().resume(here, self.request);
                    tasks.scopes.carry_out(let_go);
                }
            }),
        }
        loop {
            std::future::pending::<()>().await;
        }
    }

    /// Ends the request: the task goes on as if it had not been cancelled. If several tokens hold the same
    /// code, the request ends when all of them are swallowed.
    #[doc(alias = "uncancel")]
    pub fn swallow(mut self) {
        self.let_go(Fate::Swallowed);
    }

    fn let_go(&mut self, fate: Fate) {
        if !std::mem::replace(&mut self.gone, true) {
            self.send(fate);
        }
    }

    /// Tells the scope that it holds, wherever that is.
    fn send(&mut self, fate: Fate) {
        let Some(holder) = self.holder else { return };
        home::of_scope(holder, |home| {
            if let Some(home) = home {
                home.let_go(holder, self.request, fate, self.message.take());
            }
        });
    }

    /// Whether the scope that it holds has not ended.
    fn is_holding(&self) -> bool {
        self.holder
            .is_some_and(|holder| home::of_scope(holder, |home| home.is_some()))
    }

    /// Whether what unwinds the scope that it holds does not reach `here`: a shield stands in between, or it is a
    /// scope of another loop.
    fn is_cut_off_from(&self, here: ScopeKey) -> bool {
        self.holder.is_some_and(|holder| {
            home::of_scope(holder, |home| {
                home.is_some_and(|home| {
                    let tree = home.borrow();
                    !tree.contains(here) || tree.is_shut_off(here, holder)
                })
            })
        })
    }
}

/// Has the code that this is called from unwind when it next waits, as if a request to cancel had come.
///
/// For those who wait on somebody's behalf and find that what they wait for was cancelled.
pub fn unwind_here() {
    current::running(|step| {
        if let Some((tasks, task)) = step {
            let here = tasks.innermost_scope(task);
            let let_go = tasks.scopes.borrow_mut().unwind_anew(here);
            tasks.scopes.carry_out(let_go);
        }
    });
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.let_go(Fate::Resumed);
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("message", &self.message())
            .finish_non_exhaustive()
    }
}
