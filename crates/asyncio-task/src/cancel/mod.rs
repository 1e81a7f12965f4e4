//! The cancel tree: which scope is inside which, and where a request to cancel has got to.
//!
//! A scope is a stretch of one task that can be cancelled as one. The task itself is the outermost scope; the others
//! open inside of it, wherever their future is polled. The tree has only the scopes that have to wait: a scope that is
//! ready at its first poll never enters it.
//!
//! ```text
//!  1 request   a scope, the target, is cancelled: the request is noted there, and its task is woken
//!  2 deliver   the target's poll has returned Pending: the request is delivered to the innermost scopes inside of
//!              it, which are woken. The target is polled again, as long as that reaches any of them
//!  3 handle    such a scope ends what it wraps, and gives a token to the code that opened it
//!  4 hold      the token holds the enclosing scope, which does not propagate the request meanwhile
//!  5 resolve   the last token goes
//!    5a        all were swallowed: the request is answered, once each scope that got it and is still polled has
//!              handled it, and no other token of the request lives
//!    5b        one was resumed: the holder propagates the request. It does 2 for what opened while it was held,
//!              and then 3
//!    5c        a shield has only deferred the request: it begins again at 2 from the holder, as if it came now,
//!              once all cleanups inside are over that it has begun
//!  6 end       the target itself comes to 3: that is its outcome, unless a request to an enclosing scope is
//!              open too, which goes on in its place
//! ```
//!
//! Requests are numbered. A token holds against the requests up to its own. So the request that began a cleanup is not
//! delivered to the scopes that the cleanup opens, and a second request interrupts it ([`ScopeTree::is_open`]).
//!
//! A scope that is no longer polled, as a paused branch of `select!`, is not waited for. It keeps the delivered
//! request, and handles it at its next poll if the request is still open.
//!
//! An *observed* scope stays in the tree when it handles a request. It stands for a task, a group or a shield that ends
//! in its own time. Until then it holds the enclosing scope like a token. It gives no token that code could drop over
//! and over. So a request is delivered to it even if it opens in a scope that propagates the request. The task, group
//! or shield itself is never cut.
//!
//! A scope that is over stays as a *leftover* while tokens hold it ([`leftover`]).
//!
//! The tree is a data structure of its own. Its tasks are any [`Task`]. Each operation returns the tasks and wakers to
//! be woken ([`Effects`]). The tree runs nothing foreign: wakers go out to the code that has borrowed it, and are woken
//! or dropped when the borrow is over.
//!
//! | file | what it has |
//! |---|---|
//! | `key.rs`, `node.rs`, `slab.rs`, `tree.rs`, `frames.rs` | the scopes: names, data, storage, links, polls under way |
//! | `request.rs`, `requests.rs`, `origin.rs` | move 1 |
//! | `deliver.rs`, `allowance.rs` | move 2 |
//! | `resolve.rs`, `tokens.rs`, `unresolved.rs`, `propagate.rs`, `leftover.rs` | moves 3 to 6 |
//! | `state.rs`, `effects.rs` | the cancel state of a scope, and the effects of a change |
//! | `overdue.rs` | time limits that are due while a request is open |
//! | `model.rs` | random operations, compared with a naive model |
//! | `recursive.rs` | waves of requests in random orders, compared with the rules as a recursive function |

#![forbid(unsafe_code)]

mod allowance;
mod deliver;
mod effects;
mod frames;
mod key;
mod leftover;
#[cfg(test)]
mod model;
mod node;
mod origin;
mod overdue;
mod propagate;
#[cfg(test)]
mod recursive;
mod request;
mod requests;
mod resolve;
mod slab;
mod state;
mod tokens;
mod tree;
mod unresolved;

pub(crate) use deliver::Next;
pub(crate) use effects::{DropLater, Effect, Effects, WakeTarget};
pub(crate) use frames::Left;
pub(crate) use key::{Place, Request, ScopeKey};
pub(crate) use node::Isolation;
pub use origin::HeardRequest;
pub(crate) use origin::Origin;
pub(crate) use resolve::Resolution;
#[cfg(all(test, not(loom)))]
pub(crate) use slab::LOOKS;
pub(crate) use tree::{Removal, ScopeTree};

/// A task, as the tree has it: a reference at its root, and something to compare in the polls under way.
pub(crate) trait Task: Clone {
    type Id: Copy + Eq;

    fn id(&self) -> Self::Id;
}
