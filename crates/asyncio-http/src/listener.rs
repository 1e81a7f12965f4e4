//! Where a server's connections come from.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use asyncio_net::{TcpListener, TcpStream};
#[cfg(unix)]
use asyncio_net::{UnixListener, UnixStream};
use futures_io::{AsyncRead, AsyncWrite};

/// A source of connections for a [`Server`](crate::Server): a [`TcpListener`], a `UnixListener`, or one of your own.
///
/// A listener in memory tests a server on virtual time:
///
/// ```
/// use asyncio::http::{Listener, Peer, Request, Server};
/// use asyncio::net::{MemoryStream, memory_pair};
/// use asyncio::sync::{PutError, Queue};
/// use std::io;
/// use std::rc::Rc;
///
/// struct InMemory(Rc<Queue<MemoryStream>>);
///
/// impl Listener for InMemory {
///     type Stream = MemoryStream;
///
///     async fn accept(&self) -> io::Result<(MemoryStream, Peer)> {
///         let stream = self.0.get().await.map_err(io::Error::other)?;
///         Ok((stream, Peer::Local))
///     }
/// }
///
/// # asyncio::run(async {
/// let clients = Rc::new(Queue::new(0));
/// let server = Server::builder().start(async |_: Request| "hello", [InMemory(clients.clone())]);
/// let (ours, theirs) = memory_pair(1024);
/// clients.put(theirs).await.map_err(PutError::without_item)?;
/// ours.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await?;
/// let mut answer = [0; 1024];
/// let n = ours.read(&mut answer).await?;
/// assert!(answer[..n].starts_with(b"HTTP/1.1 200 OK"));
/// server.shutdown(std::time::Duration::from_secs(1)).await;
/// # Ok::<(), asyncio::BoxError>(())
/// # }).unwrap();
/// ```
pub trait Listener: 'static {
    /// The type of its connections.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Accepts a connection. An error ends the server's accept loop, so the implementation skips errors of single
    /// connections.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>>;

    /// The address, if there is one.
    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A client that came by TCP.
    Inet(SocketAddr),
    /// A client without an address: a process of this machine, or a stream in memory.
    Local,
}

impl Peer {
    /// The address, if the client came by TCP.
    #[must_use]
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(address),
            Self::Local => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, peer) = self.accept().await?;
        Ok((stream, Peer::Inet(peer)))
    }

    fn address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _peer) = self.accept().await?;
        Ok((stream, Peer::Local))
    }
}
