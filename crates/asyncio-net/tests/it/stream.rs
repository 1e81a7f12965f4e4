//! Reading and writing a connection, whole and split.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_loop::{spawn, yield_now};
use asyncio_net::{Direction, TcpStream};
use futures::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::support::{pair, run};

#[test]
fn bytes_arrive_and_then_the_end() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(b"hello").await.unwrap();
        drop(one);
        let mut buf = [0; 16];
        assert_eq!(other.read(&mut buf).await.unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
        assert_eq!(other.read(&mut buf).await.unwrap(), 0);
    });
}

#[test]
fn more_than_the_buffers_hold_passes_in_both_directions() {
    const SIZE: usize = 8 << 20;
    run(async {
        let (one, other) = pair().await;
        let sent: Vec<u8> = (0..SIZE).map(|n| (n / 3) as u8).collect();
        let echo = spawn(async move {
            let mut buf = vec![0; 100_000];
            loop {
                let n = other.read(&mut buf).await.unwrap();
                if n == 0 {
                    return;
                }
                other.write_all(&buf[..n]).await.unwrap();
            }
        });
        let mut got = vec![0; SIZE];
        let (written, read) = futures::join!(one.write_all(&sent), one.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        assert!(got == sent);
        one.shutdown(Shutdown::Write).unwrap();
        echo.await.unwrap();
    });
}

/// A read stops before an urgent byte, so it comes back short although there is more. Once, the
/// bytes behind it were not read until the next message arrived.
#[cfg(target_os = "linux")]
#[test]
fn bytes_behind_an_urgent_byte_are_read() {
    use rustix::net::{SendFlags, send};

    run(async {
        let (one, mut other) = pair().await;
        let mut one = one.into_std().unwrap();
        let mut buf = [0; 16];
        for _ in 0..3 {
            let reader = spawn(async move {
                let n = other.read(&mut buf).await.unwrap();
                assert_eq!(&buf[..n], b"usual");
                other
            });
            yield_now().await;
            one.write_all(b"usual").unwrap();
            other = reader.await.unwrap();

            one.write_all(b"before").unwrap();
            send(&one, b"!", SendFlags::OOB).unwrap();
            one.write_all(b"behind").unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"behind") {
                let n = other.read(&mut buf).await.unwrap();
                got.extend_from_slice(&buf[..n]);
            }
            assert_eq!(got, b"beforebehind");
        }
    });
}

#[test]
fn an_empty_buffer_never_waits() {
    run(async {
        let (one, _other) = pair().await;
        assert_eq!(one.read(&mut []).await.unwrap(), 0);
        assert_eq!(one.read_vectored(&mut []).await.unwrap(), 0);
        assert_eq!(one.peek(&mut []).await.unwrap(), 0);
        assert_eq!(one.write(&[]).await.unwrap(), 0);
        assert_eq!(one.write_vectored(&[]).await.unwrap(), 0);
        assert_eq!(one.try_read(&mut []).unwrap(), 0);
        assert_eq!(one.try_write(&[]).unwrap(), 0);
        one.read_exact(&mut []).await.unwrap();
        one.write_all(&[]).await.unwrap();
    });
}

#[test]
fn several_buffers_go_in_one_operation() {
    run(async {
        let (one, other) = pair().await;
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        assert_eq!(one.write_vectored(&parts).await.unwrap(), 5);
        let (mut first, mut second) = ([0; 3], [0; 8]);
        let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(other.read_vectored(&mut parts).await.unwrap(), 5);
        assert_eq!((&first, &second[..2]), (b"abc", b"de".as_slice()));
    });
}

/// A call takes a limited number of parts. A transfer of only those parts is not short.
mod many_parts {
    use super::*;

    /// A connection whose first edge has been read, like any connection in use.
    async fn used_pair() -> (TcpStream, TcpStream) {
        let (one, other) = pair().await;
        for (from, to) in [(&one, &other), (&other, &one)] {
            from.write_all(b"x").await.unwrap();
            to.read_exact(&mut [0]).await.unwrap();
        }
        (one, other)
    }

    /// Parts of one byte each, with an empty one before every third.
    fn parts<P>(n: usize, of_size: impl Fn(usize) -> P) -> Vec<P> {
        let sizes = (0..n).flat_map(|at| if at % 3 == 0 { vec![0, 1] } else { vec![1] });
        sizes.map(of_size).collect()
    }

    const COUNTS: [usize; 6] = [1, 700, 1023, 1024, 1025, 5000];

    #[test]
    fn a_capped_write_keeps_the_socket_writable() {
        const BYTES: [u8; 1] = [7];
        run(async {
            for n in COUNTS {
                let (one, other) = used_pair().await;
                let parts = parts(n, |size| IoSlice::new(&BYTES[..size]));
                let mut written = one.write_vectored(&parts).await.unwrap();
                let mut now = pin!(one.write_vectored(&parts));
                let Poll::Ready(more) = futures::poll!(&mut now) else {
                    panic!("the socket has room after {n} parts");
                };
                written += more.unwrap();
                written += one.try_write_vectored(&parts).unwrap();
                let mut traits = &one;
                let mut now = pin!(AsyncWriteExt::write_vectored(&mut traits, &parts));
                let Poll::Ready(more) = futures::poll!(&mut now) else {
                    panic!("the socket has room after {n} parts");
                };
                written += more.unwrap();
                written += one.try_write(b"x").unwrap();
                assert!(written > 4 * n.min(700));
                other.read_exact(&mut vec![0; written]).await.unwrap();
            }
        });
    }

    #[test]
    fn a_capped_read_keeps_the_socket_readable() {
        run(async {
            for n in COUNTS {
                let (one, other) = used_pair().await;
                one.write_all(&vec![7; 4 * n + 1]).await.unwrap();
                other.peek(&mut [0]).await.unwrap();
                let mut bytes = [0; 100];
                let mut memory = vec![0_u8; 2 * n];
                let mut read = 0;
                for way in 0..3 {
                    let mut left = &mut memory[..];
                    let mut parts = parts(n, |size| size)
                        .into_iter()
                        .map(|size| {
                            let (part, rest) = std::mem::take(&mut left).split_at_mut(size);
                            left = rest;
                            IoSliceMut::new(part)
                        })
                        .collect::<Vec<_>>();
                    read += match way {
                        0 => other.read_vectored(&mut parts).await.unwrap(),
                        1 => other.try_read_vectored(&mut parts).unwrap(),
                        _ => {
                            let mut traits = &other;
                            let vectored = AsyncReadExt::read_vectored(&mut traits, &mut parts);
                            vectored.await.unwrap()
                        }
                    };
                }
                let mut rest = 0;
                while read + rest < 4 * n + 1 {
                    rest += other.try_read(&mut bytes).expect("there is more");
                }
                let nothing = other.try_read(&mut bytes).unwrap_err();
                assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
            }
        });
    }

    #[test]
    fn empty_parts_in_front_are_not_the_end() {
        run(async {
            let (one, other) = used_pair().await;
            let mut parts: Vec<_> = (0..3000).map(|_| IoSlice::new(&[])).collect();
            parts.push(IoSlice::new(b"hello"));
            assert_eq!(one.write_vectored(&parts).await.unwrap(), 5);
            let mut buf = [0; 8];
            let mut parts: Vec<_> = (0..3000).map(|_| IoSliceMut::new(&mut [])).collect();
            parts.push(IoSliceMut::new(&mut buf));
            assert_eq!(other.read_vectored(&mut parts).await.unwrap(), 5);
            assert_eq!(&buf[..5], b"hello");
        });
    }
}

#[test]
fn peeking_leaves_the_bytes() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(b"hello").await.unwrap();
        let mut buf = [0; 16];
        assert_eq!(other.peek(&mut buf).await.unwrap(), 5);
        assert_eq!(other.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(other.peek(&mut buf).await.unwrap(), 5);
        assert_eq!(other.read(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn a_connection_that_ends_too_early_is_an_error() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(b"hel").await.unwrap();
        drop(one);
        let error = other.read_exact(&mut [0; 5]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}

#[test]
fn after_half_closing_the_other_direction_stays_open() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(b"question").await.unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let mut question = [0; 8];
        other.read_exact(&mut question).await.unwrap();
        assert_eq!(other.read(&mut [0; 8]).await.unwrap(), 0);
        other.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        one.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        let error = one.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_is_an_error_not_a_hang() {
    run(async {
        let (one, other) = pair().await;
        other.set_linger(Some(Duration::ZERO)).unwrap();
        let reading = spawn(async move {
            let error = one.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            one
        });
        yield_now().await;
        drop(other);
        let one = reading.await.unwrap();
        // The connection is gone, so there is nothing left to close.
        assert!(one.shutdown(Shutdown::Write).is_err());
        let mut one = one;
        one.close().await.unwrap();
    });
}

#[test]
fn a_cancelled_read_loses_nothing() {
    run(async {
        let (one, other) = pair().await;
        {
            let mut buf = [0; 8];
            let mut reading = pin!(other.read(&mut buf));
            assert!(futures::poll!(reading.as_mut()).is_pending());
        }
        one.write_all(b"hello").await.unwrap();
        let mut buf = [0; 8];
        assert_eq!(other.read(&mut buf).await.unwrap(), 5);
    });
}

#[test]
fn a_try_does_not_wait_and_returns_would_block() {
    run(async {
        let (one, other) = pair().await;
        let mut buf = [0; 8];
        let error = other.try_read(&mut buf).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(one.try_write(b"hello").unwrap(), 5);
        other.readable().await.unwrap();
        assert_eq!(other.try_read(&mut buf[..2]).unwrap(), 2);
        other.readable().await.unwrap();
        assert_eq!(other.try_read(&mut buf).unwrap(), 3);
        let error = other.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Fills the buffer, and waits for room.
        let chunk = vec![0; 1 << 16];
        let mut written = 0;
        while let Ok(n) = one.try_write_vectored(&[IoSlice::new(&chunk)]) {
            written += n;
        }
        assert!(written > 0);
        let (room, all) = futures::join!(one.writable(), async {
            other.read_exact(&mut vec![0; written]).await
        });
        room.unwrap();
        all.unwrap();
        assert!(one.try_write(b"x").unwrap() > 0);
    });
}

#[test]
fn try_io_runs_an_operation_of_the_user() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(b"hello").await.unwrap();
        other.readable().await.unwrap();
        let read = other.try_io(Direction::Read, || {
            let mut buf = [0; 8];
            (&*socket2::SockRef::from(&other)).read(&mut buf)
        });
        assert_eq!(read.unwrap(), 5);
    });
}

#[test]
fn any_number_of_tasks_may_wait_for_one_stream() {
    run(async {
        let (one, other) = pair().await;
        let other = std::rc::Rc::new(other);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                let other = other.clone();
                spawn(async move {
                    let mut byte = [0];
                    other.read_exact(&mut byte).await.unwrap();
                    byte[0]
                })
            })
            .collect();
        yield_now().await;
        for byte in 0..8 {
            one.write_all(&[byte]).await.unwrap();
            yield_now().await;
        }
        let mut bytes = Vec::new();
        for reader in readers {
            bytes.push(reader.await.unwrap());
        }
        bytes.sort();
        assert_eq!(bytes, [0, 1, 2, 3, 4, 5, 6, 7]);
    });
}

/// A peer sends faster than its bytes are read.
#[test]
fn a_stream_that_always_has_more_lets_others_run() {
    run(async {
        let (one, other) = pair().await;
        one.write_all(&[7; 10_000]).await.unwrap();
        let reader = spawn(async move {
            for _ in 0..10_000 {
                other.read_exact(&mut [0]).await.unwrap();
            }
        });
        let mut turns = 0;
        while !reader.is_finished() {
            yield_now().await;
            turns += 1;
        }
        assert!(turns >= 10_000 / 64, "{turns} turns");
    });
}

/// The same with each way to read, write, accept or connect.
mod never_waits {
    use super::*;
    use asyncio_net::TcpListener;

    const BYTES: usize = 10_000;

    /// Runs operations that never have to wait. Returns the number of turns that another task had
    /// meanwhile.
    async fn turns_beside(work: impl Future<Output = ()> + 'static) -> usize {
        let work = spawn(work);
        let mut turns = 0;
        while !work.is_finished() {
            yield_now().await;
            turns += 1;
        }
        work.await.unwrap();
        turns
    }

    /// Reads a number of bytes from a stream that has them all.
    fn reads<F: Future<Output = ()> + 'static>(read: impl FnOnce(TcpStream) -> F) {
        run(async {
            let (one, other) = pair().await;
            one.write_all(&[7; BYTES]).await.unwrap();
            let turns = turns_beside(read(other)).await;
            assert!(turns >= BYTES / 64, "{turns} turns");
        });
    }

    #[test]
    fn readable_and_a_try() {
        reads(async |stream| {
            for _ in 0..BYTES {
                stream.readable().await.unwrap();
                assert_eq!(stream.try_read(&mut [0]).unwrap(), 1);
            }
        });
    }

    #[test]
    fn readable_and_try_io() {
        reads(async |stream| {
            for _ in 0..BYTES {
                stream.readable().await.unwrap();
                let read = || (&*socket2::SockRef::from(&stream)).read(&mut [0]);
                assert_eq!(stream.try_io(Direction::Read, read).unwrap(), 1);
            }
        });
    }

    #[test]
    fn readable_alone_and_peeks() {
        reads(async |stream| {
            for _ in 0..BYTES / 2 {
                stream.readable().await.unwrap();
                assert_eq!(stream.peek(&mut [0]).await.unwrap(), 1);
            }
        });
    }

    #[test]
    fn halves_and_traits() {
        reads(async |stream| {
            let (mut read, _write) = stream.into_split();
            for _ in 0..BYTES {
                assert_eq!(AsyncReadExt::read(&mut read, &mut [0]).await.unwrap(), 1);
            }
        });
    }

    #[test]
    fn polls_by_hand() {
        reads(async |stream| {
            for _ in 0..BYTES {
                poll_fn(|cx| stream.poll_read_ready(cx)).await.unwrap();
                assert_eq!(stream.try_read(&mut [0]).unwrap(), 1);
            }
        });
    }

    #[test]
    fn tries_until_would_block() {
        run(async {
            let (one, other) = pair().await;
            one.write_all(&[7; BYTES]).await.unwrap();
            let read = async move {
                let mut left = BYTES;
                while left > 0 {
                    other.readable().await.unwrap();
                    while other.try_read(&mut [0]).is_ok() {
                        left -= 1;
                    }
                }
            };
            let turns = turns_beside(read).await;
            assert!(turns >= BYTES / 2048, "{turns} turns");
        });
    }

    #[test]
    fn writes() {
        run(async {
            let (one, other) = pair().await;
            let write = async move {
                for _ in 0..BYTES / 2 {
                    one.writable().await.unwrap();
                    assert_eq!(one.try_write(b"x").unwrap(), 1);
                }
                one.write_all(&[7; BYTES / 2]).await.unwrap();
            };
            let turns = turns_beside(write).await;
            assert!(turns >= BYTES / 2 / 64, "{turns} turns");
            other.read_exact(&mut [0; BYTES]).await.unwrap();
        });
    }

    #[test]
    fn many_streams_by_turns() {
        run(async {
            let mut pairs = Vec::new();
            for _ in 0..100 {
                let (one, other) = pair().await;
                one.write_all(&[7; BYTES / 100]).await.unwrap();
                pairs.push((one, other));
            }
            let read = async move {
                for at in 0..BYTES {
                    pairs[at % 100].1.read_exact(&mut [0]).await.unwrap();
                }
            };
            let turns = turns_beside(read).await;
            assert!(turns >= BYTES / 64 / 2, "{turns} turns");
        });
    }

    #[test]
    fn accepts_of_queued_connections() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let clients: Vec<_> = (0..500)
                .map(|_| std::net::TcpStream::connect(address).unwrap())
                .collect();
            let accept = async move {
                for _ in 0..500 {
                    drop(listener.accept().await.unwrap());
                }
            };
            let turns = turns_beside(accept).await;
            assert!(turns >= 500 / 64, "{turns} turns");
            drop(clients);
        });
    }

    #[test]
    fn connects_that_succeed_at_once() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let connect = async move {
                for _ in 0..500 {
                    drop(TcpStream::connect(address).await.unwrap());
                }
            };
            let turns = turns_beside(connect).await;
            assert!(turns >= 500 / 64, "{turns} turns");
        });
    }
}

#[test]
fn borrowed_halves_work_at_the_same_time() {
    run(async {
        let (mut one, mut other) = pair().await;
        let (reads, writes) = one.split_ref();
        let (their_reads, their_writes) = other.split_ref();
        let mut buf = [0; 8];
        let (got, _, _) = futures::join!(
            reads.read(&mut buf),
            async {
                let mut question = [0; 2];
                their_reads.read_exact(&mut question).await.unwrap();
                their_writes.write_all(&question).await.unwrap();
            },
            writes.write_all(b"hi"),
        );
        assert_eq!(got.unwrap(), 2);
        // Borrowed halves need not be dropped explicitly, and their drop shuts nothing down.
        assert!(other.try_read(&mut [0; 1]).is_err());
    });
}

#[test]
fn owned_halves_go_to_tasks_of_their_own() {
    run(async {
        let (one, other) = pair().await;
        let (reads, writes) = one.into_split();
        let writer = spawn(async move {
            writes.write_all(b"hello").await.unwrap();
            // The half is dropped here, which shuts the sending side down.
        });
        let reader = spawn(async move {
            let mut all = [0; 5];
            reads.read_exact(&mut all).await.unwrap();
            all
        });
        let mut all = Vec::new();
        let mut other = other;
        other.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello");
        other.write_all(b"world").await.unwrap();
        writer.await.unwrap();
        assert_eq!(&reader.await.unwrap(), b"world");
    });
}

#[test]
fn a_forgotten_half_leaves_the_connection_open() {
    run(async {
        let (one, other) = pair().await;
        let (reads, writes) = one.into_split();
        writes.forget();
        let mut buf = [0; 8];
        let mut end = pin!(other.read(&mut buf));
        assert!(futures::poll!(end.as_mut()).is_pending());
        drop(reads);
        assert_eq!(end.await.unwrap(), 0);
    });
}

#[test]
fn two_halves_are_reunited() {
    run(async {
        let (one, other) = pair().await;
        let (reads, writes) = one.into_split();
        let (their_reads, their_writes) = other.into_split();
        let error = reads.reunite(their_writes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the two halves belong to different streams"
        );
        let one = error.0.reunite(writes).unwrap();
        let other = their_reads.reunite(error.1).unwrap();
        // Reuniting has shut nothing down.
        one.write_all(b"x").await.unwrap();
        assert_eq!(other.read(&mut [0; 2]).await.unwrap(), 1);
        other.write_all(b"x").await.unwrap();
    });
}

#[test]
fn the_traits_of_futures_work() {
    run(async {
        let (mut one, other) = pair().await;
        let server = spawn(async move {
            let (reads, mut writes) = other.into_split();
            let mut lines = BufReader::new(reads).lines();
            while let Some(line) = futures::StreamExt::next(&mut lines).await {
                let answer = format!("{}\n", line.unwrap().to_uppercase());
                AsyncWriteExt::write_all(&mut writes, answer.as_bytes())
                    .await
                    .unwrap();
            }
            writes.close().await.unwrap();
        });
        AsyncWriteExt::write_all(&mut one, b"one\ntwo\n")
            .await
            .unwrap();
        one.flush().await.unwrap();
        one.close().await.unwrap();
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "ONE\nTWO\n");
        server.await.unwrap();
        // By reference, as for the standard library's streams.
        let (one, other) = pair().await;
        let parts = [IoSlice::new(b"a"), IoSlice::new(b"b")];
        let written = AsyncWriteExt::write_vectored(&mut &one, &parts).await;
        assert_eq!(written.unwrap(), 2);
        let mut buf = [0; 4];
        let mut bufs = [IoSliceMut::new(&mut buf)];
        let read = AsyncReadExt::read_vectored(&mut &other, &mut bufs).await;
        assert_eq!(read.unwrap(), 2);
    });
}

#[test]
fn a_stream_to_std_and_back_loses_no_byte() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ours = TcpStream::from_std(listener.accept().unwrap().0).unwrap();
        theirs.write_all(b"0123456789").unwrap();
        // Buffers that are filled exactly, and a larger one.
        let mut buf = [0; 4];
        assert_eq!(ours.read(&mut buf).await.unwrap(), 4);
        assert_eq!(ours.peek(&mut buf).await.unwrap(), 4);
        assert_eq!(ours.read(&mut buf).await.unwrap(), 4);
        let mut ours = ours.into_std().unwrap();
        assert_eq!(ours.read(&mut buf).unwrap(), 2);
        assert_eq!(&buf[..2], b"89");
        // The stream is blocking again.
        let answer = std::thread::spawn(move || ours.read(&mut [0; 4]).unwrap());
        theirs.write_all(b"x").unwrap();
        assert_eq!(answer.join().unwrap(), 1);
    });
}

#[test]
fn options_are_kept() {
    run(async {
        let (one, other) = pair().await;
        for stream in [&one, &other] {
            assert!(stream.nodelay().unwrap());
            stream.set_nodelay(false).unwrap();
            assert!(!stream.nodelay().unwrap());
            assert!(!stream.keepalive().unwrap());
            stream.set_keepalive(Some(Duration::from_secs(60))).unwrap();
            assert!(stream.keepalive().unwrap());
            stream.set_keepalive(None).unwrap();
            assert!(!stream.keepalive().unwrap());
            assert_eq!(stream.linger().unwrap(), None);
            stream.set_linger(Some(Duration::ZERO)).unwrap();
            assert_eq!(stream.linger().unwrap(), Some(Duration::ZERO));
            stream.set_linger(None).unwrap();
            stream.set_ttl(42).unwrap();
            assert_eq!(stream.ttl().unwrap(), 42);
            assert!(stream.take_error().unwrap().is_none());
        }
        assert_eq!(one.local_addr().unwrap(), other.peer_addr().unwrap());
        assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
    });
}

/// The system counts seconds. If half a second were cut to zero, it would mean a reset for linger,
/// and an error for keepalive.
#[test]
fn a_part_of_a_second_is_rounded_up() {
    run(async {
        let (stream, _other) = pair().await;
        let half = Duration::from_millis(500);
        stream.set_linger(Some(half)).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(Duration::from_secs(1)));
        stream.set_keepalive(Some(half)).unwrap();
        assert!(stream.keepalive().unwrap());
        stream.set_keepalive(Some(Duration::ZERO)).unwrap();
        stream.set_linger(Some(Duration::MAX)).unwrap();
        assert!(stream.linger().unwrap() > Some(Duration::from_secs(60 * 60)));
    });
}

/// Polls by hand, to check each poll.
#[test]
fn polling_by_hand_waits_and_proceeds() {
    run(async {
        let (one, other) = pair().await;
        let mut buf = [0; 8];
        let mut cx = Context::from_waker(Waker::noop());
        let mut stream = &other;
        let read = futures::AsyncRead::poll_read(Pin::new(&mut stream), &mut cx, &mut buf);
        assert!(read.is_pending());
        assert!(other.poll_read_ready(&mut cx).is_pending());
        assert!(matches!(
            other.poll_write_ready(&mut cx),
            Poll::Ready(Ok(()))
        ));
        one.write_all(b"x").await.unwrap();
        poll_fn(|cx| other.poll_read_ready(cx)).await.unwrap();
        let read = futures::AsyncRead::poll_read(Pin::new(&mut stream), &mut cx, &mut buf);
        assert!(matches!(read, Poll::Ready(Ok(1))));
    });
}

/// Parts that are put together, parts that are not, and all that is between.
#[test]
fn parts_of_any_size_arrive_in_order() {
    run(async {
        let (ours, theirs) = pair().await;
        for size in [0, 1, 13, 1023, 1365, 1366, 4096, 20_000] {
            let parts = [vec![1_u8; size], Vec::new(), vec![2; size], vec![3; size]];
            let all = parts.concat();
            let mut sent = 0;
            while sent < all.len() {
                let mut left = sent;
                let bufs: Vec<IoSlice<'_>> = parts
                    .iter()
                    .map(|part| {
                        let skipped = left.min(part.len());
                        left -= skipped;
                        IoSlice::new(&part[skipped..])
                    })
                    .collect();
                sent += match size % 2 {
                    0 => ours.write_vectored(&bufs).await.unwrap(),
                    _ => ours.try_write_vectored(&bufs).unwrap(),
                };
            }
            let mut received = vec![0; all.len()];
            theirs.read_exact(&mut received).await.unwrap();
            assert_eq!(received, all);
        }
    });
}
