//! monoio, over epoll and over io_uring.

use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use local_sync::mpsc::unbounded;
use monoio::blocking::DefaultThreadPool;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::task::JoinHandle;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::tools;
use crate::group::NoGroup;
use crate::runtime::{Abilities, Channel, Runtime};
use crate::system::NoSystem;
use crate::threads::Threads;
use crate::web::NoWeb;
use crate::workloads::echo::Progress;

/// monoio, over the driver `D`.
#[derive(Debug)]
pub(crate) struct Monoio<D>(PhantomData<D>);

/// The driver of monoio.
pub(crate) trait Driver: 'static {
    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output;
    fn block_on_with_threads<F: Future<Output: 'static> + 'static>(main: F) -> F::Output;
}

/// As many threads as the other runtimes' pools have at most on a machine of two cores: enough for the workloads.
fn threads() -> Box<DefaultThreadPool> {
    Box::new(DefaultThreadPool::new(6))
}

impl Driver for LegacyDriver {
    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        RuntimeBuilder::<Self>::new()
            .enable_timer()
            .build()
            .expect("monoio starts over epoll")
            .block_on(main)
    }

    fn block_on_with_threads<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        RuntimeBuilder::<Self>::new()
            .enable_timer()
            .attach_thread_pool(threads())
            .build()
            .expect("monoio starts over epoll")
            .block_on(main)
    }
}

impl Driver for IoUringDriver {
    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        RuntimeBuilder::<Self>::new()
            .enable_timer()
            .build()
            .expect("monoio starts over io_uring")
            .block_on(main)
    }

    fn block_on_with_threads<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        RuntimeBuilder::<Self>::new()
            .enable_timer()
            .attach_thread_pool(threads())
            .build()
            .expect("monoio starts over io_uring")
            .block_on(main)
    }
}

impl<D: Driver> Runtime for Monoio<D> {
    type Task<T: 'static> = JoinHandle<T>;
    type Channel = LocalSync;
    type Group = NoGroup;
    type Primitives = tools::local_sync::LocalSync;
    type Threads = Blocking;
    type Web = NoWeb;
    type System = NoSystem;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: false,
        timeout: true,
        channel: true,
    };

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        D::block_on(main)
    }

    fn block_on_with_threads<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        D::block_on_with_threads(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
        monoio::spawn(future)
    }

    fn join<T: 'static>(task: JoinHandle<T>) -> impl Future<Output = T> + 'static {
        task
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }

    async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        monoio::time::timeout(limit, future).await.ok()
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        let listener = TcpListener::from_std(listener).expect("monoio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..progress.connections() {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            tasks.push(Self::spawn(echo(stream, buffer, Rc::clone(&progress))));
        }
        for task in tasks {
            task.await;
        }
    }
}

/// Sends back what it receives until the connection ends.
fn echo(mut stream: TcpStream, buffer: usize, progress: Rc<Progress>) -> impl Future<Output = ()> {
    let mut buffer: Vec<u8> = vec![0; buffer];
    let mut answered = false;
    async move {
        loop {
            let (Ok(1..), filled) = stream.read(buffer).await else {
                return;
            };
            let (sent, again) = stream.write_all(filled).await;
            if sent.is_err() {
                return;
            }
            buffer = again;
            if !answered {
                answered = true;
                progress.first_answer();
            }
        }
    }
}

/// local-sync's unbounded channel, made for monoio.
#[derive(Debug)]
pub(crate) struct LocalSync;

impl Channel for LocalSync {
    type Sender = unbounded::Tx<u64>;
    type Receiver = unbounded::Rx<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        unbounded::channel()
    }

    async fn send(sender: &Self::Sender, value: u64) {
        assert!(sender.send(value).is_ok(), "the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is there")
    }
}

/// monoio's pool, of threads that are there from the start.
#[derive(Debug)]
pub(crate) struct Blocking;

impl Threads for Blocking {
    type Handle = ();

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let job = monoio::spawn_blocking(job);
        async move { job.await.expect("the job returns") }
    }

    fn handle() {}

    fn post((): &(), _callback: impl FnOnce() + Send + 'static) {}
}
