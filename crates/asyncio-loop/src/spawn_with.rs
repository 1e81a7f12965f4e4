//! Spawning with options: a name, a context, and others.

use std::panic::Location;

use asyncio_task::{NoRunningLoop, SpawnOptions, Task, try_spawn_with};

/// Starts a task with options on the running loop. Its first step comes after everything that is
/// ready now.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::{SpawnOptions, run, spawn_with};
///
/// run(async {
///     let task = spawn_with(SpawnOptions::new().name("fetch"), async { 1 });
///     assert_eq!(task.name(), "fetch");
///     assert_eq!(task.await.unwrap(), 1);
/// });
/// ```
///
/// # Panics
///
/// Without a running loop; [`try_spawn_with`] returns an error instead.
#[track_caller]
#[doc(alias = "create_task")]
pub fn spawn_with<F>(options: SpawnOptions, future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    match try_spawn_with(options.location(location), future) {
        Ok(task) => task,
        Err(_refused) => panic!("{NoRunningLoop}"),
    }
}
