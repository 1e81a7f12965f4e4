//! Errors of the client.

use std::io;
use std::time::Duration;

use http::{StatusCode, Uri};

/// Why a fetch gave no response, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[doc(alias = "ClientError")]
pub enum FetchError {
    /// The address of the request is not a URL with a host and the scheme `http` or `https`, or a header is invalid.
    /// Nothing was sent.
    #[error("the request is invalid: {0}")]
    Invalid(String),
    /// No connection could be made, because of the name of the host, the network, the proxy, or TLS.
    #[error("cannot connect to {host}: {error}")]
    Connect {
        /// The host and port.
        host: String,
        /// The cause.
        #[source]
        error: io::Error,
    },
    /// A time limit was exceeded.
    #[error("{what} took longer than {limit:?}")]
    TimedOut {
        /// The step that took too long: "connecting", "waiting for the server" or "the fetch".
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke off, or the server does not speak HTTP.
    #[error("the exchange with the server failed: {0}")]
    Exchange(#[source] hyper::Error),
    /// The server redirects more often than the session follows.
    #[error("more than {0} redirects")]
    TooManyRedirects(usize),
    /// The server redirects to somewhere else, and the body of the request cannot be sent again.
    #[error("a redirect to {0} needs the body of the request again, which was a stream")]
    BodyIsGone(Uri),
    /// The status is 400 or above, or a websocket was refused with this status.
    /// [`error_for_status`](crate::FetchResponse::error_for_status) returns it.
    #[error("{0} for {1}")]
    Status(StatusCode, Uri),
    /// The body has more bytes than the [limit](crate::SessionBuilder::max_body).
    #[error("the body of the response has more than {0} bytes")]
    TooLarge(usize),
    /// The loop of the connection does not run here now. The rest of the body comes when it is read there.
    #[error(
        "the body comes through another event loop, which does not run here now: read it there"
    )]
    Elsewhere,
    /// The body is not compressed as the response says, or is not the text or the JSON that it should be.
    #[error("the body of the response cannot be decoded: {0}")]
    Decode(String),
}

impl FetchError {
    /// Whether a time limit was exceeded.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether no connection could be made.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }
}
