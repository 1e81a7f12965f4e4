//! The identity of a task: its number and its name.

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

/// The name of a task: the name it was given, or `Task-N` after its number.
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
        // A single form for each name, so that names that read the same are equal and hash the same.
        Self(numbered(&name).map_or(Name::Given(name), Name::Numbered))
    }
}

/// The number in a name of the form `Task-N`.
fn numbered(name: &str) -> Option<TaskId> {
    let digits = name.strip_prefix("Task-")?;
    let plain = digits.starts_with(|first| matches!(first, '1'..='9'));
    TaskId::new(digits.parse().ok()?).filter(|_| plain)
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
            Name::Numbered(id) => numbered(other) == Some(*id),
            Name::Given(name) => **name == *other,
        }
    }
}

impl PartialEq<&str> for TaskName {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_read_the_same_are_the_same() {
        let numbered = TaskName::numbered(TaskId::new(7).unwrap());
        assert_eq!(numbered, TaskName::from("Task-7"));
        assert_eq!(HashSet::from([numbered.clone(), "Task-7".into()]).len(), 1);
        for other in ["Task-07", "Task-+7", "Task-", "Task-0", "task-7", "Task-7 "] {
            assert_ne!(numbered, TaskName::from(other));
            assert_ne!(numbered, *other);
            assert_eq!(TaskName::from(other), *other);
            assert_eq!(TaskName::from(other).to_string(), other);
        }
    }
}
