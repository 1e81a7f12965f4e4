//! The standard streams of the program, on the loop.
//!
//! ```no_run
//! # mod asyncio { pub use asyncio_net as net; pub use asyncio_os::*; }
//! use asyncio::net::StreamReader;
//! use asyncio::stdio::{stdin, stdout};
//!
//! # asyncio_loop::run(async {
//! let mut lines = StreamReader::new(stdin()?);
//! let mut output = stdout()?;
//! while let Some(line) = lines.next_line().await? {
//!     output.write_all(format!("you said {line}\n").as_bytes()).await?;
//! }
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! The streams are shared with other processes: the shell, the next program. So they stay in
//! blocking mode, and each operation is made so that it does not block. A stream that the system can
//! wait for (a terminal, a pipe, a socket) needs no thread. For others (a file, `/dev/null`) a
//! thread of the default pool does the work.

use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_net::{AsyncFd, Direction, Interest};
use futures_io::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::fs::File;

/// The number of bytes that fit without waiting into each pipe and terminal that the system reports as writable.
const ALWAYS_FITS: usize = 256;

/// The standard input of the program.
///
/// Bytes in the buffer of `std::io::stdin` are not read here.
///
/// # Errors
///
/// The system's error, as when the stream is closed. An error as well if no loop runs on this
/// thread.
pub fn stdin() -> io::Result<Stdin> {
    let inner = Inner::new(io::stdin().as_fd(), Interest::READABLE, "standard input")?;
    Ok(Stdin { inner })
}

/// The standard output of the program.
///
/// Each write waits until the reader takes it. The buffer of `print!` is another one: flush that
/// before.
///
/// # Errors
///
/// The system's error, as when the stream is closed. An error as well if no loop runs on this
/// thread.
pub fn stdout() -> io::Result<Stdout> {
    let inner = Inner::new(io::stdout().as_fd(), Interest::WRITABLE, "standard output")?;
    Ok(Stdout { inner })
}

/// The standard error of the program, as a [`Stdout`].
///
/// # Errors
///
/// Those of [`stdout`].
pub fn stderr() -> io::Result<Stdout> {
    let inner = Inner::new(io::stderr().as_fd(), Interest::WRITABLE, "standard error")?;
    Ok(Stdout { inner })
}

/// The standard input, from [`stdin`]. [`StreamReader`](asyncio_net::StreamReader) reads lines from
/// it.
#[derive(Debug)]
pub struct Stdin {
    inner: Inner,
}

/// The standard output or the standard error, from [`stdout`] or [`stderr`].
#[derive(Debug)]
pub struct Stdout {
    inner: Inner,
}

enum Inner {
    Polled(AsyncFd<OwnedFd>),
    Threaded(Box<File>),
}

impl Inner {
    fn new(fd: impl AsFd, interest: Interest, name: &str) -> io::Result<Self> {
        asyncio_loop::try_reactor().map_err(io::Error::other)?;
        let fd = fd.as_fd().try_clone_to_owned()?;
        let copy = fd.try_clone()?;
        match AsyncFd::with_interest(fd, interest) {
            Ok(fd) => Ok(Inner::Polled(fd)),
            // The system does not wait for it, because it never has to.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Inner::Threaded(
                Box::new(File::sequential(fs::File::from(copy), name)),
            )),
            Err(error) => Err(error),
        }
    }
}

impl Stdin {
    /// Waits until there is something to read, and reads up to the size of `buf`. Zero means the end
    /// (or `buf` is empty).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buf)).await
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            _ if buf.is_empty() => Poll::Ready(Ok(0)),
            Inner::Polled(fd) => fd.poll_io(cx, Direction::Read, |fd| read_now(fd, buf)),
            Inner::Threaded(file) => Pin::new(&mut **file).poll_read(cx, buf),
        }
    }
}

impl Stdout {
    /// Waits until there is room, and writes as much of `buf` as fits.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, unless the stream is a file: then the write goes on.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if it has no reader any more. Otherwise the system's error.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await
    }

    /// Writes all of `buf`.
    ///
    /// # Cancellation
    ///
    /// A part of `buf` may be written, and its size is lost.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write). A part of `buf` may be written.
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let n = self.write(buf).await?;
            buf = &buf[n..];
        }
        poll_fn(|cx| Pin::new(&mut *self).poll_flush(cx)).await
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            _ if buf.is_empty() => Poll::Ready(Ok(0)),
            Inner::Polled(fd) => fd.poll_io(cx, Direction::Write, |fd| write_now(fd, buf)),
            Inner::Threaded(file) => Pin::new(&mut **file).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Polled(_) => Poll::Ready(Ok(())),
            Inner::Threaded(file) => Pin::new(&mut **file).poll_flush(cx),
        }
    }

    /// Flushes. The stream stays open for the rest of the program.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(Ok(()))
    }
}

/// Reads from a descriptor in blocking mode, if that does not block.
fn read_now(fd: &OwnedFd, buf: &mut [u8]) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::io::{ReadWriteFlags, preadv2};

        // At the system's position. A terminal does not have it.
        let mut bufs = [io::IoSliceMut::new(buf)];
        match preadv2(fd, &mut bufs, u64::MAX, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP | Errno::SPIPE | Errno::NOSYS | Errno::INVAL) => {}
            outcome => return Ok(outcome?),
        }
    }
    // A process that reads the same stream may take the bytes now. Then this read waits for more.
    must_be(fd, PollFlags::IN)?;
    Ok(rustix::io::read(fd, buf)?)
}

/// Writes to a descriptor in blocking mode, if that does not block.
fn write_now(fd: &OwnedFd, buf: &[u8]) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::io::{ReadWriteFlags, pwritev2};

        match pwritev2(
            fd,
            &[io::IoSlice::new(buf)],
            u64::MAX,
            ReadWriteFlags::NOWAIT,
        ) {
            Err(Errno::OPNOTSUPP | Errno::SPIPE | Errno::NOSYS | Errno::INVAL) => {}
            outcome => return Ok(outcome?),
        }
    }
    must_be(fd, PollFlags::OUT)?;
    Ok(rustix::io::write(fd, &buf[..buf.len().min(ALWAYS_FITS)])?)
}

fn must_be(fd: &OwnedFd, ready: PollFlags) -> io::Result<()> {
    let now = Timespec::try_from(Duration::ZERO).expect("zero is a time");
    match poll(&mut [PollFd::new(fd, ready)], Some(&now)) {
        Ok(0) => Err(Errno::AGAIN.into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Inner::Polled(_) => "Polled(..)",
            Inner::Threaded(_) => "Threaded(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use asyncio_executors::timeout;
    use asyncio_loop::run;

    use super::*;

    #[test]
    fn an_empty_buffer_does_not_wait() {
        run(async {
            let (from, to) = io::pipe().unwrap();
            let mut input = Stdin {
                inner: Inner::new(from, Interest::READABLE, "input").unwrap(),
            };
            let mut output = Stdout {
                inner: Inner::new(to, Interest::WRITABLE, "output").unwrap(),
            };
            let soon = Duration::from_millis(1);
            assert!(timeout(soon, input.read(&mut [0])).await.is_err());
            assert_eq!(input.read(&mut []).await.unwrap(), 0);
            let fill = async {
                loop {
                    output.write(&[7; 4096]).await.unwrap();
                }
            };
            assert!(timeout(soon * 20, fill).await.is_err());
            assert_eq!(output.write(&[]).await.unwrap(), 0);
        });
    }
}
