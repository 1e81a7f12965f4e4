//! The end of a pipe that is written.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use asyncio_net::{Direction, Interest};
use futures_io::AsyncWrite;

use super::end::{End, is_hung_up};

/// Writes to a descriptor of the program: a pipe, a socket, a character device. asyncio's
/// `connect_write_pipe`.
///
/// The descriptor is put into non-blocking mode. That changes it for all processes that share it.
///
/// # Errors
///
/// `InvalidInput` for a regular file or `/dev/null`, which are never waited for; see [`fs`](crate::fs). Otherwise
/// the system's error, and an error if no loop runs on this thread.
pub fn connect_write_pipe(fd: impl Into<OwnedFd>) -> io::Result<PipeWriter> {
    Ok(PipeWriter {
        end: End::connect(fd.into(), PipeWriter::INTEREST)?,
    })
}

/// The end of a pipe that is written, on a loop: the input of a child process, a FIFO.
///
/// The methods take `&self`. Dropping the writer closes it, and the reader sees the end.
#[derive(Debug)]
#[doc(alias = "ChildStdin")]
pub struct PipeWriter {
    end: End,
}

impl PipeWriter {
    /// Also for reading: then the end of the last reader is an event.
    const INTEREST: Interest = Interest::WRITABLE.add(Interest::READABLE);

    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(PipeWriter {
            end: End::new(fd, Self::INTEREST)?,
        })
    }

    /// Waits until there is room, and writes as much of `buf` as fits.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the pipe has no reader any more. Otherwise the system's error.
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, buf)?);
        self.end.transfer(Direction::Write, buf.len(), write)
    }

    /// [`write`](Self::write) from several buffers, one after the other.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        let write = |fd: &OwnedFd| Ok(rustix::io::writev(fd, bufs)?);
        self.end.fd.io(Direction::Write, write)
    }

    /// Writes all of `buf` to the pipe. Its reader may not have read it yet.
    ///
    /// # Cancellation
    ///
    /// A part of `buf` may be written, and its size is lost.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write). A part of `buf` may be written.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.write(buf).await?;
            buf = &buf[n..];
        }
        Ok(())
    }

    /// Writes what fits, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the pipe is full; otherwise those of [`write`](Self::write).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, buf)?);
        self.end.fd.try_io(Direction::Write, write)
    }

    /// Waits until the pipe has no reader any more.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub async fn wait_closed(&self) -> io::Result<()> {
        let is_closed = |fd: &OwnedFd| match is_hung_up(fd)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        };
        self.end.fd.io(Direction::Read, is_closed).await
    }

    /// [`write`](Self::write), for code that polls.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write).
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = |fd: &OwnedFd| Ok(rustix::io::write(fd, buf)?);
        self.end
            .poll_transfer(cx, Direction::Write, buf.len(), write)
    }

    /// Deregisters the pipe and returns its descriptor in blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        self.end.into_blocking_fd()
    }

    /// Makes the pipe the output of another command.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_stdio(self) -> io::Result<Stdio> {
        self.end.into_stdio()
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        PipeWriter::poll_write(&self, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |fd: &OwnedFd| Ok(rustix::io::writev(fd, bufs)?);
        self.end.fd.poll_io(cx, Direction::Write, write)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: only the drop closes a pipe.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsFd for PipeWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
