//! `copy` and `copy_bidirectional`.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::spawn;
use asyncio_net::{TcpStream, copy, copy_bidirectional, memory_pair};
use futures::AsyncRead;

use crate::support::{listener, pair, run, run_virtual};

#[test]
fn all_bytes_arrive_whatever_room_there_is() {
    for room in [1, 7, 100_000] {
        run_virtual(async {
            let (one, mut source) = memory_pair(room);
            let (mut sink, other) = memory_pair(3);
            let sent: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
            let bytes = sent.clone();
            let writing = spawn(async move { one.write_all(&bytes).await });
            let reading = spawn(async move {
                let (mut all, mut buf) = (Vec::new(), [0; 64]);
                loop {
                    match other.read(&mut buf).await.unwrap() {
                        0 => return all,
                        n => all.extend_from_slice(&buf[..n]),
                    }
                }
            });
            assert_eq!(copy(&mut source, &mut sink).await.unwrap(), 50_000);
            drop(sink);
            writing.await.unwrap().unwrap();
            assert_eq!(reading.await.unwrap(), sent);
        });
    }
}

/// Gives as much as is asked for, and waits at times.
struct Bulk {
    left: usize,
    largest: usize,
    waits: bool,
}

impl AsyncRead for Bulk {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::replace(&mut self.waits, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = buf.len().min(self.left);
        self.left -= n;
        self.largest = self.largest.max(n);
        self.waits = self.left.is_multiple_of(3);
        Poll::Ready(Ok(n))
    }
}

#[test]
fn much_is_copied_in_large_pieces() {
    run_virtual(async {
        let (left, largest, waits) = (10_000_000, 0, false);
        let mut bulk = Bulk {
            left,
            largest,
            waits,
        };
        let copied = copy(&mut bulk, &mut futures::io::sink()).await;
        assert_eq!((copied.unwrap(), bulk.left), (10_000_000, 0));
        assert_eq!(bulk.largest, 64 * 1024);
    });
}

/// A proxy between a client and a server.
async fn through_a_proxy(
    client: impl AsyncFn(TcpStream),
    server: impl AsyncFn(TcpStream),
) -> io::Result<(u64, u64)> {
    let upstream = listener().await;
    let address = upstream.local_addr()?;
    let (ours, mut theirs) = pair().await;
    // It owns both connections: they are closed with it.
    let proxy = async move {
        let mut connection = TcpStream::connect(address).await?;
        copy_bidirectional(&mut theirs, &mut connection).await
    };
    let serve = async { server(upstream.accept().await.unwrap().0).await };
    futures::join!(proxy, client(ours), serve).0
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    run(async {
        let client = async |stream: TcpStream| {
            stream.write_all(b"question").await.unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut buf = [0; 64];
            stream.read_exact(&mut buf[..6]).await.unwrap();
            assert_eq!(&buf[..6], b"answer");
            assert_eq!(stream.read(&mut buf).await.unwrap(), 0);
        };
        let server = async |stream: TcpStream| {
            let mut buf = [0; 8];
            stream.read_exact(&mut buf).await.unwrap();
            assert_eq!(stream.read(&mut buf).await.unwrap(), 0);
            stream.write_all(b"answer").await.unwrap();
        };
        assert_eq!(through_a_proxy(client, server).await.unwrap(), (8, 6));
    });
}

#[test]
fn much_goes_both_ways_at_once() {
    const MUCH: usize = 4 << 20;
    run(async {
        let both = async |stream: TcpStream| {
            let (read, write) = stream.into_split();
            let sent = vec![7; MUCH];
            let send = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().unwrap();
            };
            let receive = async {
                let (mut received, mut buf) = (0, vec![0; 64 << 10]);
                loop {
                    match read.read(&mut buf).await.unwrap() {
                        0 => return received,
                        n => received += n,
                    }
                }
            };
            assert_eq!(futures::join!(send, receive).1, MUCH);
        };
        let copied = through_a_proxy(both, both).await.unwrap();
        assert_eq!(copied, (MUCH as u64, MUCH as u64));
    });
}

#[test]
fn an_error_ends_both_directions() {
    run(async {
        let client = async |stream: TcpStream| {
            stream.write_all(b"x").await.unwrap();
            let mut buf = [0; 1];
            let _ = stream.read(&mut buf).await;
        };
        let server = async |stream: TcpStream| {
            stream.read_exact(&mut [0; 1]).await.unwrap();
            stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
        };
        let error = through_a_proxy(client, server).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}
