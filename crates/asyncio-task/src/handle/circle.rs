//! A circle of tasks that await each other, for people who look at it.

use std::fmt;
use std::panic::Location;

use crate::handle::id::TaskName;

/// Tasks that await each other: each the next, and the last one the first.
#[derive(Clone, PartialEq, Eq)]
pub struct Circle {
    tasks: Box<[(TaskName, &'static Location<'static>)]>,
}

impl Circle {
    pub(crate) fn new(tasks: impl Iterator<Item = (TaskName, &'static Location<'static>)>) -> Self {
        Self {
            tasks: tasks.collect(),
        }
    }

    /// The tasks, with the places where they were spawned.
    #[must_use]
    pub fn tasks(&self) -> &[(TaskName, &'static Location<'static>)] {
        &self.tasks
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, location)) in self.tasks.iter().enumerate() {
            let awaits = if n == 0 { "" } else { " awaits " };
            write!(f, "{awaits}{name} (spawned at {location})")?;
        }
        match self.tasks.first() {
            Some((name, _)) => write!(f, " awaits {name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Circle({self})")
    }
}
