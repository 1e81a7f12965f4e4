//! Calls in worker processes. Of the runtimes only ours has them; CPython's `ProcessPoolExecutor` is the peer.

use std::time::{Duration, Instant};

use asyncio::ProcessPool;

use super::Work;
use crate::cores::unpin;
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::meter::latencies;
use crate::runtime::Runtime;
use crate::threads::Threads;
use crate::workload::{Column, Countable, Rows, Workload};

/// Returns what it is given.
#[asyncio::remote]
fn same(bytes: serde_bytes::ByteBuf) -> serde_bytes::ByteBuf {
    bytes
}

/// This many bytes go to a worker and come back, again and again.
#[derive(Debug)]
pub(crate) struct ProcessCall<const BYTES: usize>;

/// The workloads of [`ProcessCall`].
const CALLS: &Rows = &[
    (0, "worker-call", "an empty call in a worker process"),
    (
        1 << 20,
        "worker-call-1MiB",
        "a MiB to a worker process and back",
    ),
];

impl<const BYTES: usize> Work for ProcessCall<BYTES> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[
            Column::less("p50", "µs p50"),
            Column::less("p99", "µs p99").aside(),
        ],
        countable: Countable::No,
        traffic: None,
    }
    .in_row(CALLS, BYTES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::Threads::PROCESSES {
            return None;
        }
        unpin().expect("a thread can choose its cores");
        Some(R::block_on(async move {
            let pool = ProcessPool::builder().workers(1).build();
            let mut bytes = serde_bytes::ByteBuf::from(vec![7; BYTES]);
            latencies(effort, async || {
                let sent = std::mem::take(&mut bytes);
                bytes = pool.run(same, sent).await.expect("the worker is there");
            })
            .await
        }))
    }
}

/// A pool of two processes is started, gives one answer, and ends.
#[derive(Debug)]
pub(crate) struct PoolStart;

impl Work for PoolStart {
    const WORKLOAD: Workload = Workload {
        name: "worker-pool-start",
        what: "a pool of 2 processes, from its start to its first answers",
        columns: &[Column::less("wall", "ms")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::Threads::PROCESSES {
            return None;
        }
        unpin().expect("a thread can choose its cores");
        Some(R::block_on(async move {
            let mut took: Vec<f64> = Vec::new();
            let started = Instant::now();
            while started.elapsed() < effort.measured() || took.len() < 3 {
                let before = Instant::now();
                let pool = ProcessPool::builder()
                    .workers(2)
                    .start_timeout(Duration::from_secs(30))
                    .build();
                pool.start_workers().await.expect("they start");
                let calls = [(); 2].map(|()| pool.run(same, serde_bytes::ByteBuf::new()));
                for call in calls {
                    call.await.expect("the worker is there");
                }
                took.push(before.elapsed().as_secs_f64() * 1e3);
                pool.shutdown(asyncio::Pending::Run);
                pool.wait_closed().await;
            }
            Figures::default().with("wall", median(&took))
        }))
    }
}
