//! Servers: connections, their handlers, and how all of it ends.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{on_cancel, timeout};
use asyncio_loop::{running_loop, set_exception_handler, sleep, spawn, yield_now};
use asyncio_net::{
    Server, StreamReader, StreamWriter, TcpListener, open_connection, serve, start_server,
};

use crate::support::{listener, run};

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(());
        }
        writer.write(line);
        writer.drain().await?;
    }
}

/// Sends a line and reads what comes back.
async fn ask(address: SocketAddr, line: &str) -> io::Result<String> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(format!("{line}\n"));
    Ok(reader.next_line().await?.unwrap_or("nothing").to_owned())
}

/// Lets tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Has reports of the running loop collected.
fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = reports.clone();
    set_exception_handler(move |unhandled| seen.borrow_mut().push(unhandled.to_string()));
    assert!(running_loop().is_here());
    reports
}

/// More than the buffers of the system hold.
const MUCH: usize = 20 << 20;

async fn sends_much(_: StreamReader, writer: StreamWriter) {
    writer.write(vec![7; MUCH]);
}

/// Reads to the end, on a thread of its own. The result is the number of bytes.
fn reads_all(mut stream: std::net::TcpStream) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        io::Read::read_to_end(&mut stream, &mut all).unwrap();
        all.len()
    })
}

mod connections {
    use super::*;

    #[test]
    fn each_has_a_handler_of_its_own() {
        run(async {
            let server = start_server(echo, LOCAL).await.unwrap();
            let address = server.addresses()[0];
            let asks = (0..20).map(async |n| ask(address, &n.to_string()).await.unwrap());
            let answers = futures::future::join_all(asks).await;
            assert_eq!(answers, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
            until(|| server.connections() == 0).await;
            assert!(server.is_serving());
        });
    }

    #[test]
    fn end_with_their_handler_after_what_was_written() {
        run(async {
            let greet =
                async |_: StreamReader, writer: StreamWriter| writer.write(vec![7; 4 << 20]);
            let server = start_server(greet, LOCAL).await.unwrap();
            let (mut reader, _writer) = open_connection(server.addresses()).await.unwrap();
            assert_eq!(reader.read_to_end(8 << 20).await.unwrap().len(), 4 << 20);
        });
    }

    #[test]
    fn whose_handlers_fail_or_panic_are_reported_and_others_go_on() {
        run(async {
            let reports = reports();
            let handler = async |mut reader: StreamReader, writer: StreamWriter| match reader
                .next_line()
                .await?
                .unwrap_or_default()
            {
                "fail" => Err(io::Error::other("handler failed")),
                "panic" => panic!("handler panicked"),
                line => {
                    writer.write(format!("{line}\n"));
                    Ok(())
                }
            };
            let server = start_server(handler, LOCAL).await.unwrap();
            let address = server.addresses()[0];
            assert_eq!(ask(address, "fail").await.unwrap(), "nothing");
            assert_eq!(ask(address, "panic").await.unwrap(), "nothing");
            assert_eq!(ask(address, "fine").await.unwrap(), "fine");
            until(|| reports.borrow().len() == 2).await;
            let reports = reports.take();
            assert!(reports[0].contains("handler failed"), "{reports:?}");
            assert!(reports[1].contains("handler panicked"), "{reports:?}");
        });
    }

    #[test]
    fn beyond_the_limit_wait_for_their_turn() {
        run(async {
            let (open, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (now, seen) = (open.clone(), most.clone());
            let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
                now.set(now.get() + 1);
                seen.set(seen.get().max(now.get()));
                writer.write(reader.readline().await?);
                for _ in 0..10 {
                    yield_now().await;
                }
                now.set(now.get() - 1);
                io::Result::Ok(())
            };
            let (one, other) = (listener().await, listener().await);
            let builder = Server::builder().max_connections(3).reader_limit(100);
            let server = builder.start(handler, [one, other]);
            let addresses = server.addresses().to_vec();
            let asks = (0..40).map(|n| ask(addresses[n % 2], "x"));
            for answer in futures::future::join_all(asks).await {
                assert_eq!(answer.unwrap(), "x");
            }
            assert_eq!(most.get(), 3);
        });
    }

    #[test]
    fn a_long_line_is_the_end_of_that_connection_only() {
        run(async {
            let reports = reports();
            let builder = Server::builder().reader_limit(16);
            let server = builder.start(echo, [listener().await]);
            let address = server.addresses()[0];
            assert_eq!(ask(address, &"x".repeat(100)).await.unwrap(), "nothing");
            assert_eq!(ask(address, "short").await.unwrap(), "short");
            assert_eq!(reports.borrow().len(), 1);
        });
    }

    #[test]
    #[cfg(unix)]
    fn come_over_a_unix_socket_too() {
        use asyncio_net::{OwnedReadHalf, OwnedWriteHalf, UnixStream, start_unix_server};
        type Reader = StreamReader<OwnedReadHalf<UnixStream>>;
        type Writer = StreamWriter<OwnedWriteHalf<UnixStream>>;
        let name = format!("asyncio-net-server-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        run(async {
            let greet = async |_: Reader, writer: Writer| writer.write("hello\n");
            let server = start_unix_server(greet, &path).unwrap();
            let (mut reader, _writer) = UnixStream::connect(&path).await.unwrap().into_buffered();
            assert_eq!(reader.readline().await.unwrap(), b"hello\n");
            assert!(server.addresses().is_empty());
            server.close();
            until(|| !path.exists()).await;
        });
    }
}

mod addresses {
    use super::*;

    #[test]
    fn all_are_listened_on_and_each_once() {
        run(async {
            let free = listener().await.local_addr().unwrap();
            let server = start_server(echo, [free, free]).await.unwrap();
            assert_eq!(server.addresses(), [free]);
            let both = start_server(echo, "localhost:0").await.unwrap();
            for address in both.addresses() {
                assert_eq!(ask(*address, "x").await.unwrap(), "x");
            }
        });
    }

    #[test]
    fn one_in_use_is_an_error_that_names_it() {
        run(async {
            let taken = listener().await;
            let address = taken.local_addr().unwrap();
            let error = start_server(echo, [LOCAL.into(), address])
                .await
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        });
    }

    #[test]
    fn one_that_the_machine_does_not_have_is_skipped_if_there_is_another() {
        run(async {
            let missing: SocketAddr = "192.0.2.1:0".parse().unwrap();
            let server = start_server(echo, [missing, LOCAL.into()]).await.unwrap();
            assert_eq!(server.addresses().len(), 1);
            let error = start_server(echo, missing).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        });
    }
}

mod ends {
    use super::*;

    /// A server whose handlers never end of themselves and note their cleanup, and a connection to it.
    async fn busy() -> (Server, Rc<Cell<u32>>, StreamReader, StreamWriter) {
        let cleaned = Rc::new(Cell::new(0));
        let note = cleaned.clone();
        let handler = async move |_: StreamReader, writer: StreamWriter| {
            writer.write("ready\n");
            let cleanup = async {
                yield_now().await;
                writer.write("bye\n");
                note.set(note.get() + 1);
            };
            on_cancel(pending::<()>(), cleanup).await;
        };
        let server = start_server(handler, LOCAL).await.unwrap();
        let (mut reader, writer) = open_connection(server.addresses()).await.unwrap();
        assert_eq!(reader.readline().await.unwrap(), b"ready\n");
        (server, cleaned, reader, writer)
    }

    #[test]
    fn a_closed_server_accepts_no_more_and_its_connections_go_on() {
        run(async {
            let server = start_server(echo, LOCAL).await.unwrap();
            let address = server.addresses()[0];
            let (mut reader, writer) = open_connection(address).await.unwrap();
            writer.write("before\n");
            reader.readline().await.unwrap();
            server.close();
            server.close();
            assert!(!server.is_serving());
            yield_now().await;
            yield_now().await;
            let refused = open_connection(address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            writer.write("after\n");
            assert_eq!(reader.readline().await.unwrap(), b"after\n");
            let closed = Box::pin(server.wait_closed());
            assert!(timeout(Duration::from_millis(20), closed).await.is_err());
            drop(writer);
            server.wait_closed().await;
        });
    }

    #[test]
    fn the_address_of_a_closed_server_is_free() {
        run(async {
            for grace in [None, Some(Duration::ZERO)] {
                let server = start_server(echo, LOCAL).await.unwrap();
                let address = server.addresses()[0];
                yield_now().await;
                match grace {
                    None => {
                        server.close();
                        server.wait_closed().await;
                    }
                    Some(grace) => assert!(server.shutdown(grace).await),
                }
                let refused = open_connection(address).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            }
        });
    }

    #[test]
    fn clients_that_are_closed_clean_up_and_say_goodbye() {
        run(async {
            let (server, cleaned, mut reader, _writer) = busy().await;
            server.close_clients();
            assert_eq!(reader.readline().await.unwrap(), b"bye\n");
            assert_eq!(reader.readline().await.unwrap(), b"");
            assert_eq!((cleaned.get(), server.connections()), (1, 0));
            assert!(server.is_serving());
        });
    }

    #[test]
    fn clients_that_are_aborted_hear_nothing_more() {
        run(async {
            let (server, cleaned, mut reader, _writer) = busy().await;
            server.abort_clients();
            assert_eq!(reader.readline().await.unwrap(), b"");
            until(|| server.connections() == 0).await;
            assert_eq!(cleaned.get(), 1);
        });
    }

    #[test]
    fn a_shutdown_waits_and_then_cancels() {
        run(async {
            let server = start_server(echo, LOCAL).await.unwrap();
            assert_eq!(ask(server.addresses()[0], "x").await.unwrap(), "x");
            assert!(server.shutdown(Duration::from_secs(20)).await);

            let (server, cleaned, _reader, _writer) = busy().await;
            assert!(!server.shutdown(Duration::from_millis(10)).await);
            assert_eq!((cleaned.get(), server.connections()), (1, 0));
        });
    }

    #[test]
    fn a_cleanup_that_has_begun_is_not_interrupted() {
        run(async {
            let cleanups = Rc::new(Cell::new(0));
            let counting = cleanups.clone();
            let handler = async move |_: StreamReader, _: StreamWriter| {
                let clean_up = async {
                    sleep(Duration::from_millis(5)).await;
                    counting.set(counting.get() + 1);
                };
                on_cancel(pending::<()>(), clean_up).await;
            };
            let server = Rc::new(start_server(handler, LOCAL).await.unwrap());
            let _client = open_connection(server.addresses()).await.unwrap();
            until(|| server.connections() == 1).await;
            // The second shutdown comes to its end of grace in the cleanup of the first.
            let other = server.clone();
            let other = spawn(async move { other.shutdown(Duration::from_millis(2)).await });
            assert!(!server.shutdown(Duration::ZERO).await);
            server.close_clients();
            assert!(!other.await.unwrap());
            assert_eq!(cleanups.get(), 1);
        });
    }

    #[test]
    fn a_closed_server_waits_for_the_last_bytes() {
        let (client, ready) = (Cell::new(None), Cell::new(false));
        run(async {
            let server = start_server(sends_much, LOCAL).await.unwrap();
            let stream = std::net::TcpStream::connect(server.addresses()).unwrap();
            until(|| server.connections() == 1).await;
            client.set(Some(reads_all(stream)));
            assert!(server.shutdown(Duration::from_secs(20)).await);
            ready.set(true);
        });
        // The loop has ended, and cuts what is not sent.
        assert_eq!(client.take().unwrap().join().unwrap(), MUCH);
        assert!(ready.get());
    }

    #[test]
    fn a_client_that_never_reads_holds_up_no_shutdown() {
        run(async {
            let server = start_server(sends_much, LOCAL).await.unwrap();
            let _client = open_connection(server.addresses()).await.unwrap();
            until(|| server.connections() == 1).await;
            assert!(!server.shutdown(Duration::from_millis(2)).await);
            assert_eq!(server.connections(), 0);
        });
    }

    #[test]
    fn serving_forever_ends_when_the_server_is_closed() {
        run(async {
            let server = Rc::new(start_server(echo, LOCAL).await.unwrap());
            let serving = spawn({
                let server = server.clone();
                async move { server.serve_forever().await }
            });
            yield_now().await;
            assert!(!serving.is_finished());
            server.close();
            serving.await.unwrap();
        });
    }

    #[test]
    fn cancelled_it_leaves_no_handler_behind() {
        run(async {
            let (server, cleaned, mut reader, _writer) = busy().await;
            assert!(
                timeout(Duration::from_millis(10), server.serve_forever())
                    .await
                    .is_err()
            );
            assert_eq!((cleaned.get(), server.connections()), (1, 0));
            assert!(!server.is_serving());
            assert_eq!(reader.readline().await.unwrap(), b"bye\n");
        });
    }

    #[test]
    fn a_dropped_server_accepts_no_more() {
        run(async {
            let server = start_server(echo, LOCAL).await.unwrap();
            let address = server.addresses()[0];
            drop(server);
            yield_now().await;
            yield_now().await;
            assert!(open_connection(address).await.is_err());
        });
    }

    #[test]
    fn a_server_may_be_dropped_with_its_loop_and_after_it() {
        let mut kept = None;
        run(async {
            let (server, cleaned, reader, writer) = busy().await;
            kept = Some((server, cleaned, reader, writer));
        });
        let (server, cleaned, ..) = kept.unwrap();
        assert_eq!(cleaned.get(), 1, "the loop has cancelled it");
        assert_eq!(server.connections(), 0);
        drop(server);
    }
}

mod borrowing {
    use super::*;

    #[test]
    fn handlers_use_what_is_around_them_and_end_before_it() {
        run(async {
            let lines = RefCell::new(Vec::new());
            let listener = TcpListener::bind(LOCAL).await.unwrap();
            let address = listener.local_addr().unwrap();
            let handler = async |mut reader: StreamReader, writer: StreamWriter| {
                let line = reader
                    .next_line()
                    .await
                    .unwrap()
                    .unwrap_or_default()
                    .to_owned();
                assert!(line != "panic", "as asked for");
                writer.write(format!("{line}\n"));
                lines.borrow_mut().push(line);
                if lines.borrow().len() == 2 {
                    on_cancel(pending::<()>(), async {
                        lines.borrow_mut().push("cleaned".into())
                    })
                    .await;
                }
            };
            let reports = reports();
            let visit = async {
                assert_eq!(ask(address, "one").await.unwrap(), "one");
                assert_eq!(ask(address, "panic").await.unwrap(), "nothing");
                assert_eq!(ask(address, "two").await.unwrap(), "two");
            };
            asyncio_executors::race((async { drop(serve(&listener, handler).await) }, visit)).await;
            assert_eq!(lines.into_inner(), ["one", "two", "cleaned"]);
            assert_eq!(reports.borrow().len(), 1);
        });
    }
    #[test]
    fn handlers_have_sent_their_last_bytes_when_it_is_cancelled() {
        let client = Cell::new(None);
        run(async {
            let listener = TcpListener::bind(LOCAL).await.unwrap();
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let handled = Cell::new(false);
            let handler = async |reader: StreamReader, writer: StreamWriter| {
                sends_much(reader, writer).await;
                handled.set(true);
            };
            let begin_to_read = async {
                until(|| handled.get()).await;
                client.set(Some(reads_all(stream)));
            };
            let serving = async { drop(serve(&listener, handler).await) };
            asyncio_executors::race((serving, begin_to_read)).await;
        });
        // The loop has ended, and cuts what is not sent.
        assert_eq!(client.take().unwrap().join().unwrap(), MUCH);
    }
}
