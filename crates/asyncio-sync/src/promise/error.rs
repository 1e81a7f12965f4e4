//! How a promise can fail those who wait for it, and those who want to set it.

use std::fmt;

use thiserror::Error;

/// Why awaiting a promise gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PromiseError<E> {
    /// It failed with this error.
    #[error("{0}")]
    Failed(E),
    /// It was cancelled, on either side.
    #[error("the promise was cancelled")]
    #[doc(alias = "CancelledError")]
    Cancelled,
    /// It was dropped without an answer.
    #[error("the promise was dropped without a result")]
    Broken,
}

/// Why a promise could not be set; what was to be set is here again.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[doc(alias = "InvalidStateError")]
pub enum SetError<T> {
    /// It has a result or an error already.
    #[error("the promise is set already")]
    AlreadySet(T),
    /// It was cancelled, or nobody is left who could wait for it.
    #[error("the promise was cancelled: nobody wants the answer")]
    Cancelled(T),
}

impl<T> SetError<T> {
    /// What was to be set.
    pub fn into_inner(self) -> T {
        match self {
            Self::AlreadySet(value) | Self::Cancelled(value) => value,
        }
    }
}

// What was to be set need not be Debug for the error to be.
impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::AlreadySet(_) => "AlreadySet",
            Self::Cancelled(_) => "Cancelled",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}
