//! The traits of `futures_io` for streams and their halves.
//!
//! Flushing does nothing, because there is no buffer. Closing shuts the sending side down, like
//! [`shutdown`](std::net::Shutdown::Write); dropping closes the rest.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::split::{ReadHalf, WriteHalf};
use super::stream::TcpStream;

macro_rules! reads_from {
    ($type:ty, |$this:ident| $stream:expr) => {
        impl AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_read_vectored(cx, bufs)
            }
        }
    };
}

macro_rules! writes_to {
    ($type:ty, |$this:ident| $stream:expr) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                Poll::Ready($stream.close_write())
            }
        }
    };
}

reads_from!(TcpStream, |this| this);
writes_to!(TcpStream, |this| this);
// As for the standard library's `&TcpStream`. One task may read while another writes.
reads_from!(&TcpStream, |this| this);
writes_to!(&TcpStream, |this| this);
reads_from!(ReadHalf<'_>, |this| this.stream());
writes_to!(WriteHalf<'_>, |this| this.stream());
