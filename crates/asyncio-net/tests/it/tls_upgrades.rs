//! TLS on connections that began in plain text, on transports, and on servers.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{sleep, spawn, time, yield_now};
use asyncio_net::tls::{
    TlsHalf, TlsStream, create_tls_connection, create_tls_server, rustls, start_tls_server,
};
use asyncio_net::{
    MemoryStream, Protocol, Server, StreamReader, StreamWriter, TcpSocket, TcpStream, Transport,
    memory_pair, open_connection, start_server,
};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::tls::both_sides;
use crate::support::{listener, pair, run, run_virtual};

/// The calls to a protocol, in order.
#[derive(Clone, Default)]
struct Recorder {
    log: Rc<RefCell<Vec<String>>>,
    answers: bool,
}

impl Recorder {
    fn answering() -> Self {
        Self {
            answers: true,
            ..Self::default()
        }
    }

    fn add(&self, event: impl Into<String>) {
        self.log.borrow_mut().push(event.into());
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, _: &Transport) {
        self.add("made");
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        self.add(String::from_utf8_lossy(data));
        if self.answers {
            transport.write(data.to_ascii_uppercase());
        }
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<&io::Error>) {
        self.add(error.map_or("lost".to_owned(), |error| {
            format!("lost: {:?}", error.kind())
        }));
    }
}

mod a_pair {
    use super::*;

    #[test]
    fn continues_in_tls_on_both_sides() {
        run(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = pair().await;
            let server = async {
                let (mut reader, writer) = theirs.into_buffered();
                assert_eq!(reader.readline().await.unwrap(), b"STARTTLS\n");
                writer.write("go ahead\n");
                let (mut reader, writer) = acceptor.start_tls(reader, writer).await.unwrap();
                writer.write(reader.readline().await.unwrap());
                writer.close();
                writer.wait_closed().await.unwrap();
            };
            let client = async {
                let (mut reader, writer) = ours.into_buffered();
                writer.write("STARTTLS\n");
                assert_eq!(reader.readline().await.unwrap(), b"go ahead\n");
                let both = connector.start_tls("localhost", reader, writer).await;
                let (mut reader, writer) = both.unwrap();
                writer.write("secret\n");
                assert_eq!(reader.readline().await.unwrap(), b"secret\n");
                assert_eq!(reader.read(1).await.unwrap(), b"");
            };
            futures::join!(server, client);
        });
    }

    /// The client does not wait for the answer.
    #[test]
    fn has_bytes_that_were_received_already_in_the_handshake() {
        run(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = pair().await;
            let server = async {
                while theirs.peek(&mut [0; 200]).await.unwrap() < 200 {
                    yield_now().await;
                }
                let (read, write) = theirs.into_split();
                let (mut reader, writer) = (
                    StreamReader::with_limit(1000, read),
                    StreamWriter::new(write),
                );
                assert_eq!(reader.readline().await.unwrap(), b"STARTTLS\n");
                assert!(!reader.unread().is_empty(), "the client's first message");
                let (mut reader, _writer) = acceptor.start_tls(reader, writer).await.unwrap();
                assert_eq!(reader.limit(), 1000);
                assert_eq!(reader.readline().await.unwrap(), b"secret\n");
            };
            let client = async {
                let (reader, writer) = ours.into_buffered();
                writer.write("STARTTLS\n");
                let both = connector.start_tls("localhost", reader, writer).await;
                both.unwrap().1.write("secret\n");
            };
            futures::join!(server, client);
        });
    }

    #[test]
    fn sends_in_plain_text_what_was_written_before() {
        const MUCH: usize = 5_000_000;
        run(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = pair().await;
            let server = async {
                let mut plain = vec![0; MUCH];
                theirs.read_exact(&mut plain).await.unwrap();
                assert!(plain.iter().all(|byte| *byte == 7));
                let mut stream = acceptor.accept(theirs).await.unwrap();
                stream.read_exact(&mut [0; 6]).await.unwrap();
            };
            let client = async {
                let (reader, writer) = ours.into_buffered();
                writer.write(vec![7; MUCH]);
                assert!(writer.buffered() > 0);
                let both = connector.start_tls("localhost", reader, writer).await;
                both.unwrap().1.write("secret");
            };
            futures::join!(server, client);
        });
    }

    #[test]
    fn of_two_connections_or_closed_is_refused() {
        run(async {
            let (_, connector) = both_sides();
            let ((one, _kept), (other, _kept_too)) = (pair().await, pair().await);
            let ((reader, _), (other_reader, writer)) =
                (one.into_buffered(), other.into_buffered());
            let both = connector.start_tls("localhost", reader, writer).await;
            assert_eq!(both.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            let writer = pair().await.0.into_buffered().1;
            writer.close();
            let both = connector.start_tls("localhost", other_reader, writer).await;
            assert_eq!(both.unwrap_err().kind(), io::ErrorKind::NotConnected);
        });
    }

    #[test]
    fn with_a_peer_that_speaks_no_tls_is_an_error_and_closed() {
        run(async {
            let (_, connector) = both_sides();
            let (ours, theirs) = pair().await;
            let (reader, writer) = ours.into_buffered();
            theirs
                .write_all(b"-ERR what do you mean?\r\n")
                .await
                .unwrap();
            let both = connector.start_tls("localhost", reader, writer).await;
            assert_eq!(both.unwrap_err().kind(), io::ErrorKind::InvalidData);
            let mut rest = Vec::new();
            let _ = (&theirs).read_to_end(&mut rest).await;
        });
    }
}

mod a_session {
    use super::*;

    #[test]
    fn is_resumed_by_the_next_connection() {
        run(async {
            let (acceptor, connector) = both_sides();
            let mut kinds = Vec::new();
            for _ in 0..2 {
                let (ours, theirs) = pair().await;
                let connecting = connector.connect("localhost", ours);
                let both = futures::try_join!(connecting, acceptor.accept(theirs));
                let (mut client, mut server) = both.unwrap();
                server.write_all(b"x").await.unwrap();
                server.flush().await.unwrap();
                client.read_exact(&mut [0]).await.unwrap(); // with the tickets
                kinds.push(client.handshake_kind());
                assert_eq!(client.handshake_kind(), server.handshake_kind());
            }
            use rustls::HandshakeKind::{Full, Resumed};
            assert_eq!(kinds, [Some(Full), Some(Resumed)]);
        });
    }
}

mod a_transport {
    use super::*;

    /// A transport over TLS, and the server's end.
    async fn connected(protocol: Recorder) -> (Transport, TlsStream<MemoryStream>) {
        let (acceptor, connector) = both_sides();
        let (ours, theirs) = memory_pair(1000);
        let connecting = connector.connect("localhost", ours);
        let (client, server) = futures::try_join!(connecting, acceptor.accept(theirs)).unwrap();
        (client.into_transport(protocol).unwrap(), server)
    }

    #[test]
    fn says_goodbye_when_it_is_closed() {
        run_virtual(async {
            let recorder = Recorder::default();
            let (transport, mut server) = connected(recorder.clone()).await;
            transport.write(vec![7; 100_000]);
            transport.close();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, [7; 100_000]);
            transport.wait_closed().await.unwrap();
            assert_eq!(recorder.log.take(), ["made", "lost"]);
        });
    }

    #[test]
    fn tells_a_goodbye_from_a_cut() {
        run_virtual(async {
            let recorder = Recorder::default();
            let (transport, mut server) = connected(recorder.clone()).await;
            server.shutdown().await.unwrap();
            transport.wait_closed().await.unwrap();
            assert_eq!(recorder.log.take(), ["made", "lost"]);
            let (transport, server) = connected(recorder.clone()).await;
            drop(server);
            transport.wait_closed().await.unwrap_err();
            assert_eq!(recorder.log.take(), ["made", "lost: UnexpectedEof"]);
        });
    }

    #[test]
    fn does_not_wait_for_a_peer_that_never_reads_beyond_the_limit() {
        run_virtual(async {
            let recorder = Recorder::default();
            let (transport, _server) = connected(recorder.clone()).await;
            transport.write(vec![7; 100_000]);
            let begin = time();
            transport.close();
            transport.wait_closed().await.unwrap_err();
            assert_eq!(time() - begin, Duration::from_secs(30));
            assert_eq!(recorder.log.take(), ["made", "lost: TimedOut"]);
        });
    }

    #[test]
    fn is_upgraded_and_encrypts_what_is_written_from_the_call_on() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = memory_pair(100);
            let (here, there) = (Recorder::default(), Recorder::answering());
            let client = Transport::new(ours, here.clone()).unwrap();
            let server = Transport::new(theirs, there.clone()).unwrap();
            client.write("hello");
            for _ in 0..10 {
                yield_now().await;
            }
            let server_side = server.accept_tls(&acceptor);
            let client_side = client.start_tls(&connector, "localhost");
            client.write("secret");
            assert_eq!(client.get_write_buffer_size(), 6);
            assert!(!client.is_reading());
            let both = futures::join!(server_side, client_side);
            assert!(
                both.0.is_ok() && both.1.is_ok(),
                "{both:?} {:?} {:?}",
                here.log,
                there.log
            );
            for _ in 0..100 {
                yield_now().await;
            }
            assert_eq!(there.log.take(), ["made", "hello", "secret"]);
            assert_eq!(here.log.take(), ["made", "HELLO", "SECRET"]);
            client.close();
            server.wait_closed().await.unwrap();
            assert_eq!(there.log.take(), ["lost"]);
        });
    }

    #[test]
    fn sends_in_plain_text_what_was_written_before_its_upgrade() {
        run_virtual(async {
            let (acceptor, connector) = both_sides();
            let (ours, theirs) = memory_pair(100);
            let client = Transport::new(ours, Recorder::default()).unwrap();
            client.write(vec![7; 1000]);
            let upgrade = client.start_tls(&connector, "localhost");
            client.write("secret");
            let upgrade = spawn(upgrade);
            let mut plain = [0; 1000];
            let mut theirs = theirs;
            theirs.read_exact(&mut plain).await.unwrap();
            assert_eq!(plain, [7; 1000]);
            let mut server = acceptor.accept(theirs).await.unwrap();
            let mut secret = [0; 6];
            server.read_exact(&mut secret).await.unwrap();
            assert_eq!(&secret, b"secret");
            upgrade.await.unwrap().unwrap();
        });
    }

    #[test]
    fn ends_with_a_failed_upgrade() {
        run_virtual(async {
            let (_, connector) = both_sides();
            for garbage in [&b"no TLS at all"[..], b""] {
                let recorder = Recorder::default();
                let (ours, theirs) = memory_pair(10_000);
                let client = Transport::new(ours, recorder.clone()).unwrap();
                let upgrade = client.start_tls(&connector, "localhost");
                theirs.write_all(garbage).await.unwrap();
                if garbage.is_empty() {
                    theirs.shutdown();
                }
                let error = upgrade.await.unwrap_err();
                let lost = client.wait_closed().await.unwrap_err();
                assert_eq!(error.kind(), lost.kind());
                let kind = error.kind();
                assert_eq!(
                    recorder.log.take(),
                    ["made".to_owned(), format!("lost: {kind:?}")]
                );
            }
        });
    }

    #[test]
    fn ends_at_once_when_it_is_aborted_or_its_upgrade_is_dropped() {
        run_virtual(async {
            let (_, connector) = both_sides();
            for abort in [true, false] {
                let recorder = Recorder::default();
                let (ours, theirs) = memory_pair(10_000);
                let client = Transport::new(ours, recorder.clone()).unwrap();
                let begin = time();
                {
                    let upgrade = std::pin::pin!(client.start_tls(&connector, "localhost"));
                    assert!(client.start_tls(&connector, "localhost").await.is_err());
                    let aborting = async {
                        sleep(Duration::from_secs(1)).await;
                        if abort {
                            client.abort();
                            std::future::pending().await
                        }
                    };
                    match futures::future::select(upgrade, std::pin::pin!(aborting)).await {
                        futures::future::Either::Left((outcome, _)) => {
                            assert!(abort && outcome.is_err());
                        }
                        futures::future::Either::Right(_) => assert!(!abort),
                    }
                }
                let lost = client.wait_closed().await;
                assert_eq!(lost.is_ok(), abort);
                assert_eq!(time() - begin, Duration::from_secs(1));
                assert_eq!(recorder.log.take().len(), 2);
                let mut rest = Vec::new();
                let mut theirs = theirs;
                theirs.read_to_end(&mut rest).await.unwrap();
            }
        });
    }
}

mod a_server {
    use super::*;

    type Reader = StreamReader<TlsHalf<TcpStream>>;
    type Writer = StreamWriter<TlsHalf<TcpStream>>;

    #[test]
    fn shakes_hands_with_each_client_beside_the_others() {
        run(async {
            let (acceptor, connector) = both_sides();
            let echo = async |mut reader: Reader, writer: Writer| {
                writer.write(reader.readline().await?);
                std::io::Result::Ok(())
            };
            let server = start_tls_server(acceptor, echo, "127.0.0.1:0")
                .await
                .unwrap();
            let silent = TcpStream::connect(server.addresses()).await.unwrap();
            let (mut garbled, writer) = open_connection(server.addresses()).await.unwrap();
            writer.write([0xff; 100]);
            let address = server.addresses()[0];
            let stream = TcpStream::connect(address).await.unwrap();
            let stream = connector.connect("localhost", stream).await.unwrap();
            let (mut reader, writer) = stream.into_buffered();
            writer.write("hello\n");
            assert_eq!(reader.readline().await.unwrap(), b"hello\n");
            assert_eq!(reader.read(1).await.unwrap(), b"", "a goodbye");
            let _ = garbled.read_to_end(1000).await;
            drop(writer);
            drop(reader);
            while server.connections() > 1 {
                sleep(Duration::from_millis(1)).await;
            }
            server.close();
            server.close_clients();
            server.wait_closed().await;
            assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
        });
    }

    #[test]
    fn of_protocols() {
        run(async {
            let (acceptor, connector) = both_sides();
            let recorder = Recorder::answering();
            let factory = {
                let recorder = recorder.clone();
                move || recorder.clone()
            };
            let server = create_tls_server(acceptor, factory, "127.0.0.1:0")
                .await
                .unwrap();
            let port = server.addresses()[0].port();
            let client = Recorder::default();
            let made = client.clone();
            let transport = create_tls_connection(move || made, &connector, "localhost", port);
            let transport = transport.await.unwrap();
            assert_eq!(transport.peer_addr().unwrap(), server.addresses()[0]);
            let alpn = |stream: &TlsStream<TcpStream>| stream.protocol_version();
            assert!(transport.with_stream(alpn).flatten().is_some());
            transport.write("hello");
            while client.log.borrow().len() < 2 {
                sleep(Duration::from_millis(1)).await;
            }
            transport.close();
            transport.wait_closed().await.unwrap();
            server.close();
            server.wait_closed().await;
            assert_eq!(client.log.take(), ["made", "HELLO", "lost"]);
            assert_eq!(recorder.log.take(), ["made", "hello", "lost"]);
        });
    }

    /// More than the buffers of the system hold, which [`upgraded`] keeps small.
    const MUCH: usize = 1 << 20;

    /// A server whose handler has upgraded its connection, sends much in TLS, and never ends; and its client.
    async fn upgraded() -> (Server, TlsStream<TcpStream>) {
        let (acceptor, connector) = both_sides();
        let sent = Rc::new(Cell::new(false));
        let note = sent.clone();
        let handler = async move |reader: StreamReader, writer: StreamWriter| {
            let (_reader, writer) = acceptor.start_tls(reader, writer).await?;
            writer.write(vec![7; MUCH]);
            note.set(true);
            std::future::pending::<io::Result<()>>().await
        };
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 << 10).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let server = Server::builder().start(handler, [socket.listen(1).unwrap()]);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let stream = socket.connect(server.addresses()[0]).await.unwrap();
        let stream = connector.connect("localhost", stream).await.unwrap();
        until(|| sent.get()).await;
        (server, stream)
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn aborts_a_connection_that_its_handler_has_upgraded() {
        run(async {
            let (server, mut stream) = upgraded().await;
            server.abort_clients();
            // The client does not read, so a connection that was only closed would stay for its shutdown timeout.
            until(|| server.connections() == 0).await;
            let mut all = Vec::new();
            let cut = stream.read_to_end(&mut all).await.unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof, "no goodbye");
            assert!(all.len() < MUCH);
        });
    }

    #[test]
    fn waits_for_the_last_bytes_of_an_upgraded_connection() {
        run(async {
            let (server, mut stream) = upgraded().await;
            server.close();
            server.close_clients();
            yield_now().await;
            assert_eq!(server.connections(), 1, "there are bytes to be sent");
            let mut all = Vec::new();
            let reading = async { stream.read_to_end(&mut all).await.unwrap() };
            futures::join!(reading, server.wait_closed());
            assert_eq!(all.len(), MUCH);
        });
    }

    /// The upgrade runs in a task of its own, which the server does not cancel.
    #[test]
    fn aborts_a_connection_in_the_handshake_of_its_upgrade() {
        run(async {
            let (acceptor, _) = both_sides();
            let outcome: Rc<Cell<Option<io::Error>>> = Rc::default();
            let note = outcome.clone();
            let handler = async move |reader: StreamReader, writer: StreamWriter| {
                let (acceptor, note) = (acceptor.clone(), note.clone());
                let upgrade = async move {
                    note.set(acceptor.start_tls(reader, writer).await.err());
                };
                spawn(upgrade).detach();
            };
            let server = start_server(handler, "127.0.0.1:0").await.unwrap();
            let silent = TcpStream::connect(server.addresses()).await.unwrap();
            until(|| server.connections() == 1).await;
            sleep(Duration::from_millis(2)).await;
            assert_eq!(server.connections(), 1, "the handshake is under way");
            server.abort_clients();
            assert_eq!(server.connections(), 0);
            assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)));
            let error = outcome.take().expect("the upgrade has ended");
            assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        });
    }

    #[test]
    fn counts_handshakes_to_its_limit() {
        run(async {
            let (acceptor, connector) = both_sides();
            let handled = Rc::new(Cell::new(0));
            let count = handled.clone();
            let handler = async move |_: Reader, writer: Writer| {
                count.set(count.get() + 1);
                writer.write("hello");
            };
            let builder = Server::builder().max_connections(1);
            let listener = listener().await;
            let address = listener.local_addr().unwrap();
            let server = builder.start_tls(acceptor, handler, [listener]);
            let silent = TcpStream::connect(address).await.unwrap();
            until(|| server.connections() > 0).await;
            let stream = TcpStream::connect(address).await.unwrap();
            let connecting = spawn(async move { connector.connect("localhost", stream).await });
            sleep(Duration::from_millis(10)).await;
            assert!(!connecting.is_finished());
            drop(silent);
            let (mut reader, _writer) = connecting.await.unwrap().unwrap().into_buffered();
            assert_eq!(reader.read_to_end(10).await.unwrap(), b"hello");
            assert_eq!(handled.get(), 1);
        });
    }
}
