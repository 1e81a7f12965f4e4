//! The executors that `run_in_executor` takes.

use crate::job::Job;
use crate::thread_pool::{PoolShare, ThreadPool};

/// Something that runs blocking calls: a [`ThreadPool`] or a [`PoolShare`].
pub trait Executor: sealed::Executor {}

mod sealed {
    use super::Job;

    pub trait Executor {
        fn start<F, T>(&self, job: F) -> Job<T>
        where
            F: FnOnce() -> T + Send + 'static,
            T: Send + 'static;
    }
}

impl sealed::Executor for ThreadPool {
    fn start<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.run(job)
    }
}

impl sealed::Executor for PoolShare {
    fn start<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.run(job)
    }
}

impl Executor for ThreadPool {}
impl Executor for PoolShare {}

/// Calls `job` on a thread of `executor`: [`ThreadPool::run`] under asyncio's name.
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::{ThreadPool, run_in_executor};
///
/// # asyncio_loop::run(async {
/// let pool = ThreadPool::new();
/// assert_eq!(run_in_executor(&pool, || 6 * 7).await?, 42);
/// # Ok::<(), asyncio_pool::JobError>(())
/// # }).unwrap();
/// ```
#[doc(alias = "loop.run_in_executor")]
pub fn run_in_executor<E, F, T>(executor: &E, job: F) -> Job<T>
where
    E: Executor + ?Sized,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    executor.start(job)
}
