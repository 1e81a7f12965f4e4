//! An echo server: it sends each connection's bytes back.
//!
//! `cargo run --release --example echo_server -- 7007`, then `nc 127.0.0.1 7007`. Without a port, or with port 0, the
//! system chooses one. Ctrl-C closes the connections and ends the server, which prints what it has done.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use asyncio::net::{TcpListener, TcpStream};
use asyncio::{BoxError, spawn};

/// The work of the server so far, in plain cells, because there is one thread.
#[derive(Default)]
struct Totals {
    connections: Cell<u64>,
    bytes: Cell<u64>,
}

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Prints the work of the server when it is dropped, however the server ends.
struct SaysWhatItDid(Rc<Totals>);

impl Drop for SaysWhatItDid {
    fn drop(&mut self) {
        let (connections, bytes) = (self.0.connections.get(), self.0.bytes.get());
        say(format_args!(
            "served {connections} connections, {bytes} bytes"
        ));
    }
}

/// Listens on a port of this machine and serves every client.
async fn listen(port: u16) -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    say(format_args!("listening on {}", listener.local_addr()?));
    let totals = Rc::new(Totals::default());
    let _says = SaysWhatItDid(totals.clone());
    serve(listener, totals).await?;
    Ok(())
}

async fn serve(listener: TcpListener, totals: Rc<Totals>) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        totals.connections.set(totals.connections.get() + 1);
        say(format_args!("{peer} connected"));
        let totals = totals.clone();
        spawn(async move {
            match echo(&stream, &totals).await {
                Ok(bytes) => say(format_args!("{peer} left after {bytes} bytes")),
                Err(error) => say(format_args!("{peer} was lost: {error}")),
            }
        })
        .detach();
    }
}

/// Sends back what comes in until the other side has finished.
async fn echo(stream: &TcpStream, totals: &Totals) -> io::Result<u64> {
    let mut buf = [0; 16 * 1024];
    let mut bytes = 0;
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(bytes);
        }
        stream.write_all(&buf[..n]).await?;
        bytes += n as u64;
        totals.bytes.set(totals.bytes.get() + n as u64);
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = match arguments.as_slice() {
        [] => Some(0),
        [port] => port.parse::<u16>().ok(),
        _ => None,
    };
    let Some(port) = port else {
        let arguments = arguments.join(" ");
        eprintln!("usage: echo_server [PORT], with a port from 0 to 65535, not {arguments:?}");
        return ExitCode::FAILURE;
    };
    // Ctrl-C cancels this main task, which is dropped where it waits. Then the connections end. The process ends
    // by SIGINT, so that a shell sees the reason.
    match asyncio::run(listen(port)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}
