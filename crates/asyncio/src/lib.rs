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
//! | to | use |
//! |---|---|
//! | run a program, or a test | [`run`], [`main`](macro@main), [`test`](macro@test), [`testing`] |
//! | start a task | [`spawn`] gives a [`Task`], which is awaited, detached, or cancelled by its drop |
//! | run several things that borrow | [`task_group`], [`gather`], [`race`]; at most so many with [`gather_bounded`] |
//! | wait for several sources | [`select!`] |
//! | wait, and limit waits | [`sleep`], [`interval`], [`timeout`] |
//! | clean up, however work ends | [`bracket`], [`try_finally`], [`catch_cancel`], [`shield`] |
//! | share values and pass them on | a `Cell` or a `RefCell`; the locks, queues and channels of [`sync`] |
//! | reach the network | [`net`]: TCP, UDP, Unix sockets, servers |
//! | block, or compute | [`to_thread`], [`ThreadPool`], [`ProcessPool`], [`LoopPool`] |
//! | come from other threads | [`LoopHandle`], [`LoopThread`] |
//!
//! The repository has a guide (`docs/guide.md`), the rules of cancellation (`docs/cancellation.md`), and a map from
//! asyncio's and tokio's names (`docs/asyncio-map.md`). `Cargo.toml` lists the features, of which most are on.
//!
//! The names are asyncio's. Where Rust has another habit, a search for the Python name finds ours: `create_task` is
//! [`spawn`]. This crate is the facade: it re-exports crates that can each be used alone.

pub use asyncio_executors::{
    AsCompleted, AsCompletedBounded, BoxError, CancelScope, Cancelled, CatchCancel, CatchPanic,
    Child, Contender, ErrorGroup, Gather, GroupClosed, NeverReady, Race, Ready, RescheduleError,
    ReturnWhen, Shield, StaggeredRace, TaskGroup, TimedOut, Timeout, TimeoutHandle, TryGather,
    as_completed, as_completed_bounded, bracket, cancel_scope, catch_cancel, catch_panic,
    for_each_bounded, gather, gather_bounded, gather_iter, move_on_after, on_cancel, race,
    race_iter, shield, shield_task, staggered_race, task_group, timeout, timeout_at, timeout_scope,
    try_finally, try_gather, try_gather_bounded, try_gather_iter, wait, wait_for,
    wait_with_timeout,
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

/// Waits for the first of several futures, and runs the handler of that one.
///
/// An arm is `pattern = future => handler`, or `pattern = future, if guard => handler`. The last arm may be
/// `else => handler`. The futures are polled in place, in the order of the arms: nothing is allocated, and no task is
/// spawned. If two are ready, the first in order wins. A test with [an order from a seed](macro@crate::test) shuffles
/// them.
///
/// A loop over several sources:
///
/// ```
/// use asyncio::sync::Queue;
/// use asyncio::{TaskGroup, interval, select, sleep, task_group};
/// use std::time::Duration;
///
/// # #[cfg(feature = "macros")]
/// #[asyncio::main(clock = "virtual")]
/// async fn main() {
///     let second = Duration::from_secs(1);
///     let jobs = Queue::new(0);
///     let (mut done, mut ticks) = (0, 0);
///     let put = async {
///         for job in 0..3 {
///             sleep(second).await;
///             jobs.put(job).await.unwrap();
///         }
///         jobs.shutdown(false);
///     };
///     let work = async {
///         let mut tick = interval(2 * second);
///         loop {
///             select! {
///                 Ok(_job) = jobs.get() => done += 1,
///                 _ = tick.tick() => ticks += 1,
///             }
///             if jobs.is_shutdown() && jobs.empty() {
///                 break;
///             }
///         }
///     };
///     asyncio::gather((put, work)).await;
///     assert_eq!((done, ticks), (3, 2));
/// }
/// ```
///
/// - **Guards** are evaluated first, in order. An arm whose guard is false is disabled: its future is not made.
/// - **Patterns** may fail. Then the value is lost, the arm is disabled, and the others go on.
/// - **`else`** runs if each arm is disabled. Without an `else` that is a panic.
/// - **Handlers** run after all futures are gone. So a handler may borrow what the arms borrowed, and may use `?`,
///   `break`, `continue`, `return` and `await`. The value of the chosen handler is the value of the `select!`.
/// - **A future that is kept** from one round to the next is made before the loop, pinned, and given by `&mut`. So are
///   a [`Task`] and a [`Child`]: the loop goes on without cancelling them.
///
/// # Cancellation
///
/// **Losers are dropped**, as in any `select!`. Destructors run, cleanups that `await` do not. Reads, gets and locks of
/// this crate lose nothing by that. An item that was on its way to a loser goes to the next waiter. Work that cleans up
/// is not an arm but a contender of a [`race`], which cancels the losers and awaits their end. `select!` does not,
/// because its arms borrow their sources. A request to a loser would cancel what the next round needs: the tasks behind
/// a stream, say.
///
/// A request to the enclosing code reaches the futures of the arms like any other code. If an arm returns a value all
/// the same, its handler runs, and the request takes the next `await`.
///
/// # Panics
///
/// If every arm is disabled and there is no `else`.
#[cfg(feature = "macros")]
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => {
        $crate::__private::select::expand! { $crate; $($arms)* }
    };
}

/// Files and directories.
#[cfg(feature = "os")]
pub mod fs {
    pub use asyncio_os::fs::*;
}

/// Child processes.
#[cfg(all(unix, feature = "os"))]
pub mod process {
    pub use asyncio_os::process::*;
}

/// Signals of the system.
#[cfg(all(unix, feature = "os"))]
pub mod signal {
    pub use asyncio_os::signal::*;
}

/// Pipes and FIFOs.
#[cfg(all(unix, feature = "os"))]
pub mod pipe {
    pub use asyncio_os::pipe::*;
}

/// The standard streams of the program.
#[cfg(all(unix, feature = "os"))]
pub mod stdio {
    pub use asyncio_os::stdio::*;
}

#[cfg(feature = "net")]
#[doc(inline)]
pub use asyncio_net as net;

#[cfg(feature = "http")]
#[doc(inline)]
pub use asyncio_http as http;

/// A loop inside a program that has a loop of its own: a GUI, a game, another runtime.
///
/// The program is the *host*. It calls [`Guest::turn`](host::Guest::turn) again and again, and waits for what
/// [`Next`](host::Next) says: for a time, or for the descriptor of the guest. The tasks of the guest run on the host's
/// thread, so they share values with the host without `Send`.
pub mod host {
    pub use asyncio_loop::{Guest, Next, conclude};
}

/// The loop as a guest of tokio, on the same thread: tasks of ours use tokio's crates directly.
///
/// ```
/// # #[cfg(not(feature = "macros"))] fn main() {}
/// # #[cfg(feature = "macros")]
/// #[asyncio::main(host = "tokio")]
/// async fn main() {
///     let page = asyncio::spawn(async {
///         // Everything that needs tokio's runtime works here, in a task without `Send`.
///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
///         tokio::task::spawn_blocking(|| "a page").await.unwrap()
///     });
///     assert_eq!(page.await.unwrap(), "a page");
/// }
/// ```
#[cfg(feature = "tokio")]
pub mod tokio {
    pub use asyncio_tokio::{Guest, run, run_with};
}

#[cfg(feature = "sync")]
#[doc(inline)]
pub use asyncio_sync as sync;

/// For tests: what the exception handler was told, and control of virtual time.
pub mod testing {
    pub use asyncio_loop::testing::{advance, take_reports};
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
    #[cfg(feature = "macros")]
    pub mod select {
        pub use asyncio_executors::__private::{ArmPoll, all_disabled, select};
        pub use asyncio_macros::select as expand;
    }

    #[cfg(feature = "tokio")]
    pub mod tokio {
        pub use asyncio_tokio::__private::*;
    }

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
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "macros",
    feature = "net",
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../README.md")]
struct ReadmeOfTheProject;

#[cfg(all(
    doctest,
    feature = "macros",
    feature = "net",
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/cancellation.md")]
struct PageOnCancellation;

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "macros",
    feature = "net",
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "macros",
    feature = "net",
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/coming-from-tokio.md")]
struct ComingFromTokio;

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "macros",
    feature = "net",
    feature = "os",
    feature = "pool",
    feature = "sync"
))]
#[doc = include_str!("../../../docs/coming-from-python.md")]
struct ComingFromPython;
