//! The tables on the terminal: one for each workload, as soon as it is known.

use std::io::{self, Write};

use crate::comparison::{Cell, Results};
use crate::counts::PerOperation;
use crate::row::{Row, figure, shown_ratio, small_figure};
use crate::runtimes::{self, FLOOR, OURS};
use crate::series::Series;
use crate::workload::{Better, Workload};

/// Prints the figures of one workload.
///
/// # Errors
///
/// The table cannot be printed.
pub(crate) fn print_workload(
    results: &Results,
    workload: &Workload,
    to: &mut impl Write,
) -> io::Result<()> {
    writeln!(to, "\n{}: {}", workload.name, workload.what)?;
    for column in workload.columns {
        let row = Row::new(results, workload, column);
        if row.is_empty() {
            continue;
        }
        let direction = match column.better {
            Better::Less => "less is better",
            Better::More => "more is better",
        };
        let heading = format!("{} ({direction})", column.label);
        writeln!(
            to,
            "  {heading:<57}{:>8}{:>8}{:>8}",
            "÷ ours", "÷ best", "÷ floor"
        )?;
        for runtime in runtimes::ALL {
            let Some(cell) = results.cell(workload, runtime.name) else {
                continue;
            };
            let Some(series) = cell.series(column) else {
                writeln!(to, "    {:<16}{:>12}", runtime.name, "n/a")?;
                continue;
            };
            let ratio = |to: Option<&Series>| shown_ratio(Some(&series), to);
            writeln!(
                to,
                "    {:<16}{:>12}{:<27}{:>8}{:>8}{:>8}{}",
                runtime.name,
                figure(series.median()),
                format!("  ({} … {})", figure(series.least()), figure(series.most())),
                ratio(row.of(OURS)),
                ratio(row.best_peer().map(|(_, best)| best)),
                ratio(row.of(FLOOR)),
                if cell.unfair() {
                    "  polls one task again and again"
                } else {
                    ""
                },
            )?;
        }
    }
    print_counts(results, workload, to)
}

fn print_counts(results: &Results, workload: &Workload, to: &mut impl Write) -> io::Result<()> {
    let shown = |count: Option<f64>| count.map_or_else(|| "n/a".to_owned(), small_figure);
    let here = |cell: &&Cell| cell.workload.name == workload.name;
    let counted = |cell: &Cell| Some((cell.runtime.name, cell.counts.filter(PerOperation::any)?));
    for (number, (runtime, counts)) in results
        .cells
        .iter()
        .filter(here)
        .filter_map(counted)
        .enumerate()
    {
        if number == 0 {
            writeln!(to, "  an operation takes     instructions    system calls")?;
        }
        let (instructions, calls) = (shown(counts.instructions), shown(counts.system_calls));
        writeln!(to, "    {runtime:<16}{instructions:>19}{calls:>16}")?;
    }
    Ok(())
}
