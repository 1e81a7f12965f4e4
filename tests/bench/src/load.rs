//! The load generator for the workloads that are servers: an epoll loop with one request in flight on each connection,
//! or with several on a connection of HTTP/2. It records the time of each request.
//!
//! If the next request follows the answer, generator and server are both at their limits. A request then spends most of
//! its time in a wait for the slower of the two, which may be the generator. *Paced* requests show the delay of a
//! server: each has a time of its own, and counts from that time even if the connection still waits for an answer. A
//! generator of paced requests never sleeps.
//!
//! Everything is bounded: the connections, the time or the number of requests, and the wait for an answer
//! ([`PATIENCE`]).

mod dialogue;
mod http2;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

use self::dialogue::Dialogue;
use crate::figures::Figures;
use crate::workload::Message;

/// The arguments of the load generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) server: SocketAddr,
    /// The server's process, whose processor time is measured.
    pub(crate) process: u32,
    pub(crate) connections: usize,
    /// The number of further connections that are used once and stay open.
    pub(crate) idle: usize,
    pub(crate) message: Message,
    pub(crate) until: Until,
}

/// The end of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After this number of milliseconds, without the warm-up.
    Millis(u64),
    /// The same, with this rate of requests a second on all connections together.
    Paced { millis: u64, per_second: u64 },
    /// After this number of requests.
    Requests(u64),
    /// When the server hangs up. Each connection is used once.
    HungUp,
}

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects, and generates the load.
///
/// # Errors
///
/// A connection fails, or the server does not answer, or its answer is wrong.
pub(crate) fn run(load: Load) -> io::Result<Figures> {
    let mut clients = Clients::connect(load)?;
    match load.until {
        Until::Millis(millis) => clients.measured(load, millis, Clients::request_for),
        Until::Paced { millis, per_second } => clients.measured(load, millis, |clients, time| {
            clients.request_at(Duration::from_secs(1) / per_second as u32, time)
        }),
        Until::Requests(requests) => {
            clients.request_while(|clients| (clients.took.len() as u64) < requests)?;
            let operations = clients.took.len() * load.message.requests();
            Ok(Figures::default().with("operations", operations as f64))
        }
        Until::HungUp => {
            clients.wait_for_the_end();
            Ok(Figures::default())
        }
    }
}

struct Clients {
    epoll: rustix::fd::OwnedFd,
    clients: Vec<Client>,
    /// Open connections that are no longer used.
    _idle: Vec<TcpStream>,
    /// The time of each request, in nanoseconds.
    took: Vec<u32>,
    events: Vec<epoll::Event>,
}

#[derive(Debug)]
struct Client {
    socket: TcpStream,
    /// The time at which the request began, or was to begin.
    started: Instant,
    /// The times at which the next requests were to begin.
    due: VecDeque<Instant>,
    dialogue: Dialogue,
    /// The bytes of the request that are sent.
    sent: usize,
    /// Whether an answer is awaited.
    is_busy: bool,
}

impl Clients {
    /// Opens the connections and uses each of them once, so that the server has accepted them all.
    fn connect(load: Load) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(load.connections);
        let mut idle = Vec::with_capacity(load.idle);
        for number in 0..load.connections {
            // The busy connections are spread among the idle ones.
            while idle.len() < load.idle * (number + 1) / load.connections {
                idle.push(used_once(load)?.0);
            }
            let (socket, dialogue) = used_once(load)?;
            socket.set_nonblocking(true)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(
                &epoll,
                &socket,
                epoll::EventData::new_u64(number as u64),
                flags,
            )?;
            clients.push(Client {
                socket,
                started: Instant::now(),
                due: VecDeque::new(),
                dialogue,
                sent: 0,
                is_busy: false,
            });
        }
        Ok(Self {
            epoll,
            clients,
            _idle: idle,
            took: Vec::with_capacity(1 << 20),
            events: Vec::with_capacity(1_024),
        })
    }

    /// Sends requests in the way of `requests`: a warm-up, then the measured time.
    fn measured(
        &mut self,
        load: Load,
        millis: u64,
        requests: impl Fn(&mut Self, Duration) -> io::Result<()>,
    ) -> io::Result<Figures> {
        let measured = Duration::from_millis(millis);
        requests(self, measured / 5)?;
        self.took.clear();
        let server = processor_time_of(load.process)?;
        let started = Instant::now();
        requests(self, measured)?;
        let elapsed = started.elapsed().as_secs_f64();
        let server = processor_time_of(load.process)? - server;
        Ok(self.figures(load.message, elapsed, server))
    }

    /// Sends a request every `gap`, on one connection after the other, then waits for the missing answers. A request on
    /// a busy connection follows the answer there, and counts from its own time.
    fn request_at(&mut self, gap: Duration, time: Duration) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let (started, mut heard) = (Instant::now(), Instant::now());
        let mut due = (0..)
            .map(|number: usize| (number, started + gap * number as u32))
            .take_while(|(_, due)| *due < started + time)
            .peekable();
        let mut in_flight = 0;
        while due.peek().is_some() || in_flight > 0 {
            let now = Instant::now();
            while let Some((number, due)) = due.next_if(|(_, due)| *due <= now) {
                let number = number % self.clients.len();
                let client = &mut self.clients[number];
                in_flight += 1;
                if client.is_busy {
                    client.due.push_back(due);
                } else {
                    client.begin_at(due)?;
                }
            }
            if self.look(Some(&Timespec::default()))? {
                heard = now;
            } else if now - heard > PATIENCE {
                return Err(io::Error::other("the server does not answer"));
            }
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                if !client.is_busy {
                    continue;
                }
                client.send()?;
                if !client.receive(&mut buffer)? {
                    continue;
                }
                self.took.push(client.started.elapsed().as_nanos() as u32);
                in_flight -= 1;
                match client.due.pop_front() {
                    Some(due) => client.begin_at(due)?,
                    None => client.is_busy = false,
                }
            }
        }
        Ok(())
    }

    fn request_for(&mut self, time: Duration) -> io::Result<()> {
        let started = Instant::now();
        self.request_while(|_| started.elapsed() < time)
    }

    /// Sends the next request on each connection as soon as the last has its answer, while `more` is true. Then waits
    /// for the missing answers.
    fn request_while(&mut self, more: impl Fn(&Self) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        let mut in_flight = 0;
        for client in &mut self.clients {
            client.begin_at(Instant::now())?;
            in_flight += 1;
        }
        while in_flight > 0 {
            let again = more(self);
            self.wait()?;
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                if !client.is_busy {
                    continue;
                }
                client.send()?;
                if !client.receive(&mut buffer)? {
                    continue;
                }
                self.took.push(client.started.elapsed().as_nanos() as u32);
                if again {
                    client.begin_at(Instant::now())?;
                } else {
                    client.is_busy = false;
                    in_flight -= 1;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        let patience = Timespec::try_from(PATIENCE).expect("some seconds fit");
        if !self.look(Some(&patience))? {
            return Err(io::Error::other("the server does not answer"));
        }
        Ok(())
    }

    /// Waits for events, for `patience` at most. False if there are none.
    fn look(&mut self, patience: Option<&Timespec>) -> io::Result<bool> {
        self.events.clear();
        let events = &mut self.events;
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(events), patience))?;
        Ok(!events.is_empty())
    }

    /// Waits for the end of the server.
    fn wait_for_the_end(&mut self) {
        let last = self.clients.last_mut().expect("there are connections");
        let _ = last.socket.set_nonblocking(false);
        // The end of the stream, an error and a timeout all count as the end.
        let _ = last.socket.read(&mut [0]);
    }

    fn figures(&self, message: Message, seconds: f64, server: f64) -> Figures {
        let requests = (self.took.len() * message.requests()) as f64;
        let micros = self.took.iter().map(|ns| f64::from(*ns) / 1e3);
        Figures::default()
            .with("per_second", requests / seconds)
            .with("server", server / requests)
            .with_quantiles(micros.collect())
    }
}

/// Connects, and sends and receives once.
fn used_once(load: Load) -> io::Result<(TcpStream, Dialogue)> {
    let mut dialogue = Dialogue::new(load.message);
    let mut socket = TcpStream::connect(load.server)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    dialogue.begin();
    socket.write_all(dialogue.request())?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match socket.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n if dialogue.receive(&buffer[..n])? => return Ok((socket, dialogue)),
            _ => {}
        }
    }
}

impl Client {
    /// Begins a request, whose time counts from `started`.
    fn begin_at(&mut self, started: Instant) -> io::Result<()> {
        self.started = started;
        self.dialogue.begin();
        self.sent = 0;
        self.is_busy = true;
        self.send()
    }

    /// Sends as much of the request as the socket takes.
    fn send(&mut self) -> io::Result<()> {
        let rest = &self.dialogue.request()[self.sent..];
        if rest.is_empty() {
            return Ok(());
        }
        match (&self.socket).write(rest) {
            Ok(sent) => self.sent += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Receives the bytes that have come. True if the answer is complete.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            match (&self.socket).read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) if self.dialogue.receive(&buffer[..received])? => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The processor time of a process in all its threads, in nanoseconds, as of the last tick.
fn processor_time_of(process: u32) -> io::Result<f64> {
    let mut spent = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_core = schedstat.split_whitespace().next();
        spent += on_core.and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(spent)
}
