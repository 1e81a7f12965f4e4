//! `cargo xtask bench`: the same work on asyncio and on other runtimes, side by side.
//!
//! What is measured, and every argument, belong to the package `asyncio-bench`.

use xshell::{Shell, cmd};

pub(crate) fn run(shell: &Shell, arguments: &[&str]) -> anyhow::Result<()> {
    let bench = ["--profile", "bench", "--package", "asyncio-bench"];
    Ok(cmd!(shell, "cargo run {bench...} -- {arguments...}").run()?)
}
