//! Operations on a thread of the default pool.

use std::io;
use std::path::Path;

use asyncio_loop::try_running_loop;
use asyncio_pool::{Job, JobError, to_thread};

use super::error::FsError;

/// Runs an operation on a thread. An error names the path.
pub(super) async fn on_thread<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    f: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let owned = path.to_owned();
    let outcome = start(move || f(&owned))?.await;
    flatten(outcome).map_err(|error| FsError::name(operation, path, error))
}

/// Runs an operation with two paths on a thread. An error names both.
pub(super) async fn on_thread_with_both<T: Send + 'static>(
    operation: &'static str,
    path: &Path,
    target: &Path,
    f: fn(&Path, &Path) -> io::Result<T>,
) -> io::Result<T> {
    let owned = (path.to_owned(), target.to_owned());
    let outcome = start(move || f(&owned.0, &owned.1))?.await;
    flatten(outcome).map_err(|error| FsError::name_both(operation, path, target, error))
}

/// Starts a job on a thread.
///
/// # Errors
///
/// An error if no loop runs on this thread.
pub(super) fn start<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Job<T>> {
    try_running_loop().map_err(io::Error::other)?;
    Ok(to_thread(f))
}

/// The result of a job that has ended. A panic of the job goes on here.
pub(super) fn flatten<T>(outcome: Result<io::Result<T>, JobError>) -> io::Result<T> {
    joined(outcome)?
}

/// The value of a job that has ended. A panic of the job goes on here.
pub(super) fn joined<T>(outcome: Result<T, JobError>) -> io::Result<T> {
    match outcome {
        Ok(value) => Ok(value),
        Err(JobError::Panicked(payload)) => payload.resume(),
        Err(error) => Err(io::Error::other(error)),
    }
}
