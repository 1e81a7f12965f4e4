//! smol in its parts: async-executor's `LocalExecutor`, async-io, async-channel.

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use async_executor::{LocalExecutor, Task};
use async_io::{Async, Timer};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};

use super::tools;
use crate::runtime::{Abilities, Channel, Runtime};
use crate::threads::Threads;
use crate::web::NoWeb;
use crate::workloads::echo::Progress;

/// smol's executor for one thread, with the main future run as `K` says.
#[derive(Debug)]
pub(crate) struct Smol<K>(PhantomData<K>);

/// The way to wait for the main future and for the sockets.
pub(crate) trait Kind: 'static {
    fn block_on<T>(main: impl Future<Output = T>) -> T;
}

/// async-io's `block_on` (and smol's): the thread that waits for the future waits for sockets too.
#[derive(Debug)]
pub(crate) struct OneThread;

impl Kind for OneThread {
    fn block_on<T>(main: impl Future<Output = T>) -> T {
        async_io::block_on(main)
    }
}

/// futures-lite's `block_on`: it only parks the thread, and async-io's own thread sees to sockets
/// and timers.
#[derive(Debug)]
pub(crate) struct TwoThreads;

impl Kind for TwoThreads {
    fn block_on<T>(main: impl Future<Output = T>) -> T {
        future::block_on(main)
    }
}

thread_local! {
    /// The running executor; `spawn` is a method of it, so tasks need a way to find it.
    static EXECUTOR: Cell<Option<&'static LocalExecutor<'static>>> = const { Cell::new(None) };
}

impl<K: Kind> Runtime for Smol<K> {
    type Task<T: 'static> = Task<T>;
    type Channel = AsyncChannel;
    type Group = tools::groups::Lite;
    type Primitives = tools::async_lock::AsyncLock;
    type Threads = Unblock;
    type Web = NoWeb;
    type System = super::system::smol::Smol;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: true,
        timeout: true,
        channel: true,
    };

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        // A worker runs one executor in its life.
        let executor = Box::leak(Box::new(LocalExecutor::new()));
        EXECUTOR.set(Some(executor));
        K::block_on(executor.run(main))
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
        EXECUTOR.get().expect("called inside").spawn(future)
    }

    fn join<T: 'static>(task: Task<T>) -> impl Future<Output = T> + 'static {
        task
    }

    async fn sleep(duration: Duration) {
        Timer::after(duration).await;
    }

    fn own_yield() -> impl Future<Output = ()> + 'static {
        future::yield_now()
    }

    fn timeout<F: Future>(limit: Duration, future: F) -> impl Future<Output = Option<F::Output>> {
        future::or(async { Some(future.await) }, async move {
            Timer::after(limit).await;
            None
        })
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        let listener = Async::new(listener).expect("async-io takes the listener");
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
fn echo(
    mut stream: Async<TcpStream>,
    buffer: usize,
    progress: Rc<Progress>,
) -> impl Future<Output = ()> {
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

/// smol's unbounded channel.
#[derive(Debug)]
pub(crate) struct AsyncChannel;

impl Channel for AsyncChannel {
    type Sender = async_channel::Sender<u64>;
    type Receiver = async_channel::Receiver<u64>;

    fn new() -> (Self::Sender, Self::Receiver) {
        async_channel::unbounded()
    }

    async fn send(sender: &Self::Sender, value: u64) {
        sender.send(value).await.expect("the receiver is there");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.recv().await.expect("the sender is there")
    }
}

/// The threads of the `blocking` crate.
#[derive(Debug)]
pub(crate) struct Unblock;

impl Threads for Unblock {
    type Handle = ();

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        blocking::unblock(job)
    }

    fn handle() {}

    fn post((): &(), _callback: impl FnOnce() + Send + 'static) {}
}
