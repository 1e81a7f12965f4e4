//! The load generator for the workloads that are servers: an epoll loop with one request in flight on each connection. It records the
//! time of each request.
//!
//! If the next request follows the answer, generator and server are both at their limits. A request then spends most of
//! its time in a wait for the slower of the two, which may be the generator. *Paced* requests show the delay of a server:
//! each has a time of its own, and counts from that time even if the connection still waits for an answer. A generator of
//! paced requests never sleeps.
//!
//! Everything is bounded: the connections, the time or the number of requests, and the wait for an answer
//! ([`PATIENCE`]).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::retry_on_intr;

use crate::figures::{Figures, quantile};
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
            Ok(Figures::default().with("operations", clients.took.len() as f64))
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
    request: Vec<u8>,
    /// The length of each answer.
    answer: usize,
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
    /// The bytes of the request that are sent.
    sent: usize,
    /// The bytes of the answer that have come.
    received: usize,
}

impl Clients {
    /// Opens the connections and uses each of them once, so that the server has accepted them all.
    fn connect(load: Load) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let request = load.message.request();
        let mut answer = 0;
        let mut clients = Vec::with_capacity(load.connections);
        let mut idle = Vec::with_capacity(load.idle);
        for number in 0..load.connections {
            // The busy connections are spread among the idle ones.
            while idle.len() < load.idle * (number + 1) / load.connections {
                idle.push(used_once(load)?.0);
            }
            let socket;
            (socket, answer) = used_once(load)?;
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
                sent: request.len(),
                received: usize::MAX,
            });
        }
        Ok(Self {
            epoll,
            clients,
            _idle: idle,
            request,
            answer,
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
        Ok(self.figures(elapsed, server))
    }

    /// Sends a request every `gap`, on one connection after the other, then waits for the missing answers. A request on a
    /// busy connection follows the answer there, and counts from its own time.
    fn request_at(&mut self, gap: Duration, time: Duration) -> io::Result<()> {
        let mut buffer = vec![0; self.answer.max(64 * 1024)];
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
                if client.idle() {
                    client.begin_at(due, &self.request)?;
                } else {
                    client.due.push_back(due);
                }
            }
            if self.look(Some(&Timespec::default()))? {
                heard = now;
            } else if now - heard > PATIENCE {
                return Err(io::Error::other("the server does not answer"));
            }
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                if client.sent < self.request.len() {
                    client.send(&self.request)?;
                }
                if client.idle() || !client.receive(&mut buffer, self.answer)? {
                    continue;
                }
                self.took.push(client.started.elapsed().as_nanos() as u32);
                in_flight -= 1;
                match client.due.pop_front() {
                    Some(due) => client.begin_at(due, &self.request)?,
                    None => client.end(),
                }
            }
        }
        Ok(())
    }

    fn request_for(&mut self, time: Duration) -> io::Result<()> {
        let started = Instant::now();
        self.request_while(|_| started.elapsed() < time)
    }

    /// Sends the next request on each connection as soon as the last has its answer, while `more` is true. Then waits for
    /// the missing answers.
    fn request_while(&mut self, more: impl Fn(&Self) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; self.answer.max(64 * 1024)];
        let mut in_flight = 0;
        for client in &mut self.clients {
            client.begin(&self.request)?;
            in_flight += 1;
        }
        while in_flight > 0 {
            let again = more(self);
            self.wait()?;
            for event in &self.events {
                let client = &mut self.clients[event.data.u64() as usize];
                if client.sent < self.request.len() {
                    client.send(&self.request)?;
                }
                if client.idle() || !client.receive(&mut buffer, self.answer)? {
                    continue;
                }
                self.took.push(client.started.elapsed().as_nanos() as u32);
                if again {
                    client.begin(&self.request)?;
                } else {
                    client.end();
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

    fn figures(&self, seconds: f64, server: f64) -> Figures {
        let requests = self.took.len() as f64;
        let mut micros: Vec<f64> = self.took.iter().map(|ns| f64::from(*ns) / 1e3).collect();
        micros.sort_by(f64::total_cmp);
        Figures::default()
            .with("per_second", requests / seconds)
            .with("server", server / requests)
            .with("p50", quantile(&micros, 0.5))
            .with("p99", quantile(&micros, 0.99))
    }
}

impl Message {
    fn request(self) -> Vec<u8> {
        match self {
            Self::Echo(bytes) => (0..bytes).map(|byte| byte as u8).collect(),
            Self::Http => b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        }
    }
}

/// Connects, and sends and receives once. Returns the length of the answer as well.
fn used_once(load: Load) -> io::Result<(TcpStream, usize)> {
    let request = &load.message.request()[..];
    let mut socket = TcpStream::connect(load.server)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request)?;
    if load.message == Message::Http {
        let length = read_page(&mut socket)?;
        return Ok((socket, length));
    }
    let mut answer = vec![0; request.len()];
    socket.read_exact(&mut answer)?;
    if answer != request {
        return Err(io::Error::other("the server sent back something else"));
    }
    Ok((socket, answer.len()))
}

/// Reads a page with its head. Returns their length, which is that of all answers: only the date changes.
fn read_page(socket: &mut TcpStream) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let lines = text.lines();
    let length = lines.filter_map(|line| line.strip_prefix("content-length: "));
    let length = length
        .filter_map(|length| length.parse::<usize>().ok())
        .next();
    let length = length.filter(|_| text.starts_with("http/1.1 200 "));
    let length = length.ok_or_else(|| io::Error::other(format!("the server answers {text}")))?;
    socket.read_exact(&mut vec![0; length])?;
    Ok(head.len() + length)
}

impl Client {
    /// Whether nothing is in flight.
    fn idle(&self) -> bool {
        self.received == usize::MAX
    }

    fn end(&mut self) {
        self.received = usize::MAX;
    }

    fn begin(&mut self, request: &[u8]) -> io::Result<()> {
        self.begin_at(Instant::now(), request)
    }

    /// Begins a request, whose time counts from `started`.
    fn begin_at(&mut self, started: Instant, request: &[u8]) -> io::Result<()> {
        self.started = started;
        self.sent = 0;
        self.received = 0;
        self.send(request)
    }

    /// Sends as much as the socket takes.
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        match (&self.socket).write(&request[self.sent..]) {
            Ok(sent) => self.sent += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Receives the bytes that have come. True if the answer is complete.
    fn receive(&mut self, buffer: &mut [u8], expected: usize) -> io::Result<bool> {
        while self.received < expected {
            match (&self.socket).read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => self.received += received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
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
