//! Datagrams between processes of one machine.

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
#[cfg(target_os = "android")]
use std::os::android::net::SocketAddrExt as _;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_reactor::{Direction, Place, Registered};
use socket2::{SockAddr, SockRef};

use crate::register::{READ_WRITE, register_here};

/// A Unix socket that sends and receives datagrams. Unlike UDP it loses no datagram and keeps their
/// order: a sender waits while the receiver's queue is full.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::UnixDatagram;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"hello").await?;
/// one.send(b"").await?;
/// let mut buf = [0; 16];
/// assert_eq!(other.recv(&mut buf).await?, 5);
/// assert_eq!(other.recv(&mut buf).await?, 0);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    pub(super) io: Registered<mio::net::UnixDatagram>,
}

impl UnixDatagram {
    fn register(socket: mio::net::UnixDatagram, place: Place) -> io::Result<Self> {
        let io = register_here(socket, READ_WRITE, place).map_err(|(_, error)| error)?;
        Ok(UnixDatagram { io })
    }

    /// Creates a socket without a name. Other sockets cannot send to it.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        Self::register(mio::net::UnixDatagram::unbound()?, Place::caller())
    }

    /// Creates a socket at `path`. Its file stays when the socket is dropped.
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::register(mio::net::UnixDatagram::bind(path)?, Place::caller())
    }

    /// Creates a socket at an address, which may be an abstract name
    /// ([`from_abstract_name`](std::os::linux::net::SocketAddrExt::from_abstract_name)).
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        let socket = mio::net::UnixDatagram::unbound()?;
        SockRef::from(&socket).bind(&as_sock_addr(address)?)?;
        Self::register(socket, Place::caller())
    }

    /// Creates two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        let place = Place::caller();
        Ok((Self::register(one, place)?, Self::register(other, place)?))
    }

    /// Registers a socket of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::register(mio::net::UnixDatagram::from_std(socket), Place::caller())
    }

    /// Deregisters the socket and returns it in blocking mode, which is the standard library's default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixDatagram> {
        let socket = std::os::unix::net::UnixDatagram::from(self.io.into_inner());
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// Sets the peer of [`send`](Self::send). From then on only its datagrams are received.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionRefused`.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.io.get_ref().connect(path)
    }

    /// [`connect`](Self::connect) to an address, which may be an abstract name.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionRefused`.
    pub fn connect_addr(&self, address: &SocketAddr) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).connect(&as_sock_addr(address)?)
    }

    /// Sends a datagram to the connected peer.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotConnected`.
    pub async fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        let send = |socket: &mio::net::UnixDatagram| socket.send(datagram);
        self.io.io(Direction::Write, send).await
    }

    /// Sends a datagram to the socket at `path`.
    ///
    /// No event reports that the queue of that socket has room again. So while the queue is full,
    /// this method retries once a millisecond. After [`connect`](Self::connect),
    /// [`send`](Self::send) waits for an event.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotFound` or `ConnectionRefused`.
    pub async fn send_to(&self, datagram: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        loop {
            match self.io.get_ref().send_to(datagram, path) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    asyncio_loop::sleep(RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// [`send_to`](Self::send_to) an address, which may be an abstract name.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionRefused`.
    pub async fn send_to_addr(&self, datagram: &[u8], to: &SocketAddr) -> io::Result<usize> {
        let mut pause = None;
        poll_fn(|cx| self.poll_send_to_addr(cx, datagram, to, Some(&mut pause))).await
    }

    /// [`send`](Self::send), for code that polls.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
    ) -> Poll<io::Result<usize>> {
        let send = |socket: &mio::net::UnixDatagram| socket.send(datagram);
        self.io.poll_io(cx, Direction::Write, send)
    }

    /// Sends a datagram to an address, as [`send_to`](Self::send_to) does. `pause` is kept from one call to the next.
    /// Without it nothing wakes `cx`.
    pub(crate) fn poll_send_to_addr(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: &SocketAddr,
        mut pause: Option<&mut Option<Pin<Box<asyncio_loop::Sleep>>>>,
    ) -> Poll<io::Result<usize>> {
        let to = as_sock_addr(to)?;
        loop {
            match SockRef::from(self.io.get_ref()).send_to(datagram, &to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
            let Some(pause) = &mut pause else {
                return Poll::Pending;
            };
            let sleep = pause.get_or_insert_with(|| Box::pin(asyncio_loop::sleep(RETRY_PAUSE)));
            ready!(sleep.as_mut().poll(cx));
            **pause = None;
        }
    }

    /// [`recv_from`](Self::recv_from), for code that polls.
    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let receive = |socket: &mio::net::UnixDatagram| socket.recv_from(buf);
        self.io.poll_io(cx, Direction::Read, receive)
    }

    /// Receives a datagram and returns its length. A datagram longer than `buf` is cut, and the
    /// rest is lost.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &mio::net::UnixDatagram| socket.recv(buf);
        self.io.io(Direction::Read, receive).await
    }

    /// Receives a datagram and returns its length and its sender's address. A datagram longer than
    /// `buf` is cut, and the rest is lost.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &mio::net::UnixDatagram| socket.recv_from(buf);
        self.io.io(Direction::Read, receive).await
    }

    /// Shuts down the sending side, the receiving side or both.
    ///
    /// # Errors
    ///
    /// The system's error.
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

    /// The address of the connected peer.
    ///
    /// # Errors
    ///
    /// The system's error, such as `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }
}

/// An address for the calls of `socket2`.
pub(super) fn as_sock_addr(address: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = address.as_pathname() {
        return SockAddr::unix(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_name() {
        use std::os::unix::ffi::OsStrExt as _;
        let bytes = [b"\0", name].concat();
        return SockAddr::unix(std::ffi::OsStr::from_bytes(&bytes));
    }
    let message = "the address of a socket without a name cannot be sent to";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// The pause between two attempts to send to a full queue.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

impl std::os::fd::AsFd for UnixDatagram {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}
