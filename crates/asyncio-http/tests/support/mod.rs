//! The tools of the tests: servers on ports of their own, and clients that speak byte by byte.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::{Listener, Peer, Server, ServerBuilder, Service};
use asyncio::net::{MemoryStream, TcpListener, TcpStream};
use asyncio::sync::Queue;
use asyncio::{BoxError, timeout};

/// Nothing here takes that long.
pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) async fn start<S: Service<M>, M>(service: S) -> Server {
    start_with(Server::builder(), service).await
}

pub(crate) async fn start_with<S: Service<M>, M>(options: ServerBuilder, service: S) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    options.start(service, [listener])
}

pub(crate) fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.addresses()[0])
}

/// A listener that accepts the streams of a queue. So time may be virtual.
pub(crate) struct InMemory(pub(crate) Rc<Queue<MemoryStream>>);

impl Listener for InMemory {
    type Stream = MemoryStream;

    async fn accept(&self) -> io::Result<(MemoryStream, Peer)> {
        let stream = self.0.get().await.map_err(io::Error::other)?;
        Ok((stream, Peer::Local))
    }
}

/// A client that sends what it is told, and nothing else.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The bytes that the server sends until it closes or resets the connection.
    pub(crate) async fn rest(&self) -> String {
        let mut all = Vec::new();
        let mut buf = [0; 4096];
        let reading = async {
            while let Ok(n @ 1..) = self.0.read(&mut buf).await {
                all.extend_from_slice(&buf[..n]);
            }
        };
        timeout(LONG, reading).await.expect("the server closes");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Reads until `end` has come.
    pub(crate) async fn until(&self, end: &str) -> String {
        let mut all = Vec::new();
        let mut buf = [0; 1];
        let reading = async {
            while !all.ends_with(end.as_bytes()) {
                match self.0.read(&mut buf).await {
                    Ok(1..) => all.push(buf[0]),
                    end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&all)),
                }
            }
        };
        let reading = timeout(LONG, reading).await;
        reading.expect("the server answers");
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// The status of an answer, as text.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// Sends bytes on a new connection, and gives the answers until the server closes.
pub(crate) async fn answers(server: &Server, bytes: impl AsRef<[u8]>) -> String {
    let raw = Raw::connect(server.addresses()[0]).await;
    raw.send(bytes).await;
    raw.rest().await
}

/// Waits for a condition that other tasks bring about.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            asyncio::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, waiting).await.expect(what);
}

pub(crate) type Outcome = Result<(), BoxError>;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
