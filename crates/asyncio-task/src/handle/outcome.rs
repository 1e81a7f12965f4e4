//! Values that tell whether a task went wrong.

use std::fmt;

/// A value that a detached task may return, because it tells whether the task failed.
///
/// `()`, `!`, and `Result`s whose error is `Debug`. For anything else there is
/// [`discard`](crate::Task::discard).
#[diagnostic::on_unimplemented(
    message = "a task that is left to itself returns `()` or a `Result`, not `{Self}`",
    note = "let it return one of these, await it, or `discard()` it: then only panics are reported"
)]
pub trait Outcome: sealed::Outcome {}

mod sealed {
    pub trait Outcome {
        /// The failure, in words.
        fn failure(&self) -> Option<String>;

        /// Whether the value is a failure.
        fn is_failure(&self) -> bool {
            false
        }
    }

    pub trait Returns {
        type Type;
    }

    impl<T> Returns for fn() -> T {
        type Type = T;
    }
}

impl sealed::Outcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

/// For a task that goes round forever: `async { loop { … } }`.
#[diagnostic::do_not_recommend]
impl sealed::Outcome for Never {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> sealed::Outcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(|e| format!("{e:?}"))
    }

    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

impl<T: sealed::Outcome> Outcome for T {}

/// `!`, by the one way there is to name it: as what a function returns that does not.
type Never = <fn() -> ! as sealed::Returns>::Type;

/// Whether a value says that its task went wrong.
pub(crate) fn is_failure<T: Outcome>(value: &T) -> bool {
    value.is_failure()
}

/// The failure that a value tells of, in words. For crates that run work other than tasks, which nothing awaits.
#[doc(hidden)]
pub fn failure_of<T: Outcome>(value: &T) -> Option<String> {
    value.failure()
}
