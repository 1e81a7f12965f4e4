//! The command line.

use std::net::SocketAddr;

use crate::effort::Effort;
use crate::load::{Load, Until};
use crate::runtimes;
use crate::workload::Message;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
The same work on ours and on other runtimes, side by side in one run.

asyncio-bench [options]
  --filter TEXT      only workloads whose name contains TEXT; may be repeated
  --runtimes A,B     only these runtimes, or families of them
  --rounds N         how many times each pair takes its turn (5; with --quick 2)
  --quick            smaller sizes and shorter runs: a look, not a verdict
  --counts           also count instructions (valgrind) and system calls (strace) per operation
  --counts-only      count them, and measure nothing else
  --write            write docs/performance.md and docs/performance.svg; takes no filter
  --list             name the workloads and runtimes
";

/// The purpose of the process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Compares runtimes.
    Compare(Selection),
    List,
    Help,
    /// Is measured (started by the comparison).
    Worker {
        runtime: String,
        workload: String,
        effort: EffortOption,
    },
    /// Generates the load (started by the comparison).
    Load(Load),
}

/// The effort on a worker's command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EffortOption {
    Full,
    Quick,
    Exactly(u64),
}

impl From<EffortOption> for Effort {
    fn from(option: EffortOption) -> Self {
        Self {
            quick: option == EffortOption::Quick,
            exactly: match option {
                EffortOption::Exactly(times) => Some(times),
                EffortOption::Full | EffortOption::Quick => None,
            },
        }
    }
}

/// The scope of a comparison, and its effort.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) filters: Vec<String>,
    pub(crate) runtimes: Vec<String>,
    pub(crate) rounds: Option<u32>,
    pub(crate) quick: bool,
    pub(crate) counts: Counts,
    pub(crate) write: bool,
}

/// Whether instructions and system calls are counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    #[default]
    No,
    Too,
    Only,
}

impl Selection {
    pub(crate) fn wants_workload(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }

    pub(crate) fn wants_runtime(&self, runtime: &runtimes::Description) -> bool {
        let named = |wanted: &String| wanted == runtime.name || wanted == runtime.family;
        self.runtimes.is_empty() || self.runtimes.iter().any(named)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }
}

impl Command {
    /// Reads the command line, without the name of the program.
    ///
    /// # Errors
    ///
    /// A message about the mistake.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter().peekable();
        match words.peek().map(String::as_str) {
            Some("worker") => parse_worker(words.skip(1)),
            Some("load") => parse_load(words.skip(1)),
            _ => parse_compare(words),
        }
    }
}

fn parse_compare(mut words: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut selection = Selection::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--filter" => selection.filters.push(value()?),
            "--runtimes" => selection
                .runtimes
                .extend(value()?.split(',').map(str::to_owned)),
            "--rounds" => selection.rounds = Some(number(&value()?)?),
            "--quick" => selection.quick = true,
            "--counts" => selection.counts = Counts::Too,
            "--counts-only" => selection.counts = Counts::Only,
            "--write" => selection.write = true,
            "--list" => return Ok(Command::List),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(format!("{word} is not an option")),
        }
    }
    for wanted in &selection.runtimes {
        if !runtimes::ALL
            .iter()
            .any(|r| wanted == r.name || wanted == r.family)
        {
            return Err(format!("there is no runtime called {wanted}"));
        }
    }
    let partial = !selection.filters.is_empty() || !selection.runtimes.is_empty();
    if selection.write && (partial || selection.quick || selection.counts == Counts::Only) {
        return Err("--write is for a whole run: no --filter, --runtimes, --quick".to_owned());
    }
    if selection.rounds == Some(0) {
        return Err("--rounds needs at least 1".to_owned());
    }
    Ok(Command::Compare(selection))
}

fn parse_worker(mut words: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut next = |what| words.next().ok_or(format!("a worker needs {what}"));
    let runtime = next("a runtime")?;
    let workload = next("a workload")?;
    let effort = match (words.next().as_deref(), words.next()) {
        (None, None) => EffortOption::Full,
        (Some("--quick"), None) => EffortOption::Quick,
        (Some("--exactly"), Some(times)) => EffortOption::Exactly(number(&times)?),
        _ => return Err("a worker takes --quick or --exactly N".to_owned()),
    };
    Ok(Command::Worker {
        runtime,
        workload,
        effort,
    })
}

fn parse_load(mut words: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut next = |what| words.next().ok_or(format!("the load needs {what}"));
    let server = next("an address")?;
    let server: SocketAddr = server
        .parse()
        .map_err(|_| format!("{server} is no address"))?;
    let process = number(&next("the server's process")?)?;
    let connections = number(&next("a number of connections")?)?;
    let idle = number(&next("a number of idle connections")?)?;
    let message = match next("a message")?.as_str() {
        "http" => Message::Http,
        "http2" => Message::Http2,
        bytes => Message::Echo(number(bytes)?),
    };
    let until = next("an end")?;
    let until = match until.split_once('=') {
        Some(("millis", millis)) => Until::Millis(number(millis)?),
        Some(("requests", requests)) => Until::Requests(number(requests)?),
        Some(("paced", paced)) => {
            let (millis, per_second) = paced.split_once(',').ok_or("a pace has two numbers")?;
            Until::Paced {
                millis: number(millis)?,
                per_second: number(per_second)?,
            }
        }
        None if until == "hung-up" => Until::HungUp,
        _ => return Err(format!("{until} is no end")),
    };
    Ok(Command::Load(Load {
        server,
        process,
        connections,
        idle,
        message,
        until,
    }))
}

/// The words for a child's load on its command line.
pub(crate) fn load_words(load: Load) -> Vec<String> {
    vec![
        "load".to_owned(),
        load.server.to_string(),
        load.process.to_string(),
        load.connections.to_string(),
        load.idle.to_string(),
        match load.message {
            Message::Http => "http".to_owned(),
            Message::Http2 => "http2".to_owned(),
            Message::Echo(bytes) => bytes.to_string(),
        },
        match load.until {
            Until::Millis(millis) => format!("millis={millis}"),
            Until::Requests(requests) => format!("requests={requests}"),
            Until::Paced { millis, per_second } => format!("paced={millis},{per_second}"),
            Until::HungUp => "hung-up".to_owned(),
        },
    ]
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse()
        .map_err(|_| format!("{word} is not a number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_selection_narrows_what_is_compared() {
        let Ok(Command::Compare(selection)) = parse("--filter yield --runtimes tokio,floor") else {
            panic!("that is a comparison");
        };
        assert!(selection.wants_workload("yield-1000"));
        assert!(!selection.wants_workload("spawn-join"));
        let wanted = |r: &&runtimes::Description| selection.wants_runtime(r);
        let wanted: Vec<_> = runtimes::ALL
            .iter()
            .filter(wanted)
            .map(|r| r.name)
            .collect();
        assert_eq!(
            wanted,
            ["tokio-local", "tokio-set", "tokio-current", "floor"]
        );
    }

    #[test]
    fn a_page_of_results_is_written_from_a_whole_run_only() {
        assert!(parse("--write").is_ok());
        for partial in [
            "--write --quick",
            "--write --filter echo",
            "--write --counts-only",
        ] {
            assert!(parse(partial).is_err(), "{partial}");
        }
    }

    #[test]
    fn a_load_survives_its_command_line() {
        let paced = Until::Paced {
            millis: 10,
            per_second: 1_000,
        };
        for (until, message) in [
            (Until::Requests(5), Message::Echo(64)),
            (Until::Millis(7), Message::Http),
            (Until::Millis(8), Message::Http2),
            (Until::HungUp, Message::Echo(1)),
            (paced, Message::Echo(64)),
        ] {
            let load = Load {
                server: "127.0.0.1:4711".parse().unwrap(),
                process: 7,
                connections: 100,
                idle: 10,
                message,
                until,
            };
            assert_eq!(Command::parse(load_words(load)), Ok(Command::Load(load)));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for wrong in [
            "--rounds",
            "--rounds many",
            "--rounds 0",
            "--runtimes node",
            "--fliter x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
