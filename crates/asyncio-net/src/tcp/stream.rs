//! A TCP connection.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_reactor::{Direction, Place, Reading, Registered, Writing, parts_of_one_call};
use asyncio_task::StepBack;
use socket2::SockRef;

use super::socket;
use crate::register::{STREAM_INTEREST, register_here};
use crate::stream::calls::Calls as _;
use crate::stream::methods::byte_stream;
use crate::stream::split::ReadHalf;

/// A TCP connection.
///
/// Its methods take `&self`, so one task may read while another writes.
/// [`split_ref`](Self::split_ref) and [`into_split`](Self::into_split) split it into halves. It
/// implements [`AsyncRead`](futures_io::AsyncRead) and [`AsyncWrite`](futures_io::AsyncWrite), so
/// the extension traits and buffers of `futures` work with it.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{TcpListener, TcpStream};
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

    pub(super) fn from_accepted(stream: mio::net::TcpStream, place: Place) -> io::Result<Self> {
        // On Linux an accepted socket inherits the option from its listener. Setting it fails if
        // the peer has reset the connection; the next read returns that error.
        if !cfg!(target_os = "linux") {
            let _ = stream.set_nodelay(true);
        }
        let io = register_here(stream, STREAM_INTEREST, place).map_err(|(_, error)| error)?;
        Ok(TcpStream { io })
    }

    /// Registers a connection of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        let io =
            register_here(stream, STREAM_INTEREST, Place::caller()).map_err(|(_, error)| error)?;
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
            StepBack::new().await;
            return Ok(0);
        }
        self.io.io(Direction::Read, |stream| stream.peek(buf)).await
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
}

byte_stream!(TcpStream, SocketAddr);

impl ReadHalf<'_, TcpStream> {
    /// Reads without removing the bytes, like [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// The errors of [`TcpStream::peek`].
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream().peek(buf).await
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpStream {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.io.get_ref().as_socket()
    }
}
