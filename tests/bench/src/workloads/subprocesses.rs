//! Child processes: many short ones, and much data through one.

use super::Work;
use crate::cores::unpin;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::runtime::Runtime;
use crate::system::System;
use crate::workload::{Column, Countable, Workload};

const MIB: usize = 1024 * 1024;

/// A short process is started and awaited, again and again.
#[derive(Debug)]
pub(crate) struct ShortProcess;

impl Work for ShortProcess {
    const WORKLOAD: Workload = Workload {
        name: "process",
        what: "/bin/true started and awaited",
        columns: &[Column::CPU, Column::less("wall", "wall ns").aside()],
        countable: Countable::Worker(20, 120),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::System::EXISTS {
            return None;
        }
        unpin().expect("a thread can choose its cores");
        Some(R::block_on_with_threads(async move {
            measure(effort, 1, async || R::System::run("/bin/true").await).await
        }))
    }
}

/// Much data goes through a process and back.
#[derive(Debug)]
pub(crate) struct ThroughCat;

impl Work for ThroughCat {
    const WORKLOAD: Workload = Workload {
        name: "process-cat",
        what: "100 MiB sent through cat and back",
        columns: &[
            Column::less("cpu", "CPU ns a MiB"),
            Column::less("wall", "wall ns a MiB").aside(),
        ],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        if !R::System::EXISTS {
            return None;
        }
        let mib = effort.size(100);
        unpin().expect("a thread can choose its cores");
        Some(R::block_on_with_threads(async move {
            let mut data = vec![7; mib as usize * MIB];
            measure(effort, mib, async || {
                let back = R::System::through_cat(std::mem::take(&mut data)).await;
                assert_eq!(back.len(), mib as usize * MIB);
                data = back;
            })
            .await
        }))
    }
}
