//! Spawning on the tasks that run here.

use std::fmt;
use std::panic::Location;

use crate::engine::current;
use crate::handle::spawn_options::SpawnOptions;
use crate::handle::task::Task;

/// No event loop runs on this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no event loop runs on this thread: call this from within `asyncio::run`, or hand the work to a loop with its `LoopHandle`"
)]
pub struct NoRunningLoop;

/// No event loop runs on this thread. Gives back the future that was to be spawned.
#[derive(thiserror::Error)]
#[error("{NoRunningLoop}")]
pub struct TrySpawnError<F>(pub F);

impl<F> TrySpawnError<F> {
    /// The future, as it was.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> From<TrySpawnError<F>> for NoRunningLoop {
    fn from(_: TrySpawnError<F>) -> Self {
        Self
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrySpawnError(..)")
    }
}

/// Starts a task on the loop that runs on this thread. Its first step comes after all that is ready now.
///
/// # Panics
///
/// Without a running loop; [`try_spawn`] does not.
#[track_caller]
#[doc(alias("create_task", "ensure_future", "spawn_local"))]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    match current::tasks(|tasks| Some(tasks?.spawn_at(location, future))) {
        Some(task) => task,
        None => panic!("{NoRunningLoop}"),
    }
}

/// Starts a task as [`spawn`] does, or gives the future back.
///
/// ```
/// use asyncio_task::{NoRunningLoop, Task, try_spawn};
///
/// fn start() -> Result<Task<u8>, NoRunningLoop> {
///     Ok(try_spawn(async { 1 })?)
/// }
/// assert_eq!(start().unwrap_err(), NoRunningLoop);
///
/// let refused = try_spawn(async { 1 }).unwrap_err();
/// let future = refused.into_inner();
/// # drop(future);
/// ```
///
/// # Errors
///
/// Without a running loop.
#[track_caller]
pub fn try_spawn<F>(future: F) -> Result<Task<F::Output>, TrySpawnError<F>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    try_spawn_with(SpawnOptions::new(), future)
}

/// Starts a task with options, or gives the future back.
///
/// # Errors
///
/// Without a running loop.
#[track_caller]
pub fn try_spawn_with<F>(
    options: SpawnOptions,
    future: F,
) -> Result<Task<F::Output>, TrySpawnError<F>>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    current::tasks(|tasks| match tasks {
        Some(tasks) => Ok(tasks.spawn_with(options.or_location(location), future)),
        None => Err(TrySpawnError(future)),
    })
}
