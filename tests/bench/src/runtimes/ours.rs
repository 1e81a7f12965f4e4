//! asyncio, this project's own.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use asyncio::Task;
use asyncio::net::{TcpListener, TcpStream};

use super::tools;
use crate::runtime::{Abilities, Runtime};
use crate::workloads::echo::Progress;

/// asyncio as it comes.
#[derive(Debug)]
pub(crate) struct Ours;

impl Runtime for Ours {
    type Task<T: 'static> = Task<T>;
    type Channel = asyncio::sync::Queue<u64>;
    type Group = tools::ours::Executors;
    type Primitives = tools::ours::Sync;
    type Threads = tools::ours::Pool;
    type Web = super::web::Ours;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: true,
        timeout: true,
        channel: true,
    };

    fn block_on<F: Future<Output: 'static> + 'static>(main: F) -> F::Output {
        asyncio::run(main)
    }

    fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
        asyncio::spawn(future)
    }

    async fn join<T: 'static>(task: Task<T>) -> T {
        task.await.expect("the task returns")
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        asyncio::sleep(duration)
    }

    fn own_yield() -> impl Future<Output = ()> + 'static {
        asyncio::yield_now()
    }

    async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
        asyncio::timeout(limit, future).await.ok()
    }

    async fn serve(listener: std::net::TcpListener, buffer: usize, progress: Rc<Progress>) {
        let listener = TcpListener::from_std(listener).expect("asyncio takes the listener");
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
fn echo(stream: TcpStream, buffer: usize, progress: Rc<Progress>) -> impl Future<Output = ()> {
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
