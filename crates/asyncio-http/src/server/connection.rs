//! The state of one connection, as its task, its stream and the sweeper see it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_sync::Event;
use axum_core::BoxError;
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Extensions, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Limited;
use hyper::body::Incoming;

use super::pace::Pace;
use super::ticks::Ticks;
use crate::bound::LoopBound;
use crate::listener::Peer;

/// The future that runs on a connection after its upgrade.
pub(super) type Afterwards = Pin<Box<dyn Future<Output = ()>>>;

/// The state of one connection.
pub struct Connection {
    pub(super) peer: Peer,
    max_body: u64,
    /// The host of the last request, which is valid.
    pub(super) host: RefCell<Vec<u8>>,
    ticks: Ticks,
    /// The number of requests under way, from their head to the last byte of the answer.
    in_flight: Cell<u32>,
    /// Since when no request is under way, or since when the head of one arrives.
    since: Cell<u32>,
    /// Whether bytes have arrived since then.
    has_begun: Cell<bool>,
    /// Since when the peer takes nothing of what is sent.
    blocked_since: Cell<Option<u32>>,
    /// The number of answers of which hyper holds a piece.
    owed: Cell<u32>,
    /// When the last bytes went out, or hyper took a piece of an answer.
    progress: Cell<u32>,
    /// The number of bodies of which a handler waits for a piece.
    wanted: Cell<u32>,
    /// When the first of these waits began, or when the last piece came.
    wanted_since: Cell<u32>,
    /// How fast the client sends bodies, and takes answers.
    pub(super) sends: Pace,
    pub(super) takes: Pace,
    /// Whether the head of a request has not come in time.
    pub(super) is_late: Cell<bool>,
    /// Whether it does not speak HTTP any more.
    pub(super) is_upgraded: Cell<bool>,
    pub(super) is_http2: Cell<bool>,
    /// A handler is polled, or has panicked in its poll.
    pub(super) is_in_handler: Cell<bool>,
    /// Asks the connection to end after the requests under way.
    pub(super) stop: Event,
    /// Whether the sweeper has asked for the end.
    pub(super) is_asked: Cell<bool>,
    pub(super) afterwards: RefCell<Option<Afterwards>>,
}

impl Connection {
    pub(super) fn new(peer: Peer, max_body: u64, ticks: Ticks) -> Self {
        Self {
            peer,
            max_body,
            host: RefCell::default(),
            in_flight: Cell::new(0),
            since: Cell::new(ticks.now()),
            progress: Cell::new(ticks.now()),
            owed: Cell::new(0),
            wanted: Cell::new(0),
            wanted_since: Cell::new(ticks.now()),
            ticks,
            has_begun: Cell::new(false),
            blocked_since: Cell::new(None),
            sends: Pace::default(),
            takes: Pace::default(),
            is_late: Cell::new(false),
            is_upgraded: Cell::new(false),
            is_http2: Cell::new(false),
            is_in_handler: Cell::new(false),
            stop: Event::new(),
            is_asked: Cell::new(false),
            afterwards: RefCell::default(),
        }
    }

    /// Waits until it is asked to stop.
    pub(super) async fn stopping(self: Rc<Self>) {
        self.stop.wait().await;
    }

    /// Bytes have arrived.
    pub(super) fn received(&self) {
        if self.in_flight.get() == 0 && !self.has_begun.replace(true) {
            self.since.set(self.ticks.now());
        }
    }

    /// The peer has taken bytes.
    pub(super) fn wrote(&self, bytes: usize) {
        self.takes.moved(bytes);
        self.blocked_since.set(None);
        self.progress.set(self.ticks.now());
    }

    /// A handler has asked for a piece of a body, and waits for it now or not.
    fn wants(&self, waits: bool, has_waited: bool) {
        let wanted = self.wanted.get();
        self.wanted.set(match (has_waited, waits) {
            (false, true) => wanted + 1,
            (true, false) => wanted - 1,
            _ => wanted,
        });
        // A request that begins to wait later gives the client no more time for the others.
        if !waits || wanted == 0 {
            self.wanted_since.set(self.ticks.now());
        }
    }

    /// The peer takes no bytes.
    pub(super) fn is_blocked(&self) {
        if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(self.ticks.now()));
        }
    }

    /// The answer is none of an upgrade, whatever the handler has prepared.
    pub(super) fn stays(&self) {
        let afterwards = self.afterwards.take();
        drop(afterwards);
    }

    /// For how many ticks it has waited for a client, and for which of its duties.
    pub(super) fn waits(&self) -> Option<(Wait, u32)> {
        let ago = |since| self.ticks.now().wrapping_sub(since);
        if let Some(since) = self.blocked_since.get() {
            return Some((Wait::Write, ago(since)));
        }
        if self.wanted.get() > 0 {
            return Some((Wait::Body, ago(self.wanted_since.get())));
        }
        if self.owed.get() > 0 {
            return Some((Wait::Write, ago(self.progress.get())));
        }
        if self.in_flight.get() > 0 || self.is_upgraded.get() {
            return None;
        }
        let is_head = self.has_begun.get() && !self.is_http2.get();
        let wait = if is_head { Wait::Head } else { Wait::Request };
        Some((wait, ago(self.since.get())))
    }

    /// Prepares a request for a handler, or refuses it.
    #[expect(clippy::result_large_err, reason = "it is sent at once")]
    pub(crate) fn admit(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Request<Body>, Response> {
        let (mut parts, body) = request.into_parts();
        if body.size_hint().lower() > self.max_body {
            let mut refusal = StatusCode::PAYLOAD_TOO_LARGE.into_response();
            if parts.version < http::Version::HTTP_2 {
                let close = HeaderValue::from_static("close");
                refusal.headers_mut().insert(CONNECTION, close);
            }
            return Err(refusal);
        }
        parts
            .extensions
            .insert(OfRequest(LoopBound::new(self.clone())));
        let body = match body.is_end_stream() {
            true => Body::empty(),
            false => {
                let most = usize::try_from(self.max_body).unwrap_or(usize::MAX);
                Body::new(AskedBody {
                    body: Limited::new(body, most),
                    connection: LoopBound::new(self.clone()),
                    waits: false,
                })
            }
        };
        Ok(Request::from_parts(parts, body))
    }
}

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A request.
    Request,
    /// The rest of a request's head.
    Head,
    /// The next piece of a request's body.
    Body,
    /// That the client takes bytes.
    Write,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// The connection of a request, among the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct OfRequest(pub(crate) LoopBound<Rc<Connection>>);

impl Peer {
    /// The peer that a request came from; `None` if the request is not one of a [`Server`](super::Server).
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        peer(request.extensions())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // Only a request that is none of a server has no peer.
        peer(&parts.extensions).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(peer(&parts.extensions))
    }
}

fn peer(extensions: &Extensions) -> Option<Peer> {
    Some(extensions.get::<OfRequest>()?.0.try_get()?.peer)
}

/// A request under way. Dropped when its answer is sent or given up.
pub(crate) struct InFlight(Rc<Connection>);

impl Deref for InFlight {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl InFlight {
    pub(crate) fn begin(connection: Rc<Connection>) -> Self {
        let others = connection.in_flight.get();
        connection.in_flight.set(others + 1);
        if others == 0 {
            connection.sends.begin();
            connection.takes.begin();
        }
        Self(connection)
    }
}

impl InFlight {
    /// hyper has asked for a piece of the answer, and has it now or not.
    pub(crate) fn gave(&self, has_it: bool, had_it: bool) {
        let connection = &*self.0;
        connection.progress.set(connection.ticks.now());
        let owed = connection.owed.get();
        connection.owed.set(match (had_it, has_it) {
            (false, true) => owed + 1,
            (true, false) => owed - 1,
            _ => owed,
        });
    }
}

/// The body of a request. It notes when its handler waits for the client.
struct AskedBody {
    body: Limited<Incoming>,
    // Bound, because axum demands `Send` of bodies.
    connection: LoopBound<Rc<Connection>>,
    waits: bool,
}

impl http_body::Body for AskedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let waits = frame.is_pending();
        let has_waited = std::mem::replace(&mut self.waits, waits);
        let connection = &**self.connection;
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            connection
                .sends
                .moved(frame.data_ref().map_or(0, Bytes::len));
        }
        connection.wants(waits, has_waited);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AskedBody {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.try_get().filter(|_| self.waits) {
            connection.wanted.set(connection.wanted.get() - 1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let connection = &*self.0;
        connection.in_flight.set(connection.in_flight.get() - 1);
        connection.has_begun.set(false);
        connection.since.set(connection.ticks.now());
    }
}
