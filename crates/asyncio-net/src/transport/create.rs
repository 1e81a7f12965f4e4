//! Connections with protocols.

use std::io;

use super::stream::{AnyProtocol, Transport};
use crate::address::ToSocketAddrs;
use crate::tcp::stream::TcpStream;

/// Connects as [`TcpStream::connect`] does, and has a protocol called for the connection: asyncio's
/// `create_connection`.
///
/// The protocol is made once the connection is, and its `connection_made` is called before this returns. See
/// [`Protocol`](crate::Protocol) for an example.
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// The errors of [`TcpStream::connect`].
pub async fn create_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    to: impl ToSocketAddrs,
) -> io::Result<Transport> {
    let stream = TcpStream::connect(to).await?;
    Transport::new(stream, factory())
}

/// Connects to a Unix socket as [`UnixStream::connect`](crate::UnixStream::connect) does, and has a protocol called for
/// the connection.
///
/// # Cancellation
///
/// Closes the socket.
///
/// # Errors
///
/// The errors of [`UnixStream::connect`](crate::UnixStream::connect).
#[cfg(unix)]
pub async fn create_unix_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    path: impl AsRef<std::path::Path>,
) -> io::Result<Transport> {
    let stream = crate::unix::stream::UnixStream::connect(path).await?;
    Transport::new(stream, factory())
}
