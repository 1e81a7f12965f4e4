//! Why a job gave no value.

use std::fmt;
use std::io;

use asyncio_loop::PanicPayload;

/// Why awaiting a job gave no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The job panicked; the payload can be resumed.
    #[error("the job panicked: {0}")]
    Panicked(PanicPayload),
    /// The job was cancelled before it began, by its handle or by the [shutdown](crate::ThreadPool::shutdown) of its
    /// pool.
    #[error("the job was cancelled before it began")]
    Cancelled,
    /// The pool was shut down before the job was started.
    #[error("the thread pool is shut down")]
    Closed,
    /// The pool has no thread, and the operating system gave none.
    #[error("no thread could be started: {0}")]
    NoThread(#[source] io::Error),
}

/// An error of kind `Other`, or of the system's kind if no thread could be started. So `?` works in functions of
/// `io::Result`.
///
/// ```
/// # mod asyncio { pub use asyncio_pool::*; }
/// use asyncio::to_thread;
/// use std::io;
///
/// async fn read() -> io::Result<Vec<u8>> {
///     to_thread(|| std::fs::read("Cargo.toml")).await?
/// }
/// # assert!(!asyncio_loop::run(read()).unwrap().is_empty());
/// ```
impl From<JobError> for io::Error {
    fn from(error: JobError) -> Self {
        let kind = match &error {
            JobError::NoThread(error) => error.kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Why [`ThreadPool::try_run`](crate::ThreadPool::try_run) did not take a job. It contains the job.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TryRunError<F> {
    /// No thread is free, and the queue is full.
    #[error("the queue of the thread pool is full")]
    Full(F),
    /// The pool was shut down.
    #[error("the thread pool is shut down")]
    Closed(F),
}

impl<F> TryRunError<F> {
    /// The job.
    #[must_use]
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(job) | Self::Closed(job) => job,
        }
    }
}

impl<F> fmt::Debug for TryRunError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
