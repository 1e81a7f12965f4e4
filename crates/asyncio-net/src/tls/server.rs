//! Servers over TLS.

use std::io;
use std::rc::Rc;

use asyncio_loop::Outcome;
use asyncio_reactor::Place;
use futures_io::{AsyncRead, AsyncWrite};

use super::acceptor::TlsAcceptor;
use super::stream::{TlsHalf, TlsStream};
use crate::address::{ToSocketAddrs, resolve};
use crate::buffered::reader::StreamReader;
use crate::buffered::writer::StreamWriter;
use crate::server::{Listener, Served, Server, ServerBuilder, bind_all, made_by};
use crate::tcp::stream::TcpStream;
use crate::transport::stream::AnyProtocol;

/// A connection that a listener has accepted.
type Accepted<L> = <L as Listener>::Stream;

/// Serves as [`start_server`](crate::start_server) does, over TLS. The handler is called after the handshake.
///
/// A client whose handshake fails is dropped without a report, because any client can cause that.
///
/// # Errors
///
/// The errors of [`start_server`](crate::start_server).
#[doc(alias = "start_server")]
#[track_caller]
pub fn start_tls_server<H, R>(
    acceptor: TlsAcceptor,
    handler: H,
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader<TlsHalf<TcpStream>>, StreamWriter<TlsHalf<TcpStream>>) -> R + 'static,
    R: Outcome + 'static,
{
    let place = Place::caller();
    async move {
        let listeners = bind_all(resolve(&to).await?, place)?;
        Ok(Server::builder().start_tls(acceptor, handler, listeners))
    }
}

/// Serves as [`create_server`](crate::create_server) does, over TLS. The protocol is made after the handshake.
///
/// A client whose handshake fails is dropped without a report, because any client can cause that.
///
/// # Errors
///
/// The errors of [`start_server`](crate::start_server).
#[doc(alias = "create_server")]
#[track_caller]
pub fn create_tls_server<P: AnyProtocol>(
    acceptor: TlsAcceptor,
    factory: impl Fn() -> P + 'static,
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Server>> {
    let place = Place::caller();
    async move {
        let listeners = bind_all(resolve(&to).await?, place)?;
        Ok(Server::builder().start_tls_protocols(acceptor, factory, listeners))
    }
}

impl ServerBuilder {
    /// Serves the connections of these listeners, as [`start_tls_server`] does.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub fn start_tls<L, H, R>(
        self,
        acceptor: TlsAcceptor,
        handler: H,
        listeners: impl IntoIterator<Item = L>,
    ) -> Server
    where
        L: Listener<Stream: AsyncRead + AsyncWrite + Unpin>,
        H: AsyncFn(StreamReader<TlsHalf<Accepted<L>>>, StreamWriter<TlsHalf<Accepted<L>>>) -> R
            + 'static,
        R: Outcome + 'static,
    {
        let handler = Rc::new(handler);
        let limit = self.limit_of_readers();
        self.start_shaking_hands(acceptor, listeners, move |stream, served| {
            let (reader, writer) = stream.into_buffered_with(limit);
            let handler = handler.clone();
            served.handle(writer, async move |writer| handler(reader, writer).await);
        })
    }

    /// Serves the connections of these listeners, as [`create_tls_server`] does.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub fn start_tls_protocols<L, P>(
        self,
        acceptor: TlsAcceptor,
        factory: impl Fn() -> P + 'static,
        listeners: impl IntoIterator<Item = L>,
    ) -> Server
    where
        L: Listener<Stream: AsyncRead + AsyncWrite + Unpin>,
        P: AnyProtocol,
    {
        self.start_shaking_hands(acceptor, listeners, move |stream, served| {
            if let Some(protocol) = made_by(&factory) {
                served.connect(|guest| stream.into_transport_with(protocol, Some(guest)));
            }
        })
    }

    /// Calls `serve` after the handshake of each connection.
    fn start_shaking_hands<L>(
        self,
        acceptor: TlsAcceptor,
        listeners: impl IntoIterator<Item = L>,
        serve: impl Fn(TlsStream<Accepted<L>>, Served) + 'static,
    ) -> Server
    where
        L: Listener<Stream: AsyncRead + AsyncWrite + Unpin>,
    {
        let shared = Rc::new((acceptor, serve));
        self.start_with(listeners, move |stream, served| {
            let shared = shared.clone();
            let handshake = {
                let shared = shared.clone();
                async move { shared.0.accept(stream).await.ok() }
            };
            served.wait(handshake, move |stream, served| shared.1(stream, served));
        })
    }
}
