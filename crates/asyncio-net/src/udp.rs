//! UDP sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use asyncio_reactor::{Direction, Place, Registered};
use socket2::SockRef;

use crate::address::{ToSocketAddrs, first_of};
use crate::register::{READ_WRITE, register_here};

/// A UDP socket.
///
/// Its methods take `&self`, so any number of tasks may send and receive at the same time.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// client.send(b"hello").await?;
///
/// let mut buf = [0; 1500];
/// let (n, from) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..n], from).await?;
/// assert_eq!(client.recv(&mut buf).await?, 5);
/// # Ok(())
/// # })
/// # }
/// ```
///
/// # Datagrams
///
/// UDP may lose datagrams, repeat them and change their order. A datagram that is longer than the
/// receiver's buffer is cut, and the rest is lost. A datagram that is longer than the network
/// allows is an error of the sender (`EMSGSIZE`). An empty datagram is sent and received like any
/// other.
#[derive(Debug)]
pub struct UdpSocket {
    io: Registered<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// Binds to the first address that is available. With port 0 the system chooses a port: see
    /// [`local_addr`](Self::local_addr).
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
        let bind = |address| Self::register(mio::net::UdpSocket::bind(address)?, place);
        first_of(&to, bind).await
    }

    /// Binds to a free port of any interface, and [connects](Self::connect) to the first address that the system
    /// accepts.
    ///
    /// # Errors
    ///
    /// The errors of [`bind`](Self::bind) and of [`connect`](Self::connect).
    #[track_caller]
    pub fn connected(to: impl ToSocketAddrs) -> impl Future<Output = io::Result<Self>> {
        Self::connected_at(to, Place::caller())
    }

    async fn connected_at(to: impl ToSocketAddrs, place: Place) -> io::Result<Self> {
        let connected = |peer: SocketAddr| {
            let any: SocketAddr = match peer {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = mio::net::UdpSocket::bind(any)?;
            socket.connect(peer)?;
            Self::register(socket, place)
        };
        first_of(&to, connected).await
    }

    fn register(socket: mio::net::UdpSocket, place: Place) -> io::Result<Self> {
        let io = register_here(socket, READ_WRITE, place).map_err(|(_, error)| error)?;
        Ok(UdpSocket { io })
    }

    /// Registers a socket of the standard library. It is put into non-blocking mode. Use the
    /// `socket2` crate for options that must be set before the socket is bound, such as
    /// `SO_REUSEPORT`.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::register(mio::net::UdpSocket::from_std(socket), Place::caller())
    }

    /// Deregisters the socket and returns it in blocking mode, which is the standard library's default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        let socket = std::net::UdpSocket::from(self.io.into_inner());
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// Sets the peer of [`send`](Self::send): the first address that the system accepts. From then
    /// on the socket receives only datagrams of this peer, and refusals of the peer are errors of
    /// the socket.
    ///
    /// # Errors
    ///
    /// The system's error for the last address, such as `NetworkUnreachable`, and the resolver's error for
    /// the name of a host.
    pub async fn connect(&self, to: impl ToSocketAddrs) -> io::Result<()> {
        first_of(&to, |address| self.io.get_ref().connect(address)).await
    }

    /// Sends a datagram to the connected peer. Waits while the send buffer is full.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error: `ConnectionRefused` if the peer has refused an earlier datagram.
    #[doc(alias = "sock_sendto")]
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        let send = |socket: &mio::net::UdpSocket| socket.send(datagram);
        self.io.io(Direction::Write, send).await
    }

    /// Sends a datagram to an address. Waits while the send buffer is full.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    #[doc(alias = "sendto")]
    pub async fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        let send = |socket: &mio::net::UdpSocket| socket.send_to(datagram, to);
        self.io.io(Direction::Write, send).await
    }

    /// Receives a datagram and returns its length.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error: `ConnectionRefused` if the connected peer has refused a datagram. The
    /// socket stays usable.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &mio::net::UdpSocket| socket.recv(buf);
        self.io.io(Direction::Read, receive).await
    }

    /// Receives a datagram and returns its length and its sender.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    #[doc(alias = "sock_recvfrom")]
    #[doc(alias = "sock_recvfrom_into")]
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &mio::net::UdpSocket| socket.recv_from(buf);
        self.io.io(Direction::Read, receive).await
    }

    /// Receives like [`recv_from`](Self::recv_from), but leaves the datagram for the next receiver.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = |socket: &mio::net::UdpSocket| socket.peek_from(buf);
        self.io.io(Direction::Read, peek).await
    }

    /// [`send_to`](Self::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while the send buffer is full, and the system's error.
    pub fn try_send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        let send = |socket: &mio::net::UdpSocket| socket.send_to(datagram, to);
        self.io.try_io(Direction::Write, send)
    }

    /// [`recv_from`](Self::recv_from), without waiting.
    ///
    /// After a thousand datagrams without an `await` that waits, the result is `WouldBlock`, even if there are
    /// more. [`readable`](Self::readable) then lets other tasks run, and is ready again.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while there is no datagram, and the system's error.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &mio::net::UdpSocket| socket.recv_from(buf);
        self.io.try_io(Direction::Read, receive)
    }

    /// [`send`](Self::send), for code that polls.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<usize>> {
        self.io
            .poll_io(cx, Direction::Write, |socket| socket.send(datagram))
    }

    /// [`recv_from`](Self::recv_from), for code that polls.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.io
            .poll_io(cx, Direction::Read, |socket| socket.recv_from(buf))
    }

    /// [`send_to`](Self::send_to), for code that polls.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.io
            .poll_io(cx, Direction::Write, |socket| socket.send_to(datagram, to))
    }

    /// Waits until there is a datagram or an error. Now and then it lets other tasks run first.
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

    /// Waits until there is room to send. Now and then it lets other tasks run first.
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

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The address of the connected peer.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotConnected`.
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

    /// Whether datagrams may be sent to a broadcast address (`SO_BROADCAST`). Off by default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.io.get_ref().broadcast()
    }

    /// Sets [`broadcast`](Self::broadcast).
    ///
    /// # Errors
    ///
    /// The system's error.
    #[doc(alias = "allow_broadcast")]
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_broadcast(on)
    }

    /// Joins a multicast group on the interface with this address, or on any interface with
    /// `0.0.0.0`.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Joins a multicast group on the interface with this index, or on any interface with 0.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().join_multicast_v6(&group, interface)
    }

    /// Leaves a group that [`join_multicast_v4`](Self::join_multicast_v4) has joined.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Leaves a group that [`join_multicast_v6`](Self::join_multicast_v6) has joined.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v6(&group, interface)
    }

    /// Sets the interface of multicast datagrams that are sent, by its IPv4 address. The system chooses one otherwise.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_multicast_interface_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).set_multicast_if_v4(&interface)
    }

    /// Sets the interface of multicast datagrams that are sent, by its index. The system chooses one otherwise.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_multicast_interface_v6(&self, interface: u32) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).set_multicast_if_v6(interface)
    }

    /// Sets whether sockets of this machine receive the multicast datagrams of this socket. On by
    /// default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_multicast_loop(&self, on: bool) -> io::Result<()> {
        match self.local_addr()? {
            SocketAddr::V4(_) => self.io.get_ref().set_multicast_loop_v4(on),
            SocketAddr::V6(_) => self.io.get_ref().set_multicast_loop_v6(on),
        }
    }

    /// Sets how many hops multicast datagrams may take. The default is 1, which keeps them in the
    /// local network.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_multicast_ttl(&self, hops: u32) -> io::Result<()> {
        match self.local_addr()? {
            SocketAddr::V4(_) => self.io.get_ref().set_multicast_ttl_v4(hops),
            SocketAddr::V6(_) => SockRef::from(self.io.get_ref()).set_multicast_hops_v6(hops),
        }
    }

    /// The time to live of its datagrams, in hops (`IP_TTL`).
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
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(hops)
    }

    /// Sets the size of the send buffer in bytes. The system may round it.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).set_send_buffer_size(bytes)
    }

    /// Sets the size of the receive buffer in bytes. Datagrams that find it full are lost. The system may round
    /// it.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).set_recv_buffer_size(bytes)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for UdpSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for UdpSocket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.io.get_ref().as_socket()
    }
}
