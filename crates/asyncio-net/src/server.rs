//! Servers: accept loops with a task for each connection, and an orderly end.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_executors::{TaskGroup, move_on_after, on_cancel, task_group};
use asyncio_loop::{
    Cause, Outcome, PanicPayload, Task, TaskRef, Unhandled, call_exception_handler, spawn,
};
use asyncio_reactor::Place;
use futures_io::{AsyncRead, AsyncWrite};

use crate::address::{ToSocketAddrs, resolve};
use crate::buffered::guest::{Aborts, Guest};
use crate::buffered::reader::{DEFAULT_LIMIT, StreamReader};
use crate::buffered::writer::StreamWriter;
use crate::connections::{Connection, Connections, Listening};
use crate::stream::ByteStream;
use crate::stream::split::{OwnedReadHalf, OwnedWriteHalf, into_split};
use crate::tcp::listener::TcpListener;
use crate::tcp::stream::TcpStream;
use crate::transport::stream::{AnyProtocol, Transport};
#[cfg(unix)]
use crate::unix::{listener::UnixListener, stream::UnixStream};

/// The time that the last bytes of connections may take when [`Server::serve_forever`] is cancelled, and when [`serve`]
/// ends.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// A listener that a [`Server`] accepts from: a [`TcpListener`] or a `UnixListener`.
pub trait Listener: sealed::Sealed<Stream = <Self as Listener>::Stream> + 'static {
    /// The type of its connections.
    type Stream: ByteStream;
}

/// The reader that a handler of a listener's connections is given.
type Reader<L> = StreamReader<OwnedReadHalf<<L as Listener>::Stream>>;
type Writer<L> = StreamWriter<OwnedWriteHalf<<L as Listener>::Stream>>;

mod sealed {
    use std::io;
    use std::net::SocketAddr;

    pub trait Sealed {
        type Stream;

        fn next(&self) -> impl Future<Output = io::Result<Self::Stream>>;
        fn address(&self) -> Option<SocketAddr>;
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;
}

impl sealed::Sealed for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }

    fn address(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

#[cfg(unix)]
impl Listener for UnixListener {
    type Stream = UnixStream;
}

#[cfg(unix)]
impl sealed::Sealed for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }
}

/// Listens on all addresses of `to`, and calls `handler` for each connection, in a task of its own.
///
/// The connection ends with its handler: when the writer is dropped, the written bytes are sent, and then the
/// connection is closed. The loop's exception handler receives an error that the handler returns, and a panic. Other
/// connections go on.
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{StreamReader, StreamWriter, open_connection, start_server};
///
/// # asyncio_loop::run(async {
/// let echo = async |mut reader: StreamReader, writer: StreamWriter| {
///     loop {
///         let line = reader.readline().await?;
///         if line.is_empty() {
///             return std::io::Result::Ok(());
///         }
///         writer.write(line);
///         writer.drain().await?;
///     }
/// };
/// let server = start_server(echo, "127.0.0.1:0").await?;
///
/// let (mut reader, writer) = open_connection(server.addresses()).await?;
/// writer.write("hello\n");
/// assert_eq!(reader.readline().await?, b"hello\n");
/// drop(writer);
/// server.close();
/// server.wait_closed().await;
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The system's error, with the address. An address that this machine does not have (`AddrNotAvailable`) is skipped if
/// another one can be used. The resolver's error for the name of a host, and an error if no loop runs on this thread.
#[track_caller]
pub fn start_server<H, R>(
    handler: H,
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: Outcome + 'static,
{
    let place = Place::caller();
    async move {
        let listeners = bind_all(resolve(&to).await?, place)?;
        Ok(Server::builder().start(handler, listeners))
    }
}

/// Listens at `path`, as [`UnixListener::bind`] does, and serves as [`start_server`] does.
///
/// # Errors
///
/// The errors of [`UnixListener::bind`].
#[cfg(unix)]
#[track_caller]
pub fn start_unix_server<H, R>(handler: H, path: impl AsRef<std::path::Path>) -> io::Result<Server>
where
    H: AsyncFn(
            StreamReader<OwnedReadHalf<UnixStream>>,
            StreamWriter<OwnedWriteHalf<UnixStream>>,
        ) -> R
        + 'static,
    R: Outcome + 'static,
{
    Ok(Server::builder().start(handler, [UnixListener::bind(path)?]))
}

/// Listens on all addresses of `to`, and makes a protocol for each connection: asyncio's `create_server`.
///
/// A panic of the factory is reported to the loop's exception handler, and closes that connection.
///
/// See [`Protocol`](crate::Protocol) for an example.
///
/// # Errors
///
/// The errors of [`start_server`].
#[track_caller]
pub fn create_server<P: AnyProtocol>(
    factory: impl Fn() -> P + 'static,
    to: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Server>> {
    let place = Place::caller();
    async move {
        let listeners = bind_all(resolve(&to).await?, place)?;
        Ok(Server::builder().start_protocols(factory, listeners))
    }
}

/// Listens at `path`, as [`UnixListener::bind`] does, and serves as [`create_server`] does.
///
/// # Errors
///
/// The errors of [`UnixListener::bind`].
#[cfg(unix)]
#[track_caller]
pub fn create_unix_server<P: AnyProtocol>(
    factory: impl Fn() -> P + 'static,
    path: impl AsRef<std::path::Path>,
) -> io::Result<Server> {
    Ok(Server::builder().start_protocols(factory, [UnixListener::bind(path)?]))
}

pub(crate) fn bind_all(addresses: Vec<SocketAddr>, place: Place) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut missing = None;
    let mut seen = Vec::new();
    for address in addresses {
        if seen.contains(&address) {
            continue;
        }
        seen.push(address);
        match TcpListener::bind_only(address, place) {
            Ok(listener) => listeners.push(listener),
            Err(error) => {
                let named = io::Error::new(error.kind(), format!("{address}: {error}"));
                if error.kind() != io::ErrorKind::AddrNotAvailable {
                    return Err(named);
                }
                missing.get_or_insert(named);
            }
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// Options of a [`Server`], from [`Server::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until a server is started with it"]
pub struct ServerBuilder {
    max_connections: usize,
    reader_limit: usize,
}

impl ServerBuilder {
    /// The number of connections that are served at the same time. There is no limit by default. Others wait in the
    /// system's queue.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn max_connections(mut self, number: usize) -> Self {
        assert!(
            number > 0,
            "a server must serve at least 1 connection at a time"
        );
        self.max_connections = number;
        self
    }

    /// The limit of each [`StreamReader`], in bytes; 64 KiB by default.
    ///
    /// # Panics
    ///
    /// If it is 0.
    pub fn reader_limit(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "the limit of a reader must be at least 1");
        self.reader_limit = bytes;
        self
    }

    /// Serves the connections of these listeners, as [`start_server`] does.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub fn start<L, H, R>(self, handler: H, listeners: impl IntoIterator<Item = L>) -> Server
    where
        L: Listener,
        H: AsyncFn(Reader<L>, Writer<L>) -> R + 'static,
        R: Outcome + 'static,
    {
        let handler = Rc::new(handler);
        let limit = self.reader_limit;
        self.start_with(listeners, move |stream, served| {
            let (read, write) = into_split(stream);
            let reader = StreamReader::with_limit(limit, read);
            let writer = StreamWriter::new(write);
            let handler = handler.clone();
            served.handle(writer, async move |writer| handler(reader, writer).await);
        })
    }

    /// Serves the connections of these listeners with protocols, as [`create_server`] does.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub fn start_protocols<L, P>(
        self,
        factory: impl Fn() -> P + 'static,
        listeners: impl IntoIterator<Item = L>,
    ) -> Server
    where
        L: Listener<Stream: AsyncRead + AsyncWrite + Unpin>,
        P: AnyProtocol,
    {
        self.start_with(listeners, move |stream, served| {
            if let Some(protocol) = made_by(&factory) {
                served.connect(|guest| Transport::with(stream, protocol, Some(guest)));
            }
        })
    }

    /// The limit of each reader.
    #[cfg(feature = "rustls")]
    pub(crate) fn limit_of_readers(&self) -> usize {
        self.reader_limit
    }

    /// Starts the accept loops. `serve` begins the work for a connection, and keeps the value that it is given until
    /// the connection ends.
    pub(crate) fn start_with<L: Listener>(
        self,
        listeners: impl IntoIterator<Item = L>,
        serve: impl Fn(<L as Listener>::Stream, Served) + 'static,
    ) -> Server {
        let serve = Rc::new(serve);
        let shared = Rc::new(Shared {
            options: self,
            accepting: RefCell::default(),
            connections: Connections::new(),
            running: Cell::new(0),
        });
        let mut addresses = Vec::new();
        for listener in listeners {
            addresses.extend(listener.address());
            let listener = shared.connections.listen(listener);
            let accepting = spawn(accept_all(listener, serve.clone(), shared.clone()));
            shared.accepting.borrow_mut().push(accepting);
        }
        Server { shared, addresses }
    }
}

/// The protocol of a factory. None if it panics, which is reported.
pub(crate) fn made_by<P>(factory: &impl Fn() -> P) -> Option<P> {
    match catch_unwind(AssertUnwindSafe(factory)) {
        Ok(protocol) => Some(protocol),
        Err(payload) => {
            let cause = Cause::Panic(PanicPayload::new(payload));
            let message = "the factory of a server's protocols panicked; the connection is closed";
            call_exception_handler(&Unhandled::new(message, None, cause));
            None
        }
    }
}

/// A server that runs, from [`start_server`], [`create_server`] or a [builder](Self::builder).
///
/// ```
/// # mod asyncio { pub use asyncio_net as net; }
/// use asyncio::net::{Server, StreamReader, StreamWriter, TcpListener, open_connection};
/// use std::time::Duration;
///
/// # asyncio_loop::run(async {
/// let greet = async |_: StreamReader, writer: StreamWriter| writer.write("hello\n");
/// let listeners = [TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?];
/// let server = Server::builder().max_connections(100).start(greet, listeners);
///
/// let (mut reader, _writer) = open_connection(server.addresses()[1]).await?;
/// assert_eq!(reader.readline().await?, b"hello\n");
/// assert!(server.shutdown(Duration::from_secs(5)).await); // all handlers have ended in time
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// A dropped server accepts no more connections, and those that are open go on.
pub struct Server {
    shared: Rc<Shared>,
    addresses: Vec<SocketAddr>,
}

struct Shared {
    options: ServerBuilder,
    /// The accept loops. Dropped, they end.
    accepting: RefCell<Vec<Task<()>>>,
    connections: Connections<Rc<dyn Client>>,
    /// The number of handlers that have not ended.
    running: Cell<usize>,
}

/// A connection that the server can end.
trait Client {
    /// See [`Server::close_clients`].
    fn close(&self);
    /// See [`Server::abort_clients`].
    fn abort(&self);
}

/// The handler of a connection, and its writer once there is one.
struct Handled {
    task: TaskRef,
    writer: Rc<CurrentWriter>,
}

/// The writer of a connection. An upgrade to TLS replaces it.
#[derive(Default)]
struct CurrentWriter(Cell<Option<Weak<dyn Aborts>>>);

impl CurrentWriter {
    fn abort(&self) {
        let writer = self.0.take();
        let alive = writer.as_ref().and_then(Weak::upgrade);
        self.0.set(writer);
        if let Some(writer) = alive {
            writer.abort();
        }
    }
}

/// A connection that counts until its writer has closed the stream.
struct Counted<C> {
    _connection: Connection<C>,
    writer: Rc<CurrentWriter>,
}

impl<C> Guest for Counted<C> {
    fn enters(&self, writer: Weak<dyn Aborts>) {
        self.writer.0.set(Some(writer));
    }
}

/// Counts a connection until `writer` has closed its stream.
fn count_until_closed<C: 'static, W: AsyncWrite + Unpin + 'static>(
    connection: Connection<C>,
    writer: &StreamWriter<W>,
) -> Rc<CurrentWriter> {
    let current = Rc::new(CurrentWriter::default());
    writer.keep(Box::new(Counted {
        _connection: connection,
        writer: current.clone(),
    }));
    current
}

impl Client for Handled {
    fn close(&self) {
        // Once: ending the connections again must not interrupt the cleanup that this began.
        self.task.cancel_once();
    }

    fn abort(&self) {
        self.writer.abort();
        self.task.cancel_once();
    }
}

impl Client for Transport {
    fn close(&self) {
        self.close();
    }

    fn abort(&self) {
        self.abort();
    }
}

impl Server {
    /// Options for a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            max_connections: usize::MAX,
            reader_limit: DEFAULT_LIMIT,
        }
    }

    /// The addresses that the server listens on; none on Unix sockets.
    #[must_use]
    #[doc(alias = "sockets")]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The number of open connections. A connection is open while its handler runs or bytes of the handler wait to be
    /// sent.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }

    /// Whether the server accepts connections.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !self.shared.connections.is_closed()
    }

    /// Accepts no more connections, from the loop's next turn on. Open connections go on. Closing twice does nothing.
    pub fn close(&self) {
        self.shared.connections.close();
        let accepting = self.shared.accepting.take();
        drop(accepting);
    }

    /// Cancels the handlers of all connections. The handlers may clean up. Then the written bytes are sent, and the
    /// connections are closed. The transports of a [`create_server`] are [closed](Transport::close). A second call does
    /// not interrupt the cleanups that the first one began.
    pub fn close_clients(&self) {
        for client in self.shared.connections.list() {
            client.close();
        }
    }

    /// Cancels the handlers of all connections, and closes the connections at once. Unsent bytes are dropped. The
    /// transports of a [`create_server`] are [aborted](Transport::abort).
    pub fn abort_clients(&self) {
        for client in self.shared.connections.list() {
            client.abort();
        }
    }

    /// Waits until the server is closed, the last handler has ended, and its written bytes are sent. The addresses are
    /// free then.
    ///
    /// A handler that never ends, or a client that does not read, makes this wait forever: see
    /// [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_closed(&self) {
        self.shared.connections.wait_closed().await;
    }

    /// Closes the server and waits for its connections, for `grace` at most. Then it cancels the handlers that are left
    /// and waits for their cleanups. The bytes that they have written have `grace` once more to be sent; then the
    /// connections are aborted. `true` if none had to be cancelled.
    ///
    /// # Cancellation
    ///
    /// The server stays closed, and its handlers go on.
    ///
    /// # Panics
    ///
    /// When polled outside of any task.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.close();
        let in_time = move_on_after(grace, self.wait_for_clients()).await;
        if in_time.is_none() {
            self.end_clients(grace).await;
        }
        self.wait_closed().await;
        in_time.is_some()
    }

    /// Serves until the server is [closed](Self::close).
    ///
    /// # Cancellation
    ///
    /// Closes the server, cancels its handlers, and waits for their cleanups. So after this, values that the handlers
    /// use may be taken down. The bytes that they have written have 5 seconds to be sent; then the connections are
    /// aborted.
    pub async fn serve_forever(&self) {
        let connections = &self.shared.connections;
        let served = connections.wait_until(|| connections.is_closed());
        on_cancel(served, async {
            self.close();
            self.end_clients(LAST_BYTES).await;
            self.wait_closed().await;
        })
        .await;
    }

    /// Waits until no connection is left.
    async fn wait_for_clients(&self) {
        let connections = &self.shared.connections;
        connections.wait_until(|| connections.is_empty()).await;
    }

    /// Cancels the handlers, waits for them, and then for `limit` at most for what they have written.
    async fn end_clients(&self, limit: Duration) {
        self.close_clients();
        let Shared {
            connections,
            running,
            ..
        } = &*self.shared;
        connections.wait_until(|| running.get() == 0).await;
        if move_on_after(limit, self.wait_for_clients())
            .await
            .is_none()
        {
            self.abort_clients();
            self.wait_for_clients().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("connections", &self.connections())
            .field("serving", &self.is_serving())
            .finish()
    }
}

impl Shared {
    fn begin(self: &Rc<Self>) -> Served {
        Served {
            connection: self.connections.begin(),
            shared: self.clone(),
        }
    }

    async fn wait_for_room(&self) {
        let most = self.options.max_connections;
        self.connections.wait_for_room(most).await;
    }
}

/// Accepts until it is cancelled or the listener fails.
async fn accept_all<L: Listener>(
    listener: Listening<L, Rc<dyn Client>>,
    serve: Rc<impl Fn(<L as Listener>::Stream, Served)>,
    shared: Rc<Shared>,
) {
    loop {
        shared.wait_for_room().await;
        let stream = match listener.next().await {
            Ok(stream) => stream,
            Err(error) => return report_listener(&error),
        };
        // Another listener may have taken the room meanwhile.
        shared.wait_for_room().await;
        serve(stream, shared.begin());
    }
}

fn report_listener(error: &io::Error) {
    let cause = Cause::Error(error.to_string());
    let message = "a server's listener has failed; it accepts no more connections";
    call_exception_handler(&Unhandled::new(message, None, cause));
}

/// A connection of a server.
pub(crate) struct Served {
    connection: Connection<Rc<dyn Client>>,
    shared: Rc<Shared>,
}

impl Served {
    /// Runs the handler of the connection in a task of its own. The connection ends with the handler, and when what was
    /// written is sent.
    pub(crate) fn handle<W: AsyncWrite + Unpin + 'static, R: Outcome + 'static>(
        self,
        writer: StreamWriter<W>,
        handler: impl AsyncFnOnce(StreamWriter<W>) -> R + 'static,
    ) {
        let current = count_until_closed(self.connection.clone(), &writer);
        self.run(current, async move |_| handler(writer).await);
    }

    /// Leaves the connection to a transport, which keeps the value that it is given.
    pub(crate) fn connect(self, make: impl FnOnce(Box<dyn Any>) -> io::Result<Transport>) {
        // Without a loop there is no transport, and the connection is closed.
        if let Ok(transport) = make(Box::new(self.connection.clone())) {
            self.connection.set(Rc::new(transport));
        }
    }

    /// Waits for a part of the connection, such as a handshake, and goes on with `then`.
    #[cfg(feature = "rustls")]
    pub(crate) fn wait<T: 'static>(
        self,
        waiting: impl Future<Output = Option<T>> + 'static,
        then: impl FnOnce(T, Self) + 'static,
    ) {
        self.run(Rc::default(), async move |served| {
            if let Some(value) = waiting.await {
                then(value, served);
            }
        });
    }

    fn run<R: Outcome + 'static>(
        self,
        writer: Rc<CurrentWriter>,
        run: impl AsyncFnOnce(Self) -> R + 'static,
    ) {
        let connection = self.connection.clone();
        let running = Running::new(self.shared.clone());
        let task = spawn(async move {
            let _running = running;
            run(self).await
        });
        let client = Handled {
            task: task.as_ref(),
            writer,
        };
        connection.set(Rc::new(client));
        task.detach();
    }
}

/// A handler that has not ended.
struct Running(Rc<Shared>);

impl Running {
    fn new(shared: Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Self(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.connections.wake_all();
    }
}

/// Accepts connections from a listener, and calls `handler` for each. The handlers are children of this future: they
/// may borrow from the enclosing code, and none outlives the future.
///
/// ```
/// # mod asyncio { pub use asyncio_executors::*; pub use asyncio_net as net; }
/// use asyncio::net::{StreamReader, StreamWriter, TcpListener, open_connection, serve};
/// use asyncio::race;
/// use std::cell::Cell;
///
/// # asyncio_loop::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let greeted = Cell::new(0);
/// let greet = async |_: StreamReader, writer: StreamWriter| {
///     greeted.set(greeted.get() + 1); // borrowed
///     writer.write("hello\n");
/// };
/// let visit = async {
///     let (mut reader, _writer) = open_connection(address).await?;
///     assert_eq!(reader.readline().await?, b"hello\n");
///     std::io::Result::Ok(())
/// };
/// race((async { Err(serve(&listener, greet).await) }, visit)).await?;
/// assert_eq!(greeted.get(), 1);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// The loop's exception handler receives a panic of a handler. Other connections go on.
///
/// # Cancellation
///
/// Cancels all handlers, and waits for their cleanups. Then it waits until what they have written is sent, for 5
/// seconds at most; after that the connections are aborted.
///
/// # Errors
///
/// Returns only when the listener fails, with the listener's error. The handlers and their last bytes end first, as
/// when cancelled.
///
/// # Panics
///
/// When polled outside of any task.
pub async fn serve<L, H>(listener: &L, handler: H) -> io::Error
where
    L: Listener,
    H: AsyncFn(Reader<L>, Writer<L>),
{
    let handler = &handler;
    let connections = Connections::new();
    let served = task_group(async |tg: TaskGroup<'_, Infallible>| {
        loop {
            let (read, write) = match listener.next().await {
                Ok(stream) => into_split(stream),
                Err(error) => return Ok(error),
            };
            let (reader, writer) = (StreamReader::new(read), StreamWriter::new(write));
            let connection = connections.begin();
            connection.set(count_until_closed(connection.clone(), &writer));
            tg.spawn(async move {
                reporting_panics(handler(reader, writer)).await;
                Ok(())
            });
        }
    });
    match on_cancel(served, last_bytes(&connections)).await {
        Ok(error) => {
            last_bytes(&connections).await;
            error
        }
        Err(never) => match never.into_first() {},
    }
}

/// Waits until the connections are closed, and aborts those that take too long.
async fn last_bytes(connections: &Connections<Rc<CurrentWriter>>) {
    let closed = connections.wait_until(|| connections.is_empty());
    if move_on_after(LAST_BYTES, closed).await.is_none() {
        connections.list().iter().for_each(|writer| writer.abort());
    }
}

/// Runs a handler, and reports its panic.
async fn reporting_panics(handler: impl Future<Output = ()>) {
    let mut handler = pin!(handler);
    poll_fn(|cx: &mut Context<'_>| {
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                let cause = Cause::Panic(PanicPayload::new(payload));
                let message = "the handler of a connection panicked";
                call_exception_handler(&Unhandled::new(message, None, cause));
                Poll::Ready(())
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::memory_pair;
    use asyncio_loop::{EventLoop, time};

    #[test]
    fn last_bytes_that_nobody_takes_are_dropped_in_the_end() {
        let builder = EventLoop::builder().virtual_time(true);
        let waiting = async {
            let (ours, theirs) = memory_pair(16);
            let connections = Connections::new();
            let writer = StreamWriter::new(ours);
            let connection = connections.begin();
            connection.set(count_until_closed(connection.clone(), &writer));
            drop(connection);
            writer.write([7; 100]);
            drop(writer);
            let start = time();
            last_bytes(&connections).await;
            assert_eq!(time() - start, LAST_BYTES);
            assert!(connections.is_empty());
            drop(theirs);
        };
        let mut event_loop = builder.build_loop().unwrap();
        event_loop.run_until_complete(waiting).unwrap();
    }
}
