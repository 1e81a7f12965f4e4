//! The end of a pipe that is read.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use asyncio_net::{Direction, Interest};
use futures_io::AsyncRead;
use rustix::buffer::{Buffer, spare_capacity};

use super::end::{End, is_hung_up};

/// The room that a read to the end makes at least.
const CHUNK: usize = 64 * 1024;

/// Reads from a descriptor of the program: a pipe, a socket, a character device. asyncio's
/// `connect_read_pipe`.
///
/// The descriptor is put into non-blocking mode. That changes it for all processes that share it.
///
/// # Errors
///
/// `InvalidInput` for a regular file or `/dev/null`, which are never waited for; see [`fs`](crate::fs). Otherwise
/// the system's error, and an error if no loop runs on this thread.
pub fn connect_read_pipe(fd: impl Into<OwnedFd>) -> io::Result<PipeReader> {
    Ok(PipeReader {
        end: End::connect(fd.into(), Interest::READABLE)?,
        awaits_writer: false,
    })
}

/// The end of a pipe that is read, on a loop: the output of a child process, a FIFO.
///
/// The methods take `&self`. [`StreamReader`](asyncio_net::StreamReader) reads lines from it.
#[derive(Debug)]
#[doc(alias = "ChildStdout")]
#[doc(alias = "ChildStderr")]
pub struct PipeReader {
    end: End,
    /// Whether a read without a writer waits for one: until there was one, a FIFO has not ended.
    awaits_writer: bool,
}

impl PipeReader {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(PipeReader {
            end: End::new(fd, Interest::READABLE)?,
            awaits_writer: false,
        })
    }

    /// A FIFO that may not have had a writer yet.
    pub(super) fn fifo(fd: OwnedFd) -> io::Result<Self> {
        Ok(PipeReader {
            end: End::connect(fd, Interest::READABLE)?,
            awaits_writer: true,
        })
    }

    /// Reads once, into a buffer that is not empty.
    fn read_now<B: Buffer<u8, Output = usize>>(&self, fd: &OwnedFd, buf: B) -> io::Result<usize> {
        let n = rustix::io::read(fd, buf)?;
        if n == 0 && self.awaits_writer && !is_hung_up(fd)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    }

    /// Waits until there is something to read, and reads up to the size of `buf`. Zero means the
    /// end: all writers have closed the pipe (or `buf` is empty).
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let most = buf.len();
        let read = |fd: &OwnedFd| self.read_now(fd, &mut *buf);
        self.end.transfer(Direction::Read, most, read)
    }

    /// Fills `buf`.
    ///
    /// # Cancellation
    ///
    /// Loses the bytes that were read so far.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the pipe ends first. Otherwise the system's error.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// Reads to the end and appends the bytes to `buf`. Returns their number.
    ///
    /// # Cancellation
    ///
    /// Loses nothing: the bytes that were read are in `buf`.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn read_to_end(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        loop {
            if buf.capacity() - buf.len() < CHUNK {
                buf.reserve(CHUNK);
            }
            let most = buf.capacity() - buf.len();
            let read = |fd: &OwnedFd| self.read_now(fd, spare_capacity(buf));
            if self.end.transfer(Direction::Read, most, read).await? == 0 {
                return Ok(buf.len() - before);
            }
        }
    }

    /// Waits until a read is worth a try: there are bytes, the end, or an error.
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub async fn readable(&self) -> io::Result<()> {
        self.end.fd.readable().await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there; otherwise the system's error.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let read = |fd: &OwnedFd| match buf.is_empty() {
            true => Ok(0),
            false => self.read_now(fd, buf),
        };
        self.end.fd.try_io(Direction::Read, read)
    }

    /// [`read`](Self::read), for code that polls.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = buf.len();
        let read = |fd: &OwnedFd| self.read_now(fd, &mut *buf);
        self.end.poll_transfer(cx, Direction::Read, most, read)
    }

    /// Deregisters the pipe and returns its descriptor in blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        self.end.into_blocking_fd()
    }

    /// Makes the pipe the input of another command.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_stdio(self) -> io::Result<Stdio> {
        self.end.into_stdio()
    }
}

impl AsyncRead for PipeReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        PipeReader::poll_read(&self, cx, buf)
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
