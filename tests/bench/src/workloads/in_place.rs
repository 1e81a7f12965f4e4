//! Two or three futures inside one task: the first that is ready, or all.

use std::future::{Future, pending};

use super::Work;
use super::yields::yield_now;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::group::{Group, Sure};
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Rows, Workload};

/// The number of rounds in a batch.
const ROUNDS: u64 = 1_000;

/// A batch of [`ROUNDS`] rounds.
const BATCH: Workload = Workload {
    name: "",
    what: "",
    columns: &[Column::CPU],
    countable: Countable::Worker(20, 120),
    traffic: None,
};

/// Yields once, and returns a number.
async fn later(number: u64) -> u64 {
    yield_now().await;
    number
}

async fn surely_later(number: u64) -> Sure {
    yield_now().await;
    Ok(number)
}

/// A race whose last contender wins after one yield. The others wait for ever.
#[derive(Debug)]
pub(crate) struct Race<const FUTURES: usize>;

/// The workloads of [`Race`].
const RACES: &Rows = &[
    (2, "race-2", "the first of 2 futures, after one yield"),
    (3, "race-3", "the first of 3 futures, after one yield"),
];

impl<const FUTURES: usize> Work for Race<FUTURES> {
    const WORKLOAD: Workload = BATCH.in_row(RACES, FUTURES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.race.then(|| {
            rounds::<R>(effort, async |number| match FUTURES {
                2 => R::Group::race_two(pending(), later(number)).await,
                _ => R::Group::race_three(pending(), pending(), later(number)).await,
            })
        })
    }
}

/// [`Race`], by a macro with a handler for each future.
#[derive(Debug)]
pub(crate) struct Select<const FUTURES: usize>;

/// The workloads of [`Select`].
const SELECTS: &Rows = &[
    (2, "select-2", "select! of 2 futures, after one yield"),
    (3, "select-3", "select! of 3 futures, after one yield"),
];

impl<const FUTURES: usize> Work for Select<FUTURES> {
    const WORKLOAD: Workload = BATCH.in_row(SELECTS, FUTURES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.select.then(|| {
            rounds::<R>(effort, async |number| match FUTURES {
                2 => R::Group::select_two(pending(), later(number)).await,
                _ => R::Group::select_three(pending(), pending(), later(number)).await,
            })
        })
    }
}

/// All of two or three futures that each yield once.
#[derive(Debug)]
pub(crate) struct Gather<const FUTURES: usize>;

/// The workloads of [`Gather`].
const GATHERS: &Rows = &[
    (2, "gather-2", "all of 2 futures that yield once"),
    (3, "gather-3", "all of 3 futures that yield once"),
];

impl<const FUTURES: usize> Work for Gather<FUTURES> {
    const WORKLOAD: Workload = BATCH.in_row(GATHERS, FUTURES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.join.then(|| {
            rounds::<R>(effort, async |number| match FUTURES {
                2 => R::Group::join_two(later(0), later(number)).await.1,
                _ => {
                    R::Group::join_three(later(0), later(1), later(number))
                        .await
                        .2
                }
            })
        })
    }
}

/// [`Gather`] of futures that may fail, and do not.
#[derive(Debug)]
pub(crate) struct TryGather<const FUTURES: usize>;

/// The workloads of [`TryGather`].
const TRY_GATHERS: &Rows = &[
    (
        2,
        "try-gather-2",
        "all of 2 fallible futures that yield once",
    ),
    (
        3,
        "try-gather-3",
        "all of 3 fallible futures that yield once",
    ),
];

impl<const FUTURES: usize> Work for TryGather<FUTURES> {
    const WORKLOAD: Workload = BATCH.in_row(TRY_GATHERS, FUTURES as u64);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.join.then(|| {
            rounds::<R>(effort, async |number| match FUTURES {
                2 => {
                    let both = R::Group::try_join_two(surely_later(0), surely_later(number));
                    both.await.map_or(0, |both| both.1)
                }
                _ => {
                    let last = surely_later(number);
                    let all = R::Group::try_join_three(surely_later(0), surely_later(1), last);
                    all.await.map_or(0, |all| all.2)
                }
            })
        })
    }
}

/// Runs batches of rounds in a task. Each round returns its number.
fn rounds<R: Runtime>(effort: Effort, round: impl AsyncFn(u64) -> u64 + 'static) -> Figures {
    in_task::<R, _>(async move {
        measure(effort, ROUNDS, async || {
            for number in 0..ROUNDS {
                assert_eq!(round(number).await, number);
            }
        })
        .await
    })
}

/// Runs the workload in a task, because some runtimes treat the main future differently.
fn in_task<R: Runtime, T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    R::block_on(async move { R::join(R::spawn(work)).await })
}
