//! The event loop: one thread's tasks, timers and sockets, and the code that runs them.
//!
//! ```
//! use std::time::Duration;
//! use asyncio_loop::{run, sleep, spawn};
//!
//! run(async {
//!     let tea = spawn(async {
//!         sleep(Duration::from_millis(2)).await;
//!         "tea"
//!     });
//!     assert_eq!(tea.await.unwrap(), "tea");
//! });
//! ```
//!
//! Read `run_once.rs` first: one turn of the loop. The modules are listed in groups, in reading
//! order; a module uses none of a later group. Guarantees:
//!
//! - One thread, one loop: between two awaits no other code of the loop runs. Nothing is `Send`
//!   except [`LoopHandle`] and the values that it creates.
//! - First in, first out: tasks run in the order in which they were woken. Waking a task never runs
//!   it.
//! - However busy the tasks are, the loop checks I/O, timers and its inbox after a bounded number
//!   of steps.
//! - Time is the loop's: real, or virtual and exact.

mod attachments;
mod clock;
mod limits;
mod shared;
mod spin;
mod stall;
mod sync;
mod thread_state;
mod timers;

mod core;

mod current;

mod closing;
mod debug;
mod exceptions;
mod keep_limits;
mod run_once;
mod task_list;
mod virtual_time;

mod loop_handle;
mod outside_work;
mod thread_future;

mod deadline;
mod handle;
mod interval;
mod sleep;
mod spawn_with;
mod yield_now;

#[cfg(feature = "sync")]
mod ready_awaits;
#[cfg(feature = "sync")]
mod thread_hooks;
#[cfg(feature = "sync")]
mod unretrieved;

mod builder;
mod hosted;

mod event_loop;

mod host;

#[cfg(unix)]
mod disposition;

#[cfg(unix)]
mod ctrl_c;
#[cfg(not(unix))]
#[path = "no_ctrl_c.rs"]
mod ctrl_c;
mod guest;
mod runner;
pub mod testing;

pub use asyncio_task::{
    Cause, Circle, Context, ContextToken, ContextVar, JoinError, NoContext, NoRunningLoop, Outcome,
    PanicPayload, SharedContext, SpawnOptions, Task, TaskId, TaskInfo, TaskName, TaskRef,
    TaskState, TrySpawnError, Unhandled, all_tasks, circles, copy_context, current_task,
    shared_context, spawn, try_spawn, try_spawn_with,
};
pub use attachments::Attachment;
pub use builder::Builder;
pub use current::{attached, reactor, time, try_reactor};
pub use deadline::Deadline;
#[cfg(unix)]
pub use disposition::SignalClaim;
pub use event_loop::EventLoop;
pub use exceptions::{call_exception_handler, default_exception_handler, set_exception_handler};
pub use guest::Guest;
pub use handle::{Handle, TimerHandle, call_at, call_later, call_soon};
pub use hosted::Next;
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use loop_handle::{LoopClosed, LoopHandle, ThreadHandle, running_loop, try_running_loop};
pub use outside_work::OutsideWork;
pub use runner::{Runner, conclude, run, run_with};
pub use sleep::{Sleep, sleep, sleep_until, try_sleep};
pub use spawn_with::spawn_with;
pub use stall::Stall;
pub use thread_future::ThreadFuture;
pub use yield_now::{YieldNow, yield_now};

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
