//! Protocols: the callbacks of a connection.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::task::{Poll, ready};

use super::stream::sealed::{Callbacks, ReadInto};
use super::stream::{AnyProtocol, Transport};

/// The maximum number of bytes of one [`data_received`](Protocol::data_received).
const SCRATCH: usize = 64 * 1024;

/// The callbacks of a connection: asyncio's `Protocol`.
///
/// The loop calls them on its thread, one at a time. Each receives the [`Transport`], and may call any of its methods.
/// [`create_connection`](crate::create_connection) and [`create_server`](crate::create_server) connect a protocol to a
/// transport.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{Protocol, Transport, create_connection, create_server};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// #[derive(Default)]
/// struct Client {
///     received: Vec<u8>,
/// }
///
/// impl Protocol for Client {
///     fn connection_made(&mut self, transport: &Transport) {
///         transport.write("hello");
///     }
///
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         self.received.extend(data);
///         if self.received == b"hello" {
///             transport.close();
///         }
///     }
/// }
///
/// # asyncio_loop::run(async {
/// let server = create_server(|| Echo, "127.0.0.1:0").await?;
/// let transport = create_connection(Client::default, server.addresses()).await?;
/// transport.wait_closed().await?;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// The order is: one `connection_made`, any number of the others, one `connection_lost`. `pause_writing` and
/// `resume_writing` alternate.
///
/// A panic of a callback ends its connection, and no other. The loop's exception handler receives it, and
/// `connection_lost` is called with an error.
///
/// A callback that causes another one is not interrupted: the other one runs after it. So a [`write`](Transport::write)
/// in `data_received` that fills the buffer has `pause_writing` called after `data_received`. Outside of callbacks,
/// `pause_writing` is called before `write` returns.
pub trait Protocol: Any {
    /// The connection is made. Nothing was received yet.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Bytes were received. Their division into calls is not that of the sender.
    fn data_received(&mut self, transport: &Transport, data: &[u8]);

    /// The peer sends nothing more. With `true` the transport stays open for writing. With `false`, the default, it is
    /// [closed](Transport::close).
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// The connection is lost, and this is the last call. There is no error if the transport was closed or aborted, or
    /// if the peer has ended the connection in order.
    fn connection_lost(&mut self, transport: &Transport, error: Option<&io::Error>) {
        let _ = (transport, error);
    }

    /// More bytes wait to be sent than the [high water mark](Transport::set_write_buffer_limits).
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// No more bytes wait to be sent than the low water mark.
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }
}

/// A [`Protocol`] that gives the buffer for received bytes: asyncio's `BufferedProtocol`. Bytes are received without a
/// copy.
///
/// Wrap it in [`Buffered`]: `create_connection(|| Buffered(protocol), address)`.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{Buffered, BufferedProtocol, Transport, create_connection, create_server};
///
/// struct Echo([u8; 4096]);
///
/// impl BufferedProtocol for Echo {
///     fn get_buffer(&mut self, _wanted: usize) -> &mut [u8] {
///         &mut self.0
///     }
///
///     fn buffer_updated(&mut self, transport: &Transport, n: usize) {
///         transport.write(&self.0[..n]);
///     }
/// }
///
/// # asyncio_loop::run(async {
/// let server = create_server(|| Buffered(Echo([0; 4096])), "127.0.0.1:0").await?;
/// # let stream = asyncio_net::TcpStream::connect(server.addresses()).await?;
/// # stream.write_all(b"hello").await?;
/// # let mut buf = [0; 5];
/// # stream.read_exact(&mut buf).await?;
/// # assert_eq!(&buf, b"hello");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub trait BufferedProtocol: Any {
    /// The connection is made. Nothing was received yet.
    fn connection_made(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// The buffer for the next bytes. `wanted` is a recommended size. An empty buffer is an error that ends the
    /// connection.
    ///
    /// It is called before each attempt to read. If there is nothing to read, no `buffer_updated` follows.
    fn get_buffer(&mut self, wanted: usize) -> &mut [u8];

    /// The first `n` bytes of the buffer were received.
    fn buffer_updated(&mut self, transport: &Transport, n: usize);

    /// See [`Protocol::eof_received`].
    fn eof_received(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// See [`Protocol::connection_lost`].
    fn connection_lost(&mut self, transport: &Transport, error: Option<&io::Error>) {
        let _ = (transport, error);
    }

    /// See [`Protocol::pause_writing`].
    fn pause_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// See [`Protocol::resume_writing`].
    fn resume_writing(&mut self, transport: &Transport) {
        let _ = transport;
    }
}

/// A [`BufferedProtocol`], where any protocol is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered<P>(pub P);

impl<P: Protocol> AnyProtocol for P {}
impl<P: BufferedProtocol> AnyProtocol for Buffered<P> {}

thread_local! {
    /// The buffer for received bytes. It is taken while it is used.
    static RECEIVED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends `f` a buffer of `size` bytes.
pub(super) fn with_scratch<R>(size: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    // While a thread ends, there may be none any more.
    let mut buffer = RECEIVED.try_with(Cell::take).unwrap_or_default();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let result = f(&mut buffer[..size]);
    let _ = RECEIVED.try_with(|kept| kept.set(buffer));
    result
}

impl<P: Protocol> Callbacks for P {
    fn made(&mut self, transport: &Transport) {
        self.connection_made(transport);
    }

    fn receive(
        &mut self,
        transport: &Transport,
        read: &mut ReadInto<'_>,
    ) -> Poll<io::Result<usize>> {
        with_scratch(SCRATCH, |buffer| {
            let n = ready!(read(buffer))?;
            if n > 0 {
                self.data_received(transport, &buffer[..n]);
            }
            Poll::Ready(Ok(n))
        })
    }

    fn eof(&mut self, transport: &Transport) -> bool {
        self.eof_received(transport)
    }

    fn lost(&mut self, transport: &Transport, error: Option<&io::Error>) {
        self.connection_lost(transport, error);
    }

    fn pause(&mut self, transport: &Transport) {
        self.pause_writing(transport);
    }

    fn resume(&mut self, transport: &Transport) {
        self.resume_writing(transport);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl<P: BufferedProtocol> Callbacks for Buffered<P> {
    fn made(&mut self, transport: &Transport) {
        self.0.connection_made(transport);
    }

    fn receive(
        &mut self,
        transport: &Transport,
        read: &mut ReadInto<'_>,
    ) -> Poll<io::Result<usize>> {
        let buffer = self.0.get_buffer(SCRATCH);
        if buffer.is_empty() {
            let message = "`get_buffer` must return a buffer of at least 1 byte";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        let n = ready!(read(buffer))?;
        if n > 0 {
            self.0.buffer_updated(transport, n);
        }
        Poll::Ready(Ok(n))
    }

    fn eof(&mut self, transport: &Transport) -> bool {
        self.0.eof_received(transport)
    }

    fn lost(&mut self, transport: &Transport, error: Option<&io::Error>) {
        self.0.connection_lost(transport, error);
    }

    fn pause(&mut self, transport: &Transport) {
        self.0.pause_writing(transport);
    }

    fn resume(&mut self, transport: &Transport) {
        self.0.resume_writing(transport);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}
