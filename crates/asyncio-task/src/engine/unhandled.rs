//! Reports of panics and errors that nothing awaits.

use std::any::Any;
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::Duration;

use crate::cell::cell_ref::LocalRef;
use crate::cell::marks::Mark;
use crate::discard::discard;
use crate::handle::panic_payload::PanicPayload;
use crate::handle::task_info::TaskInfo;
use crate::one_line::OneLine;

/// Something that went wrong where nothing is left to take it, handed to the exception handler.
///
/// `Display` gives it in one line: what happened, to which task, and where that was spawned. Newlines and other control
/// characters, of the message of a panic say, are escaped.
#[derive(Debug)]
#[doc(alias = "call_exception_handler")]
pub struct Unhandled {
    message: &'static str,
    task: Option<TaskInfo>,
    cause: Cause,
}

/// The panic or error that a report is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// A panic, with its payload.
    Panic(PanicPayload),
    /// An error, as its `Debug` shows it.
    Error(String),
    /// A step that took so long.
    Slow(Duration),
    /// A future that is polled in place, by a `race` or a `gather`, took so long in one step. The place is that of the
    /// call.
    SlowPart(Duration, &'static Location<'static>),
    /// Nothing but what the message says.
    Message,
}

impl Unhandled {
    /// A report that concerns a task of which this is known.
    #[must_use]
    pub fn about(message: &'static str, task: Option<TaskInfo>, cause: Cause) -> Self {
        Self {
            message,
            task,
            cause,
        }
    }

    /// A report that concerns this task.
    pub(crate) fn of_task(message: &'static str, cell: &LocalRef, cause: Cause) -> Self {
        Self::about(message, Some(TaskInfo::of(cell)), cause)
    }

    pub(crate) fn panic(cell: &LocalRef, payload: Box<dyn Any + Send>) -> Self {
        let message = match cell.marks.has(Mark::Callback) {
            true => "a callback panicked",
            false => "a task panicked and nobody awaits it",
        };
        Self::of_task(message, cell, Cause::Panic(PanicPayload::new(payload)))
    }

    /// A description of the failure, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        self.message
    }

    /// The task it happened to.
    #[must_use]
    pub fn task(&self) -> Option<&TaskInfo> {
        self.task.as_ref()
    }

    /// The panic or error that this report is about.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

impl fmt::Display for Unhandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine(f);
        line.write_str(self.message)?;
        match &self.cause {
            Cause::Panic(payload) => write!(line, ": {payload}")?,
            Cause::Error(error) => write!(line, ": {error}")?,
            Cause::Slow(took) => write!(line, " for {took:.3?}")?,
            Cause::SlowPart(took, place) => write!(line, " for {took:.3?}, called at {place}")?,
            Cause::Message => {}
        }
        match &self.task {
            Some(task) => write!(line, " ({}, spawned at {})", task.name, task.location),
            None => Ok(()),
        }
    }
}

/// Writes a report that no loop takes as a line on standard error.
pub(crate) fn report_to_stderr(unhandled: &Unhandled) {
    // Printing panics if standard error is gone, and then nothing is left to tell.
    discard(|| eprintln!("asyncio: {unhandled}"));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_whatever_went_wrong() {
        let panic = PanicPayload::new(Box::new("left: 1\r\nright: \u{1b}[31m2".to_owned()));
        let report = Unhandled::about("a task panicked", None, Cause::Panic(panic));
        let line = "a task panicked: left: 1\\r\\nright: \\u{1b}[31m2";
        assert_eq!(report.to_string(), line);
        let error = Cause::Error("2 tasks failed\n├─ a\n└─ b".to_owned());
        let report = Unhandled::about("a detached task failed", None, error);
        let line = "a detached task failed: 2 tasks failed\\n├─ a\\n└─ b";
        assert_eq!(report.to_string(), line);
    }
}
