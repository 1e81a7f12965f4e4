//! The behaviour that `test_streams.py` observes.

/// The one class of the file.
mod stream_tests {
    use std::cell::Cell;
    use std::collections::VecDeque;
    use std::io;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::task::{Context, Poll};

    use asyncio::net::{
        LimitOverrun, MemoryStream, ReadError, StreamReader, StreamWriter, TcpStream, memory_pair,
        open_connection, start_server,
    };
    use asyncio::{run, set_exception_handler, spawn, yield_now};
    use futures::AsyncRead;

    /// A source that gives these pieces, one a read, and then its end.
    struct Pieces(VecDeque<io::Result<&'static str>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let piece = self.0.pop_front().unwrap_or(Ok(""))?;
            buf[..piece.len()].copy_from_slice(piece.as_bytes());
            Poll::Ready(Ok(piece.len()))
        }
    }

    type Reader = StreamReader<Pieces>;

    fn fed(pieces: impl IntoIterator<Item = &'static str>) -> Reader {
        StreamReader::new(Pieces(pieces.into_iter().map(Ok).collect()))
    }

    fn limited(limit: usize, pieces: impl IntoIterator<Item = &'static str>) -> Reader {
        StreamReader::with_limit(limit, Pieces(pieces.into_iter().map(Ok).collect()))
    }

    /// Some bytes, and then an error.
    fn broken(bytes: &'static str) -> Reader {
        let error = io::Error::new(io::ErrorKind::ConnectionReset, "on purpose");
        StreamReader::new(Pieces([Ok(bytes), Err(error)].into()))
    }

    fn overrun(error: ReadError) -> LimitOverrun {
        match error {
            ReadError::LimitOverrun(overrun) => overrun,
            other => panic!("not an overrun: {other}"),
        }
    }

    /// The bytes before the end, and how many were asked for.
    fn incomplete(error: ReadError) -> (Vec<u8>, Option<usize>) {
        match error {
            ReadError::Incomplete(incomplete) => (incomplete.partial, incomplete.expected),
            other => panic!("not incomplete: {other}"),
        }
    }

    /// A request, a line, and the rest up to the end; nothing is reported.
    #[test]
    fn open_connection_() {
        run(async {
            let reports = Rc::new(Cell::new(0));
            let count = reports.clone();
            set_exception_handler(move |_| count.set(count.get() + 1));
            let serve = async |mut reader: StreamReader, writer: StreamWriter| {
                reader.read_until(b"\r\n\r\n").await.unwrap();
                writer.write("HTTP/1.0 200 OK\r\n\r\nTest message");
            };
            let server = start_server(serve, "127.0.0.1:0").await.unwrap();
            let (mut reader, writer) = open_connection(server.addresses()).await.unwrap();
            writer.write("GET / HTTP/1.0\r\n\r\n");
            assert_eq!(reader.readline().await.unwrap(), b"HTTP/1.0 200 OK\r\n");
            let rest = reader.read_to_end(1000).await.unwrap();
            assert!(rest.ends_with(b"\r\n\r\nTest message") || rest == b"\r\nTest message");
            writer.close();
            writer.wait_closed().await.unwrap();
            assert_eq!(reports.get(), 0);
        });
    }

    /// The same over a Unix socket.
    #[cfg(unix)]
    #[test]
    fn open_unix_connection() {
        use asyncio::net::{UnixStream, start_unix_server};
        run(async {
            let path = std::env::temp_dir().join(format!("asyncio-it-{}", std::process::id()));
            let serve = async |mut reader: StreamReader<_>, writer: StreamWriter<_>| {
                writer.write(reader.readline().await.unwrap());
            };
            let server = start_unix_server(serve, &path).unwrap();
            let (mut reader, writer) = UnixStream::connect(&path).await.unwrap().into_buffered();
            writer.write("hello\n");
            assert_eq!(reader.readline().await.unwrap(), b"hello\n");
            assert_eq!(reader.readline().await.unwrap(), b"");
            drop((writer, server));
        });
    }

    /// The same row for servers.
    #[cfg(unix)]
    #[test]
    fn start_unix_server() {
        open_unix_connection();
    }

    /// A lost connection is the error of later reads, and closing is in order.
    #[test]
    fn open_connection_error() {
        run(async {
            let listener = asyncio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .unwrap();
            let address = listener.local_addr().unwrap();
            let (mut reader, writer) = open_connection(address).await.unwrap();
            let stream: TcpStream = listener.accept().await.unwrap().0;
            stream.set_linger(Some(std::time::Duration::ZERO)).unwrap();
            drop(stream);
            let error = reader.read(1).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            writer.close();
            let _ = writer.wait_closed().await;
            assert!(writer.is_closing());
        });
    }

    /// No bytes are asked for, and none are taken.
    #[test]
    fn read_zero() {
        run(async {
            let mut reader = fed(["data"]);
            reader.read(1).await.unwrap();
            assert_eq!(reader.read(0).await.unwrap(), b"");
            assert_eq!(reader.unread(), b"ata");
        });
    }

    /// The borders of pieces do not count, and the rest stays.
    #[test]
    fn read_line_breaks() {
        run(async {
            let mut reader = fed(["line1\nline2"]);
            assert_eq!(reader.read(5).await.unwrap(), b"line1");
            assert_eq!(reader.unread(), b"\nline2");
        });
    }

    /// All up to the end.
    #[test]
    fn read_until_eof() {
        run(async {
            let mut reader = fed(["chunk1\n", "chunk2"]);
            assert_eq!(reader.read_to_end(100).await.unwrap(), b"chunk1\nchunk2");
            assert!(reader.at_eof());
        });
    }

    /// Bytes that came before an error are read before it.
    #[test]
    fn read_exception() {
        run(async {
            let mut reader = broken("line\n");
            assert_eq!(reader.read(2).await.unwrap(), b"li");
            assert_eq!(reader.read(9).await.unwrap(), b"ne\n");
            assert_eq!(reader.read(2).await.unwrap_err().to_string(), "on purpose");
        });
    }

    /// A limit is at least 1.
    #[test]
    #[should_panic(expected = "the limit of a reader must be at least 1")]
    fn invalid_limit() {
        limited(0, []);
    }

    /// A line is joined from its pieces.
    #[test]
    fn readline() {
        run(async {
            let mut reader = fed(["chunk1 ", "chunk2 ", "chunk3 ", "\n chunk4"]);
            assert_eq!(reader.readline().await.unwrap(), b"chunk1 chunk2 chunk3 \n");
            assert_eq!(reader.unread(), b" chunk4");
        });
    }

    /// A line that is too long goes, alone if its end has come, and otherwise with all that has come.
    #[test]
    fn readline_limit_with_existing_data() {
        run(async {
            let mut reader = limited(3, ["li", "ne1\nline2\n"]);
            assert!(overrun(reader.readline().await.unwrap_err()).found);
            assert_eq!(reader.unread(), b"line2\n");
            let mut reader = limited(3, ["li", "ne1", "li"]);
            assert!(!overrun(reader.readline().await.unwrap_err()).found);
            assert_eq!(reader.unread(), b"");
        });
    }

    /// Only after the end, and when all is taken.
    #[test]
    fn at_eof() {
        run(async {
            let mut reader = fed(["some data\n"]);
            assert!(!reader.at_eof());
            reader.readline().await.unwrap();
            assert!(!reader.at_eof());
            assert_eq!(reader.read(1).await.unwrap(), b"");
            assert!(reader.at_eof());
        });
    }

    /// A line that is there needs no read.
    #[test]
    fn readline_nolimit_nowait() {
        run(async {
            let mut reader = fed(["line1\nline2\nline3\n"]);
            for line in [&b"line1\n"[..], b"line2\n", b"line3\n"] {
                assert_eq!(reader.readline().await.unwrap(), line);
            }
            assert_eq!(reader.unread(), b"");
        });
    }

    /// The last line may have no end.
    #[test]
    fn readline_eof() {
        run(async { assert_eq!(fed(["some data"]).readline().await.unwrap(), b"some data") });
    }

    /// After the end there is nothing.
    #[test]
    fn readline_empty_eof() {
        run(async { assert_eq!(fed([]).readline().await.unwrap(), b"") });
    }

    /// Lines and counts in turn.
    #[test]
    fn readline_read_byte_count() {
        run(async {
            let mut reader = fed(["line1\nline2\nline3\n"]);
            reader.readline().await.unwrap();
            assert_eq!(reader.read(7).await.unwrap(), b"line2\nl");
            assert_eq!(reader.unread(), b"ine3\n");
        });
    }

    /// The error of the stream is that of a line.
    #[test]
    fn readline_exception() {
        run(async {
            let mut reader = broken("line");
            let error = reader.readline().await.unwrap_err();
            assert_eq!(error.to_string(), "on purpose");
            assert_eq!(reader.unread(), b"line");
        });
    }

    /// A separator is not empty.
    #[test]
    #[should_panic(expected = "a separator must have at least one byte")]
    fn readuntil_separator() {
        run(async { drop(fed(["x"]).read_until(b"").await.map(<[u8]>::to_vec)) });
    }

    /// With the separator, and without what follows.
    #[test]
    fn readuntil_multi_chunks() {
        run(async {
            let mut reader = fed(["lineAAA", "lin", "eAAA", "xxx"]);
            assert_eq!(reader.read_until(b"AAA").await.unwrap(), b"lineAAA");
            assert_eq!(reader.read_until(b"AAA").await.unwrap(), b"lineAAA");
            let (partial, expected) = incomplete(reader.read_until(b"AAA").await.unwrap_err());
            assert_eq!((&partial[..], expected), (&b"xxx"[..], None));
        });
    }

    /// A separator may be spread over pieces, and begin in vain.
    #[test]
    fn readuntil_multi_chunks_1() {
        run(async {
            let mut reader = fed(["QWERTY", "AaA", "aaAA", "A"]);
            assert_eq!(
                reader.read_until(b"AaaAAA").await.unwrap(),
                b"QWERTYAaAaaAAA"
            );
            let mut reader = fed(["some ", "dataA", "AAA"]);
            assert_eq!(reader.read_until(b"AAA").await.unwrap(), b"some dataAAA");
            assert_eq!(reader.unread(), b"A");
        });
    }

    /// Of several separators the one that ends first counts, also for the limit.
    #[test]
    fn readuntil_multi_separator_limit() {
        run(async {
            let mut reader = limited(3, ["some dataA"]);
            let separators = [&b"A"[..], b"ome dataA"];
            let error = overrun(reader.read_until(&separators).await.unwrap_err());
            assert!(error.found);
            assert!(reader.unread().starts_with(b"some data"));
        });
    }

    /// Separators of different lengths, of which the short one comes late.
    #[test]
    fn readuntil_multi_separator_negative_offset() {
        run(async {
            let mut reader = fed(["data"]);
            let separators = [&b"A"[..], b"long sep"];
            let (partial, _) = incomplete(reader.read_until(&separators).await.unwrap_err());
            assert_eq!(partial, b"data");
            let mut reader = fed(["d", "ataA", "x"]);
            assert_eq!(reader.read_until(&separators).await.unwrap(), b"dataA");
        });
    }

    /// None are there at once. (Less than none cannot be written.)
    #[test]
    fn readexactly_zero_or_less() {
        run(async { assert_eq!(fed(["data"]).read_exact(0).await.unwrap(), b"") });
    }

    /// So many bytes, and no more.
    #[test]
    fn readexactly() {
        run(async {
            let mut reader = fed(["line", "line", "line"]);
            assert_eq!(reader.read_exact(10).await.unwrap(), b"linelineli");
            assert_eq!(reader.unread(), b"ne");
        });
    }

    /// An early end is an error with what has come.
    #[test]
    fn readexactly_eof() {
        run(async {
            let mut reader = fed(["chunk"]);
            let error = reader.read_exact(7).await.unwrap_err();
            assert_eq!(error.to_string(), "the stream ended after 5 of 7 bytes");
            assert_eq!(incomplete(error), (b"chunk".to_vec(), Some(7)));
            assert_eq!(reader.unread(), b"");
        });
    }

    /// The error of the stream is that of the read.
    #[test]
    fn readexactly_exception() {
        run(async {
            let error = broken("li").read_exact(7).await.unwrap_err();
            assert_eq!(error.to_string(), "on purpose");
        });
    }

    /// An error after a cancelled read meets nobody.
    #[test]
    fn exception_cancel() {
        run(async {
            let (ours, theirs) = memory_pair(10);
            let reading = spawn(async move { StreamReader::new(theirs).read(1).await.map(drop) });
            yield_now().await;
            reading.cancel();
            assert!(reading.await.unwrap_err().is_cancelled());
            assert_eq!(
                ours.write(b"x").await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
        });
    }

    /// A transport needs a loop. A reader and a writer need none until they wait.
    #[test]
    fn streamreaderprotocol_constructor_without_loop() {
        struct Quiet;
        impl asyncio::net::Protocol for Quiet {
            fn data_received(&mut self, _: &asyncio::net::Transport, _: &[u8]) {}
        }
        let error = asyncio::net::Transport::new(memory_pair(1).0, Quiet).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no event loop runs on this thread"),
            "{error}"
        );
    }

    /// A writer whose buffer is too full, and the other end.
    fn full() -> (StreamWriter<MemoryStream>, MemoryStream) {
        let (ours, theirs) = memory_pair(10);
        let writer = StreamWriter::new(ours);
        writer.set_water_marks(0, 0);
        writer.write([0; 30]);
        (writer, theirs)
    }

    /// One resume releases all that drain.
    #[test]
    fn multiple_drain() {
        run(async {
            let (writer, theirs) = full();
            let writer = Rc::new(writer);
            let drains = (0..10).map(|_| {
                let writer = writer.clone();
                spawn(async move { writer.drain().await.unwrap() })
            });
            let drains = Vec::from_iter(drains);
            yield_now().await;
            assert!(drains.iter().all(|drain| !drain.is_finished()));
            let mut left = 30;
            while left > 0 {
                left -= theirs.read(&mut [0; 10]).await.unwrap();
            }
            for drain in drains {
                drain.await.unwrap();
            }
        });
    }

    /// A loop of writes and drains ends when the peer is gone.
    #[test]
    fn drain_raises() {
        run(async {
            let (writer, theirs) = full();
            drop(theirs);
            let error = loop {
                writer.write("data");
                if let Err(error) = writer.drain().await {
                    break error;
                }
            };
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    }

    /// `Debug` shows what is unread, the limit and the end.
    #[test]
    fn __repr__() {
        assert_eq!(
            format!("{:?}", fed([])),
            "StreamReader { unread: 0, limit: 65536, eof: false, .. }"
        );
    }

    #[test]
    #[expect(non_snake_case, reason = "the name of the row")]
    fn __repr__nondefault_limit() {
        assert!(format!("{:?}", limited(123, [])).contains("limit: 123"));
    }

    #[test]
    #[expect(non_snake_case, reason = "the name of the row")]
    fn __repr__eof() {
        run(async {
            let mut reader = fed([]);
            reader.read(1).await.unwrap();
            assert!(format!("{reader:?}").contains("eof: true"));
        });
    }

    #[test]
    #[expect(non_snake_case, reason = "the name of the row")]
    fn __repr__data() {
        run(async {
            let mut reader = fed(["data"]);
            reader.read(1).await.unwrap();
            assert!(format!("{reader:?}").contains("unread: 3"));
        });
    }

    /// Closing does not wait for what is unread.
    #[test]
    fn wait_closed_on_close_with_unread_data() {
        run(async {
            let serve = async |mut reader: StreamReader, writer: StreamWriter| {
                reader.read(1).await.unwrap();
                writer.write("HTTP/1.0 200 OK\r\n\r\nTest message");
            };
            let server = start_server(serve, "127.0.0.1:0").await.unwrap();
            let (mut reader, writer) = open_connection(server.addresses()).await.unwrap();
            writer.write("GET / HTTP/1.0\r\n\r\n");
            reader.readline().await.unwrap();
            writer.close();
            writer.wait_closed().await.unwrap();
        });
    }

    /// Writing, draining and closing, without a report.
    #[test]
    fn async_writer_api() {
        run(async {
            set_exception_handler(|unhandled| panic!("{unhandled}"));
            let (ours, theirs) = memory_pair(100);
            let writer = StreamWriter::new(ours);
            writer.write("data");
            writer.drain().await.unwrap();
            writer.close();
            writer.wait_closed().await.unwrap();
            assert_eq!(
                StreamReader::new(theirs).read_to_end(9).await.unwrap(),
                b"data"
            );
        });
    }

    /// A write after the close is the error of the next drain.
    #[test]
    fn async_writer_api_exception_after_close() {
        run(async {
            let (ours, _theirs) = memory_pair(100);
            let writer = StreamWriter::new(ours);
            writer.close();
            writer.write("data");
            assert_eq!(
                writer.drain().await.unwrap_err().kind(),
                io::ErrorKind::BrokenPipe
            );
        });
    }

    /// Closing the writer closes one direction: the reader reads on, up to the peer's end.
    #[test]
    fn eof_feed_when_closing_writer() {
        run(async {
            let serve = async |mut reader: StreamReader, writer: StreamWriter| {
                assert_eq!(reader.read(1).await.unwrap(), b"");
                writer.write("goodbye");
            };
            let server = start_server(serve, "127.0.0.1:0").await.unwrap();
            let (mut reader, writer) = open_connection(server.addresses()).await.unwrap();
            writer.close();
            writer.wait_closed().await.unwrap();
            assert_eq!(reader.read_to_end(100).await.unwrap(), b"goodbye");
            assert!(reader.at_eof());
        });
    }

    /// Dropping the writer closes it, after what was written. That is no mistake here.
    #[test]
    fn unclosed_resource_warnings() {
        run(async {
            set_exception_handler(|unhandled| panic!("{unhandled}"));
            let (ours, theirs) = memory_pair(10);
            let writer = StreamWriter::new(ours);
            writer.write("more than ten bytes");
            drop(writer);
            let mut reader = StreamReader::new(theirs);
            assert_eq!(
                reader.read_to_end(100).await.unwrap(),
                b"more than ten bytes"
            );
        });
    }

    /// Dropping it after its loop does no harm.
    #[test]
    fn loop_is_closed_resource_warnings() {
        let (writer, theirs) = run(async { full() });
        drop(writer);
        drop(theirs);
    }

    /// The cancellation of a handler is not reported.
    #[test]
    fn unhandled_cancel() {
        run(async {
            set_exception_handler(|unhandled| panic!("{unhandled}"));
            let serve = async |_: StreamReader, _: StreamWriter| std::future::pending::<()>().await;
            let server = start_server(serve, "127.0.0.1:0").await.unwrap();
            let (mut reader, _writer) = open_connection(server.addresses()).await.unwrap();
            while server.connections() == 0 {
                yield_now().await;
            }
            server.close_clients();
            assert_eq!(reader.read(1).await.unwrap(), b"");
        });
    }
}
