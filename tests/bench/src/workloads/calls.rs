//! Calls on a pool of threads, and callbacks from other threads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use super::Work;
use crate::cores::{Role, pin, unpin};
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::meter::{latencies, measure};
use crate::runtime::Runtime;
use crate::threads::Threads;
use crate::workload::{Column, Countable, Rows, Workload};

/// An empty closure is run on the pool and awaited, again and again. `PINNED`: all threads are on one core.
#[derive(Debug)]
pub(crate) struct Call<const PINNED: bool>;

/// The workloads of [`Call`].
const CALL: &Rows = &[
    (0, "call", "an empty call on the thread pool"),
    (
        1,
        "call-pinned",
        "an empty call on the thread pool, one core",
    ),
];

impl<const PINNED: bool> Work for Call<PINNED> {
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
    .in_row(CALL, PINNED as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::Threads::CALLS {
            return None;
        }
        if !PINNED {
            unpin().expect("a thread can choose its cores");
        }
        Some(R::block_on_with_threads(latencies(effort, async || {
            R::Threads::call(|| ()).await;
        })))
    }
}

/// So many calls are under way at a time.
#[derive(Debug)]
pub(crate) struct Calls<const AT_A_TIME: u64>;

/// The workloads of [`Calls`].
const CALLS: &Rows = &[
    (
        1_000,
        "calls-1000",
        "empty calls on the thread pool, 1000 at a time",
    ),
    (
        1_000_000,
        "calls-1000000",
        "empty calls on the thread pool, a million at a time",
    ),
];

impl<const AT_A_TIME: u64> Work for Calls<AT_A_TIME> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[Column::less("wall", "ns a call"), Column::CPU.aside()],
        countable: Countable::No,
        traffic: None,
    }
    .in_row(CALLS, AT_A_TIME);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::Threads::CALLS {
            return None;
        }
        unpin().expect("a thread can choose its cores");
        Some(R::block_on_with_threads(async move {
            let at_a_time = match AT_A_TIME {
                1_000 => AT_A_TIME,
                many => effort.size(many),
            };
            let mut calls = Vec::with_capacity(at_a_time as usize);
            measure(effort, at_a_time, async || {
                for number in 0..at_a_time {
                    calls.push(R::Threads::call(move || number));
                }
                for call in calls.drain(..) {
                    call.await;
                }
            })
            .await
        }))
    }
}

/// Some threads post callbacks as fast as they can, 10,000 each, and the loop runs them.
#[derive(Debug)]
pub(crate) struct Callbacks<const THREADS: usize>;

const CALLBACKS: u64 = 10_000;

/// The count of callbacks that have run, and the task that waits for the last one.
#[derive(Debug, Default)]
struct Arrived {
    count: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Arrived {
    fn one(&self, all: u64) {
        if self.count.fetch_add(1, Ordering::AcqRel) + 1 == all
            && let Some(waker) = self.waiting.lock().unwrap().take()
        {
            waker.wake();
        }
    }

    async fn all(&self, all: u64) {
        poll_fn(|context| {
            *self.waiting.lock().unwrap() = Some(context.waker().clone());
            match self.count.load(Ordering::Acquire) == all {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// The workloads of [`Callbacks`].
const FROM_THREADS: &Rows = &[
    (
        1,
        "callbacks-1",
        "callbacks from another thread, as fast as it can",
    ),
    (
        4,
        "callbacks-4",
        "callbacks from 4 other threads, as fast as they can",
    ),
];

impl<const THREADS: usize> Work for Callbacks<THREADS> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[Column::less("wall", "ns a callback")],
        countable: Countable::No,
        traffic: None,
    }
    .in_row(FROM_THREADS, THREADS as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Threads::POSTS.then(|| R::block_on(callbacks::<R>(effort, THREADS)))
    }
}

async fn callbacks<R: Runtime>(effort: Effort, threads: usize) -> Figures {
    let handle = R::Threads::handle();
    let all = CALLBACKS * threads as u64;
    let posters: Vec<Sender<Arc<Arrived>>> = (0..threads)
        .map(|_| {
            let (batches, batch) = channel::<Arc<Arrived>>();
            let handle = handle.clone();
            thread::spawn(move || {
                pin(Role::Driver).expect("a thread can choose its core");
                for arrived in batch {
                    for _ in 0..CALLBACKS {
                        let arrived = Arc::clone(&arrived);
                        R::Threads::post(&handle, move || arrived.one(all));
                    }
                }
            });
            batches
        })
        .collect();
    let mut per_callback = Vec::new();
    let started = Instant::now();
    while started.elapsed() < effort.warm_up() + effort.measured() {
        let arrived = Arc::new(Arrived::default());
        let before = Instant::now();
        for poster in &posters {
            poster
                .send(Arc::clone(&arrived))
                .expect("the thread is there");
        }
        arrived.all(all).await;
        if started.elapsed() > effort.warm_up() {
            per_callback.push(before.elapsed().as_nanos() as f64 / all as f64);
        }
    }
    Figures::default().with("wall", median(&per_callback))
}
