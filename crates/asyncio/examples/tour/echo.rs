//! An echo server and its clients, all in one loop: both ends of every connection are tasks of one thread.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use asyncio::net::{TcpListener, TcpStream};
use asyncio::spawn;

use crate::machine::{open_files, resident_memory};
use crate::scene::{Progress, Report, Scene, Stage, promise};
use crate::words::{bytes, grouped, rate, seconds};

pub(crate) const SCENE: Scene = Scene {
    title: "An echo server and its clients in one loop",
    play: |stage| Box::pin(play(stage)),
};

/// The payload of each message.
const MESSAGE: usize = 64;

/// The number of connections of the server, now and at most.
#[derive(Default)]
struct Open {
    now: Cell<u64>,
    most: Cell<u64>,
}

async fn play(stage: Stage) -> io::Result<Report> {
    let wanted = stage.size(1_000_u64, 100);
    let rounds = stage.size(100_u64, 50);
    // Two files for each connection, and some for everything else.
    let clients = wanted.min(open_files(2 * wanted + 64).saturating_sub(64) / 2);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let open = Rc::new(Open::default());
    let server = spawn(serve(listener, open.clone()));

    let before = resident_memory();
    let start = Instant::now();
    let connecting: Vec<_> = (0..clients)
        .map(|_| spawn(TcpStream::connect(address)))
        .collect();
    let mut streams = Vec::new();
    for connected in connecting {
        streams.push(connected.await.map_err(io::Error::other)??);
    }
    let connected = start.elapsed();

    let messages = clients * rounds;
    let progress = Progress::new(messages, "messages there and back");
    let shown = stage.show(&progress);
    let start = Instant::now();
    let talking: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(n, stream)| spawn(talk(n as u64, stream, rounds, progress.clone())))
        .collect();
    let mut memory = None;
    for (n, talked) in talking.into_iter().enumerate() {
        talked.await.map_err(io::Error::other)??;
        if n == 0 {
            memory = resident_memory();
        }
    }
    let took = start.elapsed();
    drop(shown);
    drop(server);

    promise(open.most.get() == clients, || {
        format!(
            "{} of {clients} connections were open at once",
            open.most.get()
        )
    })?;
    promise(progress.done() == messages, || {
        "messages are missing".to_owned()
    })?;
    let mut report = Report::new(connected + took);
    if clients < wanted {
        report = report.line(
            "note",
            format!("only {clients} clients: a limit (`ulimit -n`) allows no more open files"),
        );
    }
    report = report
        .happened(format!(
            "{} connections open at once; {} messages of {MESSAGE} bytes there and back, none lost",
            grouped(clients),
            grouped(messages)
        ))
        .took(format!(
            "{} to connect, then {}: {} messages a second",
            seconds(connected),
            seconds(took),
            rate(messages, took)
        ));
    if let Some((before, memory)) = before.zip(memory) {
        let each = memory.saturating_sub(before) / clients;
        report = report.line(
            "memory",
            format!(
                "{} resident a connection, both ends and both tasks",
                bytes(each)
            ),
        );
    }
    // A message there and back is two switches between threads, the same as one round trip here.
    let switching = stage.threads.round_trip().mul_f64(messages as f64);
    Ok(report
        .in_threads(stage.threads.cost_of(2 * clients))
        .in_threads(format!(
            "and, if each message wakes a thread at either end, {} of waking, shared by the cores",
            seconds(switching)
        )))
}

async fn serve(listener: TcpListener, open: Rc<Open>) -> io::Result<()> {
    loop {
        let (stream, _peer): (TcpStream, SocketAddr) = listener.accept().await?;
        spawn(echo(stream, open.clone())).detach();
    }
}

async fn echo(stream: TcpStream, open: Rc<Open>) -> io::Result<()> {
    open.now.set(open.now.get() + 1);
    open.most.set(open.most.get().max(open.now.get()));
    let mut buf = [0; 1024];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            open.now.set(open.now.get() - 1);
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// Sends messages that are unique to this client, and checks that each comes back unchanged.
async fn talk(client: u64, stream: TcpStream, rounds: u64, progress: Progress) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for round in 0..rounds {
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&client.to_le_bytes());
        message[8..16].copy_from_slice(&round.to_le_bytes());
        stream.write_all(&message).await?;
        let mut echoed = [0; MESSAGE];
        stream.read_exact(&mut echoed).await?;
        promise(echoed == message, || {
            "a message came back as another".to_owned()
        })?;
        progress.step();
    }
    Ok(())
}
