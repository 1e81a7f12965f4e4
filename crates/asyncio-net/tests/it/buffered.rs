//! Streams with buffers: `StreamReader`, `StreamWriter`, and the pair in memory.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{sleep, spawn, yield_now};
use asyncio_net::{
    MemoryStream, ReadError, StreamReader, StreamWriter, TcpListener, TcpStream, memory_pair,
    open_connection,
};
use futures::{AsyncBufReadExt as _, AsyncReadExt, AsyncWrite};

use crate::support::{listener, pair, run, run_virtual};

/// A reader of `bytes` that come in pieces of this size, and then end.
fn reader_of(bytes: &[u8], piece: usize, limit: usize) -> StreamReader<MemoryStream> {
    let (one, other) = memory_pair(piece);
    let bytes = bytes.to_vec();
    // The reader may be dropped before it has read all.
    spawn(async move { drop(one.write_all(&bytes).await) }).detach();
    StreamReader::with_limit(limit, other)
}

fn overrun<T>(outcome: Result<T, ReadError>) -> (usize, bool) {
    match outcome {
        Err(ReadError::LimitOverrun(overrun)) => (overrun.consumed, overrun.found),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it must exceed the limit"),
    }
}

fn partial<T>(outcome: Result<T, ReadError>) -> Vec<u8> {
    match outcome {
        Err(ReadError::Incomplete(incomplete)) => incomplete.partial,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it must be incomplete"),
    }
}

mod reader {
    use super::*;

    #[test]
    fn knows_the_end_whichever_trait_has_found_it() {
        run_virtual(async {
            let mut reader = reader_of(b"word", 7, 64);
            let mut buf = [0; 8];
            // An empty buffer finds no end.
            assert_eq!(AsyncReadExt::read(&mut reader, &mut []).await.unwrap(), 0);
            assert!(!reader.at_eof());
            assert_eq!(AsyncReadExt::read(&mut reader, &mut buf).await.unwrap(), 4);
            assert!(!reader.at_eof());
            assert_eq!(AsyncReadExt::read(&mut reader, &mut buf).await.unwrap(), 0);
            assert!(reader.at_eof());
        });
    }

    #[test]
    fn lines_are_found_whatever_pieces_they_come_in() {
        run_virtual(async {
            for piece in [1, 2, 3, 7, 64] {
                let mut reader = reader_of(b"one\n\ntwo\r\nlast", piece, 64);
                assert_eq!(reader.readline().await.unwrap(), b"one\n");
                assert_eq!(reader.readline().await.unwrap(), b"\n");
                assert_eq!(reader.readline().await.unwrap(), b"two\r\n");
                assert!(!reader.at_eof());
                assert_eq!(reader.readline().await.unwrap(), b"last");
                assert_eq!(reader.readline().await.unwrap(), b"");
                assert!(reader.at_eof());
            }
        });
    }

    #[test]
    fn a_line_is_text_without_its_end() {
        run_virtual(async {
            let mut reader = reader_of("äöü\r\n\nbad \u{fffd}".as_bytes(), 5, 64);
            assert_eq!(reader.next_line().await.unwrap(), Some("äöü"));
            assert_eq!(reader.next_line().await.unwrap(), Some(""));
            assert_eq!(reader.next_line().await.unwrap(), Some("bad \u{fffd}"));
            assert_eq!(reader.next_line().await.unwrap(), None);
            let mut reader = reader_of(b"\xff\xfe\nnext\n", 5, 64);
            let error = reader.next_line().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert_eq!(reader.next_line().await.unwrap(), Some("next"));
        });
    }

    #[test]
    fn reads_of_any_size_leave_the_rest() {
        run_virtual(async {
            let mut reader = reader_of(b"abcdefgh", 64, 64);
            assert_eq!(reader.read(0).await.unwrap(), b"");
            assert_eq!(reader.read(3).await.unwrap(), b"abc");
            assert_eq!(reader.unread(), b"defgh");
            assert_eq!(reader.read_exact(2).await.unwrap(), b"de");
            assert_eq!(reader.read_exact(0).await.unwrap(), b"");
            assert_eq!(reader.read(100).await.unwrap(), b"fgh");
            assert_eq!(reader.read(1).await.unwrap(), b"");
            assert!(reader.at_eof());
        });
    }

    #[test]
    fn an_exact_read_may_exceed_the_limit_and_says_what_came_before_an_end() {
        run_virtual(async {
            let bytes = vec![7; 300];
            let mut reader = reader_of(&bytes, 9, 16);
            assert_eq!(reader.read_exact(250).await.unwrap(), &bytes[..250]);
            let Err(ReadError::Incomplete(error)) = reader.read_exact(51).await else {
                panic!("it must be incomplete");
            };
            assert_eq!((error.partial.len(), error.expected), (50, Some(51)));
            assert_eq!(error.to_string(), "the stream ended after 50 of 51 bytes");
            assert!(reader.at_eof());
            let error = io::Error::from(ReadError::Incomplete(error));
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn the_end_is_read_within_a_bound() {
        run_virtual(async {
            let bytes = vec![7; 10_000];
            let mut reader = reader_of(&bytes, 999, 16);
            assert_eq!(reader.read_to_end(10_000).await.unwrap(), bytes);
            assert_eq!(reader.read_to_end(0).await.unwrap(), b"");
            let mut reader = reader_of(&bytes, 999, 16);
            assert!(!overrun(reader.read_to_end(5_000).await).1);
            assert_eq!(
                reader.read_to_end(10_000).await.unwrap(),
                bytes,
                "nothing is lost"
            );
        });
    }

    #[test]
    fn errors_of_the_source_lose_nothing() {
        struct Fails(usize);
        impl futures::AsyncRead for Fails {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.0 += 1;
                if self.0.is_multiple_of(2) {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                buf[0] = b'x';
                Poll::Ready(Ok(1))
            }
        }
        run_virtual(async {
            let mut reader = StreamReader::new(Fails(0));
            for came in 1..4 {
                let error = io::Error::from(reader.read_exact(4).await.unwrap_err());
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                assert_eq!(reader.unread().len(), came);
            }
            assert_eq!(reader.read_exact(4).await.unwrap(), b"xxxx");
        });
    }

    #[test]
    fn a_cancelled_read_loses_nothing() {
        run_virtual(async {
            let (one, other) = memory_pair(64);
            let mut reader = StreamReader::new(other);
            for part in ["ab", "cd", "e\n"] {
                let mut reading = Box::pin(reader.readline());
                assert!(futures::poll!(reading.as_mut()).is_pending());
                one.write_all(part.as_bytes()).await.unwrap();
                if part != "e\n" {
                    assert!(futures::poll!(reading.as_mut()).is_pending());
                }
            }
            assert_eq!(reader.readline().await.unwrap(), b"abcde\n");
        });
    }

    #[test]
    fn the_traits_of_futures_see_the_same_bytes() {
        run_virtual(async {
            let mut reader = reader_of(b"line\nrest of it", 4, 64);
            assert_eq!(reader.read_exact(2).await.unwrap(), b"li");
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
            assert_eq!(line, "ne\n");
            let mut rest = Vec::new();
            futures::AsyncReadExt::read_to_end(&mut reader, &mut rest)
                .await
                .unwrap();
            assert_eq!(rest, b"rest of it");
        });
    }

    #[test]
    fn parts_are_given_back() {
        run_virtual(async {
            let mut reader = reader_of(b"head\nbody", 64, 64);
            reader.readline().await.unwrap();
            let (source, unread) = reader.into_parts();
            assert_eq!(unread, b"body");
            assert_eq!(source.read(&mut [0; 4]).await.unwrap(), 0);
        });
    }

    #[test]
    #[should_panic(expected = "the limit of a reader must be at least 1")]
    fn a_limit_of_none_is_refused() {
        let (_one, other) = memory_pair(1);
        let _ = StreamReader::with_limit(0, other);
    }

    #[test]
    fn its_debug_text_says_how_much_it_has() {
        run_virtual(async {
            let mut reader = reader_of(b"abcdef", 64, 32);
            reader.read(2).await.unwrap();
            let text = format!("{reader:?}");
            assert_eq!(
                text,
                "StreamReader { unread: 4, limit: 32, eof: false, .. }"
            );
        });
    }
}

/// Rows of CPython's test_streams on `readuntil` and the limit.
mod separators {
    use super::*;

    #[test]
    fn are_found_across_pieces_and_after_false_starts() {
        run_virtual(async {
            for piece in 1..8 {
                let mut reader = reader_of(b"ABABABC....AAAAB-rest", piece, 64);
                assert_eq!(reader.read_until(b"ABC").await.unwrap(), b"ABABABC");
                assert_eq!(reader.read_until("AAAB").await.unwrap(), b"....AAAAB");
                assert_eq!(reader.read_until(b'-').await.unwrap(), b"-");
                assert_eq!(partial(reader.read_until("none").await), b"rest");
                assert!(reader.at_eof());
            }
        });
    }

    #[test]
    fn of_several_the_first_that_ends_counts() {
        run_virtual(async {
            let both: [&[u8]; 2] = [b"\r\n", b"\n"];
            let mut reader = reader_of(b"a\nb\r\nc", 1, 64);
            assert_eq!(reader.read_until(both).await.unwrap(), b"a\n");
            assert_eq!(reader.read_until(&both[..]).await.unwrap(), b"b\r\n");
            assert_eq!(partial(reader.read_until(both).await), b"c");
        });
    }

    #[test]
    fn of_several_with_one_end_the_shortest_decides_about_the_limit() {
        run_virtual(async {
            let mut reader = reader_of(b"some dataA", 64, 3);
            let separators: [&[u8]; 2] = [b"A", b"ome dataA"];
            assert_eq!(overrun(reader.read_until(separators).await), (9, true));
        });
    }

    #[test]
    fn of_different_lengths_never_lose_their_place() {
        run_virtual(async {
            let separators: [&[u8]; 2] = [b"A", b"long sep"];
            let mut reader = reader_of(b"data", 64, 64);
            assert_eq!(partial(reader.read_until(separators).await), b"data");
        });
    }

    #[test]
    fn beyond_the_limit_are_an_error_and_the_bytes_stay() {
        run_virtual(async {
            let mut reader = reader_of(b"exactly\nmore than that\nend", 64, 7);
            assert_eq!(reader.read_until("\n").await.unwrap(), b"exactly\n");
            assert_eq!(overrun(reader.read_until("\n").await), (14, true));
            assert_eq!(reader.read(15).await.unwrap(), b"more than that\n");
            let mut endless = reader_of(&[b'x'; 100], 10, 7);
            assert_eq!(overrun(endless.read_until("\n").await), (10, false));
            assert_eq!(endless.read(10).await.unwrap(), [b'x'; 10]);
        });
    }

    #[test]
    fn that_are_empty_are_refused() {
        for separators in [&[][..], &[&b""[..]], &[&b"a"[..], b""]] {
            let read = std::panic::AssertUnwindSafe(|| {
                run_virtual(async {
                    let mut reader = reader_of(b"x", 1, 1);
                    reader.read_until(separators).await.map(<[u8]>::len)
                })
            });
            assert!(std::panic::catch_unwind(read).is_err());
        }
    }

    /// If its end has come, exactly that line is dropped. Otherwise all that has come is.
    #[test]
    fn a_line_beyond_the_limit_is_dropped() {
        run_virtual(async {
            let mut reader = reader_of(b"much too long\nok\n", 64, 7);
            assert_eq!(overrun(reader.readline().await), (13, true));
            assert_eq!(reader.readline().await.unwrap(), b"ok\n");
            let mut reader = reader_of(b"xxxxxxxxxxyyyyyyyyyyzz\nok\n", 10, 7);
            assert_eq!(overrun(reader.readline().await), (10, false));
            assert_eq!(overrun(reader.readline().await), (10, false));
            assert_eq!(reader.readline().await.unwrap(), b"zz\n");
            assert_eq!(reader.readline().await.unwrap(), b"ok\n");
        });
    }

    /// A peer that never sends a separator does not fill the memory.
    #[test]
    fn an_endless_line_takes_no_more_memory_than_the_limit() {
        run_virtual(async {
            struct Endless(Rc<Cell<usize>>);
            impl futures::AsyncRead for Endless {
                fn poll_read(
                    self: Pin<&mut Self>,
                    _: &mut Context<'_>,
                    buf: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    buf.fill(b'x');
                    self.0.set(self.0.get() + buf.len());
                    Poll::Ready(Ok(buf.len()))
                }
            }
            let taken = Rc::new(Cell::new(0));
            let mut reader = StreamReader::new(Endless(taken.clone()));
            overrun(reader.read_until("\n").await);
            assert!(taken.get() <= 2 * 64 * 1024 + 8 * 1024, "{}", taken.get());
        });
    }
}

mod writer {
    use super::*;

    async fn all_of(other: &MemoryStream) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buf = [0; 100];
        loop {
            match other.read(&mut buf).await.unwrap() {
                0 => return all,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
    }

    #[test]
    fn sends_in_order_without_a_drain() {
        run_virtual(async {
            let (one, other) = memory_pair(3);
            let writer = StreamWriter::new(one);
            writer.write("abc");
            writer.write("defg");
            writer.writelines(["h", "", "ij"]);
            assert_eq!(writer.buffered(), 7);
            writer.close();
            assert_eq!(all_of(&other).await, b"abcdefghij");
            writer.wait_closed().await.unwrap();
            assert!(writer.is_closing());
        });
    }

    #[test]
    fn a_drain_waits_between_the_water_marks() {
        run_virtual(async {
            let (one, other) = memory_pair(10);
            let writer = StreamWriter::new(one);
            writer.set_water_marks(20, 40);
            writer.write([1; 10]);
            writer.write([2; 40]);
            writer.drain().await.unwrap(); // 40 is not above the mark
            writer.write([3]);
            let drained = Cell::new(0);
            let drain = async {
                writer.drain().await.unwrap();
                drained.set(drained.get() + 1);
            };
            let drains = futures::future::join_all((0..10).map(|_| async {
                writer.drain().await.unwrap();
                drained.set(drained.get() + 1);
            }));
            let read = async {
                let mut buf = [0; 10];
                for left in [41, 31, 21] {
                    yield_now().await;
                    assert_eq!((writer.buffered(), drained.get()), (left, 0));
                    other.read(&mut buf).await.unwrap();
                    yield_now().await;
                    yield_now().await;
                }
                yield_now().await;
                assert_eq!((writer.buffered(), drained.get()), (11, 11));
            };
            futures::join!(drain, drains, read);
        });
    }

    #[test]
    fn a_slow_reader_pushes_back_on_a_fast_writer() {
        run_virtual(async {
            let (one, other) = memory_pair(1024);
            let writer = Rc::new(StreamWriter::new(one));
            let most = Rc::new(Cell::new(0));
            let (writes, seen) = (writer.clone(), most.clone());
            let sending = spawn(async move {
                for _ in 0..1_000 {
                    writes.write([7; 1000]);
                    seen.set(seen.get().max(writes.buffered()));
                    writes.drain().await?;
                }
                writes.close();
                io::Result::Ok(())
            });
            let (mut received, mut buf) = (0, [0; 100]);
            loop {
                sleep(Duration::from_millis(1)).await;
                match other.read(&mut buf).await.unwrap() {
                    0 => break,
                    n => received += n,
                }
            }
            sending.await.unwrap().unwrap();
            assert_eq!(received, 1_000_000);
            assert!(most.get() <= 64 * 1024 + 1000, "{}", most.get());
        });
    }

    #[test]
    fn a_loop_of_write_and_drain_ends_when_the_peer_is_gone() {
        run_virtual(async {
            let (one, other) = memory_pair(64);
            let writer = StreamWriter::new(one);
            writer.write("x");
            drop(other);
            let error = loop {
                writer.write("more");
                if let Err(error) = writer.drain().await {
                    break error;
                }
                yield_now().await;
            };
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            assert!(writer.drain().await.is_err(), "and each time");
            writer.close();
            assert!(writer.wait_closed().await.is_err());
        });
    }

    #[test]
    fn an_end_is_sent_after_all_bytes_and_reading_goes_on() {
        run(async {
            let (ours, theirs) = pair().await;
            let (mut reader, writer) = ours.into_buffered();
            writer.write(vec![7; 1 << 20]);
            writer.write_eof();
            let (mut their_reader, their_writer) = theirs.into_buffered();
            assert_eq!(
                their_reader.read_to_end(2 << 20).await.unwrap().len(),
                1 << 20
            );
            their_writer.write("answer");
            assert_eq!(reader.read_exact(6).await.unwrap(), b"answer");
            writer.write("behind the end");
            let error = writer.drain().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    #[test]
    fn a_dropped_writer_sends_what_it_has() {
        run(async {
            let (ours, theirs) = pair().await;
            let (_reader, writer) = ours.into_buffered();
            writer.write(vec![7; 4 << 20]);
            assert!(writer.buffered() > 0);
            drop(writer);
            let (mut reader, _writer) = theirs.into_buffered();
            assert_eq!(reader.read_to_end(8 << 20).await.unwrap().len(), 4 << 20);
        });
    }

    #[test]
    fn an_aborted_writer_sends_nothing_more() {
        run_virtual(async {
            let (one, other) = memory_pair(2);
            let writer = StreamWriter::new(one);
            writer.write("abcdef");
            writer.abort();
            assert_eq!(all_of(&other).await, b"ab");
            writer.wait_closed().await.unwrap();
        });
    }

    #[test]
    fn a_drain_hears_of_an_abort() {
        run_virtual(async {
            let (one, _other) = memory_pair(4);
            let writer = Rc::new(StreamWriter::new(one));
            writer.set_water_marks(0, 0);
            writer.write(b"12345678");
            let draining = writer.clone();
            let draining = spawn(async move { draining.drain().await });
            yield_now().await;
            writer.abort();
            for drained in [draining.await.unwrap(), writer.drain().await] {
                let error = drained.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            }
            writer.wait_closed().await.unwrap();
        });
    }

    /// Takes a byte each time, and then panics.
    struct Panics {
        after: usize,
    }

    impl AsyncWrite for Panics {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.after = self.after.checked_sub(1).expect("the sink panics");
            cx.waker().wake_by_ref();
            match self.after % 2 {
                0 => Poll::Pending,
                _ => Poll::Ready(Ok(1)),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            assert!(!std::thread::panicking() || self.after == 0);
        }
    }

    #[test]
    fn a_stream_that_panics_closes_its_writer() {
        for after in [0, 3, 4] {
            run_virtual(async {
                asyncio_loop::set_exception_handler(|_| {});
                let writer = StreamWriter::new(Panics { after });
                writer.set_water_marks(0, 0);
                let writing = std::panic::AssertUnwindSafe(|| writer.write(b"12345678"));
                let panicked = std::panic::catch_unwind(writing).is_err();
                assert_eq!(panicked, after == 0);
                assert!(writer.drain().await.is_err());
                assert!(writer.wait_closed().await.is_err());
            });
        }
    }

    #[test]
    fn a_writer_may_be_dropped_with_its_loop_or_after_it() {
        let (kept, _peer) = run_virtual(async {
            let (one, _other) = memory_pair(2);
            let writer = StreamWriter::new(one);
            writer.write("much more than fits");
            let (one, other) = memory_pair(2);
            let kept = StreamWriter::new(one);
            kept.write("also more");
            (kept, other)
        });
        assert!(kept.is_closing(), "its sender went with the loop");
        drop(kept);
    }

    #[test]
    fn a_stream_that_comes_back_to_its_writer_is_no_trouble() {
        /// Writes to its own writer each time it is written to.
        #[derive(Default)]
        struct Echo {
            writer: Rc<std::cell::RefCell<std::rc::Weak<StreamWriter<Echo>>>>,
            taken: Rc<std::cell::RefCell<Vec<u8>>>,
        }
        impl AsyncWrite for Echo {
            fn poll_write(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.taken.borrow_mut().extend_from_slice(buf);
                if let Some(writer) = self.writer.borrow().upgrade()
                    && self.taken.borrow().len() < 10
                {
                    writer.write("again");
                }
                Poll::Ready(Ok(buf.len()))
            }
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
        run_virtual(async {
            let echo = Echo::default();
            let (slot, taken) = (echo.writer.clone(), echo.taken.clone());
            let writer = Rc::new(StreamWriter::new(echo));
            slot.replace(Rc::downgrade(&writer));
            writer.write("first");
            writer.close();
            writer.wait_closed().await.unwrap();
            assert_eq!(*taken.borrow(), b"firstagain");
        });
    }

    #[test]
    #[should_panic(expected = "the low water mark (3) must be at most the high one (2)")]
    fn water_marks_in_the_wrong_order_are_refused() {
        StreamWriter::new(memory_pair(1).0).set_water_marks(3, 2);
    }
}

mod connections {
    use super::*;

    async fn echo_lines(listener: TcpListener) -> io::Result<()> {
        let (mut reader, writer) = listener.accept().await?.0.into_buffered();
        loop {
            let line = reader.readline().await?;
            if line.is_empty() {
                writer.close();
                return writer.wait_closed().await;
            }
            writer.write(line);
            writer.drain().await?;
        }
    }

    #[test]
    fn a_conversation_in_lines() {
        run(async {
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let server = spawn(echo_lines(listener));
            let (mut reader, writer) = open_connection(address).await.unwrap();
            assert_eq!(writer.peer_addr().unwrap(), address);
            for n in 0..100 {
                let line = format!("line {n}\n");
                writer.write(&line);
                writer.drain().await.unwrap();
                assert_eq!(reader.readline().await.unwrap(), line.as_bytes());
            }
            writer.close();
            writer.wait_closed().await.unwrap();
            assert!(writer.peer_addr().is_err());
            assert_eq!(reader.readline().await.unwrap(), b"");
            server.await.unwrap().unwrap();
        });
    }

    #[test]
    fn a_reset_is_an_error_for_reader_and_writer() {
        run(async {
            let (ours, theirs) = pair().await;
            let (mut reader, writer) = ours.into_buffered();
            theirs.set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            let error = io::Error::from(reader.read_exact(1).await.unwrap_err());
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            loop {
                writer.write("x");
                if writer.drain().await.is_err() {
                    break;
                }
                yield_now().await;
            }
        });
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_connection_has_the_same() {
        run(async {
            let (one, other) = asyncio_net::UnixStream::pair().unwrap();
            let (mut reader, _keep) = one.into_buffered();
            let (_reader, writer) = other.into_buffered();
            writer.write("over a Unix socket\n");
            assert_eq!(
                reader.next_line().await.unwrap(),
                Some("over a Unix socket")
            );
        });
    }

    #[test]
    fn nothing_is_read_ahead_from_the_peer_of_a_half() {
        run(async {
            let (ours, theirs) = pair().await;
            let (reader, writer) = ours.into_buffered();
            drop(reader);
            writer.write("still open");
            let mut buf = [0; 16];
            assert_eq!(TcpStream::read(&theirs, &mut buf).await.unwrap(), 10);
        });
    }
}

/// How many steps another task had while `main` ran.
async fn steps_of_another<T>(main: impl Future<Output = T>) -> usize {
    let steps = Rc::new(Cell::new(0));
    let counting = steps.clone();
    let other = spawn(async move {
        loop {
            counting.set(counting.get() + 1);
            yield_now().await;
        }
    });
    main.await;
    drop(other);
    steps.get()
}

/// Loops of awaits that are all ready let other tasks run.
mod a_loop_without_waits {
    use super::*;
    use futures::{AsyncReadExt, AsyncWriteExt};

    const ROUNDS: usize = 2_000;
    const STEPS: usize = ROUNDS / 256;

    #[test]
    fn over_a_pair_in_memory() {
        run_virtual(async {
            let (mut one, mut other) = memory_pair(8);
            let steps = steps_of_another(async {
                let mut buf = [0; 8];
                for _ in 0..ROUNDS {
                    one.write(b"x").await.unwrap();
                    other.read(&mut buf).await.unwrap();
                }
            });
            assert!(steps.await >= STEPS);
            let steps = steps_of_another(async {
                let mut buf = [0; 8];
                for _ in 0..ROUNDS {
                    AsyncWriteExt::write(&mut one, b"x").await.unwrap();
                    AsyncReadExt::read(&mut other, &mut buf).await.unwrap();
                }
            });
            assert!(steps.await >= STEPS);
        });
    }

    #[test]
    fn of_lines_that_were_received_at_once() {
        run_virtual(async {
            let lines = b"\n".repeat(ROUNDS);
            let mut reader = StreamReader::new(futures::io::Cursor::new(&lines));
            let steps =
                steps_of_another(async { while !reader.readline().await.unwrap().is_empty() {} });
            assert!(steps.await >= STEPS);
            let reader = StreamReader::new(futures::io::Cursor::new(&lines));
            let steps = steps_of_another(async {
                let mut lines = reader.lines();
                while futures::StreamExt::next(&mut lines).await.is_some() {}
            });
            assert!(steps.await >= STEPS);
        });
    }

    #[test]
    fn over_a_source_that_is_always_ready() {
        run_virtual(async {
            let mut reader = StreamReader::new(futures::io::repeat(b'x'));
            let steps = steps_of_another(async {
                for _ in 0..ROUNDS {
                    reader.read_exact(5000).await.unwrap();
                }
            });
            assert!(steps.await >= STEPS);
            let mut source = futures::io::repeat(b'x').take((ROUNDS * 16 * 1024) as u64);
            let mut sink = futures::io::sink();
            let steps = steps_of_another(async {
                asyncio_net::copy(&mut source, &mut sink).await.unwrap();
            });
            assert!(steps.await >= 1, "the pieces are large, and so few");
        });
    }

    #[test]
    fn of_drains() {
        run_virtual(async {
            let writer = StreamWriter::new(futures::io::sink());
            let steps = steps_of_another(async {
                for _ in 0..ROUNDS {
                    writer.write(b"x");
                    writer.drain().await.unwrap();
                }
            });
            assert!(steps.await >= STEPS);
        });
    }
}

mod memory {
    use super::*;

    #[test]
    fn each_direction_has_its_own_room_and_its_own_end() {
        run_virtual(async {
            let (one, other) = memory_pair(4);
            assert_eq!(one.write(b"abcdef").await.unwrap(), 4);
            assert!(futures::poll!(Box::pin(one.write(b"x"))).is_pending());
            assert_eq!(other.write(b"1234").await.unwrap(), 4);
            one.shutdown();
            let mut buf = [0; 8];
            assert_eq!(other.read(&mut buf).await.unwrap(), 4);
            assert_eq!(other.read(&mut buf).await.unwrap(), 0);
            assert_eq!(
                one.write(b"x").await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
            assert_eq!(one.read(&mut buf).await.unwrap(), 4);
            assert_eq!(other.write(b"5").await.unwrap(), 1);
            drop(one);
            assert_eq!(
                other.write(b"6").await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
        });
    }

    #[test]
    fn a_waiting_writer_hears_that_its_reader_is_gone() {
        run_virtual(async {
            let (one, other) = memory_pair(1);
            one.write(b"x").await.unwrap();
            let writing = spawn(async move { one.write(b"y").await });
            yield_now().await;
            drop(other);
            assert_eq!(
                writing.await.unwrap().unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
        });
    }

    #[test]
    fn an_idle_timeout_takes_no_real_time() {
        run_virtual(async {
            let (one, _other) = memory_pair(1);
            let mut reader = StreamReader::new(one);
            let idle = sleep(Duration::from_secs(3600));
            let reading = Box::pin(reader.read(1));
            let outcome = futures::future::select(reading, Box::pin(idle)).await;
            assert!(matches!(outcome, futures::future::Either::Right(_)));
        });
    }
}
