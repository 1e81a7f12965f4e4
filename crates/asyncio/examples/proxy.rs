//! A proxy for TCP: it connects each client to a target, and copies bytes both ways.
//!
//! `cargo run --release --example proxy -- 8080 example.org:80`, then `curl -H 'Host: example.org' 127.0.0.1:8080`.
//! With port 0 the system chooses one. A target that does not answer within ten seconds ends that connection only.
//! Ctrl-C ends the proxy.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use asyncio::net::{TcpListener, TcpStream, copy_bidirectional};
use asyncio::{BoxError, TaskGroup, task_group, timeout};

/// Prints a line. A closed standard output does not end the proxy.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Continues one connection to the target until both sides have ended.
async fn forward(mut client: TcpStream, target: &str) -> io::Result<(u64, u64)> {
    let connecting = timeout(Duration::from_secs(10), TcpStream::connect(target));
    let mut server = connecting.await.map_err(io::Error::other)??;
    copy_bidirectional(&mut client, &mut server).await
}

async fn proxy(port: u16, target: &str) -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    say(format_args!("listening on {}", listener.local_addr()?));
    // The connections borrow `target`, and none is left when the group has ended.
    task_group(async |tg: TaskGroup<'_>| {
        loop {
            let (client, peer) = listener.accept().await?;
            tg.spawn(async move {
                match forward(client, target).await {
                    Ok((sent, received)) => {
                        say(format_args!(
                            "{peer}: sent {sent}, received {received} bytes"
                        ));
                    }
                    Err(error) => say(format_args!("{peer}: {error}")),
                }
                Ok(())
            });
        }
    })
    .await?;
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, target] = &arguments[..] else {
        eprintln!("usage: proxy PORT HOST:PORT");
        return ExitCode::from(2);
    };
    let Ok(port) = port.parse() else {
        eprintln!("proxy: {port:?} is not a port");
        return ExitCode::from(2);
    };
    if let Err(error) = asyncio::run(proxy(port, target)) {
        eprintln!("proxy: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
