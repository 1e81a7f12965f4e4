//! Spawning on the tasks that run here.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::cell::cell_ref::{LocalRef, OwnerRef};
use crate::cell::extra::TaskExtra;
use crate::cell::header::NewTask;
use crate::cell::layout;
use crate::engine::current;
use crate::engine::local::Local;
use crate::handle::spawn_options::{SpawnOptions, Start};
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
    match current::tasks(|tasks| Some(spawn_at(tasks?, location, future))) {
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
        Some(tasks) => Ok(spawn_on(tasks, options, location, future)),
        None => Err(TrySpawnError(future)),
    })
}

/// Starts a task without options: the way most go.
#[inline]
pub(crate) fn spawn_at<F>(
    tasks: &Local,
    location: &'static Location<'static>,
    future: F,
) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    if has_context(tasks) {
        return spawn_on(tasks, SpawnOptions::new(), location, future);
    }
    let new = tasks.new_task(location, false, None);
    let (cell, join) = layout::new_local(&tasks.pool, new, future);
    let task = Task::new(join);
    begin(tasks, cell, Start::Soon, task.cell());
    task
}

/// Starts a task, at `location` unless the options say otherwise.
#[inline(always)]
pub(crate) fn spawn_on<F>(
    tasks: &Local,
    options: SpawnOptions,
    location: &'static Location<'static>,
    future: F,
) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let start = options.start;
    let new = new_task_with(tasks, options, location);
    let (cell, join) = layout::new_local(&tasks.pool, new, future);
    let task = Task::new(join);
    begin(tasks, cell, start, task.cell());
    task
}

/// The start of a task without options.
#[inline]
pub(crate) fn new_task_at<'a>(
    tasks: &'a Local,
    location: &'static Location<'static>,
) -> NewTask<'a> {
    let extra = match has_context(tasks) {
        false => None,
        true => new_extra(SpawnOptions::new()),
    };
    tasks.new_task(location, false, extra)
}

/// The start of a task, at `location` unless the options say otherwise.
#[inline(always)]
pub(crate) fn new_task_with<'a>(
    tasks: &'a Local,
    options: SpawnOptions,
    location: &'static Location<'static>,
) -> NewTask<'a> {
    let (location, callback) = (options.location.unwrap_or(location), options.callback);
    let is_plain = options.name.is_none() && options.context.is_none();
    if is_plain && !has_context(tasks) {
        std::mem::forget(options); // There is nothing in it.
        return tasks.new_task(location, callback, None);
    }
    tasks.new_task(location, callback, new_extra(options))
}

/// Whether what is spawned here and now may have values to inherit.
#[inline]
fn has_context(tasks: &Local) -> bool {
    current::is_context_elsewhere(tasks)
        || tasks.step.with(|task| match task {
            Some(task) => task.has_context(),
            None => !tasks.context.is_empty(),
        })
}

/// The extra part of a new task: the name and the context it was given, or a copy of the one here and now.
#[inline(never)]
fn new_extra(options: SpawnOptions) -> Option<Rc<TaskExtra>> {
    let context = options.context.or_else(|| {
        let context = current::context(false).filter(|context| !context.is_empty())?;
        Some(context.copy())
    });
    let needed = options.name.is_some() || context.is_some();
    needed.then(|| Rc::new(TaskExtra::new(options.name, context)))
}

/// Has a new task take its first step. `cell` is that of its handle, which keeps it alive if the task ends here.
pub(crate) fn begin(tasks: &Local, owned: OwnerRef, start: Start, cell: &LocalRef) {
    tasks.register(owned);
    if tasks.closed.get() {
        return tasks.refuse(cell);
    }
    match start {
        Start::Soon => tasks.wake(cell),
        Start::Now if current::is(tasks) => tasks.step_now(cell),
        Start::Now => tasks.wake(cell),
        Start::Dormant => {}
    }
}
