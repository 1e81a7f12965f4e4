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

/// Threads for calls that block, such as those of the file system, of a database's blocking client, or a long
/// computation.
///
/// Threads are started when jobs need them, up to a limit, and end when they have had nothing to do for a while. Jobs
/// are begun in the order in which they came. Clones are the same pool.
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
/// When the last clone is dropped, the pool is shut down. Jobs that it was given still run, and threads end when there
/// is nothing left. The drop does not wait for that. [`wait_closed`](Self::wait_closed) does.
#[derive(Clone)]
#[doc(alias = "ThreadPoolExecutor")]
pub struct ThreadPool {
    owner: Arc<Owner>,
}

/// The part of a pool that its clones share.
struct Owner {
    crew: Arc<Crew>,
}

/// A part of a [`ThreadPool`]: so many of its jobs run at once at most. The others wait without a thread, so that one
/// kind of job cannot take all of them. Made by [`ThreadPool::share`]. Clones are the same share.
///
/// It keeps its pool from being shut down as a clone of the pool does.
#[derive(Clone)]
#[doc(alias = "CapacityLimiter")]
pub struct PoolShare {
    pool: ThreadPool,
    share: ShareOf,
}

/// The fate of jobs that have not begun when their pool is [shut down](ThreadPool::shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// They run before the threads end.
    Run,
    /// They are cancelled: their closures are dropped by [`ThreadPool::shutdown`], and awaiting them gives
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
    /// A pool with the usual settings. No thread is started yet.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "a pool is not a value without content"
    )]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// To set a pool up before making it.
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::default()
    }

    fn crew(&self) -> &Arc<Crew> {
        &self.owner.crew
    }

    /// Has `job` called on a thread of the pool, in a context with the values of
    /// [shared](asyncio_loop::ContextVar::shared) variables. It is on its way as soon as this returns.
    ///
    /// # Cancellation
    ///
    /// As [`Job`] says: before it has begun, the job is cancelled; after that, it runs on.
    #[doc(alias = "submit")]
    pub fn run<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::start(self.crew(), None, job)
    }

    /// Has `job` called on a thread of the pool, if it can be accepted at once.
    ///
    /// # Errors
    ///
    /// The pool is shut down, or has a [limit](ThreadPoolBuilder::queue_limit) and no room. The job comes back.
    pub fn try_run<F, T>(&self, job: F) -> Result<Job<T>, TryRunError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::try_start(self.crew(), None, job)
    }

    /// A share of this pool: `limit` of its jobs run at once at most, at least 1. Each call makes another share.
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

    /// Shuts the pool down: it refuses further jobs, and its threads end when there is nothing left for them to do.
    /// Does not wait. A second call changes nothing, but that it may cancel what the first one let run.
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
    /// The wait ends, nothing else.
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

    /// Blocks until the pool is shut down and all its threads have ended, for `timeout` at most. `false` if that is not
    /// enough.
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

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.crew().counts().0
    }

    /// How many threads wait for a job.
    #[must_use]
    pub fn idle_threads(&self) -> usize {
        self.crew().counts().1
    }

    /// How many jobs have not begun.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.crew().counts().2
    }
}

impl PoolShare {
    /// As [`ThreadPool::run`]: when the job's turn comes in this share.
    pub fn run<F, T>(&self, job: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::start(self.pool.crew(), Some(self.share), job)
    }

    /// As [`ThreadPool::try_run`].
    ///
    /// # Errors
    ///
    /// The pool is shut down, or has a limit and no room, or has a limit and the share's places are taken. The job
    /// comes back.
    pub fn try_run<F, T>(&self, job: F) -> Result<Job<T>, TryRunError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::try_start(self.pool.crew(), Some(self.share), job)
    }

    /// The pool of which this is a share.
    #[must_use]
    pub fn pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// How many of its jobs run at once at most.
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
