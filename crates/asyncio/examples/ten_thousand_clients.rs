//! Ten thousand clients of one server on one thread, all connected at once, and the memory that each of them takes.
//!
//! `cargo run --release --example ten_thousand_clients`, or with another number behind `--`. The clients are a second
//! process, so that the memory is the server's alone. They share one thread as well.

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::Command;
use std::time::{Duration, Instant};

use asyncio::net::{TcpListener, TcpStream};
use asyncio::sync::{Event, Semaphore};
use asyncio::{BoxError, TaskGroup, task_group, timeout};

/// A limit that no machine needs, so that a lost client is an error and not a hang.
const PATIENCE: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: ten_thousand_clients [CLIENTS], with a number from 1";

/// The number of clients that connect at the same time. More would overflow the listener's queue, and retry a second
/// later.
const CONNECTING: usize = 100;

fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => asyncio::run(server(10_000)),
        [clients] => asyncio::run(server(number(clients)?)),
        [clients, address] => asyncio::run(visit(address.parse()?, number(clients)?)),
        _ => Err(USAGE.into()),
    }
}

fn number(clients: &str) -> Result<u64, BoxError> {
    let clients: NonZeroU64 = clients.parse().map_err(|_| USAGE)?;
    Ok(clients.get())
}

async fn server(clients: u64) -> Result<(), BoxError> {
    allow_open_files(clients + 50)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut visitors = Command::new(std::env::current_exe()?)
        .args([clients.to_string(), listener.local_addr()?.to_string()])
        .spawn()?;
    let served = timeout(PATIENCE, welcome_all(&listener, clients)).await;
    if !matches!(served, Ok(Ok(()))) {
        visitors.kill()?;
    }
    let visited = visitors.wait()?;
    served??;
    if visited.success() {
        Ok(())
    } else {
        Err("the clients did not get what they came for".into())
    }
}

/// Accepts all clients, and answers when all of them are connected.
async fn welcome_all(listener: &TcpListener, clients: u64) -> Result<(), BoxError> {
    let start = Instant::now();
    let before = resident_memory();
    let here = Cell::new(0);
    let everybody_is_here = Event::new();
    task_group(async |tg: TaskGroup<'_>| {
        for _ in 0..clients {
            let (stream, _) = listener.accept().await?;
            // A child borrows the counter and the event, without a lock or an `Arc`, because there is one thread.
            let (here, everybody_is_here) = (&here, &everybody_is_here);
            tg.spawn(async move {
                let mut message = [0; 1024];
                let length = stream.read(&mut message).await?;
                here.set(here.get() + 1);
                if here.get() == clients {
                    everybody_is_here.set();
                }
                everybody_is_here.wait().await;
                stream.write_all(&message[..length]).await?;
                Ok(())
            });
        }
        everybody_is_here.wait().await;
        println!(
            "{clients} clients after {:.1} s, one thread",
            start.elapsed().as_secs_f64()
        );
        if let Some((before, now)) = before.zip(resident_memory()) {
            let each = now.saturating_sub(before) / clients.max(1);
            println!("{each} bytes each: a connection, its task and a buffer of 1024");
        }
        Ok(())
    })
    .await?;
    println!("all answered after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The other process: clients that each send a message of their own and check that it comes back.
async fn visit(server: SocketAddr, clients: u64) -> Result<(), BoxError> {
    allow_open_files(clients + 50)?;
    let connecting = Semaphore::new(CONNECTING);
    task_group(async |tg: TaskGroup<'_>| {
        for client in 0..clients {
            let connecting = &connecting;
            tg.spawn(async move {
                let turn = connecting.acquire().await;
                let stream = TcpStream::connect(server).await?;
                drop(turn);
                let message = format!("client {client}");
                stream.write_all(message.as_bytes()).await?;
                let mut answer = vec![0; message.len()];
                stream.read_exact(&mut answer).await?;
                if answer != message.as_bytes() {
                    return Err(format!("{message} got somebody else's answer").into());
                }
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    Ok(())
}

#[cfg(unix)]
fn allow_open_files(wanted: u64) -> Result<(), BoxError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        format!("{wanted} open files are more than is allowed (`ulimit -n`): {error}").into()
    })
}

#[cfg(not(unix))]
fn allow_open_files(_wanted: u64) -> Result<(), BoxError> {
    Ok(())
}

/// Resident memory of this process in bytes, if the system gives it.
fn resident_memory() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
