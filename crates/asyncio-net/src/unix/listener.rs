//! Listening at a path or at an abstract name.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use asyncio_reactor::{Direction, Interest, Place, Registered};

use super::stream::UnixStream;
use crate::accept::{AcceptBackoff, accept_with};
use crate::register::register_here;

/// A Unix socket that accepts connections.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{UnixListener, UnixStream};
///
/// # fn main() -> std::io::Result<()> {
/// # asyncio_loop::run(async {
/// # let path = std::env::temp_dir().join(format!("asyncio-listener-{}", std::process::id()));
/// let listener = UnixListener::bind(&path)?;
/// let connecting = UnixStream::connect(&path);
/// let (client, (server, _)) = futures::try_join!(connecting, listener.accept())?;
/// client.write_all(b"hello").await?;
/// let mut answer = [0; 5];
/// server.read_exact(&mut answer).await?;
/// drop(listener);
/// assert!(!path.exists());
/// # Ok(())
/// # })
/// # }
/// ```
///
/// Dropping the listener removes the file that [`bind`](Self::bind) made.
#[derive(Debug)]
pub struct UnixListener {
    io: Registered<mio::net::UnixListener>,
    backoff: AcceptBackoff,
    file: Option<SocketFile>,
}

impl UnixListener {
    /// Listens at `path`. A stale socket file without a listener, such as that of a killed process,
    /// is replaced. Any other file stays.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if another socket listens there, or if the file is no socket. Otherwise the
    /// system's error, and an error if no loop runs on this thread.
    #[doc(alias = "start_unix_server")]
    #[doc(alias = "create_unix_server")]
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let bind = || mio::net::UnixListener::bind(path);
        let listener = match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
                std::fs::remove_file(path)?;
                bind()
            }
            outcome => outcome,
        };
        let listener = listener.map_err(|error| name_the_path(error, path))?;
        let file = SocketFile::at(path);
        Self::register(listener, file, Place::caller())
    }

    /// Listens at an address, which may be an abstract name
    /// ([`from_abstract_name`](std::os::linux::net::SocketAddrExt::from_abstract_name)). No file is
    /// removed, neither now nor by the drop.
    ///
    /// # Errors
    ///
    /// The system's error, such as `AddrInUse`, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        let listener = mio::net::UnixListener::bind_addr(address)?;
        Self::register(listener, None, Place::caller())
    }

    /// Registers a listener of the standard library. It is put into non-blocking mode. Its file stays.
    ///
    /// # Errors
    ///
    /// The system's error, and an error if no loop runs on this thread.
    #[track_caller]
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = mio::net::UnixListener::from_std(listener);
        Self::register(listener, None, Place::caller())
    }

    fn register(
        listener: mio::net::UnixListener,
        file: Option<SocketFile>,
        place: Place,
    ) -> io::Result<Self> {
        let io = register_here(listener, Interest::READABLE, place).map_err(|(_, error)| error)?;
        Ok(UnixListener {
            io,
            backoff: AcceptBackoff::default(),
            file,
        })
    }

    /// Deregisters the listener and returns it in blocking mode, which is the standard library's default. Its
    /// file stays.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn into_std(mut self) -> io::Result<std::os::unix::net::UnixListener> {
        self.keep_file();
        let listener = std::os::unix::net::UnixListener::from(self.io.into_inner());
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    /// Keeps the file when the listener is dropped.
    pub fn keep_file(&mut self) {
        if let Some(file) = &mut self.file {
            file.is_kept = true;
        }
        self.file = None;
    }

    /// Waits for the next connection, and returns it with its peer's address.
    ///
    /// Without free descriptors or memory it pauses and retries, as
    /// [`TcpListener::accept`](crate::TcpListener::accept) does. Several tasks may accept from one listener.
    ///
    /// # Cancellation
    ///
    /// Loses no connection, even if it loses a race.
    ///
    /// # Errors
    ///
    /// An error of the listener itself. An accept loop can end with it.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        accept_with(&self.backoff, async || {
            let accept = mio::net::UnixListener::accept;
            let (stream, peer) = self.io.io(Direction::Read, accept).await?;
            Ok((UnixStream::from_accepted(stream, self.io.place())?, peer))
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
}

impl std::os::fd::AsFd for UnixListener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io.get_ref().as_fd()
    }
}

/// The file of a listener. Its drop removes the file, unless another file has that name by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    is_kept: bool,
}

impl SocketFile {
    pub(super) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(Self {
            // The current directory may have changed by the time of the drop.
            path: std::path::absolute(path).ok()?,
            device: metadata.dev(),
            inode: metadata.ino(),
            is_kept: false,
        })
    }

    fn is_ours(&self) -> bool {
        std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_kept && self.is_ours() {
            // Without permission the file stays, and the next listener replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is a socket file without a listener.
pub(super) fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    // The attempt does not wait: it succeeds or fails at once.
    is_socket && mio::net::UnixStream::connect(path).is_err_and(refused)
}

pub(super) fn name_the_path(error: io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
