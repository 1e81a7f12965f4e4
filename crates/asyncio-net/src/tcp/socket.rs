//! A TCP socket that is neither connected nor listening yet, for those who want to set options
//! first.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A TCP socket to be set up and then [connected](Self::connect) or [listened on](Self::listen).
///
/// [`TcpStream::connect`](crate::TcpStream::connect) and [`TcpListener::bind`](crate::TcpListener::bind) are this with the usual options.
///
/// ```
/// use asyncio_net::TcpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuse_address(true)?;
/// socket.set_recv_buffer_size(64 * 1024)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(16)?;
/// # let _ = listener;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    inner: Socket,
}

impl TcpSocket {
    /// A socket for IPv4.
    ///
    /// # Errors
    ///
    /// What the system says when there is no socket to be had.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// A socket for IPv6.
    ///
    /// # Errors
    ///
    /// What the system says when there is no socket to be had.
    pub fn new_v6() -> io::Result<Self> {
        Self::new(Domain::IPV6)
    }

    pub(crate) fn for_address(address: &SocketAddr) -> io::Result<Self> {
        Self::new(Domain::for_address(*address))
    }

    fn new(domain: Domain) -> io::Result<Self> {
        let inner = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        inner.set_nonblocking(true)?;
        inner.set_tcp_nodelay(true)?;
        Ok(TcpSocket { inner })
    }

    /// `SO_REUSEADDR`: listen on an address whose earlier connections are not quite forgotten.
    /// Listeners made by [`TcpListener::bind`](crate::TcpListener::bind) have it on Unix.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_reuse_address(&self, on: bool) -> io::Result<()> {
        self.inner.set_reuse_address(on)
    }

    /// `SO_REUSEPORT`: several listeners share an address, and the system spreads connections over
    /// them.
    ///
    /// # Errors
    ///
    /// What the system says.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn set_reuse_port(&self, on: bool) -> io::Result<()> {
        self.inner.set_reuse_port(on)
    }

    /// `TCP_NODELAY`: send small writes at once. It is on unless it is turned off. On Linux,
    /// listeners pass it on to their connections; elsewhere those always have it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.inner.set_tcp_nodelay(on)
    }

    /// Asks whether the other side is still there after so long without a word, in whole seconds,
    /// rounded up; `None` never asks.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        set_keepalive(&SockRef::from(&self.inner), after)
    }

    /// How many bytes the system takes before a write has to wait. It may round.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.inner.set_send_buffer_size(bytes)
    }

    /// How many bytes the system keeps that nobody has read. It may round. Listeners pass it on to
    /// their connections.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.inner.set_recv_buffer_size(bytes)
    }

    /// Gives it a local address. Port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// What the system says, such as `AddrInUse`.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.inner.bind(&address.into())
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.inner.local_addr()?;
        Ok(address.as_socket().expect("a TCP socket has an IP address"))
    }

    /// The socket, to become a connection or a listener.
    pub(super) fn into_inner(self) -> Socket {
        self.inner
    }
}

pub(crate) fn set_keepalive(socket: &SockRef<'_>, after: Option<Duration>) -> io::Result<()> {
    match after {
        Some(after) => {
            let after = whole_seconds(after).max(Duration::from_secs(1));
            socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(after))
        }
        None => socket.set_keepalive(false),
    }
}

pub(crate) fn set_linger(socket: &SockRef<'_>, linger: Option<Duration>) -> io::Result<()> {
    // Where the number is smallest, it has 16 bits.
    const LONGEST: Duration = Duration::from_secs(u16::MAX as u64);
    socket.set_linger(linger.map(|linger| whole_seconds(linger).min(LONGEST)))
}

/// Rounded up. The system counts seconds; cut to none, a short linger would throw bytes away.
fn whole_seconds(duration: Duration) -> Duration {
    let more = u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(duration.as_secs().saturating_add(more))
}

#[cfg(unix)]
impl std::os::fd::AsFd for TcpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for TcpSocket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.inner.as_socket()
    }
}
