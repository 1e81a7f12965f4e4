//! The reactor without the event loop of `asyncio`: an executor of thirty lines, and an echo
//! between two TCP sockets.
//!
//! `cargo run -p asyncio-reactor --example alone`

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_reactor::{Direction, Interest, Reactor, Registered, Unparker};
use mio::net::{TcpListener, TcpStream};

/// Runs a future to its end; turns the reactor while the future waits.
fn block_on<F: Future>(reactor: &Reactor, future: F) -> io::Result<F::Output> {
    struct Flag {
        is_woken: AtomicBool,
        unparker: Unparker,
    }

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.is_woken.store(true, Ordering::Release);
            // Needed for a wake from another thread only: a wake from this thread sets the flag,
            // which is read before the next wait. A real loop tells the two apart.
            self.unparker.unpark();
        }
    }

    let flag = Arc::new(Flag {
        is_woken: AtomicBool::new(true),
        unparker: reactor.unparker(),
    });
    let waker = Waker::from(Arc::clone(&flag));
    let mut future = pin!(future);
    loop {
        while !flag.is_woken.swap(false, Ordering::Acquire) {
            reactor.turn(None)?;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
    }
}

/// Accepts one connection and sends back its bytes, until it is closed.
async fn echo_once(reactor: &Reactor, listener: Registered<TcpListener>) -> io::Result<usize> {
    let (stream, _) = listener
        .io(Direction::Read, |listener| listener.accept())
        .await?;
    let stream = reactor.register(stream, Interest::READABLE | Interest::WRITABLE)?;
    let mut buf = [0; 1024];
    let mut echoed = 0;
    loop {
        let got = read(&stream, &mut buf).await?;
        if got == 0 {
            return Ok(echoed);
        }
        write_all(&stream, &buf[..got]).await?;
        echoed += got;
    }
}

/// Sends the lines one by one and returns the answers.
async fn talk(reactor: &Reactor, to: SocketAddr, lines: &[&str]) -> io::Result<String> {
    let stream = TcpStream::connect(to)?;
    let stream = reactor.register(stream, Interest::READABLE | Interest::WRITABLE)?;
    // A connection attempt has succeeded or failed once the socket is writable.
    stream
        .io(Direction::Write, |stream| match stream.take_error()? {
            Some(error) => Err(error),
            None => match stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                result => result,
            },
        })
        .await?;
    let mut heard = String::new();
    let mut buf = [0; 1024];
    for line in lines {
        write_all(&stream, line.as_bytes()).await?;
        let got = read(&stream, &mut buf).await?;
        heard.push_str(&String::from_utf8_lossy(&buf[..got]));
    }
    Ok(heard)
}

async fn read(stream: &Registered<TcpStream>, buf: &mut [u8]) -> io::Result<usize> {
    stream
        .read_with(buf.len(), |mut stream| stream.read(buf))
        .await
}

async fn write_all(stream: &Registered<TcpStream>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = stream
            .write_with(bytes.len(), |mut stream| stream.write(bytes))
            .await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Polls both futures in one task until both are done.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    poll_fn(|cx| {
        if a_done.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(cx)
        {
            a_done = Some(output);
        }
        if b_done.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(cx)
        {
            b_done = Some(output);
        }
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn main() -> io::Result<()> {
    let reactor = Reactor::new()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener.local_addr()?;
    let listener = reactor.register(listener, Interest::READABLE)?;

    let lines = ["one line\n", "another\n", "and the last\n"];
    let (echoed, heard) = block_on(
        &reactor,
        both(
            echo_once(&reactor, listener),
            talk(&reactor, address, &lines),
        ),
    )?;
    let (echoed, heard) = (echoed?, heard?);
    print!("{heard}");
    println!("{echoed} bytes went there and back");
    assert_eq!(heard, lines.concat());
    assert_eq!(echoed, heard.len());
    Ok(())
}
