//! TLS by [rustls]: connections with certificates and encryption, over any stream.
//!
//! [`TlsConnector`] makes the client's side of a connection and [`TlsAcceptor`] the server's. Both are made from a
//! configuration of rustls, which is here too: versions, cipher suites, client certificates and session
//! resumption are its business.
//!
//! ```
//! use asyncio_net::tls::{TlsAcceptor, TlsConnector, rustls};
//! use asyncio_net::{TcpListener, TcpStream};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A certificate for this example. A real one comes from files: `TlsAcceptor::from_pem`.
//! let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! let mut roots = rustls::RootCertStore::empty();
//! roots.add(made.cert.der().clone())?;
//! let acceptor = TlsAcceptor::from_pem(&made.cert.pem(), &made.signing_key.serialize_pem())?;
//! let connector = TlsConnector::with_roots(roots);
//!
//! asyncio_loop::run(async {
//!     let listener = TcpListener::bind("localhost:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = async {
//!         let stream = acceptor.accept(listener.accept().await?.0).await?;
//!         let (mut reader, writer) = stream.into_buffered();
//!         writer.write(reader.readline().await?);
//!         writer.close();
//!         writer.wait_closed().await
//!     };
//!     let client = async {
//!         let stream = TcpStream::connect(address).await?;
//!         let (mut reader, writer) = connector.connect("localhost", stream).await?.into_buffered();
//!         writer.write("hello\n");
//!         assert_eq!(reader.readline().await?, b"hello\n");
//!         std::io::Result::Ok(())
//!     };
//!     futures::try_join!(server, client)
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # Ends
//!
//! A peer that closes its side in order says so (`close_notify`), and a read returns no bytes. If the connection ends without
//! that, a read is an error, [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): somebody may have cut what was sent.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_executors::timeout;
use futures_io::{AsyncRead, AsyncWrite};
pub use futures_rustls::rustls;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, CommonState, RootCertStore, ServerConfig};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::buffered::reader::StreamReader;
use crate::buffered::writer::StreamWriter;
use crate::tcp::stream::TcpStream;

/// asyncio's limits.
const HANDSHAKE: Duration = Duration::from_secs(60);
const SHUTDOWN: Duration = Duration::from_secs(30);

/// The client's side: connects to servers, and checks their certificates.
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    handshake_timeout: Duration,
}

impl TlsConnector {
    /// A connector with a configuration of rustls.
    pub fn new(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            config: config.into(),
            handshake_timeout: HANDSHAKE,
        }
    }

    /// A connector that trusts what the operating system trusts.
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
            .expect("ring has the versions of TLS that rustls has")
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

    /// How long a handshake may take; 60 seconds at first.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Makes a TLS connection to the server `name` over a stream that is connected to it. The name is sent to the server, and must
    /// be in its certificate. It may be an IP address.
    ///
    /// # Cancellation
    ///
    /// Drops the stream.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is none, `InvalidData` with the fault of the handshake or of the certificate, `TimedOut` after the
    /// [limit](Self::handshake_timeout), `ConnectionReset` if the stream ends in the handshake, and the error of the stream.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn connect<S>(&self, name: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(name.to_owned()).map_err(|_invalid| {
            let message = format!("{name:?} is not the name of a server");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        let connector = futures_rustls::TlsConnector::from(self.config.clone());
        let connecting = connector.connect(name, stream);
        let stream = shake_hands(connecting, self.handshake_timeout).await?;
        Ok(TlsStream::of(stream.into()))
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnector")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

/// The server's side: accepts clients with a certificate.
#[derive(Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    handshake_timeout: Duration,
}

impl TlsAcceptor {
    /// An acceptor with a configuration of rustls.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self {
            config: config.into(),
            handshake_timeout: HANDSHAKE,
        }
    }

    /// An acceptor with a certificate and its private key, as PEM text. The certificates of intermediate authorities follow that of
    /// the server.
    ///
    /// # Errors
    ///
    /// `InvalidData` if one of the texts is no such PEM, or if they do not belong together.
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
            .expect("ring has the versions of TLS that rustls has")
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

    /// How long a handshake may take; 60 seconds at first.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Makes a TLS connection over a stream that a client has connected. Call it in the task of the connection, not in the accept
    /// loop: a client may be slow.
    ///
    /// # Cancellation
    ///
    /// Drops the stream.
    ///
    /// # Errors
    ///
    /// `InvalidData` with the fault of the handshake, such as a client that does not speak TLS; `TimedOut` after the
    /// [limit](Self::handshake_timeout); `ConnectionReset` if the stream ends in the handshake; and the error of the stream.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = futures_rustls::TlsAcceptor::from(self.config.clone());
        let stream = shake_hands(acceptor.accept(stream), self.handshake_timeout).await?;
        Ok(TlsStream::of(stream.into()))
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsAcceptor")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Application protocols as rustls takes them.
fn names_of<P: AsRef<[u8]>>(protocols: impl IntoIterator<Item = P>) -> Vec<Vec<u8>> {
    let names = protocols.into_iter().map(|one| one.as_ref().to_vec());
    names.collect()
}

async fn shake_hands<T>(
    handshake: impl Future<Output = io::Result<T>>,
    limit: Duration,
) -> io::Result<T> {
    match timeout(limit, handshake).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let message = "the connection ended during the TLS handshake";
            Err(io::Error::new(io::ErrorKind::ConnectionReset, message))
        }
        Ok(outcome) => outcome,
        Err(_timed_out) => {
            let message = format!("the TLS handshake took longer than {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
    }
}

/// A TLS connection over a stream `S`.
///
/// It implements [`AsyncRead`] and [`AsyncWrite`]; [`into_buffered`](Self::into_buffered) gives a reader and a writer. Dropping it
/// closes the stream without a word, which the peer may take for an attack: [`shutdown`](Self::shutdown) says goodbye.
pub struct TlsStream<S> {
    inner: Box<futures_rustls::TlsStream<S>>,
}

impl<S> TlsStream<S> {
    fn of(inner: futures_rustls::TlsStream<S>) -> Self {
        Self {
            inner: Box::new(inner),
        }
    }

    /// The stream below. Bytes that are read from it or written to it break the connection.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().0
    }

    fn state(&self) -> &CommonState {
        self.inner.get_ref().1
    }

    /// The application protocol that both sides have agreed on.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// The certificates of the peer, its own first; none if it has shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// The version of TLS that is spoken.
    #[must_use]
    pub fn protocol_version(&self) -> Option<rustls::ProtocolVersion> {
        self.state().protocol_version()
    }

    /// On the server's side, the name that the client has asked for (SNI).
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match &*self.inner {
            futures_rustls::TlsStream::Server(stream) => stream.get_ref().1.server_name(),
            futures_rustls::TlsStream::Client(_) => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Sends what was written, says that nothing more comes (`close_notify`), and closes the writing side of the stream. The peer may
    /// continue to send.
    ///
    /// # Cancellation
    ///
    /// May have sent a part.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the peer has taken nothing for 30 seconds, and the error of the stream.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        let closing = poll_fn(|cx| Pin::new(&mut *self).poll_close(cx));
        match timeout(SHUTDOWN, closing).await {
            Ok(outcome) => outcome,
            Err(_timed_out) => {
                let message = format!("the TLS shutdown took longer than {SHUTDOWN:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }

    /// A reader and a writer with buffers for this connection.
    pub fn into_buffered(self) -> (StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)
    where
        S: 'static,
    {
        let shared = Rc::new(RefCell::new(self));
        let (read, write) = (TlsHalf(shared.clone()), TlsHalf(shared));
        (StreamReader::new(read), StreamWriter::new(write))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("version", &self.protocol_version())
            .finish_non_exhaustive()
    }
}

/// A share of a [`TlsStream`], below the reader and the writer that [`TlsStream::into_buffered`] gives.
pub struct TlsHalf<S>(Rc<RefCell<TlsStream<S>>>);

impl<S> TlsHalf<S> {
    fn with<T>(
        &self,
        f: impl FnOnce(Pin<&mut TlsStream<S>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        TlsStream<S>: Unpin,
    {
        match self.0.try_borrow_mut() {
            Ok(mut stream) => f(Pin::new(&mut stream)),
            // The stream below has called back into this one.
            Err(_in_use) => Poll::Ready(Err(io::ErrorKind::Deadlock.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_close(cx))
    }
}

impl<S> fmt::Debug for TlsHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsHalf(..)")
    }
}

/// Connects to a host by TCP and TLS, and gives a reader and a writer with buffers.
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// Those of [`TcpStream::connect`] and of [`TlsConnector::connect`].
///
/// # Panics
///
/// Outside of any task.
#[doc(alias = "open_connection")]
pub async fn open_tls_connection(
    connector: &TlsConnector,
    host: &str,
    port: u16,
) -> io::Result<(
    StreamReader<TlsHalf<TcpStream>>,
    StreamWriter<TlsHalf<TcpStream>>,
)> {
    let stream = TcpStream::connect((host, port)).await?;
    Ok(connector.connect(host, stream).await?.into_buffered())
}
