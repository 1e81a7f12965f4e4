//! The client's side of a websocket's beginning.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use http::StatusCode;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::socket::{MAX_MESSAGE, WebSocket};
use crate::client::{FetchError, RequestBuilder};

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
    /// [`FetchError`]. If the server does not agree, the error is [`FetchError::Status`] with its status. Redirects are
    /// not followed.
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
        let offers = headers.contains_key(SEC_WEBSOCKET_PROTOCOL);

        let (response, url) = request.upgrade().await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(FetchError::Status(response.status(), url));
        }
        let headers = response.headers();
        let accepted = headers.get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| accepted != accept.as_str()) {
            let message = "the server's `Sec-WebSocket-Accept` is wrong";
            return Err(FetchError::Decode(message.to_owned()));
        }
        if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) && !offers {
            let message = "the server speaks a subprotocol that was not offered";
            return Err(FetchError::Decode(message.to_owned()));
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(FetchError::Exchange)?;
        let stream = Upgraded(upgraded);
        Ok(WebSocket::new(stream, Role::Client, MAX_MESSAGE, None))
    }
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
