//! A timeout that never fires: 10 s around something that is ready, or ready on the next turn.

use std::future::ready;
use std::time::Duration;

use super::Work;
use super::yields::yield_now;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Workload};

const LIMIT: Duration = Duration::from_secs(10);

/// Around something ready.
#[derive(Debug)]
pub(crate) struct TimeoutReady;

impl Work for TimeoutReady {
    const WORKLOAD: Workload = Workload {
        name: "timeout-ready",
        what: "a timeout around something ready",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.timeout.then(|| {
            R::block_on(async move {
                R::join(R::spawn(measure(effort, 100, async || {
                    for _ in 0..100 {
                        assert!(R::timeout(LIMIT, ready(())).await.is_some());
                    }
                    yield_now().await;
                })))
                .await
            })
        })
    }
}

/// Around one yield.
#[derive(Debug)]
pub(crate) struct TimeoutYield;

impl Work for TimeoutYield {
    const WORKLOAD: Workload = Workload {
        name: "timeout-yield",
        what: "a timeout around one yield",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.timeout.then(|| {
            R::block_on(async move {
                R::join(R::spawn(measure(effort, 100, async || {
                    for _ in 0..100 {
                        assert!(R::timeout(LIMIT, yield_now()).await.is_some());
                    }
                })))
                .await
            })
        })
    }
}
