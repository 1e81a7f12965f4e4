//! Server-sent events: a response that goes on while there is news (WHATWG HTML, section 9.2).
//!
//! ```
//! use std::time::Duration;
//! use asyncio::http::sse::{Event, Sse};
//! use asyncio::http::{IntoResponse, Request, Response};
//! use futures::{StreamExt, stream};
//!
//! async fn ticks(_: Request) -> Response {
//!     let ticks = stream::iter(0..3).then(async |n| {
//!         asyncio::sleep(Duration::from_millis(1)).await;
//!         Event::data(format!("tick {n}")).id(n.to_string())
//!     });
//!     Sse::new(ticks).keep_alive(Duration::from_secs(15)).into_response()
//! }
//! # asyncio::run(async {
//! # let response = ticks(Request::default()).await;
//! # let text = asyncio::http::body::to_bytes(response.into_body(), 1000).await.unwrap();
//! # assert_eq!(text, "id: 0\ndata: tick 0\n\nid: 1\ndata: tick 1\n\nid: 2\ndata: tick 2\n\n");
//! # });
//! ```
//!
//! A server that stops waits for its event streams, for the grace period at most. A stream that ends with
//! [`closing`](crate::closing) keeps it no longer.

use std::fmt;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{Sleep, sleep};
use axum_core::BoxError;
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_core::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::body::from_stream;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    text: String,
}

impl Event {
    /// An event with data. Each line of it is sent as a line of its own.
    #[must_use]
    pub fn data(data: impl AsRef<str>) -> Self {
        let mut event = Self::default();
        // Carriage returns end a line, too.
        let data = data.as_ref().replace("\r\n", "\n").replace('\r', "\n");
        for line in data.split('\n') {
            event.line("data", line);
        }
        event
    }

    /// An event whose data is a value as JSON.
    ///
    /// # Errors
    ///
    /// The value cannot be written as JSON.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::data)
    }

    /// A comment, which browsers ignore.
    #[must_use]
    pub fn comment(text: &str) -> Self {
        let mut event = Self::default();
        event.line("", text);
        event
    }

    /// Gives the event a name other than `message`. Line breaks in it are left out.
    #[must_use]
    pub fn event(self, name: &str) -> Self {
        self.before("event", name)
    }

    /// Gives the event an id, which the browser sends when it connects again.
    #[must_use]
    pub fn id(self, id: impl AsRef<str>) -> Self {
        self.before("id", &id.as_ref().replace('\0', ""))
    }

    /// Tells the browser how long to wait before it connects again.
    #[must_use]
    pub fn retry(self, after: Duration) -> Self {
        self.before("retry", &after.as_millis().to_string())
    }

    fn before(mut self, field: &str, value: &str) -> Self {
        let data = std::mem::take(&mut self.text);
        self.line(field, value);
        self.text += &data;
        self
    }

    fn line(&mut self, field: &str, value: &str) {
        self.text += field;
        self.text += ": ";
        self.text
            .extend(value.chars().filter(|c| !matches!(c, '\r' | '\n')));
        self.text.push('\n');
    }

    fn into_bytes(mut self) -> Bytes {
        self.text.push('\n');
        self.text.into()
    }
}

/// A response of events, from a stream that needs no `Send`.
#[must_use = "it is a response to return"]
pub struct Sse<S> {
    events: S,
    keep_alive: Option<Duration>,
}

impl<S: Stream<Item = Event> + 'static> Sse<S> {
    /// A response of the events of this stream. It ends with the stream.
    pub fn new(events: S) -> Self {
        Self {
            events,
            keep_alive: None,
        }
    }

    /// Sends a comment after each silence of this length. So the server detects disconnected clients, and proxies keep
    /// the connection.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }
}

/// # Panics
///
/// Without a running loop.
impl<S: Stream<Item = Event> + 'static> IntoResponse for Sse<S> {
    fn into_response(self) -> Response {
        let pieces = Pieces {
            events: Box::pin(self.events),
            keep_alive: self.keep_alive.map(|interval| (interval, None)),
        };
        let mut response = Response::new(from_stream(pieces));
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

impl<S> fmt::Debug for Sse<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").finish_non_exhaustive()
    }
}

/// The events as bytes.
struct Pieces<S> {
    events: Pin<Box<S>>,
    /// The longest silence, and the timer of the one under way.
    keep_alive: Option<(Duration, Option<Sleep>)>,
}

impl<S: Stream<Item = Event>> Stream for Pieces<S> {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(next) = this.events.as_mut().poll_next(cx) {
            if let Some((_, timer)) = &mut this.keep_alive {
                *timer = None;
            }
            return Poll::Ready(next.map(|event| Ok(event.into_bytes())));
        }
        let Some((interval, timer)) = &mut this.keep_alive else {
            return Poll::Pending;
        };
        let waiting = timer.get_or_insert_with(|| sleep(*interval));
        if Pin::new(waiting).poll(cx).is_pending() {
            return Poll::Pending;
        }
        // The next timer is set when this has been sent.
        *timer = None;
        Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n"))))
    }
}
