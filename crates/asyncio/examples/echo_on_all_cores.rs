//! An echo server on all cores: an event loop for each core, with a listener of its own on one address.
//!
//! The system spreads the connections, and each stays on its loop.
//!
//! `cargo run --release --example echo_on_all_cores -- 7007`, then `nc 127.0.0.1 7007`. Without a port, or with port 0,
//! the system chooses one. A number after the port is the number of loops. At Ctrl-C the server has two seconds to echo
//! the rest, and says goodbye to each client. Then it ends.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio::net::{TcpListener, TcpStream, shared_listeners};
use asyncio::{BoxError, LoopPool, on_cancel, spawn};

/// The time that connections have to end when the server does.
const GRACE: Duration = Duration::from_secs(2);

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Prints the work of one loop when it is dropped, however the loop ends.
struct SaysWhatItDid(usize, Rc<Cell<u64>>);

impl Drop for SaysWhatItDid {
    fn drop(&mut self) {
        say(format_args!(
            "loop {} served {} connections",
            self.0,
            self.1.get()
        ));
    }
}

/// Serves the connections of one loop. Its tasks share values without locks.
async fn serve(number: usize, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = Rc::new(Cell::new(0));
    let _says = SaysWhatItDid(number, connections.clone());
    loop {
        let (stream, _peer) = listener.accept().await?;
        connections.set(connections.get() + 1);
        spawn(async move {
            let goodbye = async {
                // A peer that has closed its connection needs no goodbye.
                let _ = stream.write_all(b"goodbye\n").await;
            };
            on_cancel(echo(&stream), goodbye).await
        })
        .discard();
    }
}

/// Sends back what comes in until the other side has finished.
async fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut buf = [0; 16 * 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// Has Ctrl-C end the returned wait, and no longer the process.
#[cfg(unix)]
fn ctrl_c() -> io::Result<impl FnOnce()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
    Ok(move || {
        signals.forever().next();
    })
}

/// Elsewhere Ctrl-C ends the process.
#[cfg(not(unix))]
fn ctrl_c() -> io::Result<impl FnOnce()> {
    Ok(|| {
        loop {
            std::thread::park();
        }
    })
}

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let mut builder = LoopPool::builder().pinned(cfg!(target_os = "linux"));
    if let Some(loops) = arguments.next() {
        builder = builder.loops(loops.parse()?);
    }
    let wait_for_ctrl_c = ctrl_c()?;
    let pool = builder.start()?;
    let listeners = shared_listeners(SocketAddr::from(([127, 0, 0, 1], port)), pool.len())?;
    let address = listeners[0].local_addr()?;
    let servers = pool.run_on_each(listeners.into_iter().enumerate(), |(number, listener)| {
        serve(number, listener)
    })?;
    say(format_args!(
        "listening on {address} with {} loops",
        pool.len()
    ));

    wait_for_ctrl_c();

    say("ending");
    // The servers are cancelled first, so that no connection comes while the others end.
    drop(servers);
    pool.stop(GRACE)?;
    Ok(())
}
