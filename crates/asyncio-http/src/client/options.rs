//! The options of a session, as its parts read them.

#[cfg(feature = "rustls")]
use std::cell::RefCell;
use std::time::Duration;

#[cfg(feature = "rustls")]
use asyncio_net::tls::TlsConnector;
use http::header::HeaderMap;

use super::origin::Origin;
use super::proxy::{Proxies, Way};

/// Options of a session.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) max_per_host: usize,
    pub(super) idle_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) read_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_redirects: usize,
    pub(super) max_body: usize,
    pub(super) max_head: usize,
    pub(super) headers: HeaderMap,
    pub(super) cookies: bool,
    pub(super) proxies: Proxies,
    #[cfg(feature = "http2")]
    pub(super) http2: bool,
    #[cfg(feature = "http2")]
    pub(super) http2_prior_knowledge: bool,
    #[cfg(feature = "rustls")]
    pub(super) tls: RefCell<Option<TlsConnector>>,
}

impl Options {
    /// The way to an origin.
    pub(super) fn way<'a>(&'a self, origin: &'a Origin) -> Way<'a> {
        let proxy = self.proxies.of(origin);
        Way {
            origin,
            proxy,
            is_upgraded: false,
        }
    }

    /// Whether a server may be asked to speak HTTP/2.
    #[cfg(feature = "http2")]
    pub(super) fn may_speak_http2(&self, way: Way<'_>) -> bool {
        let is_known = self.http2_prior_knowledge && way.proxy.is_none();
        self.http2 && (way.origin.is_secure || is_known)
    }

    /// The connector for TLS. The default one is made at its first use, because it reads the system's certificates.
    #[cfg(feature = "rustls")]
    pub(super) fn tls(&self) -> std::io::Result<TlsConnector> {
        if let Some(connector) = &*self.tls.borrow() {
            return Ok(connector.clone());
        }
        let connector = TlsConnector::with_system_roots()?.alpn(self.protocols());
        *self.tls.borrow_mut() = Some(connector.clone());
        Ok(connector)
    }

    #[cfg(feature = "rustls")]
    pub(super) fn protocols(&self) -> &'static [&'static str] {
        #[cfg(feature = "http2")]
        if self.http2 {
            return &["h2", "http/1.1"];
        }
        &["http/1.1"]
    }
}
