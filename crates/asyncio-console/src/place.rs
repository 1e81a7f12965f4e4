//! The place in a program at which a lock, a queue or a sleep was created.

use std::panic::Location;

/// The place of a call. Empty without the feature `tracing`.
#[derive(Clone, Copy, Debug)]
pub struct Place(#[cfg(feature = "tracing")] Option<&'static Location<'static>>);

impl Place {
    /// The place of the call to the calling function, if that is `#[track_caller]`.
    #[inline]
    #[must_use]
    #[track_caller]
    pub const fn caller() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            Some(Location::caller()),
        )
    }

    /// A place that is known.
    #[inline]
    #[must_use]
    pub const fn of(location: &'static Location<'static>) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = location;
        Self(
            #[cfg(feature = "tracing")]
            Some(location),
        )
    }

    /// No place: the call came through an `async fn`, which does not know its caller.
    #[inline]
    #[must_use]
    pub const fn unknown() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            None,
        )
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn location(self) -> Option<&'static Location<'static>> {
        self.0
    }
}
