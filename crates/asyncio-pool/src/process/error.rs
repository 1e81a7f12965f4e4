//! Why a call in a worker process gave no value.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

/// Why a call in a worker process gave no value. An error concerns one call, unless its variant says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The function panicked, with this message. The worker goes on with other calls.
    #[error("the function panicked in its worker process: {0}")]
    Panicked(String),
    /// The worker process ended during the call: it was killed, aborted, exited, or had no memory left. The status has
    /// the signal or the exit code. The code is 255 if the status is lost, because this program ignores SIGCHLD or has
    /// reaped the process itself.
    #[error("the worker process ended during the call ({0})")]
    Died(ExitStatus),
    /// The call took longer than [`job_time_limit`](crate::ProcessPoolBuilder::job_time_limit), and its worker was
    /// killed.
    #[error("the call took longer than {0:?}, and its worker process was killed")]
    TimeLimit(Duration),
    /// The call was cancelled before it began, or its worker was killed to cancel it.
    #[error("the call was cancelled")]
    Cancelled,
    /// The pool was shut down before the call, or the event loop was closed during it.
    #[error("the process pool is shut down")]
    Closed,
    /// The program that was started as a worker did not become one. Its `main` needs `#[asyncio::main]`, or a call of
    /// [`run_if_worker`](crate::run_if_worker) as its first line. All calls of the pool fail with this error.
    #[error(
        "the program was started as a worker process and {0}: its `main` needs `#[asyncio::main]`, or `asyncio::run_if_worker()` as its first line"
    )]
    NotAWorker(String),
    /// No worker process could be started.
    #[error("no worker process could be started: {0}")]
    NoWorker(#[source] Arc<io::Error>),
    /// The arguments cannot be serialized, or the worker's function has others.
    #[error("the arguments cannot be sent: {0}")]
    BadArguments(String),
    /// The value of the function cannot be serialized, or cannot be read.
    #[error("the return value cannot be sent back: {0}")]
    BadValue(String),
    /// The worker's program has no function of this name: it is not the program of its parent.
    #[error("the worker's program has no remote function `{0}`")]
    Unknown(String),
    /// The worker wrote bytes that are not of the protocol, and was killed.
    #[error("the worker process broke the protocol and was killed: {0}")]
    Garbage(String),
}

/// An error of kind `TimedOut` for a [time limit](ProcessError::TimeLimit), and of the system's kind if no worker could
/// be started. Otherwise of kind `Other`.
impl From<ProcessError> for io::Error {
    fn from(error: ProcessError) -> Self {
        let kind = match &error {
            ProcessError::TimeLimit(_) => io::ErrorKind::TimedOut,
            ProcessError::NoWorker(error) => error.kind(),
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl ProcessError {
    pub(crate) fn no_worker(error: io::Error) -> Self {
        Self::NoWorker(Arc::new(error))
    }
}
