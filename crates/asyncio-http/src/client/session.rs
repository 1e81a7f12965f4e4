//! A session: the client's options, connections and cookies.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "rustls")]
use asyncio_net::tls::TlsConnector;
use http::Uri;
use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use super::cookies::CookieJar;
use super::error::FetchError;
use super::options::Options;
use super::origin::Origin;
use super::pool::Pool;
use super::proxy::{Proxies, Proxy, exceptions};

/// An HTTP client: options, and connections and cookies that its requests share.
///
/// A clone is the same session. It belongs to the loop on which it is used, and is not [`Send`]: connections have tasks
/// on that loop.
///
/// A thousand pages, at most 20 of them at a time:
///
/// ```
/// use asyncio::http::{FetchError, Session};
/// use asyncio::try_gather_iter;
///
/// async fn sizes(urls: Vec<String>) -> Result<Vec<usize>, FetchError> {
///     let session = Session::builder().max_per_host(20).build();
///     let fetches = urls.iter().map(async |url| {
///         Ok(session.get(url).send().await?.error_for_status()?.bytes().await?.len())
///     });
///     try_gather_iter(fetches).await
/// }
/// # asyncio::run(async {
/// # let listener = asyncio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let hello = async |_: asyncio::http::Request| "hello";
/// # let server = asyncio::http::Server::builder().start(hello, [listener]);
/// # let urls = (0..1000).map(|n| format!("http://{}/{n}", server.addresses()[0])).collect();
/// # assert_eq!(sizes(urls).await?, [5; 1000]);
/// # Ok::<(), asyncio::BoxError>(())
/// # }).unwrap();
/// ```
///
/// # Connections
///
/// A connection is kept for the next request to the same scheme, host and port, for 90 seconds. HTTP/2 is used if the
/// server agrees (TLS with ALPN); then one connection serves all requests, until one of them is not answered in time.
/// For HTTP/1 the session makes up to [`max_per_host`](SessionBuilder::max_per_host) connections, and further requests
/// wait in order of arrival. Read responses to their end: a response that is dropped early closes its connection. So
/// does one that is complete before the body of its request is. If a server does not answer in time, all connections to
/// it close that were idle for as long.
///
/// # Retries
///
/// A kept connection may be closed by the server at any time. A request of which nothing was sent is sent on another
/// connection. So is an idempotent request with a body in memory, if a kept connection breaks before the response.
/// With a body in memory, so is a request that a server of HTTP/2 refuses without having looked at it.
///
/// # Cancellation
///
/// A request that is cancelled closes its connection. The server may have seen it.
#[derive(Clone)]
#[doc(alias = "ClientSession")]
pub struct Session {
    pub(super) inner: Rc<Inner>,
}

pub(super) struct Inner {
    pub(super) options: Options,
    pub(super) pool: Pool,
    pub(super) cookies: RefCell<CookieJar>,
    requests: Cell<u32>,
}

impl Session {
    /// A session with the default options.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it opens connections, which a default does not tell"
    )]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Options for a session.
    pub fn builder() -> SessionBuilder {
        let mut headers = HeaderMap::new();
        let agent = concat!("asyncio-http/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        SessionBuilder {
            options: Options {
                max_per_host: 100,
                idle_timeout: Duration::from_secs(90),
                connect_timeout: Duration::from_secs(30),
                read_timeout: Duration::from_secs(60),
                timeout: Duration::from_secs(300),
                max_redirects: 10,
                max_body: 64 * 1024 * 1024,
                max_head: 256 * 1024,
                headers,
                cookies: true,
                proxies: Proxies::default(),
                #[cfg(feature = "http2")]
                http2: true,
                #[cfg(feature = "http2")]
                http2_prior_knowledge: false,
                #[cfg(feature = "rustls")]
                tls: RefCell::new(None),
            },
        }
    }

    /// The number of connections that are kept for later requests.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.inner.pool.idle()
    }

    /// The cookies that a request to `url` would send, as the value of the header `Cookie`; `None` if there are none.
    ///
    /// # Panics
    ///
    /// Without a running loop, if the session has cookies.
    #[must_use]
    pub fn cookies(&self, url: &Uri) -> Option<String> {
        let origin = Origin::of(url).ok()?;
        self.inner.cookies.borrow_mut().header(&origin, url.path())
    }

    /// Keeps the cookies of a response, if cookies are wanted.
    pub(super) fn keep_cookies(&self, origin: &Origin, url: &Uri, headers: &HeaderMap) {
        if self.inner.options.cookies {
            let mut jar = self.inner.cookies.borrow_mut();
            jar.store(origin, url.path(), headers);
        }
    }

    /// Closes connections that are too old, at one request in 64.
    pub(super) fn tidy(&self) {
        let requests = self.inner.requests.get().wrapping_add(1);
        self.inner.requests.set(requests);
        if requests.is_multiple_of(64) {
            self.inner.pool.close_old();
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("idle_connections", &self.idle_connections())
            .finish_non_exhaustive()
    }
}

/// Options of a [`Session`], from [`Session::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until a session is built"]
pub struct SessionBuilder {
    options: Options,
}

impl SessionBuilder {
    /// Makes the session. No connection is made yet.
    #[must_use]
    pub fn build(mut self) -> Session {
        let headers = &mut self.options.headers;
        if !headers.contains_key(ACCEPT) {
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        }
        #[cfg(feature = "rustls")]
        {
            let connector = self.options.tls.take();
            let protocols = self.options.protocols();
            let connector = connector.map(|connector| connector.alpn(protocols));
            self.options.tls.replace(connector);
        }
        Session {
            inner: Rc::new(Inner {
                options: self.options,
                pool: Pool::new(),
                cookies: RefCell::default(),
                requests: Cell::new(0),
            }),
        }
    }

    /// The number of HTTP/1 connections to one scheme, host and port; 100 by default. Further requests wait, first in,
    /// first out.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_per_host(mut self, number: usize) -> Self {
        assert!(number > 0, "`max_per_host` must be at least 1");
        self.options.max_per_host = number;
        self
    }

    /// How long a connection is kept without a request; 90 seconds by default.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.options.idle_timeout = limit;
        self
    }

    /// How long a connection attempt may take; 30 seconds by default. That includes the lookup of the host's name, the
    /// proxy and TLS.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.options.connect_timeout = limit;
        self
    }

    /// How long the server may be silent: before the response, and between two pieces of the body; 60 seconds by
    /// default. A server that takes the body of the request, or waits for its next piece, is not silent. Neither is one
    /// of HTTP/2 that answers other requests while this one waits for its turn.
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.options.read_timeout = limit;
        self
    }

    /// How long a fetch may take in all, until the last byte of the body is read; 5 minutes by default. `Duration::MAX`
    /// is no limit.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = limit;
        self
    }

    /// The number of redirects that a request follows; 10 by default. With 0, a redirect is a response like any other.
    pub fn max_redirects(mut self, number: usize) -> Self {
        self.options.max_redirects = number;
        self
    }

    /// The number of bytes that `bytes`, `text` and `json` read, after decompression; 64 MiB by default. Reading piece
    /// by piece has no limit.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.options.max_body = bytes;
        self
    }

    /// A header that each request has, unless it has its own.
    ///
    /// # Panics
    ///
    /// If the name or the value cannot be in a header.
    #[track_caller]
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let Ok(name) = name.parse::<HeaderName>() else {
            panic!("`{name}` cannot be the name of a header");
        };
        // The value may be a secret.
        let Ok(value) = HeaderValue::from_str(value.as_ref()) else {
            panic!("the value of the header `{name}` has a character that no header may have");
        };
        self.options.headers.insert(name, value);
        self
    }

    /// Whether cookies of responses are kept, and sent with later requests. On by default.
    pub fn cookies(mut self, on: bool) -> Self {
        self.options.cookies = on;
        self
    }

    /// Sends all requests through a proxy.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.options.proxies.http = Some(proxy.clone());
        self.options.proxies.https = Some(proxy);
        self
    }

    /// Hosts that are reached without a proxy, separated by commas: `"localhost, .example.org"`.
    pub fn no_proxy(mut self, hosts: &str) -> Self {
        self.options.proxies.except = exceptions(hosts);
        self
    }

    /// Uses the proxies that the environment names: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, and `NO_PROXY`, also in
    /// lower case.
    ///
    /// # Errors
    ///
    /// [`FetchError::Invalid`] if one of them is not a URL.
    pub fn proxies_from_env(mut self) -> Result<Self, FetchError> {
        self.options.proxies = Proxies::from_env(|name| std::env::var(name).ok())?;
        Ok(self)
    }

    /// Whether HTTP/2 is offered over TLS. On by default.
    #[cfg(feature = "http2")]
    pub fn http2(mut self, on: bool) -> Self {
        self.options.http2 = on;
        self
    }

    /// Whether all servers without TLS are known to speak HTTP/2. Off by default.
    #[cfg(feature = "http2")]
    pub fn http2_prior_knowledge(mut self, on: bool) -> Self {
        self.options.http2_prior_knowledge = on;
        self
    }

    /// Uses this connector for TLS: other roots, client certificates. By default the system's roots are trusted. The
    /// session sets the connector's protocols (ALPN).
    #[cfg(feature = "rustls")]
    pub fn tls(self, connector: TlsConnector) -> Self {
        *self.options.tls.borrow_mut() = Some(connector);
        self
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder").finish_non_exhaustive()
    }
}
