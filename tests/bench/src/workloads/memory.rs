//! The memory of a waiting task: the growth of resident memory, divided by the number of tasks.
//!
//! The task's handle is kept and counts, because a runtime may drop a pending task without a handle.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::time::Duration;

use super::Work;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::runtime::Runtime;
use crate::signal::Signal;
use crate::workload::{Column, Countable, Workload};

const TASKS: u64 = 1_000_000;

/// The memory of this process that is resident and is its own, in bytes: how much of its code it has used
/// so far is no memory of tasks. Counted page by page; the number in `statm` may be off by many pages.
pub(crate) fn resident() -> f64 {
    let sums = "/proc/self/smaps_rollup";
    let sums = std::fs::read_to_string(sums).expect("Linux sums up the memory of a process");
    let own = sums
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = own.and_then(|own| own.trim_end_matches(" kB").trim().parse::<f64>().ok());
    kib.expect("its own memory is among them") * 1024.0
}

/// Tasks that are pending forever.
#[derive(Debug)]
pub(crate) struct Parked;

impl Work for Parked {
    const WORKLOAD: Workload = Workload {
        name: "memory-parked",
        what: "memory of a parked task, among 1,000,000",
        columns: &[Column::less("bytes", "bytes")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(bytes_per_task::<R, _>(effort, |_| pending()))
    }
}

/// Tasks that sleep for an hour.
#[derive(Debug)]
pub(crate) struct Sleeping;

impl Work for Sleeping {
    const WORKLOAD: Workload = Workload {
        name: "memory-sleeping",
        what: "memory of a sleeping task, among 1,000,000",
        columns: &[Column::less("bytes", "bytes")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const HOUR: Duration = Duration::from_secs(3_600);
        Some(bytes_per_task::<R, _>(effort, |number| {
            R::sleep(HOUR + Duration::from_micros(number))
        }))
    }
}

/// Starts the tasks, waits until each has been polled, and measures the resident memory.
///
/// They are started in batches, so that the queue they go through stays short.
fn bytes_per_task<R: Runtime, F: Future<Output = ()> + 'static>(
    effort: Effort,
    wait: impl Fn(u64) -> F + Copy + 'static,
) -> Figures {
    const BATCH: u64 = 1_000;
    let tasks = effort.size(TASKS);
    R::block_on(async move {
        let roll = Rc::new(Roll::default());
        let mut handles = Vec::with_capacity(tasks as usize);
        let before = resident();
        while (handles.len() as u64) < tasks {
            for _ in 0..BATCH {
                let roll = Rc::clone(&roll);
                handles.push(R::spawn(async move {
                    let number = roll.answer(BATCH);
                    // The future is made in here, because a captured future would be in the task twice.
                    wait(number).await;
                }));
            }
            roll.complete.taken().await;
        }
        let bytes = (resident() - before) / handles.len() as f64;
        println!("{}", Figures::default().with("bytes", bytes).to_line());
        // The cost of dropping a million tasks is not a part of this.
        std::process::exit(0);
    })
}

/// The tasks that have been polled.
#[derive(Default)]
struct Roll {
    present: Cell<u64>,
    complete: Signal,
}

impl Roll {
    /// Counts and numbers the calling task, and reports a complete batch.
    fn answer(&self, batch: u64) -> u64 {
        let number = self.present.get() + 1;
        self.present.set(number);
        if number.is_multiple_of(batch) {
            self.complete.set();
        }
        number
    }
}
