//! The event loop: one thread's tasks, timers and sockets, and the means to run them.
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
//! A turn of the loop is `run_once.rs`; read that first. What holds:
//! - one thread, one loop: between two awaits nothing else runs, and nothing here is `Send` but
//!   [`LoopHandle`] and what comes from it;
//! - first in, first out: what is woken first runs first, and waking never runs anything by itself;
//! - however busy the tasks are, I/O, timers and mail are looked at every so many steps;
//! - time is the loop's: real, or virtual and exact.

mod attachments;
mod builder;
mod clock;
mod closing;
#[cfg(unix)]
mod ctrl_c;
#[cfg(not(unix))]
#[path = "no_ctrl_c.rs"]
mod ctrl_c;
mod current;
mod deadline;
mod debug;
mod event_loop;
mod exceptions;
mod handle;
mod interval;
mod limits;
mod loop_handle;
#[cfg(feature = "sync")]
mod ready_awaits;
mod roster;
mod run_once;
mod runner;
mod sleep;
mod spawn_with;
mod spin;
pub mod testing;
mod thread_future;
#[cfg(feature = "sync")]
mod thread_hooks;
mod timers;
#[cfg(feature = "sync")]
mod unretrieved;
mod virtual_time;
mod yield_now;

pub use asyncio_task::{
    Cause, Circle, Context, ContextToken, ContextVar, JoinError, NoContext, NoRunningLoop, Outcome,
    PanicPayload, SharedContext, SpawnOptions, Task, TaskId, TaskInfo, TaskName, TaskRef,
    TaskState, TrySpawnError, Unhandled, all_tasks, circles, copy_context, current_task,
    shared_context, spawn, try_spawn, try_spawn_with,
};
pub use attachments::{Attachment, attached};
pub use builder::Builder;
pub use current::{reactor, running_loop, time, try_reactor, try_running_loop};
pub use deadline::Deadline;
pub use event_loop::EventLoop;
pub use exceptions::{call_exception_handler, default_exception_handler, set_exception_handler};
pub use handle::{Handle, TimerHandle, call_at, call_later, call_soon};
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use loop_handle::{LoopClosed, LoopHandle, ThreadHandle};
pub use runner::{Runner, run, run_with};
pub use sleep::{Sleep, sleep, sleep_until, try_sleep};
pub use spawn_with::spawn_with;
pub use thread_future::ThreadFuture;
pub use virtual_time::OutsideWork;
pub use yield_now::{YieldNow, yield_now};

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
