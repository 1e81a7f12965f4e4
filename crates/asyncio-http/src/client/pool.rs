//! The connections of a session: kept between requests, and limited per host.
//!
//! A request takes a permit of its host, in order of arrival, then the connection that was used last, or a new one. The
//! body of the response owns both. At its end the connection goes back, then the permit, so that the next in line finds
//! the connection. A response that is dropped early closes its connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio_executors::{move_on_after, timeout};
use asyncio_loop::{TaskRef, spawn};
use asyncio_sync::{Lock, OwnedSemaphorePermit, Semaphore};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
#[cfg(feature = "http2")]
use hyper::client::conn::http2;

use super::alarm::Alarm;
use super::connect::{Stream, connect};
use super::error::FetchError;
use super::failed::{Failed, Seen, is_broken};
use super::options::Options;
use super::origin::Origin;
use super::proxy::Way;
#[cfg(feature = "http2")]
use super::shared::{Http2, Shared, Use};
use super::upload::{Progress, Upload};
use crate::body::Body;
use crate::hyper_io::{HyperIo, Scratch};

/// How long a connection may take to end an exchange of which the response is complete.
const SETTLING: Duration = Duration::from_millis(200);

/// A request with its body, if it has one.
pub(crate) type Outgoing = Request<Option<Body>>;

/// The connections of a session.
pub(crate) struct Pool {
    hosts: RefCell<Hosts>,
    scratch: Scratch,
}

/// The places that connections lead to.
#[derive(Default)]
struct Hosts {
    /// Origins, and proxies without a tunnel.
    direct: HashMap<Origin, Rc<Host>>,
    /// Origins behind the tunnel of a proxy, which comes first.
    tunnels: HashMap<(Origin, Origin), Rc<Host>>,
}

impl Hosts {
    fn all(&self) -> impl Iterator<Item = &Rc<Host>> {
        self.direct.values().chain(self.tunnels.values())
    }
}

/// The connections of one place.
pub(crate) struct Host {
    /// The connections without a request, the one that was used last at the end.
    pub(super) idle: RefCell<Vec<Idle>>,
    permits: Rc<Semaphore>,
    pub(super) idle_timeout: Duration,
    #[cfg(feature = "http2")]
    pub(super) shared: RefCell<Shared>,
    /// Held while the first connection is made, because an HTTP/2 connection is enough for all.
    #[cfg_attr(not(feature = "http2"), expect(dead_code))]
    pub(super) first: Lock<()>,
}

pub(super) struct Idle {
    pub(super) link: Link,
    pub(super) since: Instant,
}

/// An HTTP/1 connection. Dropped, it ends after the exchange under way.
pub(super) struct Link {
    sender: http1::SendRequest<Upload>,
    task: TaskRef,
}

/// A connection in use, with its permit. Dropped, it closes the connection.
pub(crate) struct Lease {
    link: Option<Link>,
    host: Rc<Host>,
    /// Dropped after the connection has gone back.
    _permit: OwnedSemaphorePermit,
}

/// The part of a connection that a request and its response use.
pub(crate) enum Held {
    /// A connection of HTTP/1.
    Alone(Lease),
    #[cfg(feature = "http2")]
    Shared(Use),
}

impl Held {
    /// The request and the response have ended.
    pub(super) fn give_back(self) {
        match self {
            Self::Alone(lease) => lease.give_back(),
            #[cfg(feature = "http2")]
            Self::Shared(in_use) => in_use.end(),
        }
    }

    /// The server has not sent the next bytes in time. It may be gone without a word, and so may its other connections,
    /// unless they were used meanwhile. Dropped, it closes a connection of HTTP/1.
    pub(super) fn is_silent(&self, limit: Duration) {
        match self {
            Self::Alone(lease) => drop(lease.host.take_idle_for(limit)),
            #[cfg(feature = "http2")]
            Self::Shared(in_use) => in_use.is_silent(),
        }
    }
}

impl Lease {
    /// Gives the connection back: its request and its response have ended.
    fn give_back(mut self) {
        let link = self.link.take();
        if let Some(link) = link.filter(|link| !link.sender.is_closed()) {
            let since = asyncio_loop::time();
            self.host.idle.borrow_mut().push(Idle { link, since });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The request or the response is cut off. The task might wait for the rest of either.
        if let Some(link) = self.link.take() {
            link.task.cancel();
        }
    }
}

impl Host {
    fn new(options: &Options) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            permits: Rc::new(Semaphore::new(options.max_per_host)),
            idle_timeout: options.idle_timeout,
            #[cfg(feature = "http2")]
            shared: RefCell::default(),
            first: Lock::new(()),
        })
    }

    /// Whether it has no user and no kept connection.
    fn is_unused(self: &Rc<Self>) -> bool {
        let is_unused = Rc::strong_count(self) == 1 && self.idle.borrow().is_empty();
        #[cfg(feature = "http2")]
        let is_unused = is_unused && !matches!(*self.shared.borrow(), Shared::Connected(_));
        is_unused
    }

    /// Takes the shared connection out if no other request can use it.
    #[cfg(feature = "http2")]
    fn forget_unusable(&self, unusable: &mut Vec<Shared>) {
        let mut shared = self.shared.borrow_mut();
        if matches!(&*shared, Shared::Connected(known) if !known.is_usable(self.idle_timeout)) {
            unusable.push(std::mem::take(&mut *shared));
        }
    }

    /// Takes the connections out that have been idle for longer than `limit`. They are to be dropped outside of
    /// borrows: that wakes tasks.
    fn take_idle_for(&self, limit: Duration) -> Vec<Idle> {
        let now = asyncio_loop::time();
        let mut idle = self.idle.borrow_mut();
        // The one that was used last is at the end.
        let old = idle.partition_point(|one| now.duration_since(one.since) > limit);
        idle.drain(..old).collect()
    }

    /// The idle connection that was used last and can be used again.
    async fn reuse(&self) -> Option<Link> {
        loop {
            let Idle { mut link, since } = self.idle.borrow_mut().pop()?;
            let age = asyncio_loop::time().duration_since(since);
            if age > self.idle_timeout {
                // Those below are older.
                let old = self.idle.take();
                drop((link, old));
                return None;
            }
            if link.sender.is_ready() {
                return Some(link);
            }
            // Its task may not have seen yet that the last response has ended. A server that has answered without
            // reading the request keeps it from the end of the exchange.
            match Box::pin(move_on_after(SETTLING, link.sender.ready())).await {
                Some(Ok(())) => return Some(link),
                Some(Err(_closed)) => {}
                None => {
                    link.task.cancel();
                }
            }
        }
    }
}

/// A request that the server has begun to answer.
pub(crate) struct Exchange {
    pub(super) response: Response<Incoming>,
    pub(super) held: Held,
    /// The body of the request, if it has one.
    pub(super) upload: Option<Rc<Progress>>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            hosts: RefCell::default(),
            scratch: Scratch::default(),
        }
    }

    /// The number of connections that are kept for later requests.
    pub(crate) fn idle(&self) -> usize {
        let hosts = self.hosts.borrow();
        hosts.all().map(|host| host.idle.borrow().len()).sum()
    }

    /// Closes the connections that have been idle for too long.
    pub(crate) fn close_old(&self) {
        let mut old = Vec::new();
        #[cfg(feature = "http2")]
        let mut unusable = Vec::new();
        for host in self.hosts.borrow().all() {
            old.append(&mut host.take_idle_for(host.idle_timeout));
            #[cfg(feature = "http2")]
            host.forget_unusable(&mut unusable);
        }
        let mut hosts = self.hosts.borrow_mut();
        hosts.direct.retain(|_, host| !host.is_unused());
        hosts.tunnels.retain(|_, host| !host.is_unused());
        drop(hosts);
        // Outside of the borrows: this wakes tasks.
        drop(old);
        #[cfg(feature = "http2")]
        drop(unusable);
    }

    fn host(&self, way: Way<'_>, options: &Options) -> Rc<Host> {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(proxy) = way.tunnel() {
            let place = (proxy.origin.clone(), way.origin.clone());
            let host = hosts.tunnels.entry(place);
            return host.or_insert_with(|| Host::new(options)).clone();
        }
        // A plain proxy is the host itself.
        let place = way.proxy.map_or(way.origin, |proxy| &proxy.origin);
        if let Some(host) = hosts.direct.get(place) {
            return host.clone();
        }
        let host = Host::new(options);
        hosts.direct.insert(place.clone(), host.clone());
        host
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// A request of which nothing was sent is tried again on another connection. So is one that `again` can make anew,
    /// if a used connection broke before the response, because the server may have closed it just then, or if a server
    /// of HTTP/2 has refused it.
    pub(crate) async fn send(
        &self,
        way: Way<'_>,
        options: &Options,
        alarm: &Alarm,
        request: Outgoing,
        again: impl Fn(Seen) -> Option<Outgoing>,
    ) -> Result<Exchange, FetchError> {
        let host = self.host(way, options);
        let (mut request, mut upload) = uploaded(request);
        // Rare steps are boxed, here and below. Otherwise each fetch would carry the room for them.
        #[cfg(feature = "http2")]
        if options.may_speak_http2(way) {
            let sending = self.send_shared(&host, way, options, alarm, request, upload, &again);
            (request, upload) = match Box::pin(sending).await? {
                Ok(exchange) => return Ok(exchange),
                Err(unsent) => unsent,
            };
        }
        let permit = host.permits.clone().acquire_owned().await;
        let mut lease = Lease {
            link: None,
            host: host.clone(),
            _permit: permit,
        };
        // On HTTP/1 the URL loses its host.
        #[cfg(feature = "http2")]
        let url = request.uri().clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let reused = match tries < 3 {
                true => host.reuse().await,
                false => None,
            };
            let is_reused = reused.is_some();
            let link = match reused {
                Some(link) => link,
                None => match Box::pin(self.connect(way, options)).await? {
                    Connected::Http1(link) => link,
                    #[cfg(feature = "http2")]
                    Connected::Http2(connection) => {
                        // The host has changed its mind.
                        *request.uri_mut() = url;
                        let sending =
                            self.send_first(&host, connection, options, alarm, request, upload);
                        return Box::pin(sending).await;
                    }
                },
            };
            let link = lease.link.insert(link);
            let sending = link.sender.try_send_request(on_http1(request, way));
            let limit = options.read_timeout;
            let silent_since = || upload.as_deref().map(Progress::silent_since);
            let sent = alarm.within(limit, silent_since, sending).await;
            if sent.is_err() {
                // They may lead to a host that is gone without a word, too.
                drop(host.take_idle_for(limit));
            }
            let failed = match sent? {
                Ok(response) => {
                    let held = Held::Alone(lease);
                    return Ok(Exchange {
                        response,
                        held,
                        upload,
                    });
                }
                Err(mut failed) => Failed {
                    unsent: failed.take_message(),
                    error: failed.into_error(),
                },
            };
            if !is_reused {
                return Err(FetchError::Exchange(failed.error));
            }
            match failed.unsent {
                Some(unsent) => request = unsent,
                None => match again(Seen::Perhaps).filter(|_| is_broken(&failed.error)) {
                    Some(anew) => (request, upload) = uploaded(anew),
                    None => return Err(FetchError::Exchange(failed.error)),
                },
            }
        }
    }

    /// Sends a request over a connection of its own, which may be upgraded.
    #[cfg(feature = "websocket")]
    pub(crate) async fn send_alone(
        &self,
        way: Way<'_>,
        options: &Options,
        alarm: &Alarm,
        request: Outgoing,
    ) -> Result<Response<Incoming>, FetchError> {
        // HTTP/2 has no upgrades.
        let stream = self.dial(way, options, &["http/1.1"]).await?;
        // hyper demands `Send` of a stream that may be upgraded.
        let io = crate::bound::LoopBound::new(HyperIo::with(stream, self.scratch.clone()));
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(options.max_head)
            .handshake(io)
            .await
            .map_err(FetchError::Exchange)?;
        spawn(async { drop(connection.with_upgrades().await) }).detach();
        let (request, upload) = uploaded(request);
        let sending = sender.send_request(on_http1(request, way));
        let silent_since = || upload.as_deref().map(Progress::silent_since);
        let limit = options.read_timeout;
        let response = alarm.within(limit, silent_since, sending).await?;
        response.map_err(FetchError::Exchange)
    }

    /// Makes a new connection, and a task that drives it.
    pub(super) async fn connect(
        &self,
        way: Way<'_>,
        options: &Options,
    ) -> Result<Connected, FetchError> {
        let stream = self.dial(way, options, &[]).await?;
        self.shake_hands(stream, options)
            .await
            .map_err(FetchError::Exchange)
    }

    /// Connects to an origin, within the limit. Over TLS, other protocols than those of the session may be offered.
    async fn dial(
        &self,
        way: Way<'_>,
        options: &Options,
        protocols: &[&str],
    ) -> Result<Stream, FetchError> {
        #[cfg(not(feature = "rustls"))]
        let _ = protocols;
        let connecting = connect(
            way,
            #[cfg(feature = "rustls")]
            || match protocols {
                [] => options.tls(),
                other => Ok(options.tls()?.alpn(other)),
            },
        );
        let limit = options.connect_timeout;
        let connected = match timeout(limit, connecting).await {
            Ok(connected) => connected,
            Err(_timed_out) => {
                let what = "connecting";
                return Err(FetchError::TimedOut { what, limit });
            }
        };
        connected.map_err(|error| FetchError::Connect {
            host: way.origin.to_string(),
            error,
        })
    }

    async fn shake_hands(&self, stream: Stream, options: &Options) -> hyper::Result<Connected> {
        #[cfg(feature = "http2")]
        let is_http2 = stream.is_http2()
            || options.http2_prior_knowledge && matches!(stream, Stream::Plain(_));
        let io = HyperIo::with(stream, self.scratch.clone());
        #[cfg(feature = "http2")]
        if is_http2 {
            use crate::on_loop::OnLoop;
            let builder = http2::Builder::new(OnLoop);
            let (sender, connection) = builder.handshake(io).await?;
            // Its error is that of the requests.
            spawn(async { drop(connection.await) }).detach();
            return Ok(Connected::Http2(Http2::new(sender)));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(options.max_head)
            .handshake(io)
            .await?;
        let driving = spawn(async { drop(connection.await) });
        let task = driving.as_ref();
        driving.detach();
        Ok(Connected::Http1(Link { sender, task }))
    }
}

pub(super) enum Connected {
    Http1(Link),
    #[cfg(feature = "http2")]
    Http2(Http2),
}

/// The request with a body that notes its progress.
pub(super) fn uploaded(request: Outgoing) -> (Request<Upload>, Option<Rc<Progress>>) {
    let (head, body) = request.into_parts();
    let (upload, progress) = Upload::new(body, &head.headers);
    (Request::from_parts(head, upload), progress)
}

/// The request as HTTP/1 sends it: without the scheme and the host, unless a proxy has to know them.
fn on_http1(mut request: Request<Upload>, way: Way<'_>) -> Request<Upload> {
    if way.plain_proxy().is_none() {
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
    }
    *request.version_mut() = http::Version::HTTP_11;
    request
}
