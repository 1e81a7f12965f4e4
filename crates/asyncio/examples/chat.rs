//! A chat: each line of one client goes to all others.
//!
//! `cargo run --release --example chat -- 7007`, then `nc 127.0.0.1 7007` in several windows. The first line of a
//! client is its name. A client that says nothing for a while is disconnected, and so is one that reads too slowly.
//! `chat PORT SECONDS` sets that while; it is five minutes otherwise. Ctrl-C says goodbye to all and ends the server.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use asyncio::net::{StreamReader, StreamWriter, start_server};
use asyncio::sync::{Event, Queue};
use asyncio::{BoxError, on_cancel, race, timeout};
use futures::io::{AsyncRead, AsyncWrite};

/// The number of lines that wait for a client. A client that is further behind is disconnected.
const MOST_BEHIND: usize = 64;

/// Prints a line. A closed standard output does not end the server.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// The lines of the other members that a client is to get, and whether there were too many.
struct Inbox {
    lines: Queue<String>,
    overflow: Event,
}

/// The members in the room, by number.
#[derive(Default)]
struct Room {
    members: RefCell<BTreeMap<u64, Rc<Inbox>>>,
    joined: Cell<u64>,
}

impl Room {
    fn join(self: &Rc<Self>, name: &str) -> Member {
        let number = self.joined.get() + 1;
        self.joined.set(number);
        let inbox = Rc::new(Inbox {
            lines: Queue::new(MOST_BEHIND),
            overflow: Event::new(),
        });
        self.members.borrow_mut().insert(number, inbox.clone());
        let member = Member {
            room: self.clone(),
            number,
            name: name.to_owned(),
            inbox,
        };
        member.tell_others(&format!("* {name} has joined"));
        say(format_args!("{name} has joined"));
        member
    }
}

/// A client in the room. Dropped, it has left.
struct Member {
    room: Rc<Room>,
    number: u64,
    name: String,
    inbox: Rc<Inbox>,
}

impl Member {
    fn tell_others(&self, line: &str) {
        for (number, inbox) in &*self.room.members.borrow() {
            // A full queue belongs to a client that does not keep up.
            if *number != self.number && inbox.lines.put_nowait(line.to_owned()).is_err() {
                inbox.overflow.set();
            }
        }
    }

    /// Reads the client's lines until its end, or until it has said nothing for `idle`.
    async fn receive<R: AsyncRead + Unpin>(
        &self,
        reader: &mut StreamReader<R>,
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

    /// Sends the client the lines of the others, until it is too far behind.
    async fn send<W: AsyncWrite + Unpin + 'static>(
        &self,
        writer: &StreamWriter<W>,
    ) -> io::Result<&'static str> {
        let sending = async {
            while let Ok(line) = self.inbox.lines.get().await {
                writer.write(format!("{line}\n"));
                writer.drain().await?;
            }
            Ok("is gone")
        };
        let overflow = async {
            self.inbox.overflow.wait().await;
            writer.abort();
            Ok("reads too slowly")
        };
        race((sending, overflow)).await
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.room.members.borrow_mut().remove(&self.number);
    }
}

/// Serves a client, over a socket or, in tests, in memory.
async fn serve_client<R: AsyncRead + Unpin, W: AsyncWrite + Unpin + 'static>(
    room: Rc<Room>,
    idle: Duration,
    mut reader: StreamReader<R>,
    writer: StreamWriter<W>,
) -> io::Result<()> {
    writer.write("* what is your name?\n");
    let Ok(name) = timeout(idle, reader.next_line()).await else {
        return Ok(());
    };
    let Some(name) = name?.map(str::trim).filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let member = room.join(name);
    let conversation = race((member.send(&writer), member.receive(&mut reader, idle)));
    let goodbye = async { writer.write("* the chat is over, goodbye\n") };
    let reason = match on_cancel(conversation, goodbye).await {
        Ok(reason) => reason.to_owned(),
        Err(error) => format!("was lost: {error}"),
    };
    member.tell_others(&format!("* {} {reason}", member.name));
    say(format_args!("{} {reason}", member.name));
    Ok(())
}

async fn chat(port: u16, idle: Duration) -> Result<(), BoxError> {
    let room = Rc::new(Room::default());
    let handler = async move |reader: StreamReader, writer: StreamWriter| {
        serve_client(room.clone(), idle, reader, writer).await
    };
    let server = start_server(handler, ("127.0.0.1", port)).await?;
    say(format_args!("listening on {}", server.addresses()[0]));
    server.serve_forever().await;
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().map_or(Ok(0), |port| port.parse());
    let idle = arguments.next().map_or(Ok(300), |idle| idle.parse());
    let (Ok(port), Ok(idle), None) = (port, idle, arguments.next()) else {
        eprintln!("usage: chat [PORT [SECONDS]]");
        return ExitCode::from(2);
    };
    if let Err(error) = asyncio::run(chat(port, Duration::from_secs(idle))) {
        eprintln!("chat: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    use asyncio::net::{MemoryStream, memory_pair};
    use asyncio::{Task, sleep, spawn, time};
    use futures::AsyncReadExt;
    use futures::io::{ReadHalf, WriteHalf};

    const IDLE: Duration = Duration::from_secs(300);

    struct Guest {
        reader: StreamReader<ReadHalf<MemoryStream>>,
        writer: StreamWriter<WriteHalf<MemoryStream>>,
        served: Task<io::Result<()>>,
    }

    impl Guest {
        async fn join(room: &Rc<Room>, name: &str) -> Self {
            let (client, server) = memory_pair(1024);
            let (reader, writer) = server.split();
            let (reader, writer) = (StreamReader::new(reader), StreamWriter::new(writer));
            let served = spawn(serve_client(room.clone(), IDLE, reader, writer));
            let (reader, writer) = client.split();
            let (reader, writer) = (StreamReader::new(reader), StreamWriter::new(writer));
            let mut guest = Guest {
                reader,
                writer,
                served,
            };
            assert_eq!(guest.hear().await, "* what is your name?");
            guest.say(name);
            sleep(Duration::from_secs(1)).await;
            guest
        }

        fn say(&self, line: &str) {
            self.writer.write(format!("{line}\n"));
        }

        async fn hear(&mut self) -> String {
            let line = self.reader.next_line().await.expect("a line");
            line.expect("not the end").to_owned()
        }
    }

    #[asyncio::test]
    async fn a_silent_client_is_disconnected_after_five_minutes() {
        let (room, start) = (Rc::new(Room::default()), time());
        let mut ada = Guest::join(&room, "ada").await;
        let mut bob = Guest::join(&room, "bob").await;
        assert_eq!(ada.hear().await, "* bob has joined");
        sleep(Duration::from_secs(240)).await;
        bob.say("hello");
        assert_eq!(ada.hear().await, "bob: hello");
        assert_eq!(bob.hear().await, "* ada said nothing for too long");
        assert_eq!(time() - start, IDLE);
        assert!(ada.reader.next_line().await.unwrap().is_none());
    }

    #[asyncio::test]
    async fn a_client_that_reads_too_slowly_is_disconnected() {
        let room = Rc::new(Room::default());
        let mut ada = Guest::join(&room, "ada").await;
        let _bob = Guest::join(&room, "bob").await;
        assert_eq!(ada.hear().await, "* bob has joined");
        let line = "x".repeat(1000);
        for _ in 0..200 {
            ada.say(&line);
        }
        assert_eq!(ada.hear().await, "* bob reads too slowly");
        assert_eq!(room.members.borrow().len(), 1);
    }

    #[asyncio::test]
    async fn a_client_hears_goodbye() {
        let mut ada = Guest::join(&Rc::default(), "ada").await;
        ada.served.cancel();
        assert_eq!(ada.hear().await, "* the chat is over, goodbye");
    }
}
