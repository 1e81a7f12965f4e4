//! The comparison: every runtime at every workload, in turns.
//!
//! The runtimes take turns within each round (A B C, A B C, …), so that changes on the machine affect all of them
//! alike.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::child::Run;
use crate::counts;
use crate::figures::Figures;
use crate::load::Until;
use crate::options::{Counts, Selection};
use crate::runtimes::{self, Description};
use crate::series::Series;
use crate::terminal;
use crate::workload::{Column, Requests, Workload};
use crate::workloads;

/// A runtime that has taken this long at a workload has no further turn.
///
/// Only a runtime that is far slower than the others at a fixed amount of work comes to it.
const ENOUGH: Duration = Duration::from_secs(10);

/// The results of all runs.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Cell>,
}

/// One runtime at one workload.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) runtime: Description,
    pub(crate) workload: Workload,
    /// The figures of each round. `None` if the run failed, or if the runtime cannot do the workload.
    pub(crate) rounds: Vec<Option<Figures>>,
    pub(crate) counts: Option<counts::PerOperation>,
}

impl Cell {
    /// The figures of the rounds in one column.
    pub(crate) fn series(&self, column: &Column) -> Option<Series> {
        Series::new(
            self.rounds
                .iter()
                .map(|round| round.as_ref()?.get(column.key)),
        )
    }

    /// Whether the runtime polled one task again and again where others took turns. Then its figure cannot be compared.
    pub(crate) fn unfair(&self) -> bool {
        self.rounds
            .iter()
            .flatten()
            .any(|round| round.get("unfair") == Some(1.0))
    }
}

impl Results {
    pub(crate) fn cell(&self, workload: &Workload, runtime: &str) -> Option<&Cell> {
        let here =
            |cell: &&Cell| cell.workload.name == workload.name && cell.runtime.name == runtime;
        self.cells.iter().find(here)
    }
}

/// Runs the selected workloads, and prints each table as soon as it is known.
///
/// # Errors
///
/// No run could be started, or the tables cannot be printed. A single run that fails is reported and left out.
pub(crate) fn run(selection: &Selection) -> io::Result<Results> {
    let mut results = Results::default();
    let runtimes = || runtimes::ALL.iter().filter(|r| selection.wants_runtime(r));
    for workload in workloads::ALL {
        if !selection.wants_workload(workload.name) {
            continue;
        }
        let mut cells: Vec<Cell> = runtimes()
            .map(|runtime| Cell {
                runtime: *runtime,
                workload: *workload,
                rounds: Vec::new(),
                counts: None,
            })
            .collect();
        if selection.counts != Counts::Only {
            measure(selection, &mut cells);
        }
        if selection.counts != Counts::No {
            for cell in &mut cells {
                cell.counts = told(counts::count(cell), cell);
            }
        }
        results.cells.extend(cells);
        terminal::print_workload(&results, workload, &mut io::stdout().lock())?;
        io::stdout().flush()?;
    }
    Ok(results)
}

/// Lets the runtimes take their turns.
fn measure(selection: &Selection, cells: &mut [Cell]) {
    let mut taken = vec![Duration::ZERO; cells.len()];
    for _ in 0..selection.rounds() {
        for (cell, taken) in cells.iter_mut().zip(&mut taken) {
            if *taken > ENOUGH {
                continue;
            }
            let start = Instant::now();
            let run = Run {
                runtime: cell.runtime.name,
                workload: cell.workload.name,
                under: Vec::new(),
                effort: selection
                    .quick
                    .then(|| "--quick".to_owned())
                    .into_iter()
                    .collect(),
                traffic: cell.workload.traffic.map(|traffic| {
                    let millis = if selection.quick { 250 } else { 800 };
                    let until = match traffic.requests {
                        Requests::Once => Until::HungUp,
                        Requests::Answered => Until::Millis(millis),
                        Requests::Paced(per_second) => Until::Paced { millis, per_second },
                    };
                    (traffic, until)
                }),
            };
            let outcome = told(run.execute(), cell);
            cell.rounds
                .push(outcome.and_then(|outcome| outcome.figures));
            *taken += start.elapsed();
        }
    }
}

/// The result, or `None` after a report of the error.
fn told<T>(result: io::Result<T>, cell: &Cell) -> Option<T> {
    let tell = |error| eprintln!("{} on {}: {error}", cell.workload.name, cell.runtime.name);
    result.map_err(tell).ok()
}
