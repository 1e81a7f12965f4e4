//! The cost of a sleep, and its delay.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Work;
use super::yields::yield_now;
use crate::effort::Effort;
use crate::figures::{Figures, quantile};
use crate::meter::{Stopwatch, measure};
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Rows, Workload};

/// Many tasks sleep once each. Their deadlines are spread evenly over one second, in scattered order.
///
/// A task reads the clock twice, before and after, to know how late it is; that is part of the
/// cost, the same for all. The deadlines begin some time after the last task is spawned, unless
/// the runtime needs longer than that to spawn and arm them.
#[derive(Debug)]
pub(crate) struct Sleeps<const SLEEPS: u64>;

/// The fractions of its products with 0, 1, 2, … fill the unit interval evenly, in scattered order.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The workloads of [`Sleeps`].
const SLEEPS_OF: &Rows = &[
    (100_000, "sleep-100k", "100,000 sleeps over 1 s"),
    (1_000_000, "sleep-1m", "1,000,000 sleeps over 1 s"),
];

impl<const SLEEPS: u64> Work for Sleeps<SLEEPS> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[
            Column::CPU,
            Column::less("late_p50", "late, µs p50"),
            Column::less("late_p99", "late, µs p99").aside(),
            Column::less("late_mean", "late, µs mean").aside(),
        ],
        countable: match SLEEPS {
            100_000 => Countable::Worker(10_000, 30_000),
            _ => Countable::No,
        },
        traffic: None,
    }
    .in_row(SLEEPS_OF, SLEEPS);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        let sleeps = effort.size(SLEEPS);
        let lead = Duration::from_millis(if SLEEPS > 100_000 { 500 } else { 100 });
        Some(R::block_on(async move {
            let late = Rc::new(RefCell::new(Vec::with_capacity(sleeps as usize)));
            let mut tasks = Vec::with_capacity(sleeps as usize);
            let stopwatch = Stopwatch::start();
            let start = Instant::now() + lead;
            for number in 0..sleeps {
                let deadline = start + Duration::from_secs_f64((number as f64 * GOLDEN).fract());
                let late = Rc::clone(&late);
                tasks.push(R::spawn(async move {
                    R::sleep(deadline.saturating_duration_since(Instant::now())).await;
                    let micros = deadline.elapsed().as_nanos() as f32 / 1e3;
                    late.borrow_mut().push(micros);
                }));
            }
            for task in tasks {
                R::join(task).await;
            }
            let cost = stopwatch.per(sleeps);
            let late = late.borrow().iter().map(|l| f64::from(*l)).collect();
            lateness(late)
                .with("cpu", cost.processor)
                .with("operations", sleeps as f64)
        }))
    }
}

/// The figures of delays, in microseconds.
fn lateness(mut late: Vec<f64>) -> Figures {
    late.sort_by(f64::total_cmp);
    Figures::default()
        .with("late_p50", quantile(&late, 0.5))
        .with("late_p99", quantile(&late, 0.99))
        .with("late_mean", late.iter().sum::<f64>() / late.len() as f64)
}

/// One task sleeps 200 µs, again and again; nothing else runs.
#[derive(Debug)]
pub(crate) struct ShortSleep;

impl Work for ShortSleep {
    const WORKLOAD: Workload = Workload {
        name: "sleep-200us",
        what: "a sleep of 200 µs alone",
        columns: &[
            Column::less("late_p50", "late, µs p50"),
            Column::less("late_p99", "late, µs p99").aside(),
            Column::CPU.aside(),
        ],
        countable: Countable::Worker(100, 300),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        let sleeps = effort.size(500);
        let length = Duration::from_micros(200);
        Some(R::block_on(async move {
            R::join(R::spawn(async move {
                let mut late = Vec::new();
                let stopwatch = Stopwatch::start();
                for _ in 0..sleeps {
                    let deadline = Instant::now() + length;
                    R::sleep(length).await;
                    late.push(deadline.elapsed().as_nanos() as f64 / 1e3);
                }
                let cost = stopwatch.per(sleeps);
                lateness(late)
                    .with("cpu", cost.processor)
                    .with("operations", sleeps as f64)
            }))
            .await
        }))
    }
}

/// A sleep of 10 s is made, polled once and dropped. This is the cost of a timeout that never fires.
#[derive(Debug)]
pub(crate) struct DroppedSleep;

impl Work for DroppedSleep {
    const WORKLOAD: Workload = Workload {
        name: "sleep-drop",
        what: "a sleep of 10 s made, polled once and dropped",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(async move {
            R::join(R::spawn(measure(effort, 100, async || {
                for _ in 0..100 {
                    polled_once(pin!(R::sleep(Duration::from_secs(10)))).await;
                }
                // Some runtimes defer this work to their next turn.
                yield_now().await;
            })))
            .await
        }))
    }
}

/// Polls `future` once, with the task's own waker.
async fn polled_once(mut future: Pin<&mut impl Future<Output = ()>>) {
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}
