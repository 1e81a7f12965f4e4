//! Peers that misbehave: each ends its own connection only, and leaves nothing.
#![cfg(target_os = "linux")]

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{move_on_after, timeout};
use asyncio_loop::{all_tasks, sleep, spawn};
use asyncio_net::{
    Protocol, ReadError, Server, StreamReader, StreamWriter, TcpListener, TcpSocket, TcpStream,
    Transport, create_server, start_server,
};

mod support;
use support::run;

const LOCAL: &str = "127.0.0.1:0";

/// The sockets of this process. Other tests of this process have theirs, so only the tests that run alone compare.
fn open_sockets() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

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

async fn works(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"fine\n").await.unwrap();
    stream.read_exact(&mut [0; 5]).await.unwrap();
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_millis(1)).await;
    }
}

fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// A server of each kind, of lines.
async fn servers() -> [Server; 2] {
    struct Lines;
    impl Protocol for Lines {
        fn data_received(&mut self, transport: &Transport, data: &[u8]) {
            transport.write(data);
        }
    }
    asyncio_loop::set_exception_handler(|_| {}); // a handler's error is its own affair
    [
        start_server(echo, LOCAL).await.unwrap(),
        create_server(|| Lines, LOCAL).await.unwrap(),
    ]
}

#[test]
fn resets_at_every_step_leave_no_socket_and_no_task() {
    run(async {
        for server in servers().await {
            let address = server.addresses()[0];
            works(address).await;
            until(|| server.connections() == 0).await;
            let (sockets, tasks) = (open_sockets(), all_tasks().len());
            for round in 0..50 {
                let stream = TcpStream::connect(address).await.unwrap();
                match round % 5 {
                    0 => {}
                    1 => until(|| server.connections() > 0).await,
                    2 => stream.write_all(b"half a li").await.unwrap(),
                    3 => stream.write_all(b"a line\n").await.unwrap(),
                    _ => {
                        stream.write_all(b"a line\n").await.unwrap();
                        stream.read_exact(&mut [0; 3]).await.unwrap();
                    }
                }
                reset(stream);
            }
            works(address).await;
            until(|| server.connections() == 0).await;
            assert_eq!(all_tasks().len(), tasks);
            // Other tests open sockets meanwhile, but not fifty.
            assert!(open_sockets() < sockets + 40);
        }
    });
}

#[test]
fn a_byte_at_a_time_is_as_good_as_all_at_once() {
    run(async {
        for server in servers().await {
            let stream = TcpStream::connect(server.addresses()).await.unwrap();
            let line = b"slow but steady\n";
            for byte in line {
                stream.write_all(&[*byte]).await.unwrap();
                asyncio_loop::yield_now().await;
            }
            let mut answer = [0; 16];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, line);
        }
    });
}

#[test]
fn an_endless_line_ends_its_connection_and_takes_little_memory() {
    run(async {
        let largest = Rc::new(Cell::new(0));
        let seen = largest.clone();
        let handler = async move |mut reader: StreamReader, _writer: StreamWriter| match reader
            .readline()
            .await
        {
            Err(ReadError::LimitOverrun(overrun)) => seen.set(overrun.consumed),
            other => panic!("a line without an end: {other:?}"),
        };
        let server = start_server(handler, LOCAL).await.unwrap();
        let stream = TcpStream::connect(server.addresses()).await.unwrap();
        let endless = async { while stream.write_all(&[b'x'; 10_000]).await.is_ok() {} };
        timeout(Duration::from_secs(20), endless).await.unwrap();
        assert!(
            (64 * 1024..256 * 1024).contains(&largest.get()),
            "{}",
            largest.get()
        );
        until(|| server.connections() == 0).await;
    });
}

/// The handler waits in `drain`, so no more than the high water mark and one write are in memory.
#[test]
fn a_client_that_never_reads_holds_its_own_handler_only() {
    run(async {
        let (written, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (count, buffered) = (written.clone(), most.clone());
        let pour = async move |_: StreamReader, writer: StreamWriter| -> io::Result<()> {
            loop {
                writer.write([7; 10_000]);
                count.set(count.get() + 10_000);
                buffered.set(buffered.get().max(writer.buffered()));
                writer.drain().await?;
            }
        };
        asyncio_loop::set_exception_handler(|_| {});
        let server = start_server(pour, LOCAL).await.unwrap();
        let silent = TcpStream::connect(server.addresses()).await.unwrap();
        until(|| written.get() > 0).await;
        let mut before = 0;
        while before != written.get() {
            before = written.get();
            sleep(Duration::from_millis(20)).await;
        }
        assert!(most.get() <= 64 * 1024 + 10_000, "{}", most.get());
        let reader = TcpStream::connect(server.addresses()).await.unwrap();
        reader.read_exact(&mut vec![0; 1_000_000]).await.unwrap();
        drop(silent);
        drop(reader);
        until(|| server.connections() == 0).await;
    });
}

/// A client that sends its end and still reads, and one that neither sends nor reads and never goes.
#[test]
fn half_open_peers_are_answered_or_waited_for_with_a_limit() {
    run(async {
        let server = start_server(echo, LOCAL).await.unwrap();
        let stream = TcpStream::connect(server.addresses()).await.unwrap();
        stream.write_all(b"last words\n").await.unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = [0; 20];
        stream.read_exact(&mut answer[..11]).await.unwrap();
        assert_eq!(stream.read(&mut answer).await.unwrap(), 0);

        let _silent = TcpStream::connect(server.addresses()).await.unwrap();
        until(|| server.connections() > 0).await;
        let in_time = server.shutdown(Duration::from_millis(20)).await;
        assert!(!in_time, "the silent one was cancelled");
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_flood_waits_in_the_systems_queue_up_to_the_limit() {
    run(async {
        const FLOOD: usize = 300;
        let most = Rc::new(Cell::new((0, 0)));
        let seen = most.clone();
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            let (now, peak) = seen.get();
            seen.set((now + 1, peak.max(now + 1)));
            let _ = reader.readline().await;
            writer.write("served\n");
            let (now, peak) = seen.get();
            seen.set((now - 1, peak));
        };
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(LOCAL.parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(1000).unwrap();
        let server = Server::builder()
            .max_connections(20)
            .start(handler, [listener]);
        let address = server.addresses()[0];
        let visits = (0..FLOOD).map(|_| {
            let most = most.clone();
            spawn(async move {
                let stream = TcpStream::connect(address).await?;
                until(|| most.get().1 == 20).await;
                stream.write_all(b"me\n").await?;
                stream.read_exact(&mut [0; 7]).await
            })
        });
        for visit in Vec::from_iter(visits) {
            visit.await.unwrap().unwrap();
        }
        assert_eq!(most.get().1, 20);
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn a_connection_that_is_gone_before_it_is_accepted_is_no_trouble() {
    run(async {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            reset(TcpStream::connect(address).await.unwrap());
        }
        let server = Server::builder().start(echo, [listener]);
        asyncio_loop::set_exception_handler(|_| {});
        works(address).await;
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_name_that_does_not_exist_is_an_error_and_a_slow_lookup_can_be_left() {
    run(async {
        let error = TcpStream::connect("does-not-exist.invalid:80")
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("does-not-exist.invalid"),
            "{error}"
        );
        // The limit holds for any behaviour of the resolver.
        let connecting = TcpStream::connect("another-name.invalid:80");
        let _ = move_on_after(Duration::ZERO, connecting).await;
    });
}
