//! A connection between processes of one machine.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_reactor::{Direction, Place, Reading, Registered, Writing, parts_of_one_call};

use crate::register::{READ_WRITE, register_here};
use crate::stream::calls::Calls as _;
use crate::stream::methods::byte_stream;

/// The pauses between two attempts to connect to a listener whose queue is full: the first, and the
/// maximum.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// A connection between two processes of one machine, or within one process.
///
/// It has the methods of a [`TcpStream`](crate::TcpStream), and [sends descriptors](Self::send_with_fds).
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// let (one, other) = UnixStream::pair()?;
/// one.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// other.read_exact(&mut answer).await?;
/// assert_eq!(&answer, b"hello");
/// # Ok(())
/// # })
/// # }
/// ```
///
/// Dropping the stream closes the connection.
#[derive(Debug)]
pub struct UnixStream {
    pub(super) io: Registered<mio::net::UnixStream>,
}

impl UnixStream {
    fn register(stream: mio::net::UnixStream, place: Place) -> io::Result<Self> {
        let io = register_here(stream, READ_WRITE, place).map_err(|(_, error)| error)?;
        Ok(UnixStream { io })
    }

    pub(super) fn from_accepted(stream: mio::net::UnixStream, place: Place) -> io::Result<Self> {
        Self::register(stream, place)
    }

    /// Connects to the listener at `path`.
    ///
    /// While the listener's queue is full, it retries after pauses that grow from 1 ms to 50 ms.
    ///
    /// # Cancellation
    ///
    /// Closes the socket.
    ///
    /// # Errors
    ///
    /// The system's error: `NotFound` without such a file, `ConnectionRefused` without a listener.
    /// An error as well if no loop runs on this thread.
    #[doc(alias = "open_unix_connection")]
    #[doc(alias = "create_unix_connection")]
    #[track_caller]
    pub fn connect(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Self>> {
        Self::connect_at(path, Place::caller())
    }

    /// [`connect`](Self::connect), for a socket that a console shows at `place`.
    pub(crate) async fn connect_at(path: impl AsRef<Path>, place: Place) -> io::Result<Self> {
        Self::connect_addr_at(&SocketAddr::from_pathname(path)?, place).await
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
        Self::connect_addr_at(address, Place::caller())
    }

    async fn connect_addr_at(address: &SocketAddr, place: Place) -> io::Result<Self> {
        let mut pause = MIN_PAUSE;
        loop {
            match mio::net::UnixStream::connect_addr(address) {
                Ok(stream) => return Self::register(stream, place),
                // The queue is full. No event reports that it has room again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            asyncio_loop::sleep(pause).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
    }

    /// Creates two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[doc(alias = "socketpair")]
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        let place = Place::caller();
        Ok((Self::register(one, place)?, Self::register(other, place)?))
    }

    /// Registers a connection of the standard library. It is put into non-blocking mode.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Self::register(mio::net::UnixStream::from_std(stream), Place::caller())
    }

    /// Deregisters the connection and returns it in blocking mode, which is the standard library's
    /// default.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        let stream = std::os::unix::net::UnixStream::from(self.io.into_inner());
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// The local address. A stream that connected has no name.
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
    /// The system's error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// The process, the user and the group of the peer at the time when it connected or listened
    /// (`SO_PEERCRED`).
    ///
    /// # Errors
    ///
    /// The system's error.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        PeerCred::of(self)
    }
}

/// The process at the other end of a [`UnixStream`], from [`UnixStream::peer_cred`].
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCred {
    /// The id of the process.
    pub pid: u32,
    /// The id of its user.
    pub uid: u32,
    /// The id of its group.
    pub gid: u32,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl PeerCred {
    /// The peer of a connected socket.
    pub(super) fn of(socket: &impl std::os::fd::AsFd) -> io::Result<Self> {
        let cred = rustix::net::sockopt::socket_peercred(socket)?;
        Ok(Self {
            pid: cred.pid.as_raw_nonzero().get().unsigned_abs(),
            uid: cred.uid.as_raw(),
            gid: cred.gid.as_raw(),
        })
    }
}

byte_stream!(UnixStream, SocketAddr);
