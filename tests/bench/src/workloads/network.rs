//! Datagrams and TLS, with both ends in the worker. A figure has the cost of both.

use super::Work;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::{Times, measure, times};
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Rows, Workload};

const COLUMNS: &[Column] = &[
    Column::CPU,
    Column::less("p50", "µs p50").aside(),
    Column::less("p99", "µs p99"),
];

/// Datagrams between two tasks.
#[derive(Debug)]
pub(crate) struct Datagrams;

impl Work for Datagrams {
    const WORKLOAD: Workload = Workload {
        name: "udp",
        what: "a datagram of 64 B to another task, and its answer",
        columns: COLUMNS,
        countable: Countable::Worker(2, 12),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const TRIPS: u64 = 1_000;
        R::block_on(async move {
            R::datagrams(0, Times::default())?.await;
            let batch = async |times| {
                let batch = R::datagrams(TRIPS, times);
                batch.expect("it has datagrams").await;
            };
            let cost = measure(effort, TRIPS, async || batch(Times::default()).await).await;
            Some(cost.and(times(effort, batch).await))
        })
    }
}

/// TLS connections between two tasks: new ones, or messages on one.
#[derive(Debug)]
pub(crate) struct Tls<const MESSAGES: bool>;

/// The workloads of [`Tls`].
const TLS: &Rows = &[
    (
        0,
        "tls-handshake",
        "a TLS connection to another task: connect, handshake, close",
    ),
    (1, "tls-echo", "64 B over TLS to another task, and back"),
];

impl<const MESSAGES: bool> Work for Tls<MESSAGES> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: COLUMNS,
        countable: Countable::Worker(1, 3),
        traffic: None,
    }
    .in_row(TLS, MESSAGES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        let (connections, trips) = if MESSAGES { (1, 5_000) } else { (20, 1) };
        R::block_on(async move {
            R::tls(0, 0, Times::default())?.await;
            let batch = async |times| {
                let batch = R::tls(connections, trips, times);
                batch.expect("it has TLS").await;
            };
            let operations = connections * trips;
            let cost = measure(effort, operations, async || batch(Times::default()).await).await;
            Some(cost.and(times(effort, batch).await))
        })
    }
}
