//! tokio on one thread, in its three kinds, as the host of a guest, and on a thread beside our loop.
//!
//! The kinds differ in how a task is spawned; sleeping, channels and sockets are the same.

#![allow(unsafe_code)]

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{FutureExt as _, LocalBoxFuture};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, LocalSet, spawn_local};

use super::certificate::{Configurations, NAME};
use super::tools;
use crate::meter::Times;
use crate::runtime::{Abilities, Channel, Runtime, Through};
use crate::workloads::echo::Progress;

/// tokio, run in the way `K` says.
#[derive(Debug)]
pub(crate) struct Tokio<K>(PhantomData<K>);

/// A way to run tokio on one thread.
pub(crate) trait Kind: 'static {
    type Task<T: 'static>: 'static;

    /// See [`Runtime::takes_part`].
    fn takes_part(workload: &str) -> bool {
        let _ = workload;
        true
    }

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output;
    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Self::Task<F::Output>;
    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T> + 'static;

    /// Lets a task run to its end.
    fn detach<T: 'static>(task: Self::Task<T>) {
        drop(task);
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        async move { tokio::time::timeout(limit, future).await.ok() }
    }

    /// Starts a task in a set. The future is `Send`, so that all kinds of runtime can run it.
    fn spawn_in<F>(set: &mut JoinSet<F::Output>, future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        set.spawn_local(future);
    }
}

/// `LocalRuntime`, whose tasks need not be `Send`.
#[derive(Debug)]
pub(crate) struct LocalRuntime;

impl Kind for LocalRuntime {
    type Task<T: 'static> = JoinHandle<T>;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("tokio starts")
            .block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
        spawn_local(future)
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("the task returns")
    }
}

/// Tasks and timers of ours in a guest of tokio, with channels and sockets of tokio's.
#[derive(Debug)]
pub(crate) struct Guest;

impl Kind for Guest {
    type Task<T: 'static> = asyncio::Task<T>;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        asyncio::tokio::run(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> asyncio::Task<F::Output> {
        asyncio::spawn(future)
    }

    async fn join<T: 'static>(task: asyncio::Task<T>) -> T {
        task.await.expect("the task returns")
    }

    fn detach<T: 'static>(task: asyncio::Task<T>) {
        task.discard();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        asyncio::sleep(duration)
    }

    async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        asyncio::timeout(limit, future).await.ok()
    }
}

/// Tasks and timers of ours on our own loop, with channels and sockets of tokio's. Its runtime is on a thread of its
/// own, as in a program without a guest.
#[derive(Debug)]
pub(crate) struct Bridge;

impl Kind for Bridge {
    type Task<T: 'static> = asyncio::Task<T>;

    /// Elsewhere nothing crosses the bridge.
    fn takes_part(workload: &str) -> bool {
        let crossing = [
            "ping-pong-tokio",
            "sleep-200us",
            "echo-1-64",
            "echo-100-64",
            "fetches",
        ];
        crossing.contains(&workload)
    }

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("tokio starts");
        let handle = runtime.handle().clone();
        let (over, is_over) = oneshot::channel::<()>();
        let background = std::thread::spawn(move || drop(runtime.block_on(is_over)));
        let value = {
            let _entered = handle.enter();
            asyncio::run(main)
        };
        drop(over);
        background.join().expect("the thread ends well");
        value
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> asyncio::Task<F::Output> {
        Guest::spawn(future)
    }

    fn join<T: 'static>(task: asyncio::Task<T>) -> impl Future<Output = T> + 'static {
        Guest::join(task)
    }

    fn detach<T: 'static>(task: asyncio::Task<T>) {
        Guest::detach(task);
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        Guest::sleep(duration)
    }

    fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        Guest::timeout(limit, future)
    }
}

/// A `LocalSet` on the current-thread runtime.
#[derive(Debug)]
pub(crate) struct InLocalSet;

impl Kind for InLocalSet {
    type Task<T: 'static> = JoinHandle<T>;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts");
        LocalSet::new().block_on(&runtime, main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
        spawn_local(future)
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.expect("the task returns")
    }
}

/// The current-thread runtime and its plain `spawn`.
#[derive(Debug)]
pub(crate) struct CurrentThread;

impl Kind for CurrentThread {
    type Task<T: 'static> = JoinHandle<Here<T>>;

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts")
            .block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<Here<F::Output>> {
        tokio::spawn(Here(future))
    }

    fn spawn_in<F>(set: &mut JoinSet<F::Output>, future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        set.spawn(future);
    }

    async fn join<T: 'static>(task: JoinHandle<Here<T>>) -> T {
        task.await.expect("the task returns").0
    }
}

/// Something that never leaves the thread it was made on, although its type may.
///
/// Plain `tokio::spawn` takes `Send` futures only, and the workloads are not; a wrapper that checks
/// the thread at each poll would be measured with them.
#[derive(Debug)]
pub(crate) struct Here<T>(T);

// SAFETY: `Here` is made in `CurrentThread::spawn` alone, and given to a current-thread runtime,
// which polls and drops its tasks on the thread that called `block_on`. That thread made it, the
// output is taken by `join` on the same thread, and neither the runtime nor a `JoinHandle` is ever
// handed to another (workloads share wakers with threads, nothing else).
unsafe impl<T> Send for Here<T> {}

impl<F: Future> Future for Here<F> {
    type Output = Here<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Here<F::Output>> {
        // SAFETY: the field is pinned whenever `Here` is: it is never moved out of a pinned one,
        // and `Here` has no `Drop` and no `Unpin` beyond the automatic one.
        let future = unsafe { self.map_unchecked_mut(|here| &mut here.0) };
        future.poll(context).map(Here)
    }
}

impl<K: Kind> Runtime for Tokio<K> {
    type Task<T: 'static> = K::Task<T>;
    type Channel = Mpsc;
    type Group = tools::tokio::Set<K>;
    type Primitives = tools::tokio::Sync;
    type Threads = tools::tokio::Pool;
    type Web = super::web::OnTokio<K>;
    type System = super::system::tokio::Tokio;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: true,
        timeout: true,
        channel: true,
    };
    const THROUGH: &'static [Through] = &[Through::Buffers];

    fn takes_part(workload: &str) -> bool {
        K::takes_part(workload)
    }

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        K::block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> K::Task<F::Output> {
        K::spawn(future)
    }

    fn join<T: 'static>(task: K::Task<T>) -> impl Future<Output = T> + 'static {
        K::join(task)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        K::sleep(duration)
    }

    fn spawn_on_tokio(future: impl Future<Output = ()> + Send + 'static) -> bool {
        drop(tokio::spawn(future));
        true
    }

    fn own_yield() -> impl Future<Output = ()> + 'static {
        tokio::task::yield_now()
    }

    fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        K::timeout(limit, future)
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        let listener = TcpListener::from_std(listener).expect("tokio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..progress.connections() {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            tasks.push(K::spawn(echo(stream, buffer, Rc::clone(&progress))));
        }
        for task in tasks {
            K::join(task).await;
        }
    }

    async fn serve_through(
        _: Through,
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) {
        let listener = TcpListener::from_std(listener).expect("tokio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..progress.connections() {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            tasks.push(K::spawn(echo_buffered(stream, buffer)));
        }
        for task in tasks {
            K::join(task).await;
        }
    }

    fn datagrams(trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        Some(
            async move { datagrams::<K>(trips, times).await.expect("loopback works") }
                .boxed_local(),
        )
    }

    fn tls(connections: u64, trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        Some(
            async move {
                tls::<K>(connections, trips, times)
                    .await
                    .expect("loopback works")
            }
            .boxed_local(),
        )
    }
}

/// Sends back what it receives, through buffers.
async fn echo_buffered(stream: TcpStream, buffer: usize) {
    let mut stream = BufStream::new(stream);
    let mut buffer = vec![0; buffer];
    loop {
        let Ok(received @ 1..) = stream.read(&mut buffer).await else {
            return;
        };
        if stream.write_all(&buffer[..received]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn datagrams<K: Kind>(trips: u64, times: Times) -> std::io::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let client = UdpSocket::bind("127.0.0.1:0").await?;
    client.connect(server.local_addr()?).await?;
    let answering = K::spawn(async move {
        let mut buffer = [0; 64];
        for _ in 0..trips {
            let (n, from) = server.recv_from(&mut buffer).await?;
            server.send_to(&buffer[..n], from).await?;
        }
        std::io::Result::Ok(())
    });
    let mut buffer = [0; 64];
    for _ in 0..trips {
        let begun = times.begin();
        client.send(&buffer).await?;
        client.recv(&mut buffer).await?;
        times.end(begun);
    }
    K::join(answering).await
}

async fn tls<K: Kind>(connections: u64, trips: u64, times: Times) -> std::io::Result<()> {
    let Configurations { server, client } = Configurations::get();
    let acceptor = tokio_rustls::TlsAcceptor::from(server);
    let connector = tokio_rustls::TlsConnector::from(client);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answering = K::spawn(async move {
        let mut buffer = [0; 64];
        for _ in 0..connections {
            let stream = listener.accept().await?.0;
            stream.set_nodelay(true)?;
            let mut stream = acceptor.accept(stream).await?;
            for _ in 0..trips {
                stream.read_exact(&mut buffer).await?;
                stream.write_all(&buffer).await?;
                stream.flush().await?;
            }
            stream.shutdown().await?;
        }
        std::io::Result::Ok(())
    });
    let (of_trips, of_connections) = match trips {
        1 => (Times::default(), times),
        _ => (times, Times::default()),
    };
    let mut buffer = [0; 64];
    for _ in 0..connections {
        let connecting = of_connections.begin();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = NAME.try_into().expect("it is a name");
        let mut stream = connector.connect(name, stream).await?;
        for _ in 0..trips {
            let begun = of_trips.begin();
            stream.write_all(&buffer).await?;
            stream.flush().await?;
            stream.read_exact(&mut buffer).await?;
            of_trips.end(begun);
        }
        stream.shutdown().await?;
        of_connections.end(connecting);
    }
    K::join(answering).await
}

/// Sends back what it receives until the connection ends.
fn echo(mut stream: TcpStream, buffer: usize, progress: Rc<Progress>) -> impl Future<Output = ()> {
    let mut buffer = vec![0; buffer];
    let mut answered = false;
    async move {
        loop {
            let Ok(received @ 1..) = stream.read(&mut buffer).await else {
                return;
            };
            if stream.write_all(&buffer[..received]).await.is_err() {
                return;
            }
            if !answered {
                answered = true;
                progress.first_answer();
            }
        }
    }
}

/// tokio's unbounded channel.
#[derive(Debug)]
pub(crate) struct Mpsc;

impl Channel for Mpsc {
    type Sender = mpsc::UnboundedSender<u64>;
    type Receiver = mpsc::UnboundedReceiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        mpsc::unbounded_channel()
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).expect("the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is there")
    }
}
