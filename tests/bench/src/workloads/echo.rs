//! A TCP server that sends back what it receives, a task a connection.
//!
//! The worker is the server; the load comes from a process of its own (`crate::load`), which keeps
//! one request in flight on each connection. The server's buffer holds 16 KiB, so a message of
//! that size fills it exactly.
//!
//! Each runtime's task for a connection is an `async` block in a plain function. An `async fn` would keep its arguments
//! twice, and the runtime's memory would seem larger.

use std::cell::Cell;
use std::fmt;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::rc::Rc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Work;
use super::memory::resident;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::runtime::{Runtime, Through};
use crate::workload::{Column, Countable, Message, Requests, Rows, Traffic, Workload};

/// Requests of so many bytes on so many connections.
#[derive(Debug)]
pub(crate) struct Echo<const CONNECTIONS: usize, const BYTES: usize>;

const BUFFER: usize = 16 * 1024;

impl<const CONNECTIONS: usize, const BYTES: usize> Work for Echo<CONNECTIONS, BYTES> {
    const WORKLOAD: Workload = Workload {
        name: match (CONNECTIONS, BYTES) {
            (1, 64) => "echo-1-64",
            (100, 64) => "echo-100-64",
            (1_000, 64) => "echo-1000-64",
            (1, 16_384) => "echo-1-16k",
            (100, 16_384) => "echo-100-16k",
            (1_000, 16_384) => "echo-1000-16k",
            _ => panic!("give this size a name"),
        },
        what: match (CONNECTIONS, BYTES) {
            (1, 64) => "echo, 1 connection, 64 B",
            (100, 64) => "echo, 100 connections, 64 B",
            (1_000, 64) => "echo, 1000 connections, 64 B",
            (1, 16_384) => "echo, 1 connection, 16 KiB",
            (100, 16_384) => "echo, 100 connections, 16 KiB",
            (1_000, 16_384) => "echo, 1000 connections, 16 KiB",
            _ => panic!("give this size a name"),
        },
        columns: &[
            Column::more("per_second", "requests/s"),
            Column::less("server", "server CPU ns a request"),
            Column::less("p50", "µs p50").aside(),
            Column::less("p99", "µs p99"),
        ],
        countable: match CONNECTIONS {
            1 => Countable::Requests(1_000, 5_000),
            connections => {
                Countable::Requests(connections as u64 * 5, connections as u64 * 5 + 10_000)
            }
        },
        traffic: Some(Traffic {
            connections: CONNECTIONS,
            idle: 0,
            message: Message::Echo(BYTES),
            requests: Requests::Answered,
        }),
    };

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        let listener = announced_listener();
        R::block_on(async move {
            R::serve(listener, BUFFER, Rc::new(Progress::new(CONNECTIONS, || ()))).await;
            Some(Figures::default())
        })
    }
}

/// Requests through buffers or callbacks. The floor is the bare epoll loop.
#[derive(Debug)]
pub(crate) struct EchoThrough<const PROTOCOL: bool>;

impl<const PROTOCOL: bool> EchoThrough<PROTOCOL> {
    const THROUGH: Through = match PROTOCOL {
        true => Through::Protocol,
        false => Through::Buffers,
    };
}

/// The workloads of [`EchoThrough`].
const THROUGH: &Rows = &[
    (
        0,
        "echo-buffered",
        "echo, 100 connections, 64 B, through a reader and a writer with buffers",
    ),
    (
        1,
        "echo-protocol",
        "echo, 100 connections, 64 B, by callbacks of a protocol",
    ),
];

impl<const PROTOCOL: bool> Work for EchoThrough<PROTOCOL> {
    const WORKLOAD: Workload = Echo::<100, 64>::WORKLOAD.in_row(THROUGH, PROTOCOL as u64);

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        if !R::THROUGH.contains(&Self::THROUGH) {
            return None;
        }
        let listener = announced_listener();
        R::block_on(async move {
            let progress = Rc::new(Progress::new(100, || ()));
            R::serve_through(Self::THROUGH, listener, BUFFER, progress).await;
            Some(Figures::default())
        })
    }
}

/// Requests at given times, about a quarter of a server's limit, beside idle connections.
#[derive(Debug)]
pub(crate) struct Paced<const IDLE: usize>;

impl<const IDLE: usize> Paced<IDLE> {
    const CONNECTIONS: usize = 100;
}

/// The workloads of [`Paced`].
const PACED: &Rows = &[
    (
        0,
        "echo-paced",
        "echo, 100 connections, 64 B, 50,000 a second",
    ),
    (
        10_000,
        "echo-paced-idle",
        "echo, 100 connections, 64 B, 50,000 a second, beside 10,000 idle ones",
    ),
];

impl<const IDLE: usize> Work for Paced<IDLE> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[
            Column::less("p99", "µs p99"),
            Column::less("p50", "µs p50"),
            Column::less("server", "server CPU ns a request").aside(),
        ],
        countable: Countable::No,
        traffic: Some(Traffic {
            connections: Self::CONNECTIONS,
            idle: IDLE,
            message: Message::Echo(64),
            requests: Requests::Paced(50_000),
        }),
    }
    .in_row(PACED, IDLE as u64);

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        allow_many_files();
        let listener = announced_listener();
        R::block_on(async move {
            let progress = Progress::new(Self::CONNECTIONS + IDLE, || ());
            R::serve(listener, 1_024, Rc::new(progress)).await;
            Some(Figures::default())
        })
    }
}

/// Ten thousand connections that were each used once and now wait, without their kernel memory.
#[derive(Debug)]
pub(crate) struct Idle;

impl Idle {
    pub(crate) const CONNECTIONS: usize = 10_000;
}

impl Work for Idle {
    const WORKLOAD: Workload = Workload {
        name: "memory-connection",
        what: "memory of an idle connection, task and 1 KiB buffer",
        columns: &[Column::less("bytes", "bytes")],
        countable: Countable::No,
        traffic: Some(Traffic {
            connections: Self::CONNECTIONS,
            idle: 0,
            message: Message::Echo(64),
            requests: Requests::Once,
        }),
    };

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        allow_many_files();
        let listener = announced_listener();
        R::block_on(async move {
            let before = resident();
            let progress = Progress::new(Self::CONNECTIONS, move || {
                let bytes = (resident() - before) / Self::CONNECTIONS as f64;
                println!("{}", Figures::default().with("bytes", bytes).to_line());
                // The load generator hangs up when it sees the end of the server.
                std::process::exit(0);
            });
            R::serve(listener, 1_024, Rc::new(progress)).await;
            None
        })
    }
}

/// The progress of a server.
pub(crate) struct Progress {
    connections: usize,
    used: Cell<usize>,
    all_used: Cell<Option<Box<dyn FnOnce()>>>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} used", self.used.get(), self.connections)
    }
}

impl Progress {
    /// Calls `all_used` when each of the connections has answered once.
    fn new(connections: usize, all_used: impl FnOnce() + 'static) -> Self {
        Self {
            connections,
            used: Cell::new(0),
            all_used: Cell::new(Some(Box::new(all_used))),
        }
    }

    /// The number of connections that the server accepts.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Records the first answer of a connection.
    pub(crate) fn first_answer(&self) {
        self.used.set(self.used.get() + 1);
        if self.used.get() == self.connections
            && let Some(all_used) = self.all_used.take()
        {
            all_used();
        }
    }
}

/// Listens on loopback with a long queue, and reports the address to the parent.
pub(super) fn announced_listener() -> TcpListener {
    let listener = listener().expect("loopback takes a listener");
    println!("{}", listener.local_addr().expect("it is bound"));
    std::io::stdout().flush().expect("the parent listens");
    listener
}

fn listener() -> std::io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&socket, 4_096)?;
    Ok(socket.into())
}

/// Raises the limit of open files as far as this process may.
pub(crate) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If the limit cannot be raised, accepting the connections fails.
    let _ = setrlimit(Resource::Nofile, raised);
}
