//! The body of a request on its way, and what is known of it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum_core::Error;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::{Body as _, Frame, SizeHint};

use crate::body::Body;

/// The body of a request, which notes how far it is. A request without a body has nothing to note.
pub(crate) struct Upload {
    /// `None`: the request has no body.
    body: Option<Body>,
    /// The bytes that may follow, if the request says how many there are.
    left: Option<u64>,
    progress: Option<Rc<Progress>>,
}

const TOO_LONG: &str = "the body of the request is longer than its `Content-Length`";

/// How far the body of a request is.
#[derive(Debug)]
pub(crate) struct Progress {
    state: Cell<State>,
    /// The time of the last piece.
    last: Cell<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The connection has not begun with the request.
    Queued,
    /// The connection has the last piece, and has not asked for the next one.
    Sending,
    /// The connection waits for the caller's next piece.
    Waiting,
    /// The connection has the whole body, or has given it up.
    Over,
}

impl Upload {
    /// The body, and its progress if it is not empty.
    pub(super) fn new(body: Option<Body>, headers: &HeaderMap) -> (Self, Option<Rc<Progress>>) {
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let has_bytes = body.as_ref().is_some_and(|body| !body.is_end_stream());
        let progress = has_bytes.then(Progress::new);
        let upload = Self {
            body,
            left: length,
            progress: progress.clone(),
        };
        (upload, progress)
    }

    /// The progress, also of a request without a body.
    #[cfg(feature = "http2")]
    pub(super) fn watch(&mut self) -> Rc<Progress> {
        self.progress.get_or_insert_with(Progress::new).clone()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let mut frame = Pin::new(body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(piece))), Some(left)) = (&frame, &mut self.left) {
            let bytes = piece.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                // hyper would leave them out.
                None => frame = Poll::Ready(Some(Err(Error::new(TOO_LONG)))),
            }
        }
        if let Some(progress) = &self.progress {
            progress.note(match &frame {
                Poll::Pending => State::Waiting,
                Poll::Ready(Some(Ok(_))) => State::Sending,
                Poll::Ready(_) => State::Over,
            });
        }
        frame
    }

    /// The connection asks for that when it begins with a request. One of HTTP/2 then waits for its turn, and drops a
    /// body that is empty.
    fn is_end_stream(&self) -> bool {
        let is_end = self.body.as_ref().is_none_or(Body::is_end_stream);
        if let Some(progress) = self.progress.as_ref().filter(|_| !is_end)
            && progress.is_queued()
        {
            progress.note(State::Sending);
        }
        is_end
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

/// The connection drops a body after its last piece.
impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.note(State::Over);
        }
    }
}

impl Progress {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            state: Cell::new(State::Queued),
            last: Cell::new(asyncio_loop::time()),
        })
    }

    fn note(&self, state: State) {
        self.state.set(state);
        self.last.set(asyncio_loop::time());
    }

    /// Whether the connection has not begun with the request.
    pub(super) fn is_queued(&self) -> bool {
        self.state.get() == State::Queued
    }

    /// Whether the connection needs nothing more of the body.
    pub(super) fn is_over(&self) -> bool {
        self.state.get() == State::Over
    }

    /// The time from which on the server is silent. While the connection waits for the caller, that is now.
    pub(super) fn silent_since(&self) -> Instant {
        match self.state.get() {
            State::Waiting => asyncio_loop::time(),
            State::Queued | State::Sending | State::Over => self.last.get(),
        }
    }
}
