//! compio, over io_uring. It has no channel of its own.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use compio::buf::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{JoinHandle, ResumeUnwind};

use crate::group::NoGroup;
use crate::primitives::Lacking;
use crate::runtime::{Abilities, NoChannel, Runtime};
use crate::threads::Threads;
use crate::workloads::echo::Progress;

/// compio as it comes.
#[derive(Debug)]
pub(crate) struct Compio;

impl Runtime for Compio {
    type Task<T: 'static> = JoinHandle<T>;
    type Channel = NoChannel;
    type Group = NoGroup;
    type Primitives = Lacking;
    type Threads = Blocking;
    type Web = super::web::OnCompio;
    type System = super::system::compio::Compio;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: false,
        timeout: true,
        channel: false,
    };

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        compio::runtime::Runtime::new()
            .expect("compio starts")
            .block_on(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> JoinHandle<F::Output> {
        compio::runtime::spawn(future)
    }

    async fn join<T: 'static>(task: JoinHandle<T>) -> T {
        task.await.resume_unwind().expect("the task returns")
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::runtime::time::sleep(duration)
    }

    async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        compio::runtime::time::timeout(limit, future).await.ok()
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        let listener = TcpListener::from_std(listener).expect("compio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..progress.connections() {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            tasks.push(Self::spawn(echo(stream, buffer, Rc::clone(&progress))));
        }
        for task in tasks {
            Self::join(task).await;
        }
    }
}

/// Sends back what it receives until the connection ends.
fn echo(mut stream: TcpStream, buffer: usize, progress: Rc<Progress>) -> impl Future<Output = ()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(buffer);
    let mut answered = false;
    async move {
        loop {
            buffer.clear();
            let BufResult(Ok(1..), filled) = stream.read(buffer).await else {
                return;
            };
            let BufResult(sent, again) = stream.write_all(filled).await;
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

/// compio's own pool.
#[derive(Debug)]
pub(crate) struct Blocking;

impl Threads for Blocking {
    type Handle = ();

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let job = compio::runtime::spawn_blocking(job);
        async move { job.await.resume_unwind().expect("the job returns") }
    }

    fn handle() {}

    fn post((): &(), _callback: impl FnOnce() + Send + 'static) {}
}
