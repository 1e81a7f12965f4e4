//! Spawning a task and waiting for its end.

use super::Work;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::workload::{Column, Countable, Workload};

/// A thousand tasks are spawned, then a thousand are joined.
#[derive(Debug)]
pub(crate) struct SpawnJoin;

/// The same inside a task. Some runtimes treat the main future differently.
#[derive(Debug)]
pub(crate) struct SpawnJoinInTask;

const BATCH: u64 = 1_000;

impl Work for SpawnJoin {
    const WORKLOAD: Workload = Workload {
        name: "spawn-join",
        what: "spawn and join, batches of 1000",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(batches::<R>(effort)))
    }
}

impl Work for SpawnJoinInTask {
    const WORKLOAD: Workload = Workload {
        name: "spawn-join-in-task",
        what: "spawn and join, batches of 1000, inside a task",
        ..SpawnJoin::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(async move {
            R::join(R::spawn(batches::<R>(effort))).await
        }))
    }
}

async fn batches<R: Runtime>(effort: Effort) -> Figures {
    let mut tasks = Vec::with_capacity(BATCH as usize);
    measure(effort, BATCH, async || {
        for number in 0..BATCH {
            tasks.push(R::spawn(async move { number }));
        }
        for task in tasks.drain(..) {
            R::join(task).await;
        }
    })
    .await
}

/// Tasks are spawned and joined one at a time, inside a task.
#[derive(Debug)]
pub(crate) struct SpawnAwait;

impl Work for SpawnAwait {
    const WORKLOAD: Workload = Workload {
        name: "spawn-await",
        what: "spawn and await, one at a time, inside a task",
        columns: &[Column::CPU],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Some(R::block_on(async move {
            R::join(R::spawn(measure(effort, BATCH, async || {
                for number in 0..BATCH {
                    R::join(R::spawn(async move { number })).await;
                }
            })))
            .await
        }))
    }
}
