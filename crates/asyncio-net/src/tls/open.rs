//! TLS connections to hosts.

use std::io;

use super::connector::TlsConnector;
use super::stream::TlsHalf;
use crate::buffered::reader::StreamReader;
use crate::buffered::writer::StreamWriter;
use crate::tcp::stream::TcpStream;
use crate::transport::stream::{AnyProtocol, Transport};

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
pub async fn open_tls_connection(
    connector: &TlsConnector,
    host: &str,
    port: u16,
) -> io::Result<(
    StreamReader<TlsHalf<TcpStream>>,
    StreamWriter<TlsHalf<TcpStream>>,
)> {
    let stream = TcpStream::connect((host, port)).await?;
    Ok(connector.connect(host, stream).await?.into_buffered())
}

/// Connects to a host by TCP and TLS, and has a protocol called for the connection. `connection_made` is called after
/// the handshake, before this returns.
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
pub async fn create_tls_connection<P: AnyProtocol>(
    factory: impl FnOnce() -> P,
    connector: &TlsConnector,
    host: &str,
    port: u16,
) -> io::Result<Transport> {
    let stream = TcpStream::connect((host, port)).await?;
    connector
        .connect(host, stream)
        .await?
        .into_transport(factory())
}
