//! Connections with buffers.

use std::io;

use asyncio_reactor::Place;

use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::address::ToSocketAddrs;
use crate::stream::split::{OwnedReadHalf, OwnedWriteHalf};
use crate::tcp::stream::TcpStream;
#[cfg(unix)]
use crate::unix::stream::UnixStream;

macro_rules! into_buffered {
    ($Stream:ident) => {
        impl $Stream {
            /// A reader and a writer with buffers for this connection.
            pub fn into_buffered(
                self,
            ) -> (
                StreamReader<OwnedReadHalf<Self>>,
                StreamWriter<OwnedWriteHalf<Self>>,
            ) {
                let (read, write) = self.into_split();
                (StreamReader::new(read), StreamWriter::new(write))
            }
        }
    };
}

into_buffered!(TcpStream);
#[cfg(unix)]
into_buffered!(UnixStream);

/// Connects as [`TcpStream::connect`] does, and gives a reader and a writer with buffers.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{TcpListener, open_connection};
///
/// # asyncio_loop::run(async {
/// # let listener = TcpListener::bind("localhost:0").await?;
/// # let address = listener.local_addr()?;
/// # let server = async {
/// #     let (mut reader, writer) = listener.accept().await?.0.into_buffered();
/// #     writer.write(reader.readline().await?);
/// #     std::io::Result::Ok(writer)
/// # };
/// # let client = async {
/// let (mut reader, writer) = open_connection(address).await?;
/// writer.write("hello\n");
/// writer.drain().await?;
/// assert_eq!(reader.readline().await?, b"hello\n");
/// writer.close();
/// writer.wait_closed().await
/// # };
/// # futures::try_join!(server, client)?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Cancellation
///
/// Closes the sockets of all attempts.
///
/// # Errors
///
/// The errors of [`TcpStream::connect`].
#[track_caller]
pub fn open_connection(
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<(StreamReader, StreamWriter)>> {
    let place = Place::caller();
    async move { Ok(TcpStream::connect_at(to, place).await?.into_buffered()) }
}
