//! `cargo xtask test`: every test of the project.
//!
//! That is: unit tests, the tests of the facade, what must not compile, doc tests, the tests of
//! these checks, and that examples build. Heavier forms of some run with `ASYNCIO_HEAVY=1` set.

use crate::command::Command;
use crate::process::{Failure, Process};
use crate::steps::Steps;
use crate::tally::Tally;

pub(crate) const COMMAND: Command = Command {
    name: "test",
    arguments: "[ARGUMENTS OF cargo test]",
    about: "Runs every test; ends with a line of counts.",
    run,
};

fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps
        .run("test", |tally| all(arguments, tally))
        .and(steps.conclude())
}

/// All tests, or those that `arguments` choose.
pub(crate) fn all(arguments: &[String], tally: &mut Tally) -> Result<(), Failure> {
    // The default members are all packages but the benchmarks.
    let tests = Process::cargo().words("test --all-features --no-fail-fast");
    tests.args(arguments).run_tests(tally)
}
