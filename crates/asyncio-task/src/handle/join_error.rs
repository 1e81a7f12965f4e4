//! Why awaiting a task gave no value.

use std::any::Any;
use std::error::Error;
use std::fmt::{self, Write};
use std::io;
use std::sync::{Arc, Mutex};

use crate::discard::discard_payload;
use crate::handle::id::TaskName;
use crate::one_line::OneLine;
use crate::scopes::circle::Circle;

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

    /// What was said by whoever [cancelled](crate::Task::cancel_with) the task; `None` if nothing was, or if
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

/// What a panic carried. `Display` and `Debug` show its message.
pub struct PanicPayload {
    /// A `Mutex` only to be `Sync`, so that errors with a payload fit where errors have to be.
    /// `None` once it was given away.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
    message: Box<str>,
}

impl PanicPayload {
    /// Wraps what [`std::panic::catch_unwind`] gave.
    #[must_use]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&'static str>() {
            Box::from(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Box::from(text.as_str())
        } else {
            Box::from("a payload that is no text")
        };
        Self {
            payload: Mutex::new(Some(payload)),
            message,
        }
    }

    /// The message of the panic, if it had one.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the panic carried.
    #[must_use]
    pub fn into_inner(mut self) -> Box<dyn Any + Send> {
        self.take().expect("only this and the drop take it")
    }

    fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        let payload = self.payload.get_mut();
        payload.unwrap_or_else(|e| e.into_inner()).take()
    }

    /// Lets the panic go on from here, without calling the panic hook again.
    ///
    /// # Panics
    ///
    /// Always: that is what it is for.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_inner())
    }
}

/// Drops the payload. A panic of the payload's own destructor ends here: the panic hook has reported it.
impl Drop for PanicPayload {
    fn drop(&mut self) {
        if let Some(payload) = self.take() {
            discard_payload(payload);
        }
    }
}

impl fmt::Display for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicPayload").field(&self.message).finish()
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

    struct HardBomb;

    impl Drop for HardBomb {
        fn drop(&mut self) {
            std::panic::panic_any(HarderBomb)
        }
    }

    struct HarderBomb;

    impl Drop for HarderBomb {
        fn drop(&mut self) {
            panic!("this panic is part of the test")
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_ends_there() {
        drop(PanicPayload::new(Box::new(HardBomb)));
        let given = PanicPayload::new(Box::new(7_u8)).into_inner();
        assert_eq!(given.downcast_ref(), Some(&7_u8));
    }
}
