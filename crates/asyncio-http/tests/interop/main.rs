//! Other programs as clients, servers and proxies: curl, h2load, nginx, Python's libraries, and the cases of Autobahn.
//!
//! CI installs them (`.ci/run`, `cargo xtask setup`). Elsewhere, a program that is missing is skipped with a note.
#![cfg(unix)]

#[cfg(feature = "websocket")]
mod autobahn;
mod curl;
mod h2load;
mod nginx;
mod python;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Output, Stdio};

use asyncio::http::{Request, RequestBody, Response, Server, Session, body};
use asyncio::{BoxError, to_thread};
use support::*;

/// Notes that a program is missing, which is an error in CI.
fn missing_unless(found: bool, program: &str) -> bool {
    assert!(
        found || std::env::var_os("CI").is_none(),
        "CI installs {program}"
    );
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}

/// Runs a program to its end while the loop goes on; `None` if it is missing.
async fn run(command: &mut Command) -> Option<Output> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    match command.spawn() {
        Ok(child) => Some(
            to_thread(|| child.wait_with_output())
                .await
                .unwrap()
                .unwrap(),
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            missing_unless(false, &program);
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// A program that ends when its standard input does.
struct Running {
    child: std::process::Child,
    out: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a program; `None` if it is missing.
    fn start(command: &mut Command) -> Option<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let program = command.get_program().to_string_lossy();
        if !missing_unless(child.is_ok(), &program) {
            return None;
        }
        let mut child = child.ok()?;
        let out = child.stdout.take().map(BufReader::new);
        Some(Self { child, out })
    }

    /// The next line that it prints.
    async fn line(&mut self) -> Result<String, BoxError> {
        let mut out = self.out.take().expect("one line is read at a time");
        let reading = to_thread(move || {
            let mut line = String::new();
            out.read_line(&mut line).map(|_| (line, out))
        });
        let (line, out) = reading.await??;
        self.out = Some(out);
        Ok(line.trim().to_owned())
    }

    async fn end(mut self) -> Outcome {
        drop(self.child.stdin.take());
        to_thread(move || self.child.wait()).await??;
        Ok(())
    }
}

async fn server() -> Server {
    start(async |request: Request| -> Response {
        #[cfg(feature = "websocket")]
        if request.uri().path() == "/ws" {
            return echo(request);
        }
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/large" => {
                let pieces = (0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(10_000)));
                Response::new(body::from_stream(futures::stream::iter(pieces)))
            }
            path => {
                let size = body::to_bytes(body, 10_000_000).await.unwrap().len();
                Response::new(format!("{:?} {} {path} {size}", parts.version, parts.method).into())
            }
        }
    })
    .await
}

#[cfg(feature = "websocket")]
fn echo(mut request: Request) -> Response {
    use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};

    match WebSocketUpgrade::of(&mut request) {
        Ok(upgrade) => upgrade
            .max_message(250_000)
            .answer(async |socket: WebSocket| {
                while let Ok(Some(message)) = socket.recv().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            }),
        Err(refusal) => refusal,
    }
}
