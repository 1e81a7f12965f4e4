//! Sockets for the asyncio event loop: TCP, UDP, Unix sockets, servers and clients on top of them, and [`AsyncFd`] for
//! the descriptors of other libraries.
//!
//! ```
//! # mod asyncio { pub use asyncio_loop::*; pub use asyncio_net as net; }
//! use asyncio::net::{TcpListener, TcpStream};
//!
//! # fn main() -> std::io::Result<()> {
//! # asyncio_loop::run(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//!
//! let server = asyncio::spawn(async move {
//!     let (stream, _peer) = listener.accept().await?;
//!     let mut buf = [0; 1024];
//!     let n = stream.read(&mut buf).await?;
//!     stream.write_all(&buf[..n]).await
//! });
//!
//! let stream = TcpStream::connect(address).await?;
//! stream.write_all(b"hello").await?;
//! let mut answer = [0; 5];
//! stream.read_exact(&mut answer).await?;
//! assert_eq!(&answer, b"hello");
//! server.await.expect("the server did not panic")
//! # })
//! # }
//! ```
//!
//! # What is always true
//!
//! - A socket belongs to the loop on which it was created. While that loop does not run, an
//!   operation that has to wait is an error; it never hangs.
//! - Every operation is tried before it waits. The wait itself makes no system call.
//! - A task whose sockets are always ready yields to other tasks after 64 operations, whichever
//!   methods it uses. The `try_` methods cannot wait: after a thousand reads they return
//!   `WouldBlock` until other tasks have run.
//! - A cancelled operation has done nothing, unless its documentation says otherwise.
//! - No byte is read ahead: unread bytes stay in the socket, for the next owner of the descriptor.

mod accept;
mod address;
#[cfg(unix)]
mod async_fd;
mod buffered;
mod connections;
mod copy;
mod dns;
mod failure;
mod memory;
mod register;
mod send_file;
mod send_queue;
mod server;
mod stream;
mod tcp;
#[cfg(feature = "rustls")]
pub mod tls;
#[cfg(feature = "tokio-io")]
mod tokio_io;
mod transport;
mod udp;
mod udp_batch;
#[cfg(unix)]
mod unix;
mod waker_list;

pub use address::ToSocketAddrs;
#[cfg(unix)]
pub use async_fd::AsyncFd;
pub use asyncio_reactor::{Direction, Interest};
pub use buffered::error::{IncompleteRead, LimitOverrun, ReadError};
pub use buffered::open::open_connection;
pub use buffered::reader::StreamReader;
pub use buffered::separator::Separator;
pub use buffered::writer::StreamWriter;
pub use connections::{Connection, Connections, Listening};
pub use copy::{copy, copy_bidirectional};
pub use dns::{getaddrinfo, getnameinfo};
pub use memory::{MemoryStream, memory_pair};
pub use send_file::{FileSink, sendfile};
pub use server::{Listener, Server, ServerBuilder, create_server, serve, start_server};
#[cfg(unix)]
pub use server::{create_unix_server, start_unix_server};
pub use stream::ByteStream;
pub use stream::split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use tcp::listener::TcpListener;
pub use tcp::shared::shared_listeners;
pub use tcp::socket::TcpSocket;

pub use tcp::stream::TcpStream;
pub use transport::create::create_connection;
#[cfg(unix)]
pub use transport::create::create_unix_connection;
pub use transport::datagram::{
    DatagramProtocol, DatagramSocket, DatagramTransport, create_datagram_endpoint,
};
pub use transport::protocol::{Buffered, BufferedProtocol, Protocol};
pub use transport::stream::{AnyProtocol, Transport};
pub use udp::UdpSocket;
pub use udp_batch::{UdpBatch, UdpBatchSocket};
#[cfg(unix)]
pub use unix::datagram::UnixDatagram;
#[cfg(unix)]
pub use unix::descriptors::Received;
#[cfg(unix)]
pub use unix::listener::UnixListener;
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub use unix::seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use unix::stream::PeerCred;
#[cfg(unix)]
pub use unix::stream::UnixStream;

/// Compiles and runs the program of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
