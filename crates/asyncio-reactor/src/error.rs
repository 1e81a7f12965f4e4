//! What can go wrong with a registration. Errors of the system stay [`io::Error`].

use std::{error, fmt, io};

/// The reactor was closed, so nothing will become ready any more.
///
/// It comes inside of an [`io::Error`] of kind [`Other`](io::ErrorKind::Other), from everything
/// that would have to wait for a source of a closed reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reactor (event loop) this source was registered with is closed")]
#[non_exhaustive]
pub struct ReactorClosed;

impl From<ReactorClosed> for io::Error {
    fn from(closed: ReactorClosed) -> Self {
        io::Error::other(closed)
    }
}

/// Nobody turns the reactor at the moment, because its event loop does not run here, so a wait might
/// never end.
///
/// It comes inside of an [`io::Error`] of kind [`Other`](io::ErrorKind::Other), from everything
/// that would have to wait while the reactor [rests](crate::Reactor::rest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this source belongs to another event loop (reactor) than the one that runs here, if any does: \
     make it on that loop, or take it over with into_std and from_std"
)]
#[non_exhaustive]
pub struct ReactorRests;

impl From<ReactorRests> for io::Error {
    fn from(rests: ReactorRests) -> Self {
        io::Error::other(rests)
    }
}

/// A source could not be registered; it is given back.
///
/// It turns into its [`io::Error`] with `?`, which drops the source.
pub struct RegisterError<S> {
    source: S,
    error: io::Error,
}

impl<S> RegisterError<S> {
    pub(crate) fn new(source: S, error: io::Error) -> Self {
        RegisterError { source, error }
    }

    /// Why it could not be registered.
    pub fn error(&self) -> &io::Error {
        &self.error
    }

    /// The source, untouched, and why it could not be registered.
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
