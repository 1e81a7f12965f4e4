//! The client's side of TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::rustls::pki_types::ServerName;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::handshake::{Limits, names_of, provider};
use super::stream::TlsStream;
use crate::stream::replayed::Replayed;

/// The client's side of TLS: connects to servers, and checks their certificates.
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    limits: Limits,
}

impl TlsConnector {
    /// A connector with a configuration of rustls.
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            config: config.into(),
            limits: Limits::default(),
        }
    }

    /// A connector that trusts the roots of the operating system.
    ///
    /// # Errors
    ///
    /// The system's verifier cannot be used.
    pub fn with_system_roots() -> io::Result<Self> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_platform_verifier())
            .map_err(io::Error::other)?;
        Ok(Self::new(config.with_no_client_auth()))
    }

    /// A connector that trusts these roots only.
    #[must_use]
    pub fn with_roots(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the versions of TLS that rustls has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::new(config)
    }

    /// Offers application protocols (ALPN), the preferred one first: `["h2", "http/1.1"]`.
    #[must_use]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = names_of(protocols);
        self
    }

    /// Sets how long a handshake may take; 60 seconds by default.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.limits.handshake = limit;
        self
    }

    /// Sets how long the end of a connection may take; 30 seconds by default. It counts from the close of the writer or
    /// of the transport, so it includes the unsent bytes. For a [`TlsStream`] alone it counts from the first attempt to
    /// send `close_notify`.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.limits.shutdown = limit;
        self
    }

    /// Makes a TLS connection to the server `name` over a stream that is connected to it. The name is sent to the
    /// server, and must be in its certificate. It may be an IP address.
    ///
    /// # Cancellation
    ///
    /// Drops the stream.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is not a name, and `InvalidData` with the fault of the handshake or of the certificate.
    /// `TimedOut` after the [limit](Self::handshake_timeout), and `ConnectionReset` if the stream ends in the
    /// handshake. The error of the stream.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn connect<S>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_after(name, stream, Vec::new()).await
    }

    /// [`connect`](Self::connect), where the first bytes of the server were read already.
    pub(super) async fn connect_after<S>(
        &self,
        name: &str,
        stream: S,
        first: Vec<u8>,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(|_invalid| {
            let message = format!("{name:?} is not the name of a server");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let connector = futures_rustls::TlsConnector::from(self.config.clone());
        let connecting = connector.connect(name, Replayed::new(stream, first));
        self.limits.shake_hands(connecting).await
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
