//! Structured concurrency for the asyncio event loop: task groups that borrow, gather, time limits, and
//! cancellation with cleanups that await.
//!
//! ```
//! use asyncio_executors::{BoxError, TaskGroup, task_group};
//!
//! let pages = vec!["one".to_owned(), "three".to_owned()];
//! let lengths = asyncio_loop::run(async {
//!     task_group(async |tg: TaskGroup<'_>| {
//!         // The children borrow `pages`; none outlives the group.
//!         let counting: Vec<_> = pages.iter().map(|page| tg.spawn(async { Ok(page.len()) })).collect();
//!         let mut lengths = Vec::new();
//!         for child in counting {
//!             lengths.push(child.await?);
//!         }
//!         Ok(lengths)
//!     })
//!     .await
//! })?;
//! assert_eq!(lengths, [3, 5]);
//! # Ok::<(), BoxError>(())
//! ```
//!
//! Two properties hold. A future that is started here never outlives the await in which it was started. A future that
//! ends early is cancelled and waited for. The crate is built on the cancel scopes of `asyncio-task`, whose rules are
//! at the head of its `cancel/mod.rs`.
//!
//! Not here: tasks that run on their own (`asyncio-loop`'s `spawn`), pools of threads, locks and queues.

mod answer;
mod bounded;
mod bracket;
mod cancel_scope;
mod catch_cancel;
mod catch_panic;
mod child;
mod error_group;
mod error_tree;
mod forgotten;
mod gather;
mod group;
mod in_place;
mod outputs;
mod places;
mod race;
mod ready;
mod select;
mod shield;
mod shrink;
mod signal;
mod task_group;
mod timeout;
mod wait;

pub use asyncio_task::Cancelled;
pub use bounded::{
    AsCompletedBounded, as_completed_bounded, for_each_bounded, gather_bounded, try_gather_bounded,
};
pub use bracket::bracket;
pub use cancel_scope::{CancelScope, cancel_scope};
pub use catch_cancel::{CatchCancel, catch_cancel, on_cancel, try_finally};
pub use catch_panic::{CatchPanic, catch_panic};
pub use child::Child;
pub use error_group::{BoxError, ErrorGroup};
pub use gather::{Gather, TryGather, gather, gather_iter, try_gather, try_gather_iter};
pub use race::{Contender, Race, StaggeredRace, race, race_iter, staggered_race};
pub use ready::{NeverReady, Ready};
pub use shield::{Shield, shield, shield_task};
pub use task_group::{GroupClosed, TaskGroup, task_group};
pub use timeout::{
    RescheduleError, TimedOut, Timeout, TimeoutHandle, move_on_after, timeout, timeout_at,
    timeout_scope, wait_for,
};
pub use wait::{AsCompleted, ReturnWhen, as_completed, wait, wait_with_timeout};

/// The expansion of the facade's `select!`. Not a part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::select::{ArmPoll, Select, all_disabled, select};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
