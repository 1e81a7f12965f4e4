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
use crate::bound::{STREAM, bind_here};

/// A TCP connection.
///
/// Its methods take `&self`, so one task may read while another writes; [`split_ref`](Self::split_ref)
/// and [`into_split`](Self::into_split) make halves to hand out. It implements
/// [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite), so the
/// extension traits and buffers of `futures` work with it.
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
/// Nothing is read ahead, so `into_std` and [`AsFd`](std::os::fd::AsFd) never miss a byte. A read
/// that fills its buffer cannot know whether there is more, so the one after it asks the system
/// first; one that comes back short does not need to. Where messages have a known size, a buffer
/// that is a byte larger saves that call.
///
/// Dropping it closes the connection.
#[derive(Debug)]
pub struct TcpStream {
    io: Registered<mio::net::TcpStream>,
}

impl TcpStream {
    pub(super) fn from_bound(io: Registered<mio::net::TcpStream>) -> Self {
        TcpStream { io }
    }

    pub(super) fn from_accepted(stream: mio::net::TcpStream) -> io::Result<Self> {
        // On Linux it comes from the listener, without a system call. It fails where the peer has
        // reset the connection already; whoever reads will learn.
        if !cfg!(target_os = "linux") {
            let _ = stream.set_nodelay(true);
        }
        let io = bind_here(stream, STREAM).map_err(|(_, error)| error)?;
        Ok(TcpStream { io })
    }

    /// Takes over a connection of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says, and where no loop runs.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        let io = bind_here(stream, STREAM).map_err(|(_, error)| error)?;
        Ok(TcpStream { io })
    }

    /// Takes it off the loop. It is put into blocking mode, as the standard library has them.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        let stream = std::net::TcpStream::from(self.io.into_inner());
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Reads what there is, up to the size of `buf`, and waits until there is something. Zero is
    /// the end: the peer sends nothing more (or `buf` is empty).
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What the system says, such as `ConnectionReset`.
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
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What the system says, such as `ConnectionReset`.
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
    /// Loses what was read so far.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the connection ends before; what was read so far is in `buf`, and how
    /// much is not told. What the system says.
    #[inline]
    pub fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        ReadExact {
            waiting: self.io.waiting(Reading),
            left: buf,
        }
    }

    /// Reads as [`read`](Self::read), and leaves the bytes for the next read.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.io.io(Direction::Read, |stream| stream.peek(buf)).await
    }

    /// Writes as much of `buf` as there is room for, and waits until there is some.
    ///
    /// # Cancellation
    ///
    /// Has written nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What the system says, such as `BrokenPipe` or `ConnectionReset`.
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
    /// Has written nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// What the system says, such as `BrokenPipe` or `ConnectionReset`.
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> impl Future<Output = io::Result<usize>> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &bufs[parts];
        self.io
            .write_with(wanted, |mut stream| stream.write_vectored(bufs))
    }

    /// Writes all of `buf`. Then it is the system's, not yet the peer's.
    ///
    /// # Cancellation
    ///
    /// Some part of it may be written, and how much is not told.
    ///
    /// # Errors
    ///
    /// What the system says, such as `BrokenPipe` or `ConnectionReset`. Some part may be written.
    #[inline]
    pub fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        WriteAll {
            waiting: self.io.waiting(Writing),
            left: buf,
        }
    }

    /// Waits until a read is worth a try: there are bytes, the end, or an error. It stays so until
    /// a `try_` method says `WouldBlock`. Now and then it lets others run first.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one.
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.readable()
    }

    /// Waits until a write is worth a try: there is room, or an error. It stays so until a `try_`
    /// method says `WouldBlock`. Now and then it lets others run first.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, also when it loses a race.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one.
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.io.writable()
    }

    /// [`readable`](Self::readable), for code that polls.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx)
    }

    /// [`writable`](Self::writable), for code that polls.
    ///
    /// # Errors
    ///
    /// That the loop is closed, or another one.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_write_ready(cx)
    }

    /// Reads without waiting. As long as the loop has not seen that there is something, it does not
    /// ask the system. After a thousand reads without an `await` that waits, the answer is `WouldBlock`, though
    /// there may be more: [`readable`](Self::readable) lets others run then, and is ready again.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what the system says.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .try_transfer(Direction::Read, buf.len(), |mut stream| stream.read(buf))
    }

    /// [`try_read`](Self::try_read) into several buffers, one after the other.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what the system says.
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &mut bufs[parts];
        self.io.try_transfer(Direction::Read, wanted, |mut stream| {
            stream.read_vectored(bufs)
        })
    }

    /// Writes without waiting. As long as the loop has not seen that there is room, it does not ask
    /// the system.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what the system says.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .try_transfer(Direction::Write, buf.len(), |mut stream| stream.write(buf))
    }

    /// [`try_write`](Self::try_write) from several buffers, one after the other.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what the system says.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let (parts, wanted) = parts_of_one_call(bufs);
        let bufs = &bufs[parts];
        self.io
            .try_transfer(Direction::Write, wanted, |mut stream| {
                stream.write_vectored(bufs)
            })
    }

    /// Tries an operation of your own on the socket, such as one of the `socket2` crate by way of
    /// [`AsFd`](std::os::fd::AsFd). `WouldBlock` has the next one wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock`, and what `f` returns.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(direction, |_| f())
    }

    /// Says that nothing more is sent ([`Shutdown::Write`]: the peer reads the end, and may go on
    /// sending), that nothing more is read, or both.
    ///
    /// # Errors
    ///
    /// What the system says, such as `NotConnected` after a reset.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }

    /// The address of this side.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    ///
    /// What the system says, such as `NotConnected` after a reset.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// The error that the socket has to tell, if any, and takes it off.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`). They are, unless it is turned off.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.get_ref().nodelay()
    }

    /// Sets [`nodelay`](Self::nodelay).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_nodelay(on)
    }

    /// Whether the system asks from time to time if a silent peer is still there (`SO_KEEPALIVE`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keepalive(&self) -> io::Result<bool> {
        SockRef::from(self.io.get_ref()).keepalive()
    }

    /// Asks whether the peer is still there after so long without a word, in whole seconds, rounded
    /// up; `None` never asks. How often it asks before it gives up is the system's choice.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        socket::set_keepalive(&SockRef::from(self.io.get_ref()), after)
    }

    /// How long closing waits for unsent bytes (`SO_LINGER`); `None` is the system's own way, which
    /// sends them in the background.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.io.get_ref()).linger()
    }

    /// Sets [`linger`](Self::linger), in whole seconds, rounded up, 18 hours at most. Zero closes
    /// with a reset and throws away what is unsent. Anything longer makes dropping the stream *block
    /// the whole loop* until the bytes are sent or the time is over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket::set_linger(&SockRef::from(self.io.get_ref()), linger)
    }

    /// How many routers its packets may pass (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets [`ttl`](Self::ttl).
    ///
    /// # Errors
    ///
    /// What the system says.
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

    /// Ends the sending side. A connection that is gone has ended it already.
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
