//! The default pool of a loop: made when it is first needed, and shut down when the loop is closed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_loop::{Attachment, Cause, Unhandled, attached, call_exception_handler};

use crate::job::Job;
use crate::thread_pool::{Pending, ThreadPool};

/// The default pools that a loop has had, the present one last.
#[derive(Default)]
struct DefaultPools(RefCell<Vec<ThreadPool>>);

impl DefaultPools {
    /// That of the loop that runs here.
    #[track_caller]
    fn here() -> Rc<Self> {
        attached().unwrap_or_else(|no_loop| panic!("{no_loop}"))
    }

    fn present(&self) -> ThreadPool {
        let mut pools = self.0.borrow_mut();
        if pools.is_empty() {
            pools.push(ThreadPool::new());
        }
        pools[pools.len() - 1].clone()
    }
}

impl Attachment for DefaultPools {
    fn close(&self, patience: Duration) {
        let end = Instant::now().checked_add(patience);
        let left = || {
            end.map_or(patience, |end| {
                end.saturating_duration_since(Instant::now())
            })
        };
        let pools = self.0.take();
        for pool in &pools {
            pool.shutdown(Pending::Run);
        }
        // A loop that runs in a job of its own default pool cannot wait for that.
        let mut others = pools.iter().filter(|pool| !pool.is_here());
        if !patience.is_zero() && !others.all(|pool| pool.wait_timeout(left())) {
            let message =
                "a default thread pool has jobs that still run after its event loop was closed";
            call_exception_handler(&Unhandled::new(message, None, Cause::Message));
        }
    }

    fn has_closed(&self) -> bool {
        let pools = self.0.borrow();
        for pool in pools.iter() {
            pool.shutdown(Pending::Run);
        }
        pools
            .iter()
            .all(|pool| pool.is_here() || pool.wait_timeout(Duration::ZERO))
    }
}

/// Calls `job` on a thread of the running loop's default pool.
///
/// The first call makes the pool. Closing the loop waits for the pool's jobs, for 300 s at most. It waits for jobs that
/// no task awaits, too.
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::to_thread;
///
/// # asyncio_loop::run(async {
/// let read = to_thread(|| std::fs::read_to_string("Cargo.toml"));
/// // Other tasks run meanwhile.
/// assert!(read.await??.contains("asyncio-pool"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// A job that has not begun is cancelled. A job that has begun runs on. See [`Job`].
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
#[doc(alias = "spawn_blocking")]
pub fn to_thread<F, T>(job: F) -> Job<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    DefaultPools::here().present().run(job)
}

/// The default pool of the running loop.
///
/// # Panics
///
/// Without a running loop.
#[must_use]
#[track_caller]
pub fn default_executor() -> ThreadPool {
    DefaultPools::here().present()
}

/// Sets the default pool of the running loop. A loop that is closed shuts its default pool down, and waits for the
/// jobs. So several loops must not share a default pool: give a shared one to
/// [`run_in_executor`](crate::run_in_executor). The former default pool is shut down now, and the closing loop waits
/// for its jobs, too.
///
/// # Panics
///
/// Without a running loop.
#[track_caller]
#[doc(alias = "loop.set_default_executor")]
pub fn set_default_executor(pool: ThreadPool) {
    let pools = DefaultPools::here();
    let before = pools.0.borrow().last().cloned();
    if let Some(before) = before {
        before.shutdown(Pending::Run);
    }
    pools.0.borrow_mut().push(pool);
}

/// Shuts down the default pool of the running loop, and waits until its jobs have ended. From then on
/// [`to_thread`] gives [`JobError::Closed`](crate::JobError::Closed), until another pool is
/// [set](set_default_executor).
///
/// # Cancellation
///
/// The wait ends. The pool is shut down all the same.
///
/// # Panics
///
/// Without a running loop.
#[doc(alias = "loop.shutdown_default_executor")]
pub async fn shutdown_default_executor() {
    let pool = default_executor();
    pool.shutdown(Pending::Run);
    pool.wait_closed().await;
}
