//! A task cell for single-threaded executors: one allocation a task, wakers for every thread, and nothing
//! atomic on the local path.
//!
//! [`Tasks`] is the executor's half that every event loop needs and that has nothing to do with events:
//! it makes tasks, queues those that are woken, runs their steps, and ends them. Where the events come
//! from, and what time it is, is the business of whoever drives it.
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
//! What holds:
//! - a task is polled, and its future and value are dropped, on its own thread only;
//! - waking on that thread, cloning a waker and dropping it are plain memory; from elsewhere it takes a mailbox, and a system call only
//!   if the thread is parked;
//! - wakers and handles may outlive everything, on any thread; the last waker frees memory and nothing
//!   else;
//! - a panic ends its task, not the thread, and somebody is told.

mod aside;
mod budget;
mod cancel;
mod cancelled;
mod cell;
mod cell_ref;
mod children;
mod circle;
mod context;
mod current;
mod detach;
mod discard;
#[cfg(all(test, not(loom)))]
mod effort;
mod family;
mod forgotten;
mod handover;
mod home;
mod id;
mod join_error;
mod listener;
#[cfg(all(test, loom))]
mod loom_tests;
mod mailbox;
mod marks;
mod one_line;
mod order;
mod pool;
mod pulse;
mod ready;
mod refs;
mod registry;
mod remote;
mod round;
mod schedule;
mod scope;
mod scope_state;
mod scopes;
mod shared_context;
mod spawn;
mod spawn_options;
mod state;
mod step_back;
mod sync;
mod task;
mod task_ref;
mod tasks;
mod timing;
mod turn;
mod unhandled;
mod waker;

pub use cancel::HeardRequest;
pub use cancelled::{Cancelled, has_open_request, is_unwinding, poll_again, unwind_here};
pub use children::Children;
pub use circle::{Circle, awaiter_of, circles};
pub use context::{Context, ContextToken, ContextVar, NoContext, copy_context};
pub use current::{current_step, is_in_task, order_below, with_companion};
pub use detach::{Outcome, failure_of};
pub use forgotten::is_err;
pub use id::{TaskId, TaskName};
pub use join_error::{JoinError, PanicPayload};
pub use listener::Listener;
pub use pulse::Pulse;
pub use remote::{Closed, Remote};
pub use schedule::{Schedule, Step};
pub use scope::{Scope, ScopeHandle, Unwound};
pub use shared_context::{SharedContext, shared_context};
pub use spawn::{NoRunningLoop, TrySpawnError, spawn, try_spawn, try_spawn_with};
pub use spawn_options::SpawnOptions;
pub use state::{LastPoll, TaskState};
pub use step_back::StepBack;
pub use task::Task;
pub use task_ref::{TaskInfo, TaskRef, all_tasks, current_task};
pub use tasks::Tasks;
pub use unhandled::{Cause, Unhandled};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
