//! Connections with protocols.

use std::io;

use asyncio_reactor::Place;

use super::stream::{AnyProtocol, Transport};
use crate::address::ToSocketAddrs;
use crate::tcp::stream::TcpStream;

/// Connects as [`TcpStream::connect`] does, and calls a protocol for the connection: asyncio's `create_connection`.
///
/// The protocol is made after the connection, and its `connection_made` is called before this returns. See
/// [`Protocol`](crate::Protocol) for an example.
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// The errors of [`TcpStream::connect`].
#[track_caller]
pub fn create_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Transport>> {
    let place = Place::caller();
    async move {
        let stream = TcpStream::connect_at(to, place).await?;
        Transport::new(stream, factory())
    }
}

/// Connects to a Unix socket as [`UnixStream::connect`](crate::UnixStream::connect) does, and calls a protocol for the
/// connection.
///
/// # Cancellation
///
/// Closes the socket.
///
/// # Errors
///
/// The errors of [`UnixStream::connect`](crate::UnixStream::connect).
#[cfg(unix)]
#[track_caller]
pub fn create_unix_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    path: impl AsRef<std::path::Path>,
) -> impl Future<Output = io::Result<Transport>> {
    let place = Place::caller();
    async move {
        let stream = crate::unix::stream::UnixStream::connect_at(path, place).await?;
        Transport::new(stream, factory())
    }
}
