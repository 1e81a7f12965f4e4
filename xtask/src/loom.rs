//! `cargo xtask loom`: the places where threads meet, in every interleaving.
//!
//! The short form cuts a run short after a few switches between threads that nothing forced, which
//! is where nearly all mistakes show; the full form tries everything and may take very long.

use crate::command::{Command, no_more, take_flag};
use crate::process::{Failure, Process};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::workspace::Workspace;

pub(crate) const COMMAND: Command = Command {
    name: "loom",
    arguments: "[--full]",
    about: "Tries the interleavings of threads.",
    run,
};

/// The tests written for loom: in these packages, those with `loom` in their path.
const TESTS: &str = "--package asyncio-task --package asyncio-pool --lib -- loom";

/// How many unforced switches of threads the short form tries.
const SHORT: &str = "2";

fn run(arguments: &[String]) -> Result<(), Failure> {
    let (full, others) = take_flag(arguments, "--full");
    no_more(&others)?;
    let mut steps = Steps::default();
    let result = match full {
        false => steps.run("loom", short),
        true => steps.run("loom, full", self::full),
    };
    result.and(steps.conclude())
}

/// The short form, for CI.
pub(crate) fn short(tally: &mut Tally) -> Result<(), Failure> {
    tests()?
        .env("LOOM_MAX_PREEMPTIONS", SHORT)
        .run_tests(tally)?;
    tally.not_empty()
}

fn full(tally: &mut Tally) -> Result<(), Failure> {
    tests()?.run_tests(tally)?;
    tally.not_empty()
}

fn tests() -> Result<Process, Failure> {
    // A directory of its own: the flag changes every crate.
    let target = Workspace::load()?.target_directory.join("loom");
    let target = target.to_string_lossy();
    let tests = Process::cargo().words("test --release --target-dir");
    let tests = tests.args([target]).words(TESTS);
    Ok(tests.env("RUSTFLAGS", "--cfg loom"))
}
