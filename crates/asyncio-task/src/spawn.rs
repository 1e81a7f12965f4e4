//! Spawning on the tasks that run here.

use std::panic::Location;

use crate::current;
use crate::spawn_options::SpawnOptions;
use crate::task::Task;

/// No event loop runs on this thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no event loop runs on this thread: call this from within `asyncio::run`, or hand the work to a loop with its `LoopHandle`"
)]
pub struct NoRunningLoop;

/// Starts a task on the loop that runs on this thread. Its first step comes after all that is ready now.
///
/// # Panics
///
/// Without a running loop; [`try_spawn`] does not.
#[track_caller]
#[doc(alias = "create_task")]
#[doc(alias = "ensure_future")]
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

/// Starts a task with options, or gives the future back.
///
/// # Errors
///
/// Without a running loop.
#[track_caller]
pub fn try_spawn<F>(options: SpawnOptions, future: F) -> Result<Task<F::Output>, (NoRunningLoop, F)>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    current::tasks(|tasks| match tasks {
        Some(tasks) => Ok(tasks.spawn_with(options.or_location(location), future)),
        None => Err((NoRunningLoop, future)),
    })
}
