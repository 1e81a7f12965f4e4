//! TLS by [rustls]: connections with certificates and encryption, over any stream.
//!
//! [`TlsConnector`] makes the client's side of a connection and [`TlsAcceptor`] the server's. Both are made from a
//! configuration of rustls, which sets versions, cipher suites, client certificates and session resumption. [`rustls`]
//! is re-exported.
//!
//! ```
//! # mod asyncio { pub use asyncio_net as net; pub use asyncio_loop::*; }
//! use asyncio::net::{TcpListener, TcpStream, tls::{TlsAcceptor, TlsConnector, rustls}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A certificate for this example. A real one comes from files: `TlsAcceptor::from_pem`.
//! let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! let mut roots = rustls::RootCertStore::empty();
//! roots.add(made.cert.der().clone())?;
//! let acceptor = TlsAcceptor::from_pem(&made.cert.pem(), &made.signing_key.serialize_pem())?;
//! let connector = TlsConnector::with_roots(roots);
//!
//! asyncio::run(async {
//!     let listener = TcpListener::bind("localhost:0").await?;
//!     let address = listener.local_addr()?;
//!     let server = async {
//!         let stream = acceptor.accept(listener.accept().await?.0).await?;
//!         let (mut reader, writer) = stream.into_buffered();
//!         writer.write(reader.readline().await?);
//!         writer.close();
//!         writer.wait_closed().await
//!     };
//!     let client = async {
//!         let stream = TcpStream::connect(address).await?;
//!         let (mut reader, writer) = connector.connect("localhost", stream).await?.into_buffered();
//!         writer.write("hello\n");
//!         assert_eq!(reader.readline().await?, b"hello\n");
//!         std::io::Result::Ok(())
//!     };
//!     futures::try_join!(server, client)
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! # Providers
//!
//! The ciphers are those of ring, with the feature `tls`. Without it, they are those of graviola (feature `graviola`),
//! which needs no C compiler, or those of the `CryptoProvider` that the program has installed (feature `rustls`). A
//! configuration of rustls that is made with a provider keeps it.
//!
//! # Ends
//!
//! A peer that closes its side in order sends `close_notify`, and a read returns no bytes. If the connection ends
//! without it, an attacker may have cut the stream. A read then fails with
//! [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof).

mod acceptor;
mod connector;
mod handshake;
mod open;
mod server;
mod stream;
mod transport;
mod upgrade;

pub use futures_rustls::rustls;
/// The provider of ciphers that needs no C compiler. It panics on a processor without the instructions that it uses.
#[cfg(feature = "graviola")]
pub use rustls_graviola as graviola;

pub use acceptor::TlsAcceptor;
pub use connector::TlsConnector;
pub use open::{create_tls_connection, open_tls_connection};
pub use server::{create_tls_server, start_tls_server};
pub use stream::{TlsHalf, TlsStream};
