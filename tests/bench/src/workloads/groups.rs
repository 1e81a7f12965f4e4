//! Structured concurrency: a thousand children, a thousand gathered futures, busy children, and a cancellable stretch.

use std::future::Future;
use std::pin::Pin;

use super::Work;
use super::yields::yield_now;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::group::Group;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Workload};

const CHILDREN: u64 = 1_000;

/// Children that do nothing, without their outputs.
#[derive(Debug)]
pub(crate) struct GroupJoin;

impl Work for GroupJoin {
    const WORKLOAD: Workload = Workload {
        name: "group-join",
        what: "a group of 1000 trivial children, spawn and join, per child",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.group.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN, async || {
                R::Group::run_all((0..CHILDREN).map(|number| async move { number })).await;
                yield_now().await;
            }))
        })
    }
}

/// Children that each return a number, and the sum of the numbers.
#[derive(Debug)]
pub(crate) struct GroupOutputs;

impl Work for GroupOutputs {
    const WORKLOAD: Workload = Workload {
        name: "group-outputs",
        what: "a group of 1000 trivial children, spawn and take each output, per child",
        ..GroupJoin::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.group.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN, async || {
                let children = (0..CHILDREN).map(|number| async move { number });
                let sum = R::Group::sum_all(children).await;
                assert_eq!(sum, CHILDREN * (CHILDREN - 1) / 2);
                yield_now().await;
            }))
        })
    }
}

/// Futures that are ready, gathered.
#[derive(Debug)]
pub(crate) struct Gather;

impl Work for Gather {
    const WORKLOAD: Workload = Workload {
        name: "gather",
        what: "gather 1000 futures that are ready, per future",
        ..GroupJoin::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.gather.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN, async || {
                let futures = (0..CHILDREN).map(|number| async move { number }).collect();
                let outputs = R::Group::gather(futures).await;
                assert_eq!(outputs[CHILDREN as usize - 1], CHILDREN - 1);
                yield_now().await;
            }))
        })
    }
}

/// Futures that yield once, gathered.
#[derive(Debug)]
pub(crate) struct GatherYield;

impl Work for GatherYield {
    const WORKLOAD: Workload = Workload {
        name: "gather-yield",
        what: "gather 1000 futures that yield once, per future",
        ..GroupJoin::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.gather.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN, async || {
                let futures = (0..CHILDREN)
                    .map(|number| async move {
                        yield_now().await;
                        number
                    })
                    .collect();
                let outputs = R::Group::gather(futures).await;
                assert_eq!(outputs[CHILDREN as usize - 1], CHILDREN - 1);
            }))
        })
    }
}

/// A hundred children yield a thousand times each. Another workload does the same with bare tasks, so the difference is
/// the cost of the group for each poll.
#[derive(Debug)]
pub(crate) struct GroupYields;

impl Work for GroupYields {
    const WORKLOAD: Workload = Workload {
        name: "group-yield-100",
        what: "yield among 100 children of a group",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const CHILDREN: u64 = 100;
        const TURNS: u64 = 1_000;
        R::Group::CAN.group.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN * TURNS, async || {
                let child = |number| async move {
                    for _ in 0..TURNS {
                        yield_now().await;
                    }
                    number
                };
                R::Group::run_all((0..CHILDREN).map(child)).await;
            }))
        })
    }
}

/// Futures that yield once, ten at a time.
#[derive(Debug)]
pub(crate) struct Bounded;

impl Work for Bounded {
    const WORKLOAD: Workload = Workload {
        name: "gather-bounded",
        what: "1000 futures that yield once, 10 at a time, per future",
        ..GroupJoin::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.bounded.then(|| {
            in_task::<R, _>(measure(effort, CHILDREN, async || {
                let futures = (0..CHILDREN).map(|number| async move {
                    yield_now().await;
                    number
                });
                let sum = R::Group::sum_bounded(10, futures).await;
                assert_eq!(sum, CHILDREN * (CHILDREN - 1) / 2);
            }))
        })
    }
}

/// A stretch that could be cancelled alone, around one yield.
#[derive(Debug)]
pub(crate) struct CancellableYield;

impl Work for CancellableYield {
    const WORKLOAD: Workload = Workload {
        name: "catch-cancel-yield",
        what: "one yield, in a stretch that can be cancelled alone",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::Group::CAN.catch.then(|| {
            in_task::<R, _>(measure(effort, 100, async || {
                for _ in 0..100 {
                    assert!(R::Group::cancellable(yield_now()).await.is_some());
                }
            }))
        })
    }
}

/// Yields in twenty stretches, one inside the other. The cost of the yield itself is spread over the levels.
#[derive(Debug)]
pub(crate) struct Nested;

impl Work for Nested {
    const WORKLOAD: Workload = Workload {
        name: "catch-cancel-nested",
        what: "a yield under 20 stretches that can be cancelled alone, per level",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const LEVELS: u64 = 20;
        const TURNS: u64 = 1_000;
        R::Group::CAN.catch.then(|| {
            in_task::<R, _>(measure(effort, LEVELS * TURNS, async || {
                nested::<R::Group>(LEVELS, TURNS).await;
            }))
        })
    }
}

/// Yields `turns` times under `levels` stretches.
fn nested<G: Group>(levels: u64, turns: u64) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if levels == 0 {
            for _ in 0..turns {
                yield_now().await;
            }
        } else {
            let inner = G::cancellable(nested::<G>(levels - 1, turns));
            assert!(inner.await.is_some());
        }
    })
}

/// Runs the workload in a task, as programs use groups. Some runtimes treat the main future differently.
fn in_task<R: Runtime, T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    R::block_on(async move { R::join(R::spawn(work)).await })
}
