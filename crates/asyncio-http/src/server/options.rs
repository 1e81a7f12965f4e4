//! The options of a server.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "rustls")]
use asyncio_net::tls::TlsAcceptor;
use axum_core::BoxError;

use crate::listener::Peer;

/// Options of a [`Server`](super::Server), from [`Server::builder`](super::Server::builder).
#[derive(Clone)]
#[must_use = "a builder does nothing until a server is started with it"]
pub struct ServerBuilder {
    pub(super) max_connections: usize,
    pub(super) max_head: usize,
    pub(super) max_body: u64,
    pub(super) header_timeout: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) min_rate: u32,
    pub(super) grace: Duration,
    pub(super) flat_answers: bool,
    #[cfg(feature = "http2")]
    pub(super) http2: bool,
    #[cfg(feature = "http2")]
    pub(super) max_streams: u32,
    #[cfg(feature = "rustls")]
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) on_error: Option<Rc<dyn Fn(Peer, BoxError)>>,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            max_connections: usize::MAX,
            max_head: 64 * 1024,
            max_body: 16 * 1024 * 1024,
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(75),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            min_rate: 100,
            grace: Duration::from_secs(10),
            flat_answers: false,
            #[cfg(feature = "http2")]
            http2: true,
            #[cfg(feature = "http2")]
            max_streams: 100,
            #[cfg(feature = "rustls")]
            tls: None,
            on_error: None,
        }
    }
}

impl ServerBuilder {
    /// The number of connections that are served at the same time. There is no limit by default. Others wait in the
    /// system's queue.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_connections(mut self, number: usize) -> Self {
        assert!(number > 0, "`max_connections` must be at least 1");
        self.max_connections = number;
        self
    }

    /// The size of a request's head, in bytes; 64 KiB by default. A larger one is answered with status 431.
    ///
    /// # Panics
    ///
    /// If it is less than 8 KiB.
    pub fn max_head(mut self, bytes: usize) -> Self {
        assert!(bytes >= 8192, "`max_head` must be at least 8192");
        self.max_head = bytes;
        self
    }

    /// The size of a request's body, in bytes; 16 MiB by default. A request that announces a larger one is answered
    /// with status 413. A body without a length that turns out larger ends with an error for the handler that reads it.
    ///
    /// (axum's extractors have a limit of their own, 2 MB.)
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = bytes;
        self
    }

    /// How long a client may take to send the head of a request, from its first byte on; 30 seconds by default. Checked
    /// about once a second, and more often for limits below 4 seconds. A late client gets status 408.
    pub fn header_timeout(mut self, limit: Duration) -> Self {
        self.header_timeout = limit;
        self
    }

    /// How long a connection may be without a request; 75 seconds by default. Checked about once a second.
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.keep_alive_timeout = limit;
        self
    }

    /// How long a client may send nothing while a handler waits for the body of its request; 60 seconds by default.
    /// Checked about once a second. A handler that gives a wait up counts as waiting until it reads again, or drops the
    /// body. For a client that sends a little from time to time see
    /// [`min_rate`](Self::min_rate).
    pub fn read_timeout(mut self, limit: Duration) -> Self {
        self.read_timeout = limit;
        self
    }

    /// How long a client may take nothing of what is sent to it; 60 seconds by default. Checked about once a second.
    pub fn write_timeout(mut self, limit: Duration) -> Self {
        self.write_timeout = limit;
        self
    }

    /// The least rate of a client, in bytes a second; 100 by default. It holds for a body that a handler waits for, and
    /// for an answer. The rate is averaged over the [`read_timeout`](Self::read_timeout) or the
    /// [`write_timeout`](Self::write_timeout). Time in which the server does not wait for the client does not count. 0
    /// is no limit, for bodies that last long and say little.
    pub fn min_rate(mut self, bytes_per_second: u32) -> Self {
        self.min_rate = bytes_per_second;
        self
    }

    /// How long a cancelled [`serve_forever`](super::Server::serve_forever) waits for the requests under way; 10
    /// seconds by default.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// Whether HTTP/1 answers are copied whole into one buffer of their connection before they are sent. Off by
    /// default. It makes answers of a few kilobytes cheaper. Large ones are copied once more, and a connection keeps
    /// the memory of its largest answer.
    pub fn flat_answers(mut self, on: bool) -> Self {
        self.flat_answers = on;
        self
    }

    /// Whether clients may use HTTP/2: by ALPN over TLS, by prior knowledge without. On by default.
    #[cfg(feature = "http2")]
    pub fn http2(mut self, on: bool) -> Self {
        self.http2 = on;
        self
    }

    /// The number of requests that one HTTP/2 connection may have under way; 100 by default.
    #[cfg(feature = "http2")]
    pub fn max_streams(mut self, number: u32) -> Self {
        self.max_streams = number;
        self
    }

    /// Serves HTTPS. The server sets the acceptor's protocols (ALPN).
    #[cfg(feature = "rustls")]
    pub fn tls(mut self, acceptor: TlsAcceptor) -> Self {
        self.tls = Some(acceptor);
        self
    }

    /// Sets a function that gets the error of each connection that ends with one: bad requests, resets, failed
    /// handshakes. Unless set, such errors are dropped, because clients cause them at will.
    pub fn on_error(mut self, tell: impl Fn(Peer, BoxError) + 'static) -> Self {
        self.on_error = Some(Rc::new(tell));
        self
    }

    /// The protocols for ALPN.
    #[cfg(feature = "rustls")]
    pub(super) fn protocols(&self) -> &'static [&'static str] {
        #[cfg(feature = "http2")]
        if self.http2 {
            return &["h2", "http/1.1"];
        }
        &["http/1.1"]
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("max_connections", &self.max_connections)
            .field("max_head", &self.max_head)
            .field("max_body", &self.max_body)
            .field("header_timeout", &self.header_timeout)
            .field("keep_alive_timeout", &self.keep_alive_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
