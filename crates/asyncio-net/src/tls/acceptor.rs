//! The server's side of TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::pki_types::pem::PemObject as _;
use futures_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::handshake::{Limits, names_of, provider};
use super::stream::TlsStream;
use crate::stream::replayed::Replayed;

/// The server's side of TLS: accepts clients, and shows them a certificate.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    limits: Limits,
}

impl TlsAcceptor {
    /// An acceptor with a configuration of rustls. Early data (0-RTT) is refused, whatever the configuration says. The
    /// client then sends it again after the handshake.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        let mut config = config.into();
        // The stream does not read it, so it would be lost.
        if config.max_early_data_size > 0 {
            Arc::make_mut(&mut config).max_early_data_size = 0;
        }
        Self {
            config,
            limits: Limits::default(),
        }
    }

    /// An acceptor with a certificate and its private key, as PEM text. The certificates of intermediate authorities
    /// follow that of the server.
    ///
    /// # Errors
    ///
    /// `InvalidData` if one of the texts is not such a PEM text, or if key and certificate do not belong together.
    pub fn from_pem(certificates: &str, private_key: &str) -> io::Result<Self> {
        let invalid = |error: &dyn fmt::Display, what: &str| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {error}"))
        };
        let chain = CertificateDer::pem_slice_iter(certificates.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| invalid(&error, "the certificates are not valid PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(private_key.as_bytes());
        let key = key.map_err(|error| invalid(&error, "the private key is not valid PEM"))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the versions of TLS that rustls has")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let config = config.map_err(|error| invalid(&error, "the certificate cannot be used"))?;
        Ok(Self::new(config))
    }

    /// Accepts application protocols (ALPN), the preferred one first.
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

    /// Makes a TLS connection over a stream that a client has connected. Call it in the task of the connection, not in
    /// the accept loop: a client may be slow.
    ///
    /// # Cancellation
    ///
    /// Drops the stream.
    ///
    /// # Errors
    ///
    /// `InvalidData` with the fault of the handshake, such as a client that does not speak TLS. `TimedOut` after the
    /// [limit](Self::handshake_timeout), and `ConnectionReset` if the stream ends in the handshake. The error of the
    /// stream.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_after(stream, Vec::new()).await
    }

    /// [`accept`](Self::accept), where the first bytes of the client were read already.
    pub(super) async fn accept_after<S>(
        &self,
        stream: S,
        first: Vec<u8>,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = futures_rustls::TlsAcceptor::from(self.config.clone());
        let accepting = acceptor.accept(Replayed::new(stream, first));
        self.limits.shake_hands(accepting).await
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
