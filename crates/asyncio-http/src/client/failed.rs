//! Requests that failed, and whether they may be sent again.

use http::Request;

use super::upload::Upload;

/// A request that failed.
pub(super) struct Failed {
    pub(super) error: hyper::Error,
    /// The request, if nothing of it was sent.
    pub(super) unsent: Option<Request<Upload>>,
}

/// The part of a failed request that the server may have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The server has said that it has not looked at it.
    Nothing,
    Perhaps,
}

/// Whether the connection ended before a response.
pub(super) fn is_broken(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_io(error)
}

pub(super) fn is_io(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<std::io::Error>())
}

/// Whether the host has said that it has not looked at the request (RFC 9113, section 8.7).
#[cfg(feature = "http2")]
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let error = source.and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || is_refused)
    })
}
