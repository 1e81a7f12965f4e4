//! What can be said of a task when it is spawned.

use std::panic::Location;
use std::sync::Arc;

use crate::context::Context;

/// What a new task is called and runs in.
///
/// ```
/// # use asyncio_task::{SpawnOptions, Tasks};
/// # let tasks = Tasks::new(|| ());
/// # tasks.enter(&(), || {
/// let task = tasks.spawn_with(SpawnOptions::new().name("fetch"), async {});
/// assert_eq!(task.name(), "fetch");
/// # });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until something is spawned with them"]
pub struct SpawnOptions {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) context: Option<Context>,
    pub(crate) location: Option<&'static Location<'static>>,
    pub(crate) callback: bool,
    pub(crate) dormant: bool,
}

impl SpawnOptions {
    /// A task called after its number, in a copy of the context it is spawned in.
    pub fn new() -> Self {
        Self::default()
    }

    /// For a callback that runs in a task's cell: it is not listed among the tasks.
    pub fn callback() -> Self {
        Self {
            callback: true,
            ..Self::default()
        }
    }

    /// What the task is called.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The context the task runs in: this one, not a copy.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Where the task is said to be spawned, for spawning on somebody's behalf.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Where the task is said to be spawned, unless that has been said.
    pub fn or_location(mut self, location: &'static Location<'static>) -> Self {
        self.location.get_or_insert(location);
        self
    }

    /// The task waits for its first waker instead of being ready.
    pub fn dormant(mut self) -> Self {
        self.dormant = true;
        self
    }
}
