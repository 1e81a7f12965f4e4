//! Listening for connections.

use std::io;
use std::net::SocketAddr;

use asyncio_reactor::{Direction, Interest, Place, Registered};

use socket2::SockRef;

use super::socket::{TcpSocket, reuse_address};
use super::stream::TcpStream;
use crate::accept::{AcceptBackoff, accept_with};
use crate::address::{ToSocketAddrs, first_of};
use crate::register::register_here;

/// The default limit of connections that wait to be accepted. The system has its own limit.
pub(super) const BACKLOG: u32 = 1024;

/// A TCP socket that accepts connections.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; pub use asyncio_loop::*; }
/// use asyncio::net::TcpListener;
///
/// async fn serve() -> std::io::Result<()> {
///     let listener = TcpListener::bind("127.0.0.1:8080").await?;
///     loop {
///         let (stream, peer) = listener.accept().await?;
///         asyncio::spawn(async move {
///             let greeting = format!("hello, {peer}\n");
///             stream.write_all(greeting.as_bytes()).await
///         })
///         .detach();
///     }
/// }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    io: Registered<mio::net::TcpListener>,
    backoff: AcceptBackoff,
}

impl TcpSocket {
    /// Listens. The system queues up to `backlog` connections until they are accepted. It has a
    /// limit of its own.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.listen_at(backlog, Place::caller())
    }

    fn listen_at(self, backlog: u32, place: Place) -> io::Result<TcpListener> {
        let socket = self.into_inner();
        socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        TcpListener::from_nonblocking(socket.into(), place)
    }
}

impl TcpListener {
    /// Listens on the first address that is available, with `SO_REUSEADDR` on Unix. With port 0 the system chooses a
    /// port: see [`local_addr`](Self::local_addr). [`TcpSocket`] has more options.
    ///
    /// # Errors
    ///
    /// The system's error for the last address, such as `AddrInUse`, or the resolver's error for the name of a host.
    /// Without a loop on this thread, an error.
    #[track_caller]
    pub fn bind(to: impl ToSocketAddrs) -> impl Future<Output = io::Result<Self>> {
        Self::bind_at(to, Place::caller())
    }

    async fn bind_at(to: impl ToSocketAddrs, place: Place) -> io::Result<Self> {
        let bind = |address| Self::bind_socket(TcpSocket::for_address(&address)?, address, place);
        first_of(&to, bind).await
    }

    /// Listens on this address, and on no IPv4 address if it is an IPv6 one, so that a server may listen on both.
    pub(crate) fn bind_only(address: SocketAddr, place: Place) -> io::Result<Self> {
        let socket = TcpSocket::for_address(&address)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        Self::bind_socket(socket, address, place)
    }

    fn bind_socket(socket: TcpSocket, address: SocketAddr, place: Place) -> io::Result<Self> {
        reuse_address(&socket.inner)?;
        socket.bind(address)?;
        socket.listen_at(BACKLOG, place)
    }

    /// Registers a listener of the standard library. It is put into non-blocking mode, and its
    /// connections get `TCP_NODELAY`.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        Self::from_nonblocking(listener, Place::caller())
    }

    fn from_nonblocking(listener: std::net::TcpListener, place: Place) -> io::Result<Self> {
        let listener = mio::net::TcpListener::from_std(listener);
        let io = register_here(listener, Interest::READABLE, place).map_err(|(_, error)| error)?;
        Ok(TcpListener {
            io,
            backoff: AcceptBackoff::default(),
        })
    }

    /// Deregisters the listener and returns it in blocking mode, which is the standard library's
    /// default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::from(self.io.into_inner());
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// Waits for the next connection, and returns it with its peer's address. The connection has
    /// `TCP_NODELAY` set (unless [`TcpSocket::set_nodelay`] was used on the listener's socket).
    ///
    /// A connection that its peer has closed before it was accepted is skipped. Without free descriptors (`EMFILE`,
    /// `ENFILE`) or memory, this method pauses and retries. The pause grows from 10 ms to 1 s. Meanwhile the
    /// connections stay in the queue. The loop's exception handler receives a report, at most once a second. Several
    /// tasks may accept from one listener.
    ///
    /// # Cancellation
    ///
    /// Loses no connection, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error of the listener itself. An accept loop can end with it.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        accept_with(&self.backoff, async || {
            let accept = mio::net::TcpListener::accept;
            let (stream, peer) = self.io.io(Direction::Read, accept).await?;
            Ok((TcpStream::from_accepted(stream, self.io.place())?, peer))
        })
        .await
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The time to live of its connections' packets, in hops (`IP_TTL`).
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

#[cfg(unix)]
impl std::os::fd::AsFd for TcpListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpListener {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.io.get_ref().as_socket()
    }
}
