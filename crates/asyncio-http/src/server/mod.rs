//! Servers: accept loops with a task for each connection, limits, and an orderly end.

pub(crate) mod answer;
pub(crate) mod connection;
mod drive;
mod options;
mod pace;
mod panics;
mod server_io;
mod shared;
#[cfg(feature = "http2")]
mod streams;
mod sweeper;
mod ticks;
pub(crate) mod upgrade;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{move_on_after, on_cancel};
use asyncio_loop::{Cause, Unhandled, call_exception_handler, spawn};
use asyncio_net::{Connections, Listening};

use self::connection::Connection;
pub use self::options::ServerBuilder;
use self::shared::{Open, Shared};
use self::ticks::Ticks;
pub use self::upgrade::{Upgraded, closing, upgrade};
use crate::hyper_io::Scratch;
use crate::listener::{Listener, Peer};
use crate::service::{Answers, Service};

/// Serves HTTP/1 and, with the feature `http2`, HTTP/2, until it is cancelled or the listener fails.
///
/// ```
/// use asyncio::http::{Request, serve};
/// use asyncio::net::TcpListener;
///
/// # asyncio::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// # let main = asyncio::spawn(async move {
/// serve(listener, async |request: Request| format!("you asked for {}\n", request.uri().path())).await
/// # });
/// # let session = asyncio::http::Session::new();
/// # let response = session.get(format!("http://{address}/tea")).send().await?;
/// # assert_eq!(response.text().await?, "you asked for /tea\n");
/// # main.cancel();
/// # Ok::<(), asyncio::BoxError>(())
/// # }).unwrap();
/// ```
///
/// [`Server`] has limits, time limits and a handle.
///
/// # Cancellation
///
/// Stops in order: [`Server::shutdown`] with the [grace](ServerBuilder::grace) of the builder, 10 seconds. So Ctrl-C,
/// which cancels `main`, lets the requests under way come to their end.
///
/// # Errors
///
/// The error of the listener. The connections end first, as when cancelled.
///
/// # Panics
///
/// Outside of any task.
pub async fn serve<L: Listener, S: Service<M>, M>(listener: L, service: S) -> io::Result<()> {
    Server::builder()
        .start(service, [listener])
        .serve_forever()
        .await
}

/// An HTTP server that runs. [`ServerBuilder::start`] starts one.
///
/// ```
/// use std::time::Duration;
/// use asyncio::http::{Request, Server, Session};
/// use asyncio::net::TcpListener;
///
/// # asyncio::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let server = Server::builder()
///     .max_connections(1_000)
///     .keep_alive_timeout(Duration::from_secs(30))
///     .start(async |_: Request| "hello", [listener]);
///
/// let page = format!("http://{}/", server.addresses()[0]);
/// assert_eq!(Session::new().get(page).send().await?.text().await?, "hello");
/// assert!(server.shutdown(Duration::from_secs(5)).await);
/// # Ok::<(), asyncio::BoxError>(())
/// # }).unwrap();
/// ```
///
/// # Bad clients
///
/// Nothing that a client sends ends more than its own connection. The answers to bad requests:
///
/// | request | answer |
/// |---|---|
/// | no HTTP, or ambiguous lengths | 400 |
/// | HTTP/1.1 without a host, or with two | 400 |
/// | a head that does not come [in time](ServerBuilder::header_timeout) | 408 |
/// | a body that is announced larger than the [limit](ServerBuilder::max_body) | 413 |
/// | a head larger than the [limit](ServerBuilder::max_head), or with more than 100 headers | 431 |
///
/// A client that sends a body or takes an answer too slowly is cut off. A connection's error goes to
/// [`on_error`](ServerBuilder::on_error).
///
/// # Handlers
///
/// The handlers of an HTTP/1 connection run one after the other in the task of the connection. Each HTTP/2 request has
/// a task of its own. When a client disconnects, the handler of its request is dropped where it waits, without
/// asynchronous cleanups. Work that has to be finished belongs in a task of its own. If a handler panics, the loop's
/// exception handler gets a report, the client gets status 500, and an HTTP/1 connection ends. The same happens if the
/// header `Content-Length` of a response is not the length of its body.
///
/// # Drops
///
/// A dropped server accepts no more connections, and those that are open go on.
pub struct Server {
    shared: Rc<Shared>,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// Options for a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The addresses that the server listens on; none on Unix sockets.
    #[must_use]
    #[doc(alias = "sockets")]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The number of connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.len()
    }

    /// Whether the server accepts connections.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !self.shared.connections.is_closed()
    }

    /// Accepts no more connections, and lets each connection end after the request under way. Idle ones end at once.
    /// Closing twice does nothing.
    pub fn close(&self) {
        self.shared.close();
        for open in self.shared.connections.list() {
            open.connection.stop.set();
        }
    }

    /// Cancels all connections with their handlers. The handlers may clean up.
    pub fn close_clients(&self) {
        for open in self.shared.connections.list() {
            open.task.cancel();
        }
    }

    /// Waits until the server is closed and the last connection has ended. Its addresses are free then.
    ///
    /// A handler that never ends makes this wait forever: see [`shutdown`](Self::shutdown).
    ///
    /// # Cancellation
    ///
    /// Loses nothing.
    pub async fn wait_closed(&self) {
        self.shared.connections.wait_closed().await;
    }

    /// Closes the server and waits for the requests under way, for `grace` at most. Then it cancels the connections
    /// that are left, and waits for their cleanups. `true` if none had to be cancelled.
    ///
    /// # Cancellation
    ///
    /// The server stays closed, and the requests under way go on.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        self.close();
        let connections = &self.shared.connections;
        let ended = connections.wait_until(|| connections.is_empty());
        let in_time = move_on_after(grace, ended).await;
        if in_time.is_none() {
            self.close_clients();
        }
        self.wait_closed().await;
        in_time.is_some()
    }

    /// Serves until the server is closed.
    ///
    /// # Cancellation
    ///
    /// Stops in order, as [`shutdown`](Self::shutdown) with the [grace](ServerBuilder::grace) of the builder.
    ///
    /// # Errors
    ///
    /// The error of the last listener, when all listeners have failed. The connections end first, as when cancelled.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    pub async fn serve_forever(&self) -> io::Result<()> {
        let grace = self.shared.options.grace;
        let connections = &self.shared.connections;
        let closed = connections.wait_until(|| connections.is_closed());
        on_cancel(closed, async {
            self.shutdown(grace).await;
        })
        .await;
        match self.shared.failure.take() {
            None => Ok(()),
            Some(failure) => {
                self.shutdown(grace).await;
                Err(failure)
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.close();
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

impl ServerBuilder {
    /// Serves the connections of these listeners. A listener that fails is reported to the loop's exception handler,
    /// and the others go on.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    pub fn start<L, S, M>(self, service: S, listeners: impl IntoIterator<Item = L>) -> Server
    where
        L: Listener,
        S: Service<M>,
    {
        let service = Rc::new(service.into_answers());
        let shared = Rc::new(Shared {
            options: self,
            scratch: Scratch::default(),
            accepting: RefCell::default(),
            connections: Connections::new(),
            failure: Cell::new(None),
            ticks: Ticks::default(),
            sweeper: Cell::new(None),
        });
        let mut addresses = Vec::new();
        for listener in listeners {
            addresses.extend(listener.address());
            let listener = shared.connections.listen(listener);
            let accepting = spawn(accept_all(listener, service.clone(), shared.clone()));
            shared.accepting.borrow_mut().push(accepting);
        }
        Server { shared, addresses }
    }
}

/// Serves a connection in a task of its own.
fn begin<S, T>(shared: &Rc<Shared>, stream: T, peer: Peer, service: Rc<S>)
where
    S: Answers,
    T: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + 'static,
{
    let connection = Rc::new(Connection::new(
        peer,
        shared.options.max_body,
        shared.ticks.clone(),
    ));
    if shared.connections.is_closed() {
        connection.stop.set();
    }
    let counted = shared.connections.begin();
    let task = spawn({
        let (shared, connection) = (shared.clone(), connection.clone());
        let until_its_end = counted.clone();
        async move {
            let _counted = until_its_end;
            let served = drive::serve_stream(stream, service, &connection, &shared).await;
            if let (Err(error), Some(on_error)) = (served, &shared.options.on_error) {
                on_error(peer, error);
            }
        }
    });
    let open = Open {
        task: task.as_ref(),
        connection,
    };
    counted.set(open);
    task.detach();
    sweeper::begin(shared);
}

/// Accepts until it is cancelled or the listener fails.
async fn accept_all<L: Listener, S: Answers>(
    listener: Listening<L, Open>,
    service: Rc<S>,
    shared: Rc<Shared>,
) {
    loop {
        shared.wait_for_room().await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return failed(&shared, error),
        };
        // Another listener may have taken the room meanwhile.
        shared.wait_for_room().await;
        begin(&shared, stream, peer, service.clone());
    }
}

/// Reports the error that ends an accept loop.
fn failed(shared: &Shared, error: io::Error) {
    let cause = Cause::Error(error.to_string());
    let message = "a server's listener has failed; it accepts no more connections";
    call_exception_handler(&Unhandled::new(message, None, cause));
    shared.failure.set(Some(error));
    let others = || {
        let accepting = shared.accepting.borrow();
        accepting.iter().filter(|task| !task.is_finished()).count()
    };
    // The one that ends now has not finished yet.
    if others() <= 1 {
        shared.connections.close();
    }
}
