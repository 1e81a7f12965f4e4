//! A TCP connection.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_reactor::{Direction, Reading, Registered, Writing, parts_of_one_call};
use socket2::SockRef;

use super::socket;
use super::transfer::{Read, ReadExact, Write, WriteAll};
use crate::register::{STREAM_INTEREST, register_here};

/// A TCP connection.
///
/// Its methods take `&self`, so one task may read while another writes.
/// [`split_ref`](Self::split_ref) and [`into_split`](Self::into_split) split it into halves. It
/// implements [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite), so
/// the extension traits and buffers of `futures` work with it.
///
/// ```
/// use asyncio_net::{TcpListener, TcpStream};
/// use futures::io::{AsyncBufReadExt, BufReader};
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// # let listener = TcpListener::bind("localhost:0").await?;
/// # let address = listener.local_addr()?;
/// # let server = async {
/// #     let (stream, _) = listener.accept().await?;
/// #     stream.write_all(b"220 ready\r\n").await
/// # };
/// # let client = async {
/// let stream = TcpStream::connect(address).await?;
/// let mut line = String::new();
/// BufReader::new(stream).read_line(&mut line).await?;
/// assert_eq!(line, "220 ready\r\n");
/// # std::io::Result::Ok(())
/// # };
/// # futures::try_join!(server, client)?;
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Buffers
///
/// Nothing is read ahead, so `into_std` and [`AsFd`](std::os::fd::AsFd) never miss a byte. After a
/// read that filled its buffer there may be more, so the next read asks the system first. After a
/// short read it does not. Where messages have a known size, a buffer that is one byte larger saves
/// that call.
///
/// Dropping the stream closes the connection.
#[derive(Debug)]
pub struct TcpStream {
    io: Registered<mio::net::TcpStream>,
}

impl TcpStream {
    pub(super) fn from_registered(io: Registered<mio::net::TcpStream>) -> Self {
        TcpStream { io }
    }

    pub(super) fn from_accepted(stream: mio::net::TcpStream) -> io::Result<Self> {
        // On Linux an accepted socket inherits the option from its listener. Setting it fails if
        // the peer has reset the connection; the next read returns that error.
        if !cfg!(target_os = "linux") {
            let _ = stream.set_nodelay(true);
        }
        let io = register_here(stream, STREAM_INTEREST).map_err(|(_, error)| error)?;
        Ok(TcpStream { io })
    }

    /// Registers a connection of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        let io = register_here(stream, STREAM_INTEREST).map_err(|(_, error)| error)?;
        Ok(TcpStream { io })
    }

    /// Deregisters the connection and returns it in blocking mode, which is the standard library's
    /// default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::from(self.io.into_inner());
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Waits until there is something to read, and reads up to the size of `buf`. Zero means the
    /// end: the peer sends nothing more (or `buf` is empty).
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionReset`.
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        Read {
            waiting: self.io.waiting(Reading),
            buf,
        }
    }

    /// [`read`](Self::read) into several buffers, one after the other.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionReset`.
    pub fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &mut bufs[parts];
        self.io
            .read_with(wanted, |mut stream| stream.read_vectored(bufs))
    }

    /// Fills `buf`.
    ///
    /// # Cancellation
    ///
    /// Loses the bytes that were read so far.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the connection ends first. The bytes read so far are in `buf`, but their
    /// number is lost. Otherwise the system's error.
    #[inline]
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        ReadExact {
            waiting: self.io.waiting(Reading),
            left: buf,
        }
    }

    /// Reads like [`read`](Self::read), but leaves the bytes for the next read.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.io.io(Direction::Read, |stream| stream.peek(buf)).await
    }

    /// Waits until there is room, and writes as much of `buf` as fits.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `BrokenPipe` or `ConnectionReset`.
    #[inline]
    pub fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        Write {
            waiting: self.io.waiting(Writing),
            buf,
        }
    }

    /// [`write`](Self::write) from several buffers, one after the other.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `BrokenPipe` or `ConnectionReset`.
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &bufs[parts];
        self.io
            .write_with(wanted, |mut stream| stream.write_vectored(bufs))
    }

    /// Writes all of `buf` to the system's buffer. The peer may not have received it yet.
    ///
    /// # Cancellation
    ///
    /// A part of `buf` may be written, and its size is lost.
    ///
    /// # Errors
    ///
    /// The system's error, such as `BrokenPipe` or `ConnectionReset`. A part of `buf` may be
    /// written.
    #[inline]
    pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        WriteAll {
            waiting: self.io.waiting(Writing),
            left: buf,
        }
    }

    /// Waits until a read is worth a try: there are bytes, the end, or an error. It stays ready
    /// until a `try_` method returns `WouldBlock`. Now and then it lets other tasks run first.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.readable()
    }

    /// Waits until a write is worth a try: there is room, or an error. It stays ready until a
    /// `try_` method returns `WouldBlock`. Now and then it lets other tasks run first.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.writable()
    }

    /// [`readable`](Self::readable), for code that polls.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx)
    }

    /// [`writable`](Self::writable), for code that polls.
    ///
    /// # Errors
    ///
    /// An error if its loop is closed or is not the running one.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_write_ready(cx)
    }

    /// Reads without waiting. Returns `WouldBlock` without a system call while the loop has
    /// recorded that there is nothing to read.
    ///
    /// After a thousand reads without an `await` that waits, the result is `WouldBlock`, even if
    /// there is more. [`readable`](Self::readable) then lets other tasks run, and is ready again.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the system's error.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .try_transfer(Direction::Read, buf.len(), |mut stream| stream.read(buf))
    }

    /// [`try_read`](Self::try_read) into several buffers, one after the other.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the system's error.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &mut bufs[parts];
        self.io.try_transfer(Direction::Read, wanted, |mut stream| {
            stream.read_vectored(bufs)
        })
    }

    /// Writes without waiting. Returns `WouldBlock` without a system call while the loop has
    /// recorded that there is no room.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the system's error.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .try_transfer(Direction::Write, buf.len(), |mut stream| stream.write(buf))
    }

    /// [`try_write`](Self::try_write) from several buffers, one after the other.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the system's error.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &bufs[parts];
        self.io
            .try_transfer(Direction::Write, wanted, |mut stream| {
                stream.write_vectored(bufs)
            })
    }

    /// Tries an operation of your own on the socket, for example one of the `socket2` crate through
    /// [`AsFd`](std::os::fd::AsFd). After `WouldBlock` the next operation waits.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and the error of `f`.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(direction, |_| f())
    }

    /// Shuts down the sending side, the receiving side or both. After [`Shutdown::Write`] the peer
    /// reads the end of the stream, and may continue to send.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotConnected` after a reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotConnected` after a reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// Returns and clears the socket's pending error, if any.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`). On by default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.get_ref().nodelay()
    }

    /// Sets [`nodelay`](Self::nodelay).
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_nodelay(on)
    }

    /// Whether the system probes a silent peer from time to time (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn keepalive(&self) -> io::Result<bool> {
        SockRef::from(self.io.get_ref()).keepalive()
    }

    /// Sets after how much silence the system probes the peer, in whole seconds, rounded up. `None`
    /// turns the probes off. The system decides how many probes may fail.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        socket::set_keepalive(&SockRef::from(self.io.get_ref()), after)
    }

    /// How long closing waits for unsent bytes (`SO_LINGER`). `None` is the system's default, which
    /// sends them in the background.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.io.get_ref()).linger()
    }

    /// Sets [`linger`](Self::linger), in whole seconds, rounded up, at most 18 hours. Zero closes
    /// with a reset and discards unsent bytes. Any longer time lets the drop of the stream *block
    /// the whole loop* until the bytes are sent or the time is over.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(&SockRef::from(self.io.get_ref()), linger)
    }

    /// The time to live of its packets, in hops (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.io
            .poll_read_with(cx, buf.len(), |mut stream| stream.read(buf))
    }

    pub(super) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &mut bufs[parts];
        self.io
            .poll_read_with(cx, wanted, |mut stream| stream.read_vectored(bufs))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io
            .poll_write_with(cx, buf.len(), |mut stream| stream.write(buf))
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &bufs[parts];
        self.io
            .poll_write_with(cx, wanted, |mut stream| stream.write_vectored(bufs))
    }

    /// Shuts the sending side down. Succeeds if the connection is already gone.
    pub(super) fn close_write(&self) -> io::Result<()> {
        match self.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpStream {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.io.get_ref().as_socket()
    }
}
