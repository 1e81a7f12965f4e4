//! Transports over TLS, and the upgrade of a transport.

use std::any::Any;
use std::future::Future;
use std::io;
use std::task::Poll;

use futures_io::{AsyncRead, AsyncWrite};

use super::acceptor::TlsAcceptor;
use super::connector::TlsConnector;
use super::stream::TlsStream;
use crate::tcp::stream::TcpStream;
use crate::transport::hold::Hold;
use crate::transport::kind::Kind;
use crate::transport::stream::{AnyProtocol, Setup, Transport, Wire};

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> TlsStream<S> {
    /// A transport over this connection, as [`Transport::new`] makes it. Closing it sends `close_notify`. If that takes
    /// longer than the [limit](TlsConnector::shutdown_timeout), the connection is lost with `TimedOut`.
    ///
    /// # Errors
    ///
    /// No loop runs on this thread.
    pub fn into_transport(self, protocol: impl AnyProtocol) -> io::Result<Transport> {
        self.into_transport_with(protocol, None)
    }

    pub(super) fn into_transport_with(
        self,
        protocol: impl AnyProtocol,
        guest: Option<Box<dyn Any>>,
    ) -> io::Result<Transport> {
        let setup = Setup {
            close_limit: Some(self.shutdown_timeout()),
            guest,
            kind: const { &kind(tcp_below::<S>) },
        };
        Transport::set_up(self, protocol, setup)
    }
}

/// The kind of a TLS stream.
const fn kind(find_tcp: fn(&dyn Any) -> Option<&TcpStream>) -> Kind {
    Kind {
        find_tcp,
        poll_readable: |_, _| Poll::Ready(Ok(())),
        keeps_bytes: true,
    }
}

/// The TCP stream below a TLS stream.
fn tcp_below<S: Any>(stream: &dyn Any) -> Option<&TcpStream> {
    let below: &dyn Any = stream.downcast_ref::<TlsStream<S>>()?.get_ref();
    below.downcast_ref()
}

/// The TCP stream below a TLS stream that came of an upgrade.
fn tcp_below_upgraded(stream: &dyn Any) -> Option<&TcpStream> {
    let below = stream.downcast_ref::<TlsStream<Box<dyn Wire>>>()?.get_ref();
    let below: &dyn Any = &**below;
    below.downcast_ref()
}

impl Transport {
    /// Continues the connection in TLS, as its client: asyncio's `loop.start_tls`. Bytes that were written before are
    /// sent in plain text first. From this call on nothing is received in plain text, and all written bytes are
    /// encrypted.
    ///
    /// The protocol stays. `connection_made` is not called again. A callback spawns the upgrade, and detaches it:
    /// `spawn(transport.start_tls(&connector, name)).detach()`.
    ///
    /// # Cancellation
    ///
    /// Ends the connection, since the peer may be in the middle of the handshake.
    ///
    /// # Errors
    ///
    /// The errors of [`TlsConnector::connect`], which also end the connection. `NotConnected` if the transport is
    /// closing, or in another upgrade.
    ///
    /// # Panics
    ///
    /// When polled outside of any task.
    pub fn start_tls(
        &self,
        connector: &TlsConnector,
        name: &str,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let hold = self.hold(true);
        let (connector, name) = (connector.clone(), name.to_owned());
        async move {
            let handshake = async |wire| connector.connect(&name, wire).await;
            upgrade_with(hold?, handshake).await
        }
    }

    /// Continues the connection in TLS, as its server. See [`start_tls`](Self::start_tls).
    ///
    /// # Cancellation
    ///
    /// Ends the connection.
    ///
    /// # Errors
    ///
    /// The errors of [`TlsAcceptor::accept`], which also end the connection. `NotConnected` if the transport is
    /// closing, or in another upgrade.
    ///
    /// # Panics
    ///
    /// When polled outside of any task.
    pub fn accept_tls(
        &self,
        acceptor: &TlsAcceptor,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let hold = self.hold(true);
        let acceptor = acceptor.clone();
        async move { upgrade_with(hold?, async |wire| acceptor.accept(wire).await).await }
    }
}

async fn upgrade_with(
    mut hold: Hold,
    handshake: impl AsyncFnOnce(Box<dyn Wire>) -> io::Result<TlsStream<Box<dyn Wire>>>,
) -> io::Result<()> {
    hold.wait().await?;
    let handshake = handshake(hold.take_wire());
    // A connection that is aborted meanwhile ends at once, not with the handshake.
    match hold.transport().unless_lost(handshake).await {
        Ok(stream) => {
            let limit = stream.shutdown_timeout();
            hold.put_back(Box::new(stream), limit, &const { kind(tcp_below_upgraded) });
            Ok(())
        }
        Err(error) => Err(hold.fail(error)),
    }
}
