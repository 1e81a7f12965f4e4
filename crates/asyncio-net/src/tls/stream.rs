//! The stream of a TLS connection.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_loop::Sleep;
use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::rustls::pki_types::CertificateDer;
use futures_rustls::rustls::{CommonState, HandshakeKind, ProtocolVersion};

use crate::buffered::reader::{DEFAULT_LIMIT, StreamReader};
use crate::buffered::writer::StreamWriter;
use crate::stream::replayed::Replayed;

/// A TLS connection over a stream `S`.
///
/// It implements [`AsyncRead`] and [`AsyncWrite`]; [`into_buffered`](Self::into_buffered) gives a reader and a writer.
/// Dropping it closes the stream without `close_notify`, which the peer may take for an attack.
/// [`shutdown`](Self::shutdown) sends it.
pub struct TlsStream<S> {
    inner: Box<futures_rustls::TlsStream<Replayed<S>>>,
    shutdown_timeout: Duration,
    /// The limit of the end, once that has begun to wait.
    closing: Option<Pin<Box<Sleep>>>,
}

impl<S> TlsStream<S> {
    pub(super) fn of(
        inner: futures_rustls::TlsStream<Replayed<S>>,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            inner: Box::new(inner),
            shutdown_timeout,
            closing: None,
        }
    }

    /// The stream below. Bytes that are read from it or written to it break the connection.
    pub fn get_ref(&self) -> &S {
        self.inner.get_ref().0.get_ref()
    }

    fn state(&self) -> &CommonState {
        self.inner.get_ref().1
    }

    /// The application protocol that both sides have agreed on.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// The certificates of the peer, its own first. Empty if it has shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    /// The version of TLS of the connection.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.state().protocol_version()
    }

    /// Whether the handshake was a full one, or resumed an earlier session. A connector resumes the sessions of its
    /// earlier connections, and of those of its clones, by itself.
    #[must_use]
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.state().handshake_kind()
    }

    /// The limit of its end.
    pub(super) fn shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
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
    /// Sends the written bytes and `close_notify`, and closes the writing side of the stream. The peer may continue to
    /// send.
    ///
    /// # Cancellation
    ///
    /// A part may be sent.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the [limit](super::TlsConnector::shutdown_timeout), and the error of the stream.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self).poll_close(cx)).await
    }

    /// A reader and a writer with buffers for this connection. If closing the writer takes longer than the
    /// [limit](super::TlsConnector::shutdown_timeout), because the peer does not read, the connection is lost with
    /// `TimedOut`.
    pub fn into_buffered(self) -> (StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)
    where
        S: 'static,
    {
        self.into_buffered_with(DEFAULT_LIMIT)
    }

    /// [`into_buffered`](Self::into_buffered), with a limit of the reader.
    pub(super) fn into_buffered_with(
        self,
        limit: usize,
    ) -> (StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)
    where
        S: 'static,
    {
        let close_limit = Some(self.shutdown_timeout);
        let shared = Rc::new(RefCell::new(self));
        let (read, write) = (TlsHalf(shared.clone()), TlsHalf(shared));
        (
            StreamReader::with_limit(limit, read),
            StreamWriter::with_close_limit(write, close_limit),
        )
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
        let this = &mut *self;
        if let Poll::Ready(outcome) = Pin::new(&mut this.inner).poll_close(cx) {
            this.closing = None;
            return Poll::Ready(outcome);
        }
        let limit = this.shutdown_timeout;
        let closing = &mut this.closing;
        let sleep = closing.get_or_insert_with(|| Box::pin(asyncio_loop::sleep(limit)));
        ready!(sleep.as_mut().poll(cx));
        *closing = None;
        let message = format!("the TLS shutdown took longer than {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
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
