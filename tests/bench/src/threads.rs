//! The operations that a workload needs from a way to work with other threads.

use std::future::Future;

/// A pool of threads for calls that block, and the way back to the loop's thread.
pub(crate) trait Threads: 'static {
    /// Whether there is a pool.
    const CALLS: bool = true;
    /// Whether other threads may post callbacks.
    const POSTS: bool = false;
    /// Whether there are pools of worker processes.
    const PROCESSES: bool = false;

    /// A way to the running loop, for other threads.
    type Handle: Clone + Send + 'static;

    /// Runs `job` on a thread of the pool. It is on its way when this returns.
    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static;

    /// The way to the running loop.
    fn handle() -> Self::Handle;

    /// Has `callback` called on the loop's thread.
    fn post(handle: &Self::Handle, callback: impl FnOnce() + Send + 'static);
}

/// The missing pool of a runtime. No workload calls it.
#[derive(Debug)]
pub(crate) struct NoThreads;

impl Threads for NoThreads {
    const CALLS: bool = false;
    type Handle = ();

    async fn call<T, F>(_job: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        unreachable!("asked for the pool of a runtime that has none")
    }

    fn handle() {}

    fn post((): &(), _callback: impl FnOnce() + Send + 'static) {}
}
