//! A server on several loops: connections spread, and go from loop to loop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::sync::mpsc;
use std::time::Duration;

use asyncio::net::{TcpListener, TcpStream, shared_listeners};
use asyncio::{LoopPool, Loops, on_cancel, sleep, spawn};

const LONG: Duration = Duration::from_secs(20);

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn pool(loops: usize) -> LoopPool {
    LoopPool::builder().loops(loops).start().unwrap()
}

/// Connects, with a time limit.
fn connect(address: SocketAddr) -> Blocking {
    let stream = Blocking::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// The bytes that come until the end.
fn rest_of(mut stream: Blocking) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
}

/// Tells each client on which loop it is.
#[cfg(target_os = "linux")]
async fn say_number(number: usize, listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(async move { stream.write_all(number.to_string().as_bytes()).await }).detach();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn connections_are_spread_over_the_loops() {
    let pool = pool(3);
    let listeners = shared_listeners(any_port(), pool.len()).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let servers = pool.run_on_each(listeners.into_iter().enumerate(), |(number, listener)| {
        say_number(number, listener)
    });
    let mut seen = [0; 3];
    for _ in 0..200 {
        let number: usize = rest_of(connect(address)).parse().unwrap();
        seen[number] += 1;
    }
    // The odds that one loop gets none are less than one in 10^35.
    assert!(seen.iter().all(|number| *number > 0), "{seen:?}");
    drop(servers);
    pool.stop(LONG).unwrap();
    assert!(Blocking::connect(address).is_err(), "nobody listens");
}

/// Sends the connection on with each line, and says so; the rest is read over there.
async fn serve(loops: Loops, stream: std::net::TcpStream) -> std::io::Result<()> {
    let here = loops.here().unwrap();
    let stream = TcpStream::from_std(stream)?;
    let mut byte = [0];
    let mut line = String::new();
    loop {
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        match byte[0] {
            b'\n' => break,
            letter => line.push(char::from(letter)),
        }
    }
    let answer = format!("{here}: {line}\n");
    stream.write_all(answer.as_bytes()).await?;
    let next = loops.get((here + 1) % loops.len()).unwrap().clone();
    let stream = stream.into_std()?;
    next.spawn(move || serve(loops, stream)).unwrap();
    Ok(())
}

#[test]
fn a_connection_goes_from_loop_to_loop_and_loses_no_byte() {
    let pool = pool(3);
    let listener = std::net::TcpListener::bind(any_port()).unwrap();
    let mut stream = connect(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let loops = pool.loops().clone();
    let first = loops.get(1).unwrap().clone();
    first.spawn(move || serve(loops, accepted)).unwrap();
    // All at once: each loop finds what the one before it has left in the socket.
    stream.write_all(b"a\nb\nc\nd\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest_of(stream), "1: a\n2: b\n0: c\n1: d\n");
    pool.stop(LONG).unwrap();
}

#[test]
fn stopping_lets_connections_say_goodbye() {
    let pool = pool(2);
    let listeners = shared_listeners(any_port(), 2);
    let Ok(listeners) = listeners else {
        return; // where addresses are not shared
    };
    let address = listeners[0].local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    let servers = pool.run_on_each(listeners, move |listener| {
        let tell = tell.clone();
        async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                spawn(async move {
                    tell.send(()).unwrap();
                    let work = std::future::pending::<()>();
                    let goodbye = async {
                        sleep(Duration::from_millis(5)).await;
                        stream.write_all(b"goodbye").await.unwrap();
                    };
                    on_cancel(work, goodbye).await;
                })
                .detach();
            }
        }
    });
    let clients = [(); 10].map(|()| connect(address));
    (0..10).for_each(|_| told.recv_timeout(LONG).unwrap());
    drop(servers);
    pool.stop(LONG).unwrap();
    for client in clients {
        assert_eq!(rest_of(client), "goodbye");
    }
}

#[test]
fn listeners_that_share_an_address_have_one_port_and_one_needs_no_sharing() {
    let one = shared_listeners(any_port(), 1).unwrap();
    let taken = one[0].local_addr().unwrap();
    assert!(shared_listeners(taken, 1).is_err(), "it is in use");
    assert!(shared_listeners(any_port(), 0).unwrap().is_empty());
    #[cfg(unix)]
    {
        let three = shared_listeners(any_port(), 3).unwrap();
        let ports = three.iter().map(|one| one.local_addr().unwrap());
        let mut ports: Vec<_> = ports.collect();
        ports.dedup();
        assert_eq!(ports.len(), 1);
    }
}
