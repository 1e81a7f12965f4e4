//! A TCP socket before it connects or listens, on which options can be set.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Lets a listener on `socket` have an address that earlier connections still hold. Not on Windows, where SO_REUSEADDR
/// lets another process take the port over.
pub(super) fn reuse_address(socket: &Socket) -> io::Result<()> {
    match cfg!(unix) {
        true => socket.set_reuse_address(true),
        false => Ok(()),
    }
}

/// A TCP socket to configure and then [connect](Self::connect) or [listen on](Self::listen).
///
/// [`TcpStream::connect`](crate::TcpStream::connect) and
/// [`TcpListener::bind`](crate::TcpListener::bind) do the same with the usual options.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::TcpSocket;
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
    pub(super) inner: Socket,
}

impl TcpSocket {
    /// Creates a socket for IPv4.
    ///
    /// # Errors
    ///
    /// The system's error, for example when the process has no free descriptor.
    pub fn new_v4() -> io::Result<Self> {
        Self::new(Domain::IPV4)
    }

    /// Creates a socket for IPv6.
    ///
    /// # Errors
    ///
    /// The system's error, for example when the process has no free descriptor.
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

    /// Sets `SO_REUSEADDR`: the socket can listen on an address that earlier connections still hold
    /// (`TIME_WAIT`). [`TcpListener::bind`](crate::TcpListener::bind) sets it on Unix.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_reuse_address(&self, on: bool) -> io::Result<()> {
        self.inner.set_reuse_address(on)
    }

    /// Sets `SO_REUSEPORT`: several listeners share an address, and the system spreads connections
    /// over them.
    ///
    /// # Errors
    ///
    /// The system's error.
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    pub fn set_reuse_port(&self, on: bool) -> io::Result<()> {
        self.inner.set_reuse_port(on)
    }

    /// Sets `IPV6_V6ONLY`: an IPv6 socket that is bound to all interfaces accepts no IPv4
    /// connections.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_only_v6(&self, on: bool) -> io::Result<()> {
        self.inner.set_only_v6(on)
    }

    /// Sets `TCP_NODELAY`: small writes are sent at once. It is on by default. On Linux a listener
    /// passes it on to its connections; on other systems they always have it.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.inner.set_tcp_nodelay(on)
    }

    /// Sets after how much silence the system probes the peer, in whole seconds, rounded up. `None`
    /// turns the probes off.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        set_keepalive(&SockRef::from(&self.inner), after)
    }

    /// Sets how many bytes the system buffers before a write has to wait. The system may round it.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.inner.set_send_buffer_size(bytes)
    }

    /// Sets how many unread bytes the system buffers. The system may round it. A listener passes it
    /// on to its connections.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.inner.set_recv_buffer_size(bytes)
    }

    /// Binds the socket to a local address. With port 0 the system chooses a port.
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`.
    pub fn bind(&self, address: SocketAddr) -> io::Result<()> {
        self.inner.bind(&address.into())
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.inner.local_addr()?;
        Ok(address.as_socket().expect("a TCP socket has an IP address"))
    }

    /// Returns the socket, which becomes a connection or a listener.
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
    // The smallest representation of any system has 16 bits.
    const LONGEST: Duration = Duration::from_secs(u16::MAX as u64);
    socket.set_linger(linger.map(|linger| whole_seconds(linger).min(LONGEST)))
}

/// Rounds up to seconds, the system's unit. A short linger that was cut to zero would discard
/// bytes.
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
