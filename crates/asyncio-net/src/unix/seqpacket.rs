//! Connections between processes of one machine that transfer messages.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use asyncio_reactor::{Direction, Interest, Place};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, SockAddr, Socket, Type};

use super::datagram::as_sock_addr;
use super::descriptors::{Received, check, recv_with_fds, send_with_fds};
use super::listener::{SocketFile, is_stale, name_the_path};
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::stream::PeerCred;
use crate::accept::{AcceptBackoff, accept_with};
use crate::async_fd::AsyncFd;
use crate::register::READ_WRITE;

/// The length of a listener's queue.
const BACKLOG: i32 = 1024;

/// The pauses between two attempts to connect to a listener whose queue is full: the first, and the maximum.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// A Unix socket that is connected like a stream and keeps messages apart like datagrams (`SOCK_SEQPACKET`). It loses
/// no message and keeps their order, and it has an end.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::UnixSeqpacket;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let (one, other) = UnixSeqpacket::pair()?;
/// one.send(b"first").await?;
/// one.send(b"second").await?;
/// drop(one);
/// let mut buf = [0; 16];
/// assert_eq!(other.recv(&mut buf).await?, 5);
/// assert_eq!(other.recv(&mut buf).await?, 6);
/// assert_eq!(other.recv(&mut buf).await?, 0); // the end
/// # Ok(())
/// # })
/// # }
/// ```
///
/// On Linux, Android and FreeBSD.
#[derive(Debug)]
pub struct UnixSeqpacket {
    io: AsyncFd<Socket>,
}

impl UnixSeqpacket {
    fn register(socket: Socket, place: Place) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let io = AsyncFd::at(socket, READ_WRITE, place)?;
        Ok(Self { io })
    }

    /// Connects to the listener at `path`. While the listener's queue is full, it retries after pauses that grow from 1
    /// ms to 50 ms.
    ///
    /// # Cancellation
    ///
    /// Closes the socket.
    ///
    /// # Errors
    ///
    /// The system's error: `NotFound` without such a file, `ConnectionRefused` without a listener. An error as well if
    /// no loop runs on this thread.
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        let place = Place::caller();
        async move { connect_to(&SockAddr::unix(path)?, place).await }
    }

    /// Connects to an address, which may be an abstract name
    /// ([`from_abstract_name`](std::os::linux::net::SocketAddrExt::from_abstract_name)).
    ///
    /// # Cancellation
    ///
    /// Closes the socket.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect).
    #[track_caller]
    pub fn connect_addr(address: &SocketAddr) -> impl Future<Output = io::Result<Self>> {
        let place = Place::caller();
        async move { connect_to(&as_sock_addr(address)?, place).await }
    }

    /// Creates two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let place = Place::caller();
        Ok((Self::register(one, place)?, Self::register(other, place)?))
    }

    /// Registers a descriptor, which is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is not a socket of this kind. The system's error, and an error if no loop runs on this
    /// thread.
    #[track_caller]
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(fd);
        if socket.r#type()? != Type::SEQPACKET || socket.local_addr()?.domain() != Domain::UNIX {
            let message = "the descriptor is not a Unix socket of the type SOCK_SEQPACKET";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Self::register(socket, Place::caller())
    }

    /// Deregisters the socket and returns it in blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        let socket = self.io.into_inner();
        socket.set_nonblocking(false)?;
        Ok(socket.into())
    }

    /// Sends a message. Waits while the peer's queue is full.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty message, which the peer could not tell from the end. The system's error:
    /// `BrokenPipe` if the peer is gone, `EMSGSIZE` if the message is too long.
    pub async fn send(&self, message: &[u8]) -> io::Result<usize> {
        if message.is_empty() {
            let error = "a message must have at least 1 byte: an empty one would read as the end";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let send = |socket: &Socket| Ok(rustix::net::send(socket, message, SendFlags::NOSIGNAL)?);
        self.io.io(Direction::Write, send).await
    }

    /// Receives a message and returns its length. A message longer than `buf` is cut, and the rest is lost. Zero is the
    /// end.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error, such as `ConnectionReset`.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &Socket| {
            let (received, _whole) = rustix::net::recv(socket, &mut *buf, RecvFlags::empty())?;
            Ok(received)
        };
        self.io.io(Direction::Read, receive).await
    }

    /// Sends a message with descriptors.
    ///
    /// # Cancellation
    ///
    /// Has sent nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty message or with more than 253 descriptors, and the system's error.
    pub async fn send_with_fds(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        check(message, fds)?;
        let send = |socket: &Socket| send_with_fds(socket, message, fds);
        self.io.io(Direction::Write, send).await
    }

    /// Receives a message and up to `most` descriptors that came with it. The system closes the other descriptors.
    ///
    /// # Cancellation
    ///
    /// Loses nothing, even if it loses a race.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub async fn recv_with_fds(&self, buf: &mut [u8], most: usize) -> io::Result<Received> {
        let receive = |socket: &Socket| recv_with_fds(socket, buf, most);
        self.io.io(Direction::Read, receive).await
    }

    /// Shuts down the sending side, the receiving side or both. After [`Shutdown::Write`] the peer receives the end.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }

    /// The process, the user and the group of the peer at the time when it connected or listened (`SO_PEERCRED`).
    ///
    /// # Errors
    ///
    /// The system's error.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        PeerCred::of(self.io.get_ref())
    }
}

async fn connect_to(address: &SockAddr, place: Place) -> io::Result<UnixSeqpacket> {
    let mut pause = MIN_PAUSE;
    loop {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(address) {
            Ok(()) => return UnixSeqpacket::register(socket, place),
            // The queue is full. No event reports that it has room again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        asyncio_loop::sleep(pause).await;
        pause = MAX_PAUSE.min(pause * 2);
    }
}

impl AsFd for UnixSeqpacket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

/// A Unix socket that accepts connections of messages.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{UnixSeqpacket, UnixSeqpacketListener};
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// # let path = std::env::temp_dir().join(format!("asyncio-seqpacket-{}", std::process::id()));
/// let listener = UnixSeqpacketListener::bind(&path)?;
/// let connecting = UnixSeqpacket::connect(&path);
/// let (client, server) = futures::try_join!(connecting, listener.accept())?;
/// client.send(b"hello").await?;
/// let mut buf = [0; 16];
/// assert_eq!(server.recv(&mut buf).await?, 5);
/// # Ok(())
/// # })
/// # }
/// ```
///
/// Dropping the listener removes the file that [`bind`](Self::bind) made.
#[derive(Debug)]
pub struct UnixSeqpacketListener {
    io: AsyncFd<Socket>,
    backoff: AcceptBackoff,
    _file: Option<SocketFile>,
}

impl UnixSeqpacketListener {
    /// Listens at `path`, and replaces a stale socket file, as [`UnixListener::bind`](crate::UnixListener::bind) does.
    ///
    /// # Errors
    ///
    /// The system's error with the path, such as `AddrInUse`, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let address = SockAddr::unix(path)?;
        let listener = match listen(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                std::fs::remove_file(path)?;
                listen(&address)
            }
            outcome => outcome,
        };
        let listener = listener.map_err(|error| name_the_path(error, path))?;
        Self::register(listener, SocketFile::at(path), Place::caller())
    }

    /// Listens at an address, which may be an abstract name
    /// ([`from_abstract_name`](std::os::linux::net::SocketAddrExt::from_abstract_name)). No file is removed, neither
    /// now nor by the drop.
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Self::register(listen(&as_sock_addr(address)?)?, None, Place::caller())
    }

    fn register(listener: Socket, file: Option<SocketFile>, place: Place) -> io::Result<Self> {
        Ok(Self {
            io: AsyncFd::at(listener, Interest::READABLE, place)?,
            backoff: AcceptBackoff::default(),
            _file: file,
        })
    }

    /// Waits for the next connection. Without free descriptors or memory it pauses and retries, as
    /// [`TcpListener::accept`](crate::TcpListener::accept) does.
    ///
    /// # Cancellation
    ///
    /// Loses no connection, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error of the listener itself.
    pub async fn accept(&self) -> io::Result<UnixSeqpacket> {
        accept_with(&self.backoff, async || {
            let accept = |listener: &Socket| listener.accept();
            let (socket, _nameless) = self.io.io(Direction::Read, accept).await?;
            UnixSeqpacket::register(socket, self.io.place())
        })
        .await
    }
}

fn listen(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

impl AsFd for UnixSeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}
