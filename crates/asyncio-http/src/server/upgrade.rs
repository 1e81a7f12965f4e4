//! Upgrades: a connection that goes on with another protocol.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum_core::response::Response;
use futures_io::{AsyncRead, AsyncWrite};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, StatusCode};
use hyper::rt::{Read as _, ReadBuf, Write as _};

use super::connection::OfRequest;
use crate::body::Body;

/// Answers with 101, and has `afterwards` called with the connection when the client has the answer.
///
/// What it returns runs in the task of the connection: the server counts it, waits for it, and cancels it after the grace
/// period. A panic is reported.
///
/// Answers with 426 if the request is none of HTTP/1, or does not ask for `protocol`.
pub fn upgrade<B, F>(
    request: &mut Request<B>,
    protocol: &'static str,
    afterwards: impl FnOnce(Upgraded) -> F + 'static,
) -> Response
where
    F: Future<Output = ()> + 'static,
{
    let status = |status| {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(protocol));
        response
    };
    let asks = |name, token| {
        let values = request.headers().get_all(name).iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|one: &str| one.trim().eq_ignore_ascii_case(token))
    };
    let asked = asks(UPGRADE, protocol) && asks(CONNECTION, "upgrade");
    let connection = request.extensions().get::<OfRequest>();
    let connection = connection.and_then(|of| of.0.try_get().cloned());
    let (true, Some(connection)) = (
        asked
            && request
                .extensions()
                .get::<hyper::upgrade::OnUpgrade>()
                .is_some(),
        connection,
    ) else {
        return status(StatusCode::UPGRADE_REQUIRED);
    };
    let upgraded = hyper::upgrade::on(request);
    connection.afterwards.replace(Some(Box::pin(async move {
        // It fails if the answer could not be sent.
        if let Ok(stream) = upgraded.await {
            afterwards(Upgraded { stream }).await;
        }
    })));
    status(StatusCode::SWITCHING_PROTOCOLS)
}

/// A connection after its [`upgrade`]: a stream of bytes.
pub struct Upgraded {
    stream: hyper::upgrade::Upgraded,
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgraded")
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf.unfilled()))?;
        Poll::Ready(Ok(buf.filled().len()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
