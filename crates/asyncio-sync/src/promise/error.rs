//! The errors of a promise: for the awaiting tasks and for the setter.

use std::fmt;

use thiserror::Error;

/// The error of awaiting a promise.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PromiseError<E> {
    /// The promise failed with this error.
    #[error("{0}")]
    Failed(E),
    /// The promise was cancelled, from either side.
    #[error("the promise was cancelled")]
    #[doc(alias = "CancelledError")]
    Cancelled,
    /// The promise was dropped without a result.
    #[error("the promise was dropped without a result")]
    Broken,
}

/// The error of setting a promise. Contains the refused value.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[doc(alias = "InvalidStateError")]
pub enum SetError<T> {
    /// The promise already has a result or an error.
    #[error("the promise is already set")]
    AlreadySet(T),
    /// The promise was cancelled, or all its futures were dropped.
    #[error("the promise was cancelled, so no task awaits its result")]
    Cancelled(T),
}

impl<T> SetError<T> {
    /// The refused value.
    pub fn into_inner(self) -> T {
        match self {
            Self::AlreadySet(value) | Self::Cancelled(value) => value,
        }
    }

    /// The error alone: the value is dropped. For `?` into a boxed error, which takes only values that are `Send` and
    /// `Sync`.
    pub fn without_value(self) -> SetError<()> {
        match self {
            Self::AlreadySet(_) => SetError::AlreadySet(()),
            Self::Cancelled(_) => SetError::Cancelled(()),
        }
    }
}

// By hand, so that the refused value need not be `Debug`.
impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::AlreadySet(_) => "AlreadySet",
            Self::Cancelled(_) => "Cancelled",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}
