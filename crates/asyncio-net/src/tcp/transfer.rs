//! The futures that read and write a stream.
//!
//! They are written by hand and kept small: the task of each idle connection holds one, and each
//! request takes two.

use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_reactor::{Reading, Waiting, Writing};
use mio::net::TcpStream;

pub(super) struct Read<'s, 'b> {
    pub(super) waiting: Waiting<'s, TcpStream, Reading>,
    pub(super) buf: &'b mut [u8],
}

pub(super) struct ReadExact<'s, 'b> {
    pub(super) waiting: Waiting<'s, TcpStream, Reading>,
    /// The part of the buffer that is still to be filled.
    pub(super) left: &'b mut [u8],
}

pub(super) struct Write<'s, 'b> {
    pub(super) waiting: Waiting<'s, TcpStream, Writing>,
    pub(super) buf: &'b [u8],
}

pub(super) struct WriteAll<'s, 'b> {
    pub(super) waiting: Waiting<'s, TcpStream, Writing>,
    /// The bytes that are still to be written.
    pub(super) left: &'b [u8],
}

impl Future for Read<'_, '_> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_read(&mut this.waiting, cx, this.buf)
    }
}

impl Future for ReadExact<'_, '_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while !this.left.is_empty() {
            match ready!(poll_read(&mut this.waiting, cx, this.left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                n => this.left = &mut mem::take(&mut this.left)[n..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Write<'_, '_> {
    type Output = io::Result<usize>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        poll_write(&mut this.waiting, cx, this.buf)
    }
}

impl Future for WriteAll<'_, '_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.left.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match poll_write(&mut this.waiting, cx, this.left) {
            // Usually the first write takes all bytes.
            Poll::Ready(Ok(n)) if n == this.left.len() => Poll::Ready(Ok(())),
            written => this.write_rest(cx, written),
        }
    }
}

impl WriteAll<'_, '_> {
    /// Continues after a write that did not take all bytes.
    #[inline(never)]
    fn write_rest(
        &mut self,
        cx: &mut Context<'_>,
        mut written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        loop {
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.left = &self.left[n..],
            }
            if self.left.is_empty() {
                return Poll::Ready(Ok(()));
            }
            written = poll_write(&mut self.waiting, cx, self.left);
        }
    }
}

#[inline]
fn poll_read(
    waiting: &mut Waiting<'_, TcpStream, Reading>,
    cx: &mut Context<'_>,
    buf: &mut [u8],
) -> Poll<io::Result<usize>> {
    waiting.poll_transfer(cx, buf.len(), |mut stream| stream.read(buf))
}

#[inline]
fn poll_write(
    waiting: &mut Waiting<'_, TcpStream, Writing>,
    cx: &mut Context<'_>,
    buf: &[u8],
) -> Poll<io::Result<usize>> {
    waiting.poll_transfer(cx, buf.len(), |mut stream| stream.write(buf))
}
