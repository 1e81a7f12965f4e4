//! HTTP: small pages of a server, and fetches of a client.

use std::time::Instant;

use rustix::process::Pid;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

use super::Work;
use super::echo::announced_listener;
use crate::cores::{Role, pin};
use crate::effort::Effort;
use crate::figures::Figures;
use crate::runtime::Runtime;
use crate::runtimes::serve_for_clients;
use crate::web::{Page, Web};
use crate::workload::{Column, Countable, Message, Requests, Traffic, Workload};

/// The number of connections of a server, and of fetches at a time.
const CONNECTIONS: usize = 64;

/// Hello world from a service of hyper, again and again on 64 connections.
#[derive(Debug)]
pub(crate) struct Hello;

/// JSON from a route of axum, in the same way.
#[derive(Debug)]
pub(crate) struct Json;

/// Hello world by HTTP/2, 8 requests at a time on each of 64 connections.
#[derive(Debug)]
pub(crate) struct Http2;

const COLUMNS: &[Column] = &[
    Column::less("server", "server CPU ns a request"),
    Column::more("per_second", "requests/s").aside(),
    Column::less("p50", "µs p50").aside(),
    Column::less("p99", "µs p99"),
];

const fn of_page(name: &'static str, what: &'static str, message: Message) -> Workload {
    // The load generator counts all requests of a connection at a time as one.
    let rounds = (CONNECTIONS * 5) as u64;
    Workload {
        name,
        what,
        columns: COLUMNS,
        countable: Countable::Requests(rounds, rounds + 10_000 / message.requests() as u64),
        traffic: Some(Traffic {
            connections: CONNECTIONS,
            idle: 0,
            message,
            requests: Requests::Answered,
        }),
    }
}

fn serve<R: Runtime>(page: Page) -> Option<Figures> {
    if !R::Web::PAGES.contains(&page) {
        return None;
    }
    let listener = announced_listener();
    R::block_on(R::Web::serve(listener, page, CONNECTIONS));
    Some(Figures::default())
}

impl Work for Hello {
    const WORKLOAD: Workload = of_page(
        "http-hello",
        "HTTP/1, 64 connections, hello world by hyper",
        Message::Http,
    );

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        serve::<R>(Page::Hello)
    }
}

impl Work for Json {
    const WORKLOAD: Workload = of_page(
        "http-json",
        "HTTP/1, 64 connections, JSON from a route of axum",
        Message::Http,
    );

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        serve::<R>(Page::Json)
    }
}

impl Work for Http2 {
    const WORKLOAD: Workload = of_page(
        "http2-hello",
        "HTTP/2, 64 connections with 8 requests each, hello world by hyper",
        Message::Http2,
    );

    fn run<R: Runtime>(_effort: Effort) -> Option<Figures> {
        serve::<R>(Page::HelloByHttp2)
    }
}

/// Fetches of a small page from a server on another core, 64 at a time.
#[derive(Debug)]
pub(crate) struct Fetches;

impl Work for Fetches {
    const WORKLOAD: Workload = Workload {
        name: "fetches",
        what: "fetches of a small page by HTTP/1, 64 at a time",
        columns: &[
            Column::less("cpu", "client CPU ns a fetch, all threads"),
            Column::less("p50", "µs p50").aside(),
            Column::less("p99", "µs p99"),
        ],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::Web::FETCHES {
            return None;
        }
        let (url, server) = start_server();
        Some(R::block_on(async move {
            let client = R::Web::client();
            fetch_for::<R>(&client, &url, effort.warm_up()).await;
            let before = time_without(server);
            let took = fetch_for::<R>(&client, &url, effort.measured()).await;
            let cpu = (time_without(server) - before) / took.len() as f64;
            Figures::default().with("cpu", cpu).with_quantiles(took)
        }))
    }
}

/// Starts a server on another core, which ends with the process. Returns its address and its thread.
fn start_server() -> (String, Pid) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback takes one");
    listener.set_nonblocking(true).expect("it is a listener");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let (sender, thread) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        pin(Role::Driver).expect("a thread can choose its core");
        sender.send(gettid()).expect("the number is awaited");
        asyncio::run(serve_for_clients(listener));
    });
    (url, thread.recv().expect("the thread starts"))
}

/// Fetches for this time. Returns the time of each fetch, in microseconds.
async fn fetch_for<R: Runtime>(
    client: &<R::Web as Web>::Client,
    url: &str,
    time: std::time::Duration,
) -> Vec<f64> {
    let started = Instant::now();
    let fetchers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (client, url) = (client.clone(), url.to_owned());
            R::spawn(async move {
                let mut took = Vec::new();
                while started.elapsed() < time {
                    let before = Instant::now();
                    let length = R::Web::fetch(client.clone(), url.clone()).await;
                    assert_eq!(length, crate::web::HELLO.len(), "it is the page");
                    took.push(before.elapsed().as_nanos() as f64 / 1e3);
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for fetcher in fetchers {
        all.extend(R::join(fetcher).await);
    }
    all
}

/// The processor time of the process so far without one thread, in nanoseconds. The thread must be asleep, because the
/// system adds up the time of a thread when it falls asleep.
fn time_without(thread: Pid) -> f64 {
    let all = clock_gettime(ClockId::ProcessCPUTime);
    let path = format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero());
    let times = std::fs::read_to_string(path).expect("Linux has the times of a thread");
    let of_thread = times.split(' ').next().and_then(|time| time.parse().ok());
    let of_thread: f64 = of_thread.expect("the first is its processor time");
    all.tv_sec as f64 * 1e9 + all.tv_nsec as f64 - of_thread
}
