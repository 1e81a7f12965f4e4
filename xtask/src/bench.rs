//! `cargo xtask bench`: the same work on ours and on other runtimes, side by side.
//!
//! What is measured, and every argument, belong to the package `asyncio-bench`.

use crate::command::Command;
use crate::process::{Failure, Process};

pub(crate) const COMMAND: Command = Command {
    name: "bench",
    arguments: "[--quick] [--filter X] …",
    about: "Compares ours with other runtimes.",
    run,
};

fn run(arguments: &[String]) -> Result<(), Failure> {
    let bench = Process::cargo().words("run --profile bench --package asyncio-bench --");
    bench.args(arguments).run()
}
