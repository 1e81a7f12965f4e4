//! Bodies of requests and responses.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::BoxError;
pub use axum_core::body::Body;
use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::bound::LoopBound;

/// A body whose pieces come from a stream. The stream needs no `Send`.
///
/// An error of the stream breaks the connection off. Otherwise the peer would take a part of the body for the whole.
///
/// ```
/// use asyncio::http::{Request, Response, body};
/// use futures::stream;
///
/// async fn countdown(_: Request) -> Response {
///     let lines = stream::iter((0..3).rev()).map(|n| Ok::<_, std::io::Error>(format!("{n}\n")));
///     Response::new(body::from_stream(lines))
/// }
/// # use futures::StreamExt;
/// # asyncio::run(async {
/// let response = countdown(Request::default()).await;
/// assert_eq!(body::to_bytes(response.into_body(), 1024).await.unwrap(), "2\n1\n0\n");
/// # });
/// ```
///
/// # Panics
///
/// Without a running loop.
pub fn from_stream<S, T, E>(stream: S) -> Body
where
    S: Stream<Item = Result<T, E>> + 'static,
    T: Into<Bytes> + 'static,
    E: Into<BoxError> + 'static,
{
    Body::new(Pieces(LoopBound::new(Box::pin(stream))))
}

struct Pieces<S: 'static>(LoopBound<Pin<Box<S>>>);

impl<S, T, E> http_body::Body for Pieces<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = self.0.as_mut().poll_next(cx);
        next.map(|item| {
            let item = item?;
            Some(
                item.map(|piece| Frame::data(piece.into()))
                    .map_err(Into::into),
            )
        })
    }
}

/// Reads a body to its end, into one piece of memory.
///
/// # Cancellation
///
/// Loses what was read.
///
/// # Errors
///
/// [`TooLarge`] if the body has more than `limit` bytes. Otherwise the error of the body.
pub async fn to_bytes<B>(body: B, limit: usize) -> Result<Bytes, BoxError>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    match BodyExt::collect(Limited::new(Box::pin(body), limit)).await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(TooLarge { limit }.into()),
        Err(error) => Err(error),
    }
}

/// A body has more bytes than its reader allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body has more than {limit} bytes")]
pub struct TooLarge {
    /// The limit.
    pub limit: usize,
}
