//! Streams of the loop with hyper's traits.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::in_place;

/// How much one read takes from a stream.
const READ: usize = 16 * 1024;

/// A stream with the traits of `futures_io`, for hyper: [`TcpStream`](asyncio_net::TcpStream), `UnixStream`,
/// `TlsStream`, and any other.
///
/// hyper's connections with upgrades demand `Send`: put it into a [`LoopBound`](crate::LoopBound) there.
pub struct HyperIo<T> {
    stream: T,
    scratch: Scratch,
}

impl<T> HyperIo<T> {
    /// Adapts a stream.
    pub fn new(stream: T) -> Self {
        Self::with(stream, Scratch::default())
    }

    pub(crate) fn with(stream: T, scratch: Scratch) -> Self {
        Self { stream, scratch }
    }

    /// The stream.
    pub fn get_ref(&self) -> &T {
        &self.stream
    }

    /// The stream.
    pub fn into_inner(self) -> T {
        self.stream
    }
}

/// A buffer that many streams share: bytes are read into it and copied to where hyper wants them.
///
/// hyper's own buffer is uninitialised memory. Only some streams can read into that
/// ([`in_place`](crate::in_place)), and zeroing it first costs more than the copy.
#[derive(Clone, Default)]
pub(crate) struct Scratch(Rc<Cell<Option<Box<[u8]>>>>);

impl Scratch {
    /// Calls `f` with the buffer. A call inside of `f` gets another one.
    fn with<R>(&self, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut buf = self.0.take().unwrap_or_else(|| vec![0; READ].into());
        let result = f(&mut buf);
        self.0.set(Some(buf));
        result
    }
}

impl<T: AsyncRead + Unpin + 'static> HyperIo<T> {
    /// Reads at most `most` bytes, and passes them to `take`.
    fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        self.scratch.with(|buf| {
            let most = most.min(buf.len());
            let stream = Pin::new(&mut self.stream);
            let n = ready!(stream.poll_read(cx, &mut buf[..most]))?;
            take(&buf[..n]);
            Poll::Ready(Ok(n))
        })
    }

    /// Reads into a vector. The number of bytes is 0 at the end of the stream.
    #[cfg(feature = "http2")]
    pub(crate) fn poll_read_to(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        self.poll_read_with(cx, READ, |read| bytes.extend_from_slice(read))
    }

    /// Reads into hyper's buffer. The number of bytes is 0 at the end of the stream.
    pub(crate) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(outcome) = in_place::poll_read(&self.stream, cx, &mut cursor) {
            return outcome;
        }
        self.poll_read_with(cx, cursor.remaining(), |read| cursor.put_slice(read))
    }
}

impl<T: AsyncRead + Unpin + 'static> Read for HyperIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_into(cx, cursor).map_ok(drop)
    }
}

impl<T: AsyncWrite + Unpin> Write for HyperIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }

    /// Small parts are copied together below, and sent by one cheaper call.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

impl<T> fmt::Debug for HyperIo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperIo").finish_non_exhaustive()
    }
}
