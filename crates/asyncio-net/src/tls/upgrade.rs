//! The upgrade of a plain connection, with its reader and its writer, to TLS.

use std::io;

use futures_io::{AsyncRead, AsyncWrite};

use super::acceptor::TlsAcceptor;
use super::connector::TlsConnector;
use super::stream::{TlsHalf, TlsStream};
use crate::buffered::reader::StreamReader;
use crate::buffered::writer::StreamWriter;
use crate::stream::ByteStream;
use crate::stream::split::{OwnedReadHalf, OwnedWriteHalf};

/// The reader and the writer of a plain connection.
type Reader<S> = StreamReader<OwnedReadHalf<S>>;
type Writer<S> = StreamWriter<OwnedWriteHalf<S>>;

impl TlsConnector {
    /// Continues a connection in TLS, as its client: asyncio's `writer.start_tls`. Bytes that were written before are
    /// sent in plain text first. Bytes that the reader has received beyond that belong to the handshake.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_net as net; }
    /// use asyncio::net::{StreamReader, StreamWriter, open_connection, tls::TlsConnector};
    ///
    /// async fn send_mail(connector: &TlsConnector) -> std::io::Result<()> {
    ///     let (mut reader, writer) = open_connection("mail.example.org:587").await?;
    ///     reader.readline().await?; // the greeting
    ///     writer.write("STARTTLS\r\n");
    ///     reader.readline().await?; // 220
    ///     let (mut reader, writer) =
    ///         connector.start_tls("mail.example.org", reader, writer).await?;
    ///     writer.write("EHLO me\r\n"); // encrypted
    ///     reader.readline().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// The errors of [`connect`](Self::connect) and of [`StreamWriter::into_inner`]. `InvalidInput` if the reader and
    /// the writer are of two connections. `NotConnected` if a server [aborts](crate::Server::abort_clients) the
    /// connection meanwhile.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn start_tls<S>(
        &self,
        name: &str,
        reader: Reader<S>,
        writer: Writer<S>,
    ) -> io::Result<(StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)>
    where
        S: ByteStream + AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async |stream, first| self.connect_after(name, stream, first).await;
        upgrade(reader, writer, handshake).await
    }
}

impl TlsAcceptor {
    /// Continues a connection in TLS, as its server. See [`TlsConnector::start_tls`].
    ///
    /// In the handler of a [`Server`](crate::Server), the server goes on to count the connection, and can abort it.
    ///
    /// # Cancellation
    ///
    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// The errors of [`accept`](Self::accept) and of [`StreamWriter::into_inner`]. `InvalidInput` if the reader and the
    /// writer are of two connections. `NotConnected` if a server [aborts](crate::Server::abort_clients) the connection
    /// meanwhile.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn start_tls<S>(
        &self,
        reader: Reader<S>,
        writer: Writer<S>,
    ) -> io::Result<(StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)>
    where
        S: ByteStream + AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = async |stream, first| self.accept_after(stream, first).await;
        upgrade(reader, writer, handshake).await
    }
}

/// Replaces the stream of a reader and a writer by the one that a handshake gives. The handshake has the bytes that the
/// reader has received. If a server aborts the connection meanwhile, the handshake ends at once.
async fn upgrade<S>(
    reader: Reader<S>,
    writer: Writer<S>,
    handshake: impl AsyncFnOnce(S, Vec<u8>) -> io::Result<TlsStream<S>>,
) -> io::Result<(StreamReader<TlsHalf<S>>, StreamWriter<TlsHalf<S>>)>
where
    S: ByteStream + AsyncRead + AsyncWrite + Unpin,
{
    let limit = reader.limit();
    let (write, taken) = writer.take_sink().await?;
    let (read, first) = reader.into_parts();
    let stream = read.reunite(write).map_err(|_two| {
        let message = "the reader and the writer are of two connections";
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let stream = taken.unless_aborted(handshake(stream, first)).await?;
    let (reader, writer) = stream.into_buffered_with(limit);
    taken.continue_in(&writer);
    Ok((reader, writer))
}
