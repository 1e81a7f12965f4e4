//! The server's side of a websocket's beginning.

use std::fmt;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse as _, Response};
use http::header::{
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, StatusCode};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::socket::{MAX_MESSAGE, WebSocket};
use crate::bound::LoopBound;
use crate::server::upgrade::{Handover, tokens};

const WEBSOCKET: &str = "websocket";

/// A request that asks for a websocket. It is an extractor for axum, too.
#[must_use = "the websocket begins with the `answer`"]
pub struct WebSocketUpgrade {
    // Bound, because axum demands `Send` of extractors.
    handover: LoopBound<Handover>,
    accept: HeaderValue,
    offered: Vec<String>,
    chosen: Option<HeaderValue>,
    max_message: usize,
}

impl WebSocketUpgrade {
    /// Takes the connection of a request that asks for a websocket.
    ///
    /// # Errors
    ///
    /// The response to a request that does not: 405 or 426. The response to one with a body, a wrong version or a wrong
    /// key: 400.
    #[expect(clippy::result_large_err, reason = "it is sent at once")]
    pub fn of<B>(request: &mut Request<B>) -> Result<Self, Response> {
        let mut extensions = std::mem::take(request.extensions_mut());
        let upgrade = Self::take(request.method(), request.headers(), &mut extensions);
        *request.extensions_mut() = extensions;
        upgrade
    }

    #[expect(clippy::result_large_err, reason = "it is sent at once")]
    fn take(
        method: &Method,
        headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> Result<Self, Response> {
        if method != Method::GET {
            return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let handover = Handover::of(headers, extensions, WEBSOCKET)?;
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        let accept = accept(headers);
        let (Some(accept), true) = (accept, version.is_some_and(|version| version == "13")) else {
            let mut refusal = StatusCode::BAD_REQUEST.into_response();
            let known = HeaderValue::from_static("13");
            refusal.headers_mut().insert(SEC_WEBSOCKET_VERSION, known);
            return Err(refusal);
        };
        let offered = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned);
        Ok(Self {
            handover: LoopBound::new(handover),
            accept,
            offered: offered.collect(),
            chosen: None,
            max_message: MAX_MESSAGE,
        })
    }

    /// Chooses the first of these subprotocols that the client offers too.
    pub fn protocols<'a>(mut self, known: impl IntoIterator<Item = &'a str>) -> Self {
        let is_offered = |one: &&str| self.offered.iter().any(|offered| offered == one);
        let chosen = known.into_iter().find(is_offered);
        self.chosen = chosen.and_then(|one| one.parse().ok());
        self
    }

    /// The chosen subprotocol, if there is one.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.chosen.as_ref()?.to_str().ok()
    }

    /// Sets the size of a message, in bytes; 16 MiB by default. A larger one is an error, and ends the websocket.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Answers the request. `afterwards` gets the websocket when the client has the answer. It runs in the task of the
    /// connection: the server counts it, waits for it, and cancels it after the grace period.
    pub fn answer<F>(self, afterwards: F) -> Response
    where
        F: AsyncFnOnce(WebSocket) + 'static,
    {
        let max_message = self.max_message;
        let handover = self.handover.into_inner();
        let mut response = handover.answer(WEBSOCKET, async move |upgraded| {
            let closing = Box::pin(upgraded.closing());
            let socket = WebSocket::new(upgraded, Role::Server, max_message, Some(closing));
            afterwards(socket).await;
        });
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(chosen) = self.chosen {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        response
    }
}

/// The answer to the key of a request, which is the base64 of 16 bytes (RFC 6455, section 4.2.1).
fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (key, None) = (keys.next()?.as_bytes(), keys.next()) else {
        return None;
    };
    let digits = key.strip_suffix(b"==")?;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let is_key = digits.len() == 22 && digits.iter().all(is_digit);
    is_key.then(|| derive_accept_key(key).parse().ok())?
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Self::take(&parts.method, &parts.headers, &mut parts.extensions)
    }
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade").finish_non_exhaustive()
    }
}
