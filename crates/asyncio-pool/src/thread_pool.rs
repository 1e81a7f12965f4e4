//! A pool of threads, and a share of one.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::{LoopHandle, try_running_loop};
use asyncio_task::StepBack;

use crate::block_on::{block_on, block_on_for};
use crate::crew::{Crew, ShareOf};
use crate::error::TryRunError;
use crate::job::Job;
use crate::settings::ThreadPoolBuilder;

/// Threads for calls that block: the file system, a database's blocking client, a long computation.
///
/// Threads are started when jobs need them, up to a limit, and end after a time without jobs. Jobs begin in the order
/// in which they were started. Clones are the same pool.
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::ThreadPool;
///
/// # asyncio_loop::run(async {
/// let pool = ThreadPool::new();
/// let sum = pool.run(|| (1..=1_000_000_u64).sum::<u64>());
/// // Other tasks run meanwhile.
/// assert_eq!(sum.await?, 500_000_500_000);
/// # Ok::<(), asyncio_pool::JobError>(())
/// # }).unwrap();
/// ```
///
/// The drop of the last clone shuts the pool down. Jobs that were started before still run, and then the threads end.
/// The drop does not wait for them. [`wait_closed`](Self::wait_closed) does.
#[derive(Clone)]
#[doc(alias = "ThreadPoolExecutor")]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// The part of a pool that its clones share.
struct Owner {
    crew: Arc<Crew>,
}

/// A part of a [`ThreadPool`], from [`ThreadPool::share`]: at most a given number of its jobs run at once. Further jobs
/// wait without a thread, so one kind of job cannot take all threads. Clones are the same share.
///
/// A share keeps its pool open, as a clone of the pool does.
#[derive(Clone)]
#[doc(alias = "CapacityLimiter")]
pub struct PoolShare {
    pool: ThreadPool,
    share: ShareOf,
}

/// The choice for jobs that have not begun when their pool is [shut down](ThreadPool::shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// The jobs run before the threads end.
    Run,
    /// The jobs are cancelled: [`ThreadPool::shutdown`] drops their closures, and awaiting them gives
    /// [`JobError::Cancelled`](crate::JobError::Cancelled).
    #[doc(alias = "cancel_futures")]
    Cancel,
}

impl ThreadPoolBuilder {
    /// Makes the pool. No thread is started yet.
    #[must_use]
    pub fn build(self) -> ThreadPool {
        let crew = Crew::new(self.settings());
        ThreadPool {
            owner: Arc::new(Owner { crew }),
        }
    }
}

impl ThreadPool {
    /// A pool with the default options. No thread is started yet.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "a pool is not a value without content"
    )]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Options for a pool.
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::default()
    }

    fn crew(&self) -> &Arc<Crew> {
        &self.owner.crew
    }

    /// Calls `job` on a thread of the pool, in a context with the values of [shared](asyncio_loop::ContextVar::shared)
    /// variables. The job needs no await to run.
    ///
    /// # Cancellation
    ///
    /// A job that has not begun is cancelled. A job that has begun runs on. See [`Job`].
    #[doc(alias = "submit")]
    pub fn run<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::start(self.crew(), None, job)
    }

    /// Calls `job` on a thread of the pool, if the pool can accept it at once.
    ///
    /// # Errors
    ///
    /// The pool is shut down, or has a [limit](ThreadPoolBuilder::queue_limit) and no room. The error contains the job.
    pub fn try_run<F, T>(&self, job: F) -> Result<Job<T>, TryRunError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::try_start(self.crew(), None, job)
    }

    /// A share of this pool, of which at most `limit` jobs run at once. (A limit of 0 counts as 1.) Each call makes
    /// another share.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_pool::*; }
    /// use asyncio::ThreadPool;
    ///
    /// # asyncio_loop::run(async {
    /// let pool = ThreadPool::builder().max_threads(8).build();
    /// // However slow the name server is, six threads are left for the rest.
    /// let names = pool.share(2);
    /// let answer = names.run(|| "an address".to_owned()).await?;
    /// # assert_eq!(answer, "an address");
    /// # Ok::<(), asyncio_pool::JobError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn share(&self, limit: usize) -> PoolShare {
        PoolShare {
            pool: self.clone(),
            share: ShareOf {
                id: self.crew().new_share(),
                limit: limit.max(1),
            },
        }
    }

    /// Shuts the pool down: it refuses further jobs, and its threads end when no job is left. Does not wait. A second
    /// call with [`Pending::Cancel`] cancels the jobs that the first one left.
    pub fn shutdown(&self, pending: Pending) {
        self.crew().shut_down(pending == Pending::Cancel);
    }

    /// Whether the pool is shut down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.crew().is_closed()
    }

    /// Waits until the pool is shut down and all its threads have ended.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Panics
    ///
    /// On a thread of the pool, which would wait for itself.
    pub async fn wait_closed(&self) {
        self.must_be_elsewhere();
        StepBack::new().await;
        let mut waiting = Waiting {
            crew: self.crew(),
            key: None,
        };
        // Virtual time does not jump over jobs that only this wait is for.
        let here = try_running_loop().ok();
        let _away = here.as_ref().map(LoopHandle::outside_work);
        poll_fn(
            |cx| match waiting.crew.poll_ended(&mut waiting.key, cx.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
        .await;
    }

    /// Blocks until the pool is shut down and all its threads have ended. For threads without an event loop.
    ///
    /// # Panics
    ///
    /// On a thread of the pool, which would wait for itself.
    pub fn wait(&self) {
        self.must_be_elsewhere();
        block_on(self.wait_closed());
        self.crew().join_ended();
    }

    /// Blocks until the pool is shut down and all its threads have ended, for `timeout` at most. `false` if they have
    /// not ended by then.
    ///
    /// # Panics
    ///
    /// On a thread of the pool, which would wait for itself.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.must_be_elsewhere();
        let ended = block_on_for(self.wait_closed(), timeout).is_some();
        if ended {
            self.crew().join_ended();
        }
        ended
    }

    fn must_be_elsewhere(&self) {
        assert!(
            !self.is_here(),
            "a job that waits for the end of its own pool would wait for itself: wait on another thread"
        );
    }

    /// Whether this thread is one of the pool's.
    pub(crate) fn is_here(&self) -> bool {
        self.crew().is_here()
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.crew().counts().0
    }

    /// The number of threads that wait for a job.
    #[must_use]
    pub fn idle_threads(&self) -> usize {
        self.crew().counts().1
    }

    /// The number of jobs that have not begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.crew().counts().2
    }
}

impl PoolShare {
    /// Calls `job` on a thread of the pool, as [`ThreadPool::run`] does, when this share has a free place.
    pub fn run<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::start(self.pool.crew(), Some(self.share), job)
    }

    /// Calls `job` as [`ThreadPool::try_run`] does, if the pool can accept it at once.
    ///
    /// # Errors
    ///
    /// The pool is shut down, or has a limit and no room, or has a limit and the share's places are taken. The error
    /// contains the job.
    pub fn try_run<F, T>(&self, job: F) -> Result<Job<T>, TryRunError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::try_start(self.pool.crew(), Some(self.share), job)
    }

    /// The pool of this share.
    #[must_use]
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The maximum number of jobs that run at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.share.limit
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.crew.shut_down(false);
    }
}

/// A wait for the end of a pool.
struct Waiting<'a> {
    crew: &'a Arc<Crew>,
    key: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.crew.forget_waiting(key);
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, idle, pending) = self.crew().counts();
        f.debug_struct("ThreadPool")
            .field("name", &self.crew().settings.name)
            .field("threads", &threads)
            .field("idle", &idle)
            .field("pending", &pending)
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl fmt::Debug for PoolShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolShare")
            .field("limit", &self.share.limit)
            .field("pool", &self.pool)
            .finish()
    }
}
