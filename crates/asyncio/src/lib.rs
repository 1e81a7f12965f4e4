//! Python's asyncio for Rust: one event loop per thread, tasks that need neither `Send` nor locks,
//! virtual time for tests.
//!
//! ```
//! use std::time::Duration;
//!
//! async fn greet(after: Duration, what: &str) {
//!     asyncio::sleep(after).await;
//!     println!("{what}");
//! }
//!
//! # #[cfg(not(feature = "macros"))] fn main() {}
//! # #[cfg(feature = "macros")]
//! #[asyncio::main]
//! async fn main() {
//!     let hello = asyncio::spawn(greet(Duration::from_millis(10), "hello"));
//!     let world = asyncio::spawn(greet(Duration::from_millis(20), "world"));
//!     hello.await.unwrap();
//!     world.await.unwrap(); // 20 ms in all, not 30
//! }
//! ```
//!
//! The names are asyncio's. Where Rust has another habit, a search for the Python name finds ours: `create_task` is
//! [`spawn`]. This crate has no code of its own. It re-exports crates that can each be used alone.

pub use asyncio_executors::{
    AsCompleted, BoxError, CancelScope, Cancelled, CatchCancel, Child, Contender, ErrorGroup,
    Gather, GroupClosed, NeverReady, Race, Ready, RescheduleError, ReturnWhen, Shield,
    StaggeredRace, TaskGroup, TimedOut, Timeout, TimeoutHandle, TryGather, as_completed,
    cancel_scope, catch_cancel, gather, gather_iter, move_on_after, on_cancel, race, race_iter,
    shield, shield_task, staggered_race, task_group, timeout, timeout_at, timeout_scope,
    try_finally, try_gather, try_gather_iter, wait, wait_for, wait_with_timeout,
};
pub use asyncio_loop::{
    Builder, Cause, Circle, Context, ContextToken, ContextVar, EventLoop, Handle, Interval,
    JoinError, LoopClosed, LoopHandle, MissedTicks, NoContext, NoRunningLoop, Outcome, OutsideWork,
    PanicPayload, Runner, SharedContext, Sleep, SpawnOptions, Task, TaskId, TaskInfo, TaskName,
    TaskRef, TaskState, ThreadFuture, ThreadHandle, TimerHandle, TrySpawnError, Unhandled,
    YieldNow, all_tasks, call_at, call_exception_handler, call_later, call_soon, circles,
    copy_context, current_task, default_exception_handler, interval, interval_at, run, run_with,
    running_loop, set_exception_handler, shared_context, sleep, sleep_until, spawn, spawn_with,
    time, try_running_loop, try_sleep, try_spawn, try_spawn_with, yield_now,
};
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};
#[cfg(feature = "pool")]
pub use asyncio_pool::{
    Executor, Job, JobError, LoopPool, LoopPoolBuilder, LoopThread, LoopThreadBuilder, Loops,
    Pending, PoolShare, StopError, StopErrors, ThreadPool, ThreadPoolBuilder, TryRunError,
    default_executor, run_in_executor, set_default_executor, shutdown_default_executor, to_thread,
};

#[cfg(all(unix, feature = "macros", feature = "process"))]
pub use asyncio_macros::remote;
#[cfg(all(unix, feature = "process"))]
pub use asyncio_pool::{
    ProcessError, ProcessJob, ProcessMap, ProcessPool, ProcessPoolBuilder, RemoteFn, run_if_worker,
};

/// Sockets.
#[cfg(feature = "net")]
pub mod net {
    pub use asyncio_net::*;
}

/// Synchronisation between tasks: locks, events, queues, promises.
#[cfg(feature = "sync")]
pub mod sync {
    pub use asyncio_sync::*;
}

/// The most used names, for `use asyncio::prelude::*`.
pub mod prelude {
    pub use crate::{
        BoxError, Runner, Task, TaskGroup, gather, run, running_loop, sleep, spawn, task_group,
        timeout, yield_now,
    };
}

/// The functions that the attributes expand to. Not a part of the public interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(not(all(unix, feature = "process")))]
    pub use asyncio_loop::run_with as run_main;
    pub use asyncio_loop::testing::{Limits, Orders, run_test, run_test_within};
    #[cfg(all(unix, feature = "process"))]
    pub use asyncio_pool::__private::*;
}

// The programs of the pages use every feature, so they are doc tests only if all features are on.

#[cfg(all(
    doctest,
    feature = "macros",
    feature = "net",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(
    doctest,
    feature = "macros",
    feature = "net",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../README.md")]
struct ReadmeOfTheProject;

#[cfg(all(
    doctest,
    feature = "macros",
    feature = "net",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/cancellation.md")]
struct PageOnCancellation;

#[cfg(all(
    doctest,
    feature = "macros",
    feature = "net",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
