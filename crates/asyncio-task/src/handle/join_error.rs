//! Why awaiting a task gave no value.

use std::error::Error;
use std::fmt::{self, Write};
use std::io;
use std::sync::Arc;

use crate::handle::circle::Circle;
use crate::handle::id::TaskName;
use crate::handle::panic_payload::PanicPayload;
use crate::one_line::OneLine;

/// Why awaiting a task gave no value.
///
/// Its text is one line: newlines and other control characters in names, messages and panics are escaped.
///
/// ```
/// # use asyncio_task::JoinError;
/// fn explain(e: JoinError) -> String {
///     match e {
///         JoinError::Cancelled(task, _) => format!("{task} was told to stop"),
///         JoinError::Panicked(_, payload) => payload.resume(), // the panic goes on here
///         other => other.to_string(),
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The task was cancelled before it returned, perhaps with a [message](Self::message).
    Cancelled(TaskName, Option<Arc<str>>),
    /// The task's future panicked; the payload can be resumed.
    Panicked(TaskName, PanicPayload),
    /// The task failed, and its error or panic went to the group it belongs to.
    Failed(TaskName),
    /// The task awaited itself, which would never end.
    AwaitsItself(TaskName),
    /// The await would never end: the tasks await each other, and a request to cancel has gone round.
    InCircle(TaskName, Circle),
    /// The task belongs to another event loop than the one that it was awaited on, which cannot run
    /// meanwhile.
    Elsewhere(TaskName),
    /// The loop was stopped before the task returned.
    Stopped(TaskName),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        match self {
            Self::Cancelled(name, None) => write!(line, "task {name} was cancelled"),
            Self::Cancelled(name, Some(why)) => write!(line, "task {name} was cancelled: {why}"),
            Self::Panicked(name, payload) => write!(line, "task {name} panicked: {payload}"),
            Self::Failed(name) => write!(line, "task {name} failed, and its group has the error"),
            Self::AwaitsItself(name) => write!(line, "task {name} awaits itself"),
            Self::InCircle(name, circle) => write!(
                line,
                "task {name} is in a circle of tasks that await each other: {circle}"
            ),
            Self::Elsewhere(name) => write!(
                line,
                "task {name} belongs to another event loop, which cannot run while this one does"
            ),
            Self::Stopped(name) => {
                write!(line, "the event loop stopped before task {name} returned")
            }
        }
    }
}

impl Error for JoinError {}

impl JoinError {
    /// The name of the task that gave no value.
    #[must_use]
    pub fn task_name(&self) -> &TaskName {
        match self {
            Self::Cancelled(name, _)
            | Self::Panicked(name, _)
            | Self::Failed(name)
            | Self::AwaitsItself(name)
            | Self::InCircle(name, _)
            | Self::Elsewhere(name)
            | Self::Stopped(name) => name,
        }
    }

    /// Whether the task was cancelled.
    #[must_use]
    #[doc(alias = "CancelledError")]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(..))
    }

    /// The message of the [request](crate::Task::cancel_with) that cancelled the task; `None` if nothing was, or if
    /// it ended otherwise.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Cancelled(_, message) => message.as_deref(),
            _ => None,
        }
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(..))
    }
}

/// An error of kind `Other`, for functions that return `io::Result`.
///
/// ```
/// # use std::io;
/// # use asyncio_task::JoinError;
/// let stopped = JoinError::Stopped("copy".into());
/// let error = io::Error::from(stopped);
/// assert_eq!(error.to_string(), "the event loop stopped before task copy returned");
/// ```
impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_one_line_whatever_went_wrong() {
        let panic = PanicPayload::new(Box::new("left: 1\nright: 2"));
        let panicked = JoinError::Panicked("fetch\n1".into(), panic).to_string();
        assert_eq!(panicked, "task fetch\\n1 panicked: left: 1\\nright: 2");
        let why = Some(Arc::from("too slow:\r\n9 s"));
        let cancelled = JoinError::Cancelled("fetch".into(), why).to_string();
        assert_eq!(cancelled, "task fetch was cancelled: too slow:\\r\\n9 s");
    }
}
