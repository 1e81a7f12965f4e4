//! Counting instructions and system calls per operation.
//!
//! Each worker runs twice, with two amounts of work. The difference of the counts, divided by the difference of the
//! amounts, is the cost of one operation. The costs of start and end cancel out. Instructions are those in user space,
//! of all threads together. The column of a tool that is not installed is empty.

use std::io;

use crate::child::Run;
use crate::comparison::Cell;
use crate::load::Until;
use crate::workload::Countable;

/// The counts of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerOperation {
    pub(crate) instructions: Option<f64>,
    pub(crate) system_calls: Option<f64>,
}

impl PerOperation {
    /// Whether anything was counted.
    pub(crate) fn any(&self) -> bool {
        self.instructions.is_some() || self.system_calls.is_some()
    }
}

/// A tool that runs a worker and counts.
#[derive(Debug, Clone, Copy)]
struct Tool {
    words: &'static [&'static str],
    /// Finds the count in the output of the tool.
    read: fn(&str) -> Option<f64>,
}

const INSTRUCTIONS: Tool = Tool {
    words: &[
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
    ],
    read: |printed| {
        let (_, count) = printed.rsplit_once("Collected : ")?;
        count.split_whitespace().next()?.parse().ok()
    },
};

const SYSTEM_CALLS: Tool = Tool {
    words: &[
        "strace",
        "--follow-forks",
        "--summary-only",
        "--summary-columns=calls,name",
    ],
    read: |printed| {
        let total = printed
            .lines()
            .rev()
            .find(|line| line.ends_with(" total"))?;
        total.split_whitespace().next()?.parse().ok()
    },
};

/// Counts for one runtime at one workload. Empty if the workload cannot be counted.
///
/// # Errors
///
/// The runtime fails at the workload.
pub(crate) fn count(cell: &Cell) -> io::Result<PerOperation> {
    Ok(PerOperation {
        instructions: per_operation(cell, INSTRUCTIONS)?,
        system_calls: per_operation(cell, SYSTEM_CALLS)?,
    })
}

fn per_operation(cell: &Cell, tool: Tool) -> io::Result<Option<f64>> {
    let (little, much) = match cell.workload.countable {
        Countable::No => return Ok(None),
        Countable::Worker(little, much) | Countable::Requests(little, much) => (little, much),
    };
    let (Some(little), Some(much)) = (counted(cell, tool, little)?, counted(cell, tool, much)?)
    else {
        return Ok(None);
    };
    let difference = (much.count - little.count) / (much.operations - little.operations);
    // Two starts differ a little, so the difference can be negative.
    Ok(Some(difference.max(0.0)))
}

/// The count of a tool, and the number of operations.
#[derive(Debug, Clone, Copy)]
struct Counted {
    count: f64,
    operations: f64,
}

fn counted(cell: &Cell, tool: Tool, amount: u64) -> io::Result<Option<Counted>> {
    let traffic = cell.workload.traffic;
    let run = Run {
        runtime: cell.runtime.name,
        workload: cell.workload.name,
        under: tool.words.iter().map(|word| (*word).to_owned()).collect(),
        effort: match traffic {
            Some(_) => Vec::new(),
            None => vec!["--exactly".to_owned(), amount.to_string()],
        },
        traffic: traffic.map(|traffic| (traffic, Until::Requests(amount))),
    };
    let outcome = match run.execute() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome?,
    };
    let operations = outcome
        .figures
        .and_then(|figures| figures.get("operations"));
    let count = (tool.read)(&outcome.errors);
    Ok(operations
        .zip(count)
        .map(|(operations, count)| Counted { count, operations }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_are_understood() {
        let callgrind = "==1== Events    : Ir\n==1== Collected : 9052811\n==1==\n";
        assert_eq!((INSTRUCTIONS.read)(callgrind), Some(9_052_811.0));
        let strace = "    calls syscall\n-------- --------\n    21 write\n     8 read\n-------- ------\n    29 total\n";
        assert_eq!((SYSTEM_CALLS.read)(strace), Some(29.0));
        assert_eq!((SYSTEM_CALLS.read)("strace: no such process"), None);
    }
}
