//! The traits of tokio for streams and their halves, by those of `futures_io`.
//!
//! Only the traits come from tokio, without its runtime. Reading initialises the unfilled part of the buffer that is
//! given, which a buffer that is used again has done before.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::buffered::reader::StreamReader;
use crate::memory::MemoryStream;
use crate::stream::ByteStream;
use crate::stream::split::{ReadHalf, WriteHalf};
use crate::tcp::stream::TcpStream;
#[cfg(feature = "rustls")]
use crate::tls::{TlsHalf, TlsStream};
#[cfg(unix)]
use crate::unix::stream::UnixStream;

macro_rules! reads {
    ([$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let room = buf.initialize_unfilled();
                let n = ready!(futures_io::AsyncRead::poll_read(self, cx, room))?;
                buf.advance(n);
                Poll::Ready(Ok(()))
            }
        }
    };
}

macro_rules! writes {
    ([$($generics:tt)*] $type:ty, vectored: $vectored:literal) => {
        impl<$($generics)*> AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write(self, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                futures_io::AsyncWrite::poll_write_vectored(self, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                $vectored
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_flush(self, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                futures_io::AsyncWrite::poll_close(self, cx)
            }
        }
    };
}

reads!([] TcpStream);
writes!([] TcpStream, vectored: true);
#[cfg(unix)]
reads!([] UnixStream);
#[cfg(unix)]
writes!([] UnixStream, vectored: true);
reads!([S: ByteStream] ReadHalf<'_, S>);
writes!([S: ByteStream] WriteHalf<'_, S>, vectored: true);
reads!([] MemoryStream);
writes!([] MemoryStream, vectored: false);
reads!([R: futures_io::AsyncRead + Unpin] StreamReader<R>);

#[cfg(feature = "rustls")]
mod tls {
    use futures_io::{AsyncRead as Reads, AsyncWrite as Writes};

    use super::{
        AsyncRead, AsyncWrite, Context, IoSlice, Pin, Poll, ReadBuf, TlsHalf, TlsStream, io, ready,
    };

    reads!([S: Reads + Writes + Unpin] TlsStream<S>);
    writes!([S: Reads + Writes + Unpin] TlsStream<S>, vectored: false);
    reads!([S: Reads + Writes + Unpin] TlsHalf<S>);
    writes!([S: Reads + Writes + Unpin] TlsHalf<S>, vectored: false);
}

impl<R: futures_io::AsyncRead + Unpin> AsyncBufRead for StreamReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        futures_io::AsyncBufRead::poll_fill_buf(self, cx)
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        futures_io::AsyncBufRead::consume(self, n);
    }
}
