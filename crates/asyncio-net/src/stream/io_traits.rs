//! The traits of `futures_io` for streams and their halves.
//!
//! Flushing does nothing, because there is no buffer. Closing shuts the sending side down, like
//! [`shutdown`](std::net::Shutdown::Write); dropping closes the rest.

use std::io::{self, IoSlice, IoSliceMut};
use std::task::{Context, Poll};

use super::ByteStream;
use super::split::{ReadHalf, WriteHalf};

macro_rules! reads_from {
    (impl[$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        impl<$($generics)*> futures_io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
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
    (impl[$($generics:tt)*] $type:ty, |$this:ident| $stream:expr) => {
        impl<$($generics)*> futures_io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let $this = &*self;
                $stream.poll_write_vectored(cx, bufs)
            }

            fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                let $this = &*self;
                Poll::Ready($stream.close_write())
            }
        }
    };
}

pub(crate) use {reads_from, writes_to};

reads_from!(impl[S: ByteStream] ReadHalf<'_, S>, |this| this.stream());
writes_to!(impl[S: ByteStream] WriteHalf<'_, S>, |this| this.stream());
