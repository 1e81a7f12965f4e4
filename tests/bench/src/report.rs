//! The tables: one a workload on the terminal while it runs, and the page for `docs/`.

use std::borrow::Borrow;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::comparison::{Cell, Results};
use crate::machine::{Machine, version};
use crate::runtimes::{self, Description, FLOOR, OURS};
use crate::series::Series;
use crate::workload::{Better, Column, Workload};
use crate::workloads;

/// Prints what is known of one workload.
///
/// # Errors
///
/// When it cannot be printed.
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
                ratio(row.best_peer()),
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
    let counted = |cell: &&Cell| cell.workload.name == workload.name && cell.counts.is_some();
    for (number, cell) in results.cells.iter().filter(counted).enumerate() {
        let Some(counts) = cell.counts else { continue };
        if counts.instructions.is_none() && counts.system_calls.is_none() {
            continue;
        }
        if number == 0 {
            writeln!(to, "  an operation takes     instructions    system calls")?;
        }
        let (instructions, calls) = (shown(counts.instructions), shown(counts.system_calls));
        writeln!(
            to,
            "    {:<16}{instructions:>19}{calls:>16}",
            cell.runtime.name
        )?;
    }
    Ok(())
}

/// One line of the summary: a figure by family of runtimes.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) column: Column,
    pub(crate) families: Vec<Family>,
}

/// A runtime, or several kinds of one.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// What the best kind reached.
    pub(crate) best: Option<Series>,
}

impl Row {
    pub(crate) fn new(results: &Results, workload: &Workload, column: &Column) -> Self {
        let best_of = |name: &'static str| Family {
            name,
            best: runtimes::ALL
                .iter()
                .filter(|runtime| runtime.family == name)
                .filter_map(|runtime| results.cell(workload, runtime.name))
                .filter(|cell| !cell.unfair())
                .filter_map(|cell| cell.series(column))
                .reduce(|a, b| better(column, a, b)),
        };
        Self {
            column: *column,
            families: families().into_iter().map(best_of).collect(),
        }
    }

    pub(crate) fn of(&self, family: &str) -> Option<&Series> {
        self.families
            .iter()
            .find(|f| f.name == family)?
            .best
            .as_ref()
    }

    /// The best of the other runtimes.
    pub(crate) fn best_peer(&self) -> Option<&Series> {
        let peers = self
            .families
            .iter()
            .filter(|f| f.name != OURS && f.name != FLOOR);
        peers
            .filter_map(|family| family.best.as_ref())
            .reduce(|a, b| better(&self.column, a, b))
    }

    /// Whether nothing of it was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.families.iter().all(|family| family.best.is_none())
    }

    fn ratio(&self, to: Option<&Series>) -> String {
        shown_ratio(self.of(OURS), to)
    }
}

/// How many times the other this is, if both are known.
fn shown_ratio(of: Option<&Series>, to: Option<&Series>) -> String {
    let ratio = of.zip(to).and_then(|(of, to)| of.ratio(to));
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn better<S: Borrow<Series>>(column: &Column, a: S, b: S) -> S {
    let a_is_less = a.borrow().median() <= b.borrow().median();
    if a_is_less == (column.better == Better::Less) {
        a
    } else {
        b
    }
}

/// The families, each once, in order.
fn families() -> Vec<&'static str> {
    let mut families: Vec<_> = runtimes::ALL.iter().map(|runtime| runtime.family).collect();
    families.dedup();
    families
}

/// A figure with about three digits that matter.
pub(crate) fn figure(value: f64) -> String {
    match value {
        v if v >= 100_000.0 => format!("{:.0} k", v / 1e3),
        v if v >= 10_000.0 => format!("{:.1} k", v / 1e3),
        v if v >= 1_000.0 => format!("{},{:03}", v as u64 / 1_000, v as u64 % 1_000),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// A figure that may be far below one.
fn small_figure(value: f64) -> String {
    if value >= 10.0 {
        figure(value)
    } else {
        format!("{value:.3}")
    }
}

/// The page for `docs/`.
pub(crate) fn page(results: &Results, rounds: u32) -> String {
    let mut page = String::new();
    write_page(&mut page, results, rounds).expect("a string takes everything");
    page
}

fn write_page(page: &mut String, results: &Results, rounds: u32) -> std::fmt::Result {
    let machine = Machine::here();
    writeln!(page, "# Performance\n")?;
    writeln!(
        page,
        "The same work on this runtime and on others, written once for all of them \
         (`tests/bench/`), run in turns on one machine. Absolute figures belong to that machine; \
         what carries over is the ratio of two figures in one row.\n"
    )?;
    writeln!(page, "![The figures as bars](performance.svg)\n")?;

    writeln!(page, "## Summary\n")?;
    write_summary(page, results)?;

    writeln!(page, "\n## How it was measured\n")?;
    writeln!(
        page,
        "- {}, {} cores, {}, {}, {}.",
        machine.processor, machine.cores, machine.kernel, machine.compiler, machine.day
    )?;
    writeln!(page, "- {}.", versions())?;
    writeln!(
        page,
        "- Each figure is the median of {rounds} rounds, each ratio the median of the rounds' \
         ratios. Within a round the runtimes take turns. \
         Each run is a process of its own, pinned to one core, and warms up before it measures; \
         for the small operations it reports the median of many windows of 10 ms."
    )?;
    writeln!(
        page,
        "- \"CPU ns\" is processor time of the whole process, helper threads included, per \
         operation. For the echo rows a load generator in its own process on the other core keeps \
         one request in flight on each connection."
    )?;
    writeln!(
        page,
        "- Where a runtime comes in several kinds, the summary has the best of them. \"–\": it lacks \
         what the workload needs, or (monoio's yield) polls the task that yielded again at once, \
         so that nothing comparable happens."
    )?;
    writeln!(
        page,
        "- \"Floor\" is a bare executor, or a bare epoll loop, without a runtime's duties \
         (`tests/bench/src/runtimes/floor/`). Its timers tick in milliseconds."
    )?;
    writeln!(page, "\nTo repeat it:\n")?;
    writeln!(
        page,
        "```sh\ncargo xtask bench --quick     # a look, a few minutes"
    )?;
    writeln!(
        page,
        "cargo xtask bench             # the tables, some twenty minutes"
    )?;
    writeln!(
        page,
        "cargo xtask bench --filter echo --runtimes ours,tokio"
    )?;
    writeln!(
        page,
        "cargo xtask bench --counts --write   # this page, as much again\n```\n"
    )?;

    write_counts(page, results)?;
    writeln!(page, "## All figures\n")?;
    writeln!(
        page,
        "Median, and in brackets the least and the most of the rounds."
    )?;
    for workload in workloads::ALL {
        write_details(page, results, workload)?;
    }
    Ok(())
}

fn versions() -> String {
    let mut known = Vec::new();
    for package in runtimes::ALL.iter().flat_map(|runtime| runtime.packages) {
        let entry = format!(
            "{package} {}",
            version(package).unwrap_or("of unknown version")
        );
        if !known.contains(&entry) {
            known.push(entry);
        }
    }
    known.join(", ")
}

fn write_summary(page: &mut String, results: &Results) -> std::fmt::Result {
    let families = families();
    writeln!(
        page,
        "| | {} | ours ÷ best peer | ours ÷ floor |",
        families.join(" | ")
    )?;
    writeln!(page, "|---{}|--:|--:|", "|--:".repeat(families.len()))?;
    for workload in workloads::ALL {
        for column in workload.columns.iter().filter(|column| column.summary) {
            let row = Row::new(results, workload, column);
            if row.is_empty() {
                continue;
            }
            let arrow = if column.better == Better::More {
                " ↑"
            } else {
                ""
            };
            write!(page, "| {}: {}{arrow} |", workload.what, column.label)?;
            for family in &row.families {
                let shown = family
                    .best
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |series| figure(series.median()));
                if family.name == OURS {
                    write!(page, " **{shown}** |")?;
                } else {
                    write!(page, " {shown} |")?;
                }
            }
            let (peer, floor) = (row.ratio(row.best_peer()), row.ratio(row.of(FLOOR)));
            writeln!(page, " {peer} | {floor} |")?;
        }
    }
    writeln!(page, "\n↑: more is better. Everywhere else less is better.")
}

fn write_counts(page: &mut String, results: &Results) -> std::fmt::Result {
    let counted = |cell: &&Cell| {
        cell.counts
            .is_some_and(|c| c.instructions.is_some() || c.system_calls.is_some())
    };
    if !results.cells.iter().any(|cell| counted(&cell)) {
        return Ok(());
    }
    writeln!(page, "## Instructions and system calls\n")?;
    writeln!(
        page,
        "Instructions in user space per operation (counted by valgrind), and in brackets system \
         calls (counted by strace): the difference between a longer and a shorter run, divided by \
         the operations between them.\n"
    )?;
    let runtimes: Vec<&Description> = runtimes::ALL.iter().collect();
    let names: Vec<_> = runtimes.iter().map(|runtime| runtime.name).collect();
    writeln!(page, "| | {} |", names.join(" | "))?;
    writeln!(page, "|---{}|", "|--:".repeat(names.len()))?;
    for workload in workloads::ALL {
        let cells: Vec<_> = runtimes
            .iter()
            .map(|r| results.cell(workload, r.name))
            .collect();
        if !cells.iter().flatten().any(&counted) {
            continue;
        }
        write!(page, "| {} |", workload.what)?;
        for cell in cells {
            let counts = cell.and_then(|cell| cell.counts);
            let instructions = counts.and_then(|c| c.instructions).map(small_figure);
            let calls = counts.and_then(|c| c.system_calls).map(small_figure);
            match (instructions, calls) {
                (None, None) => write!(page, " – |")?,
                (instructions, calls) => write!(
                    page,
                    " {} ({}) |",
                    instructions.as_deref().unwrap_or("–"),
                    calls.as_deref().unwrap_or("–")
                )?,
            }
        }
        writeln!(page)?;
    }
    writeln!(page)
}

fn write_details(page: &mut String, results: &Results, workload: &Workload) -> std::fmt::Result {
    let labels: Vec<_> = workload.columns.iter().map(|column| column.label).collect();
    writeln!(page, "\n### {}\n", workload.what)?;
    writeln!(page, "`--filter {}`\n", workload.name)?;
    writeln!(page, "| | {} |", labels.join(" | "))?;
    writeln!(page, "|---{}|", "|--:".repeat(labels.len()))?;
    for runtime in runtimes::ALL {
        let cell = results.cell(workload, runtime.name);
        let series = |column| cell.and_then(|cell| cell.series(column));
        if workload
            .columns
            .iter()
            .all(|column| series(column).is_none())
        {
            continue;
        }
        write!(page, "| {} ({}) |", runtime.name, runtime.what)?;
        for column in workload.columns {
            match series(column) {
                Some(series) => {
                    let (least, most) = (figure(series.least()), figure(series.most()));
                    let median = series.median();
                    write!(page, " {} ({least} … {most}) |", figure(median))?;
                }
                None => write!(page, " – |")?,
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    fn results(figures: &[(&str, f64)]) -> Results {
        let cell = |(name, cpu): &(&str, f64)| Cell {
            runtime: *runtimes::ALL
                .iter()
                .find(|r| r.name == *name)
                .expect("a runtime"),
            workload: workloads::ALL[0],
            rounds: vec![Some(Figures::default().with("cpu", *cpu))],
            counts: None,
        };
        Results {
            cells: figures.iter().map(cell).collect(),
        }
    }

    #[test]
    fn a_family_stands_with_its_best_kind() {
        let results = results(&[
            ("tokio-local", 150.0),
            ("tokio-set", 120.0),
            ("floor", 20.0),
        ]);
        let row = Row::new(&results, &workloads::ALL[0], &Column::CPU);
        assert_eq!(row.of("tokio").unwrap().median(), 120.0);
        // The floor is nobody's peer.
        assert_eq!(row.best_peer().unwrap().median(), 120.0);
        assert!(row.of("smol").is_none());
    }

    #[test]
    fn figures_keep_the_digits_that_matter() {
        let shown: Vec<_> = [6.44, 153.2, 1_550.0, 185_200.0].map(figure).into();
        assert_eq!(shown, ["6.4", "153", "1,550", "185 k"]);
        assert_eq!(small_figure(0.004), "0.004");
    }
}
