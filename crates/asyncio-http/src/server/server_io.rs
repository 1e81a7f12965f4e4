//! The stream of a server's connection: it notes what the client does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::connection::Connection;
use crate::hyper_io::{HyperIo, Scratch};

/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
#[cfg(feature = "http2")]
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The stream of a server's connection.
pub(crate) struct ServerIo<T> {
    io: HyperIo<T>,
    /// Bytes that were read to find out which protocol the client speaks.
    ahead: Vec<u8>,
    /// Whether the last flush waits for the peer, as one of TLS does, which has a buffer of its own.
    is_flushing: bool,
    connection: Rc<Connection>,
}

impl<T> ServerIo<T> {
    pub(super) fn new(stream: T, scratch: Scratch, connection: Rc<Connection>) -> Self {
        Self {
            io: HyperIo::with(stream, scratch),
            ahead: Vec::new(),
            is_flushing: false,
            connection,
        }
    }
}

#[cfg(feature = "http2")]
impl<T: AsyncRead + Unpin + 'static> ServerIo<T> {
    /// Whether the client begins as one of HTTP/2 does. Reads no further than it must.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        loop {
            let known = self.ahead.len().min(PREFACE.len());
            if self.ahead[..known] != PREFACE[..known] {
                return Ok(false);
            }
            if known == PREFACE.len() {
                return Ok(true);
            }
            if !std::future::poll_fn(|cx| self.poll_ahead(cx)).await? {
                return Ok(false);
            }
        }
    }

    /// Reads some bytes ahead. `false` at the end of the stream.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self {
            io,
            ahead,
            connection,
            ..
        } = self;
        let n = ready!(io.poll_read_to(cx, ahead))?;
        if n > 0 {
            connection.received();
        }
        Poll::Ready(Ok(n > 0))
    }
}

impl<T: AsyncRead + Unpin + 'static> Read for ServerIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let n = this.ahead.len().min(cursor.remaining());
            cursor.put_slice(&this.ahead[..n]);
            this.ahead.drain(..n);
            return Poll::Ready(Ok(()));
        }
        if ready!(this.io.poll_read_into(cx, cursor))? > 0 {
            this.connection.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> ServerIo<T> {
    /// Notes the outcome of a write.
    fn note(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Pending => self.connection.is_blocked(),
            Poll::Ready(Ok(bytes)) => self.connection.wrote(*bytes),
            Poll::Ready(Err(_)) => self.connection.wrote(0),
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> Write for ServerIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(cx);
        let is_flushing = outcome.is_pending();
        match (
            is_flushing,
            std::mem::replace(&mut self.is_flushing, is_flushing),
        ) {
            (true, _) => self.connection.is_blocked(),
            (false, true) => self.connection.wrote(0),
            (false, false) => {}
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        match outcome.is_pending() {
            true => self.connection.is_blocked(),
            false => self.connection.wrote(0),
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(outcome)
    }
}
