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
pub trait Listener: 'static {
    /// The type of its connections.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Accepts a connection. An error ends the server's accept loop, so errors of single connections are not returned.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>>;

    /// The address that it listens on, if it has one.
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
