//! Datagrams between processes of one machine.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

use asyncio_reactor::{Direction, Registered};

use crate::register::{READ_WRITE, register_here};

/// A Unix socket that sends and receives datagrams. Unlike UDP it loses no datagram and keeps their
/// order: a sender waits while the receiver's queue is full.
///
/// ```
/// use asyncio_net::UnixDatagram;
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
    fn register(socket: mio::net::UnixDatagram) -> io::Result<Self> {
        let io = register_here(socket, READ_WRITE).map_err(|(_, error)| error)?;
        Ok(UnixDatagram { io })
    }

    /// Creates a socket without a name. Other sockets cannot send to it.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    pub fn unbound() -> io::Result<Self> {
        Self::register(mio::net::UnixDatagram::unbound()?)
    }

    /// Creates a socket at `path`. Its file stays when the socket is dropped.
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`, and an error if no loop runs on this thread.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::register(mio::net::UnixDatagram::bind(path)?)
    }

    /// Creates two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixDatagram::pair()?;
        Ok((Self::register(one)?, Self::register(other)?))
    }

    /// Registers a socket of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::register(mio::net::UnixDatagram::from_std(socket))
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

/// The pause between two attempts to send to a full queue.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

impl std::os::fd::AsFd for UnixDatagram {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}
