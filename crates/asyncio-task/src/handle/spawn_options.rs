//! The options of a new task.

use std::panic::Location;
use std::sync::Arc;

use crate::context::values::Context;

/// Options of a new task: its name, its context, and its first step.
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
    pub(crate) start: Start,
}

/// When a task takes its first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// After all that is ready.
    #[default]
    Soon,
    /// Before the spawn returns.
    Now,
    /// When its waker is woken.
    Dormant,
}

impl SpawnOptions {
    /// The name that the task is given. A building block.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The place that the task is given. A building block.
    #[must_use]
    pub fn given_location(&self) -> Option<&'static Location<'static>> {
        self.location
    }

    /// The default options: the name `Task-N`, and a copy of the spawner's context.
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

    /// Sets the name of the task.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the context of the task: this one, not a copy.
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Sets the place where the task counts as spawned, for code that spawns on behalf of other code.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    /// Sets the place where the task counts as spawned, unless it is set.
    pub fn or_location(mut self, location: &'static Location<'static>) -> Self {
        self.location.get_or_insert(location);
        self
    }

    /// Lets the task wait for its first waker, instead of being ready at once.
    pub fn dormant(mut self) -> Self {
        self.start = Start::Dormant;
        self
    }

    /// Lets the task take its first step before the spawn returns: asyncio's `eager_start`. The task goes to the ready
    /// queue only if it has to wait. It is for work that rarely waits, such as a look into a cache.
    ///
    /// ```
    /// # use asyncio_task::{SpawnOptions, Tasks};
    /// # let tasks = Tasks::new(|| ());
    /// # tasks.enter(&(), || {
    /// let mut task = tasks.spawn_with(SpawnOptions::new().eager_start(), async { 6 * 7 });
    /// assert!(task.is_finished());
    /// assert_eq!(task.try_take().unwrap().unwrap(), 42);
    /// # });
    /// ```
    ///
    /// That step belongs to the new task. The new task is the current one meanwhile, in a context of its own, and no
    /// cancel scope of the spawner encloses it. If it panics, the awaiting task gets that. It runs on the stack of the
    /// spawner, so tasks that each spawn another one like this, without end, overflow it.
    ///
    /// Where its loop does not run, the task starts like any other. A child of a group starts at once while
    /// that group is polled, which it is when its body or a child spawns.
    #[doc(alias = "eager_task_factory")]
    pub fn eager_start(mut self) -> Self {
        self.start = Start::Now;
        self
    }
}
