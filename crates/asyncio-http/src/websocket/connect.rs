//! The client's side of a websocket's beginning.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::socket::{MAX_MESSAGE, WebSocket};
use crate::client::{FetchError, RequestBuilder};
use crate::server::upgrade::{lists, tokens};

impl RequestBuilder {
    /// Begins a websocket, over a connection of its own. The URL has the scheme `ws` or `wss`, or `http` or `https`.
    ///
    /// A header `Sec-WebSocket-Protocol` offers subprotocols.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// [`FetchError`]. If the server does not agree, the error is [`FetchError::Status`] with its status. If it agrees
    /// to something else, such as a subprotocol that was not offered, the error is [`FetchError::Decode`]. Redirects
    /// are not followed.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn websocket(self) -> Result<WebSocket, FetchError> {
        let key = generate_key();
        let accept = derive_accept_key(key.as_bytes());
        let mut request = self;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::from_str(&key).expect("base64 can be in a header");
        headers.insert(SEC_WEBSOCKET_KEY, key);
        let offered: Vec<_> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
            .map(str::to_owned)
            .collect();

        let (response, url) = request.upgrade().await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(FetchError::Status(response.status(), url));
        }
        let headers = response.headers();
        if let Some(message) = wrong(headers, &accept, &offered) {
            return Err(FetchError::Decode(message.to_owned()));
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(FetchError::Exchange)?;
        let stream = Upgraded(upgraded);
        Ok(WebSocket::new(stream, Role::Client, MAX_MESSAGE, None))
    }
}

/// The reason to refuse the answer of a server that agrees (RFC 6455, section 4.1).
fn wrong(headers: &HeaderMap, accept: &str, offered: &[String]) -> Option<&'static str> {
    if !(lists(headers, UPGRADE, "websocket") && lists(headers, CONNECTION, "upgrade")) {
        return Some("the server goes on with another protocol");
    }
    let accepted = headers.get(SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted != accept) {
        return Some("the server's `Sec-WebSocket-Accept` is wrong");
    }
    let mut agreed = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    if !agreed.all(|agreed| offered.iter().any(|one| agreed == one)) {
        return Some("the server speaks a subprotocol that was not offered");
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Some("the server uses an extension, of which none was offered");
    }
    None
}

/// A client's connection after the upgrade.
struct Upgraded(hyper::upgrade::Upgraded);

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
