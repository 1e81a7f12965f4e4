//! TLS connections to hosts.

use std::io;

use asyncio_reactor::Place;

use super::connector::TlsConnector;
use super::stream::TlsHalf;
use crate::buffered::reader::StreamReader;
use crate::buffered::writer::StreamWriter;
use crate::tcp::stream::TcpStream;
use crate::transport::stream::{AnyProtocol, Transport};

/// The ends of a connection, with buffers.
type Buffered = (
    StreamReader<TlsHalf<TcpStream>>,
    StreamWriter<TlsHalf<TcpStream>>,
);

/// Connects to a host by TCP and TLS, and gives a reader and a writer with buffers.
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// The errors of [`TcpStream::connect`] and of [`TlsConnector::connect`].
///
/// # Panics
///
/// Outside of any task.
#[doc(alias = "open_connection")]
#[track_caller]
pub fn open_tls_connection(
    connector: &TlsConnector,
    host: &str,
    port: u16,
) -> impl Future<Output = io::Result<Buffered>> {
    let place = Place::caller();
    async move {
        let stream = TcpStream::connect_at((host, port), place).await?;
        Ok(connector.connect(host, stream).await?.into_buffered())
    }
}

/// Connects to a host by TCP and TLS, and calls a protocol for the connection. `connection_made` is called after the
/// handshake, before this returns.
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// The errors of [`TcpStream::connect`] and of [`TlsConnector::connect`].
///
/// # Panics
///
/// Outside of any task.
#[doc(alias = "create_connection")]
#[track_caller]
pub fn create_tls_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    connector: &TlsConnector,
    host: &str,
    port: u16,
) -> impl Future<Output = io::Result<Transport>> {
    let place = Place::caller();
    async move {
        let stream = TcpStream::connect_at((host, port), place).await?;
        let stream = connector.connect(host, stream).await?;
        stream.into_transport(factory())
    }
}
