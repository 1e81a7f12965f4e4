//! `cargo xtask bench`: the same work on asyncio and on other runtimes, side by side.
//!
//! The package `asyncio-bench` has the measurements, and parses the arguments.

use xshell::{Shell, cmd};

pub(crate) fn run(shell: &Shell, arguments: &[&str]) -> anyhow::Result<()> {
    let bench = ["--profile", "bench", "--package", "asyncio-bench"];
    Ok(cmd!(shell, "cargo run {bench...} -- {arguments...}").run()?)
}
