//! asyncio, this project's own.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use asyncio::Task;
use asyncio::net::tls::{TlsAcceptor, TlsConnector};
use asyncio::net::{Protocol, TcpListener, TcpStream, Transport, UdpSocket};
use futures::future::{FutureExt as _, LocalBoxFuture};
use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::certificate::{Configurations, NAME};
use super::tools;
use crate::meter::Times;
use crate::runtime::{Abilities, Runtime, Through};
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
    type System = super::system::ours::Ours;

    const CAN: Abilities = Abilities {
        foreign_wakes: true,
        own_yield: true,
        timeout: true,
        channel: true,
    };
    const THROUGH: &'static [Through] = &[Through::Buffers, Through::Protocol];

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

    async fn serve_through(
        through: Through,
        listener: std::net::TcpListener,
        buffer: usize,
        progress: Rc<Progress>,
    ) {
        let listener = TcpListener::from_std(listener).expect("asyncio takes the listener");
        let mut tasks = Vec::new();
        for _ in 0..progress.connections() {
            let (stream, _) = listener.accept().await.expect("a connection comes");
            tasks.push(match through {
                Through::Buffers => Self::spawn(echo_buffered(stream, buffer)),
                Through::Protocol => {
                    let transport = Transport::new(stream, Echo).expect("the loop runs");
                    Self::spawn(async move { drop(transport.wait_closed().await) })
                }
            });
        }
        for task in tasks {
            Self::join(task).await;
        }
    }

    fn datagrams(trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        Some(async move { datagrams(trips, times).await.expect("loopback works") }.boxed_local())
    }

    fn tls(connections: u64, trips: u64, times: Times) -> Option<LocalBoxFuture<'static, ()>> {
        Some(
            async move {
                tls(connections, trips, times)
                    .await
                    .expect("loopback works")
            }
            .boxed_local(),
        )
    }
}

/// Sends back what it receives, through a reader and a writer.
async fn echo_buffered(stream: TcpStream, buffer: usize) {
    let (mut reader, writer) = stream.into_buffered();
    loop {
        match reader.read(buffer).await {
            Ok([]) | Err(_) => return,
            Ok(received) => writer.write(received),
        }
        if writer.drain().await.is_err() {
            return;
        }
    }
}

/// Sends back what it receives, by callbacks.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }
}

async fn datagrams(trips: u64, times: Times) -> std::io::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let client = UdpSocket::connected(server.local_addr()?).await?;
    let answering = asyncio::spawn(async move {
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
    answering.await.expect("the task returns")
}

async fn tls(connections: u64, trips: u64, times: Times) -> std::io::Result<()> {
    let Configurations { server, client } = Configurations::get();
    let (acceptor, connector) = (TlsAcceptor::new(server), TlsConnector::new(client));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answering = asyncio::spawn(async move {
        let mut buffer = [0; 64];
        for _ in 0..connections {
            let mut stream = acceptor.accept(listener.accept().await?.0).await?;
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
        let mut stream = connector
            .connect(NAME, TcpStream::connect(address).await?)
            .await?;
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
    answering.await.expect("the task returns")
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
