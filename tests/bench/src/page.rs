//! The page with all tables, for `docs/`.

use std::fmt::Write as _;

use crate::comparison::{Cell, Results};
use crate::counts::PerOperation;
use crate::machine::{Machine, version};
use crate::row::{Row, families, figure, small_figure};
use crate::runtimes::{self, Description, FLOOR, OURS};
use crate::workload::{Better, Workload};
use crate::workloads;

/// The ratio from which on a difference counts. The rounds of one runtime differ by as much.
const CLEARLY: f64 = 1.03;

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
        "The same work on this runtime and on others. Each workload is written once for all of \
         them (`tests/bench/`), and they run in turns on one machine. Absolute figures belong \
         to that machine. Compare the ratio of two figures in one row.\n"
    )?;
    writeln!(page, "![The figures as bars](performance.svg)\n")?;

    writeln!(page, "## Summary\n")?;
    write_summary(page, results)?;

    write_ahead(page, results)?;

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
         Each run is a process of its own, pinned to one core, and warms up before it measures. \
         For small operations it reports the median of many windows of 10 ms."
    )?;
    writeln!(
        page,
        "- \"CPU ns\" is processor time of the whole process, helper threads included, per \
         operation. The echo rows have a load generator, in its own process on the other core, \
         that keeps one request in flight on each connection. Most of such a request's time is a \
         wait for the slower of the two processes, so p50 and p99 follow from the rate there. The \
         time of a paced request counts from the time at which it was to be sent."
    )?;
    writeln!(
        page,
        "- If a runtime comes in several kinds, the summary has the best of them. \"–\" means \
         that it lacks something that the workload needs. monoio's yield polls the same task \
         again at once, so it has no comparable figure."
    )?;
    writeln!(
        page,
        "- \"Floor\" is a bare executor, or a bare epoll loop, without a runtime's duties \
         (`tests/bench/src/runtimes/floor/`). Its timers tick in milliseconds."
    )?;
    writeln!(
        page,
        "- \"Libraries\" are no runtimes. Their code runs on the floor's executor, so its low \
         cost is in their favour. They have only the rows about groups, locks and queues."
    )?;
    writeln!(
        page,
        "- A runtime that has taken ten seconds at a workload has no further turn, so its figure is of fewer rounds."
    )?;
    writeln!(page, "\nTo repeat it:\n")?;
    writeln!(page, "```sh\ncargo xtask bench --quick     # a few minutes")?;
    writeln!(
        page,
        "cargo xtask bench             # the tables, about twenty minutes"
    )?;
    writeln!(
        page,
        "cargo xtask bench --filter echo --runtimes ours,tokio"
    )?;
    writeln!(
        page,
        "cargo xtask bench --counts --write   # this page; counting takes a few minutes more\n```\n"
    )?;

    write_counts(page, results)?;
    writeln!(page, "## All figures\n")?;
    writeln!(
        page,
        "The median, and in brackets the lowest and the highest of the rounds."
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
            let (peer, floor) = (
                row.ratio(row.best_peer().map(|(_, best)| best)),
                row.ratio(row.of(FLOOR)),
            );
            writeln!(page, " {peer} | {floor} |")?;
        }
    }
    writeln!(page, "\n↑: more is better. Everywhere else less is better.")
}

/// Writes the rows in which others are ahead, and the known reasons.
fn write_ahead(page: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(page, "\n## Where others are ahead\n")?;
    writeln!(page, "{}", include_str!("../remarks.md").trim_end())?;
    writeln!(
        page,
        "\nAll figures of the summary in which another runtime was better by more than {:.0} % in \
         this run:\n",
        (CLEARLY - 1.0) * 100.0
    )?;
    for workload in workloads::ALL {
        for column in workload.columns.iter().filter(|column| column.summary) {
            let row = Row::new(results, workload, column);
            let Some((ours, (who, theirs))) = row.of(OURS).zip(row.ahead_by(CLEARLY)) else {
                continue;
            };
            let (ours, theirs) = (figure(ours.median()), figure(theirs.median()));
            let (what, label) = (workload.what, column.label);
            writeln!(page, "- {what}: {label}: {ours}, {who} {theirs}")?;
        }
    }
    Ok(())
}

fn write_counts(page: &mut String, results: &Results) -> std::fmt::Result {
    let counted = |cell: &&Cell| cell.counts.as_ref().is_some_and(PerOperation::any);
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
