//! A response of a session, and its body.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use asyncio_loop::{Sleep, sleep_until, time};
use asyncio_task::Remote;
use bytes::Bytes;
use futures_core::Stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

#[cfg(feature = "gzip")]
use super::decode::Decoder;
use super::error::FetchError;
use super::pool::{Exchange, Held};
use super::upload::Progress;
use crate::body::Body;
use crate::bound::LoopBound;

/// The response to a request of a [`Session`](super::Session): its head, and its body to be read.
#[must_use = "dropping a response closes its connection; read it to its end"]
pub struct FetchResponse {
    head: http::response::Parts,
    body: FetchBody,
    url: Uri,
    max_body: usize,
}

impl FetchResponse {
    pub(super) fn new(
        head: http::response::Parts,
        body: FetchBody,
        url: Uri,
        max_body: usize,
    ) -> Self {
        Self {
            head,
            body,
            url,
            max_body,
        }
    }

    /// Decompresses the body, if the server says that it is compressed.
    #[cfg(feature = "gzip")]
    pub(super) fn decode(&mut self) {
        self.body.decoder = Decoder::of(&mut self.head.headers);
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The value of a header, if there is one of that name and it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The version of HTTP that was spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The URL of the response, after redirects.
    #[must_use]
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// The length of the body, if the server has sent it. For `HEAD`, the length that the body would have.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        // A response to `HEAD` has the length of a body that does not come.
        let told = self.head.headers.get(CONTENT_LENGTH);
        let told = told.and_then(|told| told.to_str().ok()?.parse().ok());
        told.or_else(|| http_body::Body::size_hint(&self.body).exact())
    }

    /// The response, unless its status is 400 or above.
    ///
    /// # Errors
    ///
    /// [`FetchError::Status`] with the status and the URL.
    #[doc(alias = "raise_for_status")]
    pub fn error_for_status(self) -> Result<Self, FetchError> {
        let status = self.status();
        match status.is_client_error() || status.is_server_error() {
            true => Err(FetchError::Status(status, self.url)),
            false => Ok(self),
        }
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The connection breaks off, a time limit passes, or the compression is wrong. No piece follows.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        poll_fn(|cx| self.body.poll_data(cx)).await.transpose()
    }

    /// Reads the whole body.
    ///
    /// # Cancellation
    ///
    /// Loses what was read, and closes the connection.
    ///
    /// # Errors
    ///
    /// The errors of [`chunk`](Self::chunk), and [`FetchError::TooLarge`] beyond the session's
    /// [limit](super::SessionBuilder::max_body).
    pub async fn bytes(mut self) -> Result<Bytes, FetchError> {
        // Most bodies have one piece, which is not copied. Others are, because each piece keeps a buffer of the
        // connection.
        let (mut first, mut all) = (Bytes::new(), Vec::new());
        while let Some(piece) = self.chunk().await? {
            if first.len() + all.len() + piece.len() > self.max_body {
                return Err(FetchError::TooLarge(self.max_body));
            }
            if first.is_empty() && all.is_empty() {
                first = piece;
                continue;
            }
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&piece);
        }
        match all.is_empty() {
            true => Ok(first),
            false => Ok(all.into()),
        }
    }

    /// Reads the whole body as text: UTF-8, or Latin-1 if the header `Content-Type` says so.
    ///
    /// # Cancellation
    ///
    /// As [`bytes`](Self::bytes).
    ///
    /// # Errors
    ///
    /// The errors of [`bytes`](Self::bytes), and [`FetchError::Decode`] if the bytes are not such a text, or
    /// `Content-Type` names another encoding.
    pub async fn text(self) -> Result<String, FetchError> {
        let charset = self.charset();
        let bytes = self.bytes().await?;
        match charset.as_deref() {
            Some("iso-8859-1" | "latin-1" | "latin1") => {
                Ok(bytes.iter().map(|&byte| char::from(byte)).collect())
            }
            None | Some("utf-8" | "utf8" | "us-ascii") => {
                let text = String::from_utf8(bytes.into());
                text.map_err(|error| FetchError::Decode(error.to_string()))
            }
            Some(other) => Err(FetchError::Decode(format!("unknown charset `{other}`"))),
        }
    }

    fn charset(&self) -> Option<String> {
        let kind = self.header(CONTENT_TYPE.as_str())?;
        let mut parameters = kind
            .split(';')
            .skip(1)
            .filter_map(|one| one.split_once('='));
        let (_, charset) =
            parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
        Some(charset.trim().trim_matches('"').to_ascii_lowercase())
    }

    /// Reads the whole body as JSON.
    ///
    /// # Cancellation
    ///
    /// As [`bytes`](Self::bytes).
    ///
    /// # Errors
    ///
    /// The errors of [`bytes`](Self::bytes), and [`FetchError::Decode`] if the body is not JSON of that type.
    #[cfg(feature = "json")]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, FetchError> {
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| FetchError::Decode(error.to_string()))
    }

    /// The body: a stream of pieces.
    pub fn into_body(self) -> FetchBody {
        self.body
    }
}

impl fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchResponse")
            .field("status", &self.head.status)
            .field("url", &self.url)
            .field("headers", &self.head.headers)
            .finish_non_exhaustive()
    }
}

/// The body of a [`FetchResponse`]: a stream of pieces, and a body to pass on with [`Body::from`].
#[must_use = "dropping a body before its end closes the connection"]
pub struct FetchBody {
    incoming: Incoming,
    /// The loop of the connection.
    home: Option<Remote>,
    /// The connection; none after the end.
    held: Option<Held>,
    /// The body of the request, which may still be on its way.
    upload: Option<Rc<Progress>>,
    #[cfg(feature = "gzip")]
    decoder: Option<Decoder>,
    read_timeout: Duration,
    /// When the whole fetch must be over, and how long it may take.
    deadline: Option<(Instant, Duration)>,
    /// Armed while the server is silent.
    timer: Option<Sleep>,
    is_over: bool,
}

impl FetchBody {
    pub(super) fn new(
        exchange: Exchange,
        read_timeout: Duration,
        deadline: Option<(Instant, Duration)>,
    ) -> (http::response::Parts, Self) {
        let (head, incoming) = exchange.response.into_parts();
        let mut body = Self {
            incoming,
            home: Remote::here(),
            held: Some(exchange.held),
            upload: exchange.upload,
            #[cfg(feature = "gzip")]
            decoder: None,
            read_timeout,
            deadline,
            timer: None,
            is_over: false,
        };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        (head, body)
    }

    /// The response has ended, so the connection is for others. If the request has not ended, the connection closes.
    fn give_back(&mut self) {
        let is_sent = self.upload.as_ref().is_none_or(|upload| upload.is_over());
        if let Some(held) = self.held.take()
            && is_sent
        {
            held.give_back();
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // A server that is ready with each piece never lets a slow reader wait for the timer. After the last piece,
        // nothing is late.
        let late = self.held.as_ref().and_then(|_| self.is_late());
        if let Some(late) = late {
            self.is_over = true;
            drop(self.held.take());
            return Poll::Ready(Some(Err(late)));
        }
        let next = ready!(self.poll_next_data(cx));
        if let Some(Err(FetchError::Elsewhere)) = next {
            return Poll::Ready(next);
        }
        if !matches!(next, Some(Ok(_))) {
            self.is_over = true;
            match next {
                None => self.give_back(),
                // After an error a connection of HTTP/1 is closed.
                Some(Err(FetchError::TimedOut { .. })) => {
                    if let Some(held) = self.held.take() {
                        held.is_silent(self.read_timeout);
                    }
                }
                _ => drop(self.held.take()),
            }
        }
        Poll::Ready(next)
    }

    fn poll_next_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        loop {
            #[cfg(feature = "gzip")]
            if let Some(decoder) = &mut self.decoder {
                if decoder.has_done_enough() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Some(piece) = decoder.next().transpose() {
                    return Poll::Ready(Some(piece));
                }
            }
            let Poll::Ready(next) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                if self.home.as_ref().is_some_and(|home| !home.is_here()) {
                    return Poll::Ready(Some(Err(FetchError::Elsewhere)));
                }
                return self.poll_timer(cx).map(|error| Some(Err(error)));
            };
            self.timer = None;
            match next {
                Some(Ok(frame)) => {
                    if self.incoming.is_end_stream() {
                        self.give_back();
                    }
                    // Trailers are of no interest here.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    #[cfg(feature = "gzip")]
                    if let Some(decoder) = &mut self.decoder {
                        decoder.feed(data);
                        continue;
                    }
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(FetchError::Exchange(error)))),
                None => {
                    #[cfg(feature = "gzip")]
                    if let Some(decoder) = self.decoder.take() {
                        return Poll::Ready(decoder.finish().transpose());
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// The error of a fetch that takes too long as a whole.
    fn is_late(&self) -> Option<FetchError> {
        let (_, limit) = self.deadline.filter(|&(deadline, _)| time() >= deadline)?;
        let what = "the fetch";
        Some(FetchError::TimedOut { what, limit })
    }

    /// Waits for the first of the two limits.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<FetchError> {
        let mut since = time();
        loop {
            if self.timer.is_none() {
                let silent = since.checked_add(self.read_timeout);
                let whole = self.deadline.map(|(deadline, _)| deadline);
                let Some(first) = silent.into_iter().chain(whole).min() else {
                    return Poll::Pending;
                };
                self.timer = Some(sleep_until(first));
            }
            let Some(timer) = &mut self.timer else {
                return Poll::Pending;
            };
            ready!(Pin::new(timer).poll(cx));
            if let Some(late) = self.is_late() {
                return Poll::Ready(late);
            }
            // The server may wait for the body of the request.
            let limit = self.read_timeout;
            match self.upload.as_ref().filter(|upload| !upload.is_over()) {
                Some(upload) if time().duration_since(upload.silent_since()) < limit => {
                    since = upload.silent_since();
                    self.timer = None;
                }
                _ => {
                    let what = "waiting for the server";
                    return Poll::Ready(FetchError::TimedOut { what, limit });
                }
            }
        }
    }
}

impl http_body::Body for FetchBody {
    type Data = Bytes;
    type Error = FetchError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FetchError>>> {
        let next = self.poll_data(cx);
        next.map(|next| next.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        #[cfg(feature = "gzip")]
        if self.decoder.is_some() {
            return SizeHint::default();
        }
        self.incoming.size_hint()
    }
}

impl Stream for FetchBody {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_data(cx)
    }
}

/// Passes a body on, for instance in the response of a server.
///
/// # Panics
///
/// Without a running loop.
impl From<FetchBody> for Body {
    fn from(body: FetchBody) -> Self {
        Body::new(LoopBound::new(body))
    }
}

impl fmt::Debug for FetchBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchBody").finish_non_exhaustive()
    }
}
