//! Threads for an event loop: blocking calls run on a pool of them, and the loop's tasks go on meanwhile.
//!
//! ```
//! use asyncio_pool::to_thread;
//!
//! asyncio_loop::run(async {
//!     let blocking = to_thread(|| std::fs::read("Cargo.toml"));
//!     let file = blocking.await.expect("it did not panic")?;
//!     assert!(!file.is_empty());
//!     Ok::<(), std::io::Error>(())
//! })
//! .unwrap();
//! ```
//!
//! Read `crew.rs` first: the threads of a pool and the jobs that wait for them. These things hold:
//! - jobs are begun in the order in which they came, a share's in its turn;
//! - a job that has not begun can be cancelled for good; one that has begun runs to its end;
//! - every job ends with its value or an error, also when its pool is shut down or its loop closed;
//! - an idle pool takes no processor time, and its threads end after a while.

#![forbid(unsafe_code)]

mod block_on;
mod cell;
mod crew;
mod default_pool;
mod error;
mod executor;
mod job;
mod line;
#[cfg(all(test, loom))]
mod loom_tests;
mod loop_pool;
mod loop_settings;
mod loop_thread;
mod pin;
#[cfg(all(unix, feature = "process", not(loom)))]
mod process;
mod rest;
mod settings;
mod sync;
mod thread_pool;
mod work;

pub use default_pool::{
    default_executor, set_default_executor, shutdown_default_executor, to_thread,
};
pub use error::{JobError, TryRunError};
pub use executor::{Executor, run_in_executor};
pub use job::Job;
pub use loop_pool::{LoopPool, LoopPoolBuilder, Loops, StopErrors};
pub use loop_thread::{LoopThread, LoopThreadBuilder, StopError};
#[cfg(all(unix, feature = "process", not(loom)))]
pub use process::{
    ProcessError, ProcessJob, ProcessMap, ProcessPool, ProcessPoolBuilder, RemoteFn, run_if_worker,
};
pub use settings::ThreadPoolBuilder;
pub use thread_pool::{Pending, PoolShare, ThreadPool};

/// The expansion of the facade's attributes; not for other use.
#[cfg(all(unix, feature = "process", not(loom)))]
#[doc(hidden)]
pub mod __private {
    pub use crate::process::{Later, Registered, call, call_async, read, run_main, type_of, write};
    pub use inventory;
}

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
