//! Measurement of the processor time and the real time of an operation.
//!
//! Processor time is that of the whole process, helper threads included, because async-io works partly on a thread of
//! its own. The work is done in windows of some milliseconds, and the median window counts. So a disturbed window does
//! not change the result.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::effort::Effort;
use crate::figures::{Figures, median};

/// The processor time of this process so far, in nanoseconds.
pub(crate) fn processor_time() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 * 1e9 + spent.tv_nsec as f64
}

/// A measured stretch of time.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    processor: f64,
    wall: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self {
            processor: processor_time(),
            wall: Instant::now(),
        }
    }

    /// The time of each of `operations` since the start.
    pub(crate) fn per(&self, operations: u64) -> Cost {
        let wall = self.wall.elapsed().as_nanos() as f64;
        let processor = processor_time() - self.processor;
        Cost {
            processor: processor / operations as f64,
            wall: wall / operations as f64,
        }
    }
}

/// The time of one operation, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) processor: f64,
    pub(crate) wall: f64,
}

impl Cost {
    pub(crate) fn figures(self) -> Figures {
        Figures::default()
            .with("cpu", self.processor)
            .with("wall", self.wall)
    }
}

/// Repeats `batch`, which does `operations` operations, as often as `effort` says.
pub(crate) async fn measure(
    effort: Effort,
    operations: u64,
    mut batch: impl AsyncFnMut(),
) -> Figures {
    if let Some(batches) = effort.exactly {
        for _ in 0..batches {
            batch().await;
        }
        return Figures::default().with("operations", (batches * operations) as f64);
    }

    let mut windows = Vec::new();
    run_for(effort.warm_up(), &mut batch).await;
    let measured = Instant::now();
    while measured.elapsed() < effort.measured() || windows.len() < 3 {
        let window = Stopwatch::start();
        let batches = run_for(WINDOW, &mut batch).await;
        windows.push(window.per(batches * operations));
    }
    Cost {
        processor: median(&windows.iter().map(|w| w.processor).collect::<Vec<_>>()),
        wall: median(&windows.iter().map(|w| w.wall).collect::<Vec<_>>()),
    }
    .figures()
}

/// Repeats `operation` one at a time, as long as `effort` says. The median of its times and their 99th percentile, in
/// microseconds.
pub(crate) async fn latencies(effort: Effort, mut operation: impl AsyncFnMut()) -> Figures {
    run_for(effort.warm_up(), &mut operation).await;
    let mut took = Vec::new();
    let started = Instant::now();
    while started.elapsed() < effort.measured() {
        let before = Instant::now();
        operation().await;
        took.push(before.elapsed().as_nanos() as f64 / 1e3);
    }
    Figures::default().with_quantiles(took)
}

/// The times of the operations of a batch, in microseconds. Kept only if they are asked for, because each takes two
/// looks at the clock.
#[derive(Debug, Default, Clone)]
pub(crate) struct Times(Option<Rc<RefCell<Vec<f64>>>>);

impl Times {
    /// The time at which an operation begins, if it is asked for.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// Adds the time since the beginning of an operation.
    pub(crate) fn end(&self, begun: Option<Instant>) {
        if let (Some(times), Some(begun)) = (&self.0, begun) {
            let took = begun.elapsed().as_nanos() as f64 / 1e3;
            times.borrow_mut().push(took);
        }
    }
}

/// Repeats `batch`, as long as `effort` says. The median of the times of its operations and their 99th percentile.
pub(crate) async fn times(effort: Effort, mut batch: impl AsyncFnMut(Times)) -> Figures {
    if effort.exactly.is_some() {
        return Figures::default();
    }
    let times = Rc::<RefCell<Vec<f64>>>::default();
    run_for(effort.measured(), &mut async || {
        batch(Times(Some(times.clone()))).await;
    })
    .await;
    Figures::default().with_quantiles(times.take())
}

const WINDOW: Duration = Duration::from_millis(10);

/// Runs whole batches until `time` has passed. Returns their number.
async fn run_for(time: Duration, batch: &mut impl AsyncFnMut()) -> u64 {
    let started = Instant::now();
    let mut batches = 0;
    while started.elapsed() < time {
        batch().await;
        batches += 1;
    }
    batches
}
