//! A task cell for single-threaded executors: one allocation a task, wakers for every thread, and nothing
//! atomic on the local path.
//!
//! [`Tasks`] is the half of an event loop that has nothing to do with events. It makes tasks, queues the woken ones,
//! runs their steps, and ends them. Its driver has the sources of events and the time.
//!
//! ```
//! use asyncio_task::Tasks;
//!
//! let tasks = Tasks::new(|| ());
//! tasks.enter(&(), || {
//!     let parent = tasks.spawn(async {
//!         let child = asyncio_task::spawn(async { "hello" });
//!         child.await.unwrap().len()
//!     });
//!     while tasks.run_one() {}
//!     assert_eq!(futures::FutureExt::now_or_never(parent).unwrap().unwrap(), 5);
//! });
//! ```
//!
//! These properties hold:
//! - a task is polled, and its future and value are dropped, on its own thread only;
//! - on that thread, to wake, clone or drop a waker is plain memory;
//! - from another thread, a wake-up is a push to the loop's inbox, plus a system call if the loop is parked;
//! - wakers and handles may outlive everything, on any thread; the last waker frees memory and nothing
//!   else;
//! - a panic ends its task, not the thread, and is reported.

// The parts of a task, and the way in from other threads. Most of the code that polls and frees is here.
mod cell;
mod queue;

// The half of a loop that its thread has for itself: it runs steps, and ends tasks.
mod engine;

// Requests to cancel: the tree of scopes, and its use by tasks.
mod cancel;
mod scopes;

// Tasks that borrow.
mod children;

// The part that user code holds.
mod context;
mod handle;

// The executor on top of it all.
mod tasks;

// Small parts with several users.
mod discard;
mod one_line;
mod sync;

#[cfg(all(test, loom))]
mod loom_tests;

pub use cancel::HeardRequest;
pub use cell::is_err::is_err;
pub use cell::state::{LastPoll, TaskState};
pub use children::Children;
pub use context::context_var::{ContextToken, ContextVar, NoContext, copy_context};
pub use context::shared_context::{SharedContext, shared_context};
pub use context::values::Context;
pub use engine::current::{current_step, is_in_task, order_below, with_driver};
pub use engine::pulse::Pulse;
pub use engine::unhandled::{Cause, Unhandled};
pub use handle::circle::Circle;
pub use handle::circles::{awaiter_of, circles};
pub use handle::id::{TaskId, TaskName};
pub use handle::join_error::JoinError;
pub use handle::outcome::{Outcome, failure_of};
pub use handle::panic_payload::PanicPayload;
pub use handle::remote::{Closed, Remote};
pub use handle::schedule::{Schedule, Step};
pub use handle::spawn::{NoRunningLoop, TrySpawnError, spawn, try_spawn, try_spawn_with};
pub use handle::spawn_options::SpawnOptions;
pub use handle::step_back::StepBack;
pub use handle::task::Task;
pub use handle::task_info::TaskInfo;
pub use handle::task_ref::{TaskRef, all_tasks, current_task};
pub use scopes::branch::{
    Branch, BranchEnd, PlainRound, is_observed, request_to_losers, timed_part,
};
pub use scopes::cancelled::{Cancelled, has_open_request};
pub use scopes::listener::Listener;
pub use scopes::propagation::{Propagation, propagate_here};
pub use scopes::scope::{Scope, ScopeHandle};
pub use scopes::scope_state::Interrupted;
pub use tasks::Tasks;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
