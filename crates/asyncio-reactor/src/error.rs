//! Errors of a registration. Errors of the system stay [`io::Error`].

use std::{error, fmt, io};

/// The reactor is closed, so no source becomes ready any more.
///
/// It is the source of an [`io::Error`] of kind [`Other`](io::ErrorKind::Other). Every operation
/// that would have to wait for a source of a closed reactor returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reactor (event loop) this source was registered with is closed")]
#[non_exhaustive]
pub struct ReactorClosed;

impl From<ReactorClosed> for io::Error {
    fn from(closed: ReactorClosed) -> Self {
        io::Error::other(closed)
    }
}

/// The reactor is not turned at the moment, because its event loop does not run here, so a wait
/// might never end.
///
/// It is the source of an [`io::Error`] of kind [`Other`](io::ErrorKind::Other). Every operation
/// that would have to wait while the reactor [rests](crate::Reactor::rest) returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this source belongs to another event loop (reactor), which does not run here now: \
     create it on the loop that uses it, or move it with into_std and from_std"
)]
#[non_exhaustive]
pub struct ReactorRests;

impl From<ReactorRests> for io::Error {
    fn from(rests: ReactorRests) -> Self {
        io::Error::other(rests)
    }
}

/// A source could not be registered; the error returns it.
///
/// `?` converts it into its [`io::Error`] and drops the source.
pub struct RegisterError<S> {
    source: S,
    error: io::Error,
}

impl<S> RegisterError<S> {
    pub(crate) fn new(source: S, error: io::Error) -> Self {
        RegisterError { source, error }
    }

    /// The reason.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The source, unchanged, and the reason.
    pub fn into_parts(self) -> (S, io::Error) {
        (self.source, self.error)
    }
}

impl<S> fmt::Debug for RegisterError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Display for RegisterError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source could not be registered: {}", self.error)
    }
}

impl<S> error::Error for RegisterError<S> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<S> From<RegisterError<S>> for io::Error {
    fn from(failed: RegisterError<S>) -> Self {
        failed.error
    }
}
