//! Which task: its number and its name.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

/// The number of a task, counted from 1 on its event loop, never used twice there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(NonZeroU64);

impl TaskId {
    pub(crate) fn new(n: u64) -> Option<Self> {
        NonZeroU64::new(n).map(Self)
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a task is called: the name it was given, or `Task-N` after its number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TaskName(Name);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Numbered(TaskId),
    Given(Arc<str>),
}

impl TaskName {
    pub(crate) fn numbered(id: TaskId) -> Self {
        Self(Name::Numbered(id))
    }

    pub(crate) fn given(name: Arc<str>) -> Self {
        Self(Name::Given(name))
    }
}

impl From<&str> for TaskName {
    fn from(name: &str) -> Self {
        Self::given(Arc::from(name))
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Numbered(id) => write!(f, "Task-{id}"),
            Name::Given(name) => f.write_str(name),
        }
    }
}

impl fmt::Debug for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl PartialEq<str> for TaskName {
    fn eq(&self, other: &str) -> bool {
        match &self.0 {
            Name::Numbered(id) => other.strip_prefix("Task-") == Some(&*id.to_string()),
            Name::Given(name) => **name == *other,
        }
    }
}

impl PartialEq<&str> for TaskName {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}
