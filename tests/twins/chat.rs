//! The example `chat`, on tokio.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The number of lines that wait for a client. A client that is further behind is disconnected.
const MOST_BEHIND: usize = 64;

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Everybody who is here, by number.
#[derive(Default)]
struct Room {
    members: Mutex<BTreeMap<u64, (mpsc::Sender<String>, CancellationToken)>>,
    joined: AtomicU64,
}

impl Room {
    fn join(self: &Arc<Self>, name: &str) -> (Member, mpsc::Receiver<String>) {
        let number = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, lines) = mpsc::channel(MOST_BEHIND);
        let overflow = CancellationToken::new();
        let mut members = self.members.lock().expect("no panic with the lock");
        members.insert(number, (sender, overflow.clone()));
        drop(members);
        let member = Member {
            room: self.clone(),
            number,
            name: name.to_owned(),
            overflow,
        };
        member.tell_others(&format!("* {name} has joined"));
        say(format_args!("{name} has joined"));
        (member, lines)
    }
}

/// A client in the room. Dropped, it has left.
struct Member {
    room: Arc<Room>,
    number: u64,
    name: String,
    /// It is too far behind.
    overflow: CancellationToken,
}

impl Member {
    fn tell_others(&self, line: &str) {
        let members = self.room.members.lock().expect("no panic with the lock");
        for (number, (lines, overflow)) in &*members {
            // A full channel belongs to a client that does not keep up.
            if *number != self.number && lines.try_send(line.to_owned()).is_err() {
                overflow.cancel();
            }
        }
    }

    /// Reads the client's lines until its end, or until it has said nothing for `idle`.
    async fn receive(
        &self,
        reader: &mut Lines<BufReader<OwnedReadHalf>>,
        idle: Duration,
    ) -> io::Result<&'static str> {
        loop {
            let Ok(line) = timeout(idle, reader.next_line()).await else {
                return Ok("said nothing for too long");
            };
            match line? {
                None => return Ok("has left"),
                Some(line) => self.tell_others(&format!("{}: {line}", self.name)),
            }
        }
    }
}

/// Sends a client the lines of the others.
async fn send(
    lines: &mut mpsc::Receiver<String>,
    writer: &mut OwnedWriteHalf,
) -> io::Result<&'static str> {
    while let Some(line) = lines.recv().await {
        writer.write_all(format!("{line}\n").as_bytes()).await?;
    }
    Ok("is gone")
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut members = self.room.members.lock().expect("no panic with the lock");
        members.remove(&self.number);
    }
}

async fn serve_client(
    room: Arc<Room>,
    idle: Duration,
    stream: TcpStream,
    stop: CancellationToken,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader).lines();
    writer.write_all(b"* what is your name?\n").await?;
    let name = tokio::select! {
        name = timeout(idle, reader.next_line()) => name,
        () = stop.cancelled() => return Ok(()),
    };
    let Ok(name) = name else {
        return Ok(());
    };
    let name = name?.unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        return Ok(());
    }
    let (member, mut lines) = room.join(name);
    let outcome = tokio::select! {
        outcome = send(&mut lines, &mut writer) => outcome,
        () = member.overflow.cancelled() => Ok("reads too slowly"),
        outcome = member.receive(&mut reader, idle) => outcome,
        () = stop.cancelled() => {
            return writer.write_all(b"* the chat is over, goodbye\n").await;
        }
    };
    let reason = match outcome {
        Ok(reason) => reason.to_owned(),
        Err(error) => format!("was lost: {error}"),
    };
    member.tell_others(&format!("* {} {reason}", member.name));
    say(format_args!("{} {reason}", member.name));
    Ok(())
}

async fn chat(port: u16, idle: Duration) -> io::Result<()> {
    let room = Arc::new(Room::default());
    let (stop, clients) = (CancellationToken::new(), TaskTracker::new());
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    say(format_args!("listening on {}", listener.local_addr()?));
    loop {
        let (stream, _address) = tokio::select! {
            accepted = listener.accept() => accepted?,
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                break;
            }
        };
        let (room, stop) = (room.clone(), stop.clone());
        clients.spawn(async move {
            if let Err(error) = serve_client(room, idle, stream, stop).await {
                eprintln!("chat: {error}");
            }
        });
    }
    stop.cancel();
    clients.close();
    clients.wait().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse());
    let idle = arguments.next().map_or(Ok(300), |idle| idle.parse());
    let (Ok(port), Ok(idle), None) = (port, idle, arguments.next()) else {
        eprintln!("usage: chat [PORT [SECONDS]]");
        return ExitCode::from(2);
    };
    if let Err(error) = chat(port, Duration::from_secs(idle)).await {
        eprintln!("chat: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
