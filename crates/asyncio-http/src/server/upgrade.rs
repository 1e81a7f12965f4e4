//! Upgrades: a connection that goes on with another protocol.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use axum_core::response::{IntoResponse as _, Response};
use futures_io::{AsyncRead, AsyncWrite};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::{Extensions, HeaderMap, Request, StatusCode};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::OnUpgrade;

use super::connection::{Connection, OfRequest};
use crate::body::Body;

/// Answers with 101, and calls `afterwards` with the connection when the client has the answer.
///
/// The future of `afterwards` runs in the task of the connection. So the server counts it, waits for it, and cancels it
/// after the grace period. A panic is reported.
///
/// Answers with 426 if the request is not an HTTP/1 request that asks for `protocol`. Answers with 400 if it has a
/// body: a proxy may not see where the body ends and the other protocol begins.
pub fn upgrade<B, F>(
    request: &mut Request<B>,
    protocol: &'static str,
    afterwards: impl FnOnce(Upgraded) -> F + 'static,
) -> Response
where
    F: Future<Output = ()> + 'static,
{
    let extensions = std::mem::take(request.extensions_mut());
    let mut extensions = extensions;
    let handover = Handover::of(request.headers(), &mut extensions, protocol);
    *request.extensions_mut() = extensions;
    match handover {
        Ok(handover) => handover.answer(protocol, afterwards),
        Err(refusal) => refusal,
    }
}

fn answer(status: StatusCode, protocol: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    response
}

/// A connection that can be taken over.
pub(crate) struct Handover {
    upgraded: OnUpgrade,
    connection: Rc<Connection>,
}

impl Handover {
    /// The connection of a request that asks for `protocol`.
    ///
    /// # Errors
    ///
    /// The response to a request that does not ask for it, or has a body.
    #[expect(clippy::result_large_err, reason = "it is sent at once")]
    pub(crate) fn of(
        headers: &HeaderMap,
        extensions: &mut Extensions,
        protocol: &'static str,
    ) -> Result<Self, Response> {
        let asks = lists(headers, UPGRADE, protocol) && lists(headers, CONNECTION, "upgrade");
        let connection = extensions.get::<OfRequest>().filter(|_| asks);
        let connection = connection.and_then(|of| of.0.try_get().cloned());
        let upgraded = connection.and_then(|connection| {
            let upgraded = extensions.remove::<OnUpgrade>()?;
            Some(Self {
                upgraded,
                connection,
            })
        });
        match upgraded {
            None => Err(answer(StatusCode::UPGRADE_REQUIRED, protocol)),
            Some(_) if has_body(headers) => Err(StatusCode::BAD_REQUEST.into_response()),
            Some(handover) => Ok(handover),
        }
    }

    /// The answer 101, and what is called after it.
    pub(crate) fn answer<F>(
        self,
        protocol: &'static str,
        afterwards: impl FnOnce(Upgraded) -> F + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + 'static,
    {
        let Self {
            upgraded,
            connection,
        } = self;
        // The connection does not own itself.
        let weak = Rc::downgrade(&connection);
        let last = connection.afterwards.replace(Some(Box::pin(async move {
            // It fails if the answer could not be sent.
            if let (Ok(stream), Some(connection)) = (upgraded.await, weak.upgrade()) {
                let upgraded = Upgraded { stream, connection };
                afterwards(upgraded).await;
            }
        })));
        drop(last);
        answer(StatusCode::SWITCHING_PROTOCOLS, protocol)
    }
}

/// Whether a request of HTTP/1 announces a body.
fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// Whether a header with a list has a token.
pub(crate) fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, &name).any(|one| one.eq_ignore_ascii_case(token))
}

/// The tokens of a header with a list.
pub(crate) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',').map(str::trim))
}

/// A connection after its [`upgrade`]: a stream of bytes.
pub struct Upgraded {
    stream: hyper::upgrade::Upgraded,
    connection: Rc<Connection>,
}

impl Upgraded {
    /// Waits until the server is asked to stop, so that this connection can say goodbye.
    pub fn closing(&self) -> impl Future<Output = ()> + use<> {
        self.connection.clone().stopping()
    }
}

/// Waits until the server of a request is asked to stop, so that a long response can end. Waits forever if the request
/// is not one of a [`Server`](super::Server).
pub fn closing<B>(request: &Request<B>) -> impl Future<Output = ()> + use<B> {
    let connection = request.extensions().get::<OfRequest>();
    let connection = connection.and_then(|of| of.0.try_get().cloned());
    async {
        match connection {
            Some(connection) => connection.stopping().await,
            None => std::future::pending().await,
        }
    }
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
