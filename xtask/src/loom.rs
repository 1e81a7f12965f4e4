//! `cargo xtask loom`: code that threads share, in every interleaving.
//!
//! The short form bounds the number of unforced switches between threads. Nearly all mistakes show within the bound.
//! The full form has no bound and may take very long.

use xshell::{Shell, cmd};

use crate::tally::Tally;
use crate::workspace;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Form {
    Short,
    Full,
}

/// The tests written for loom: in these packages, those with `loom` in their path.
const PACKAGES: &[&str] = &[
    "--package",
    "asyncio-task",
    "--package",
    "asyncio-loop",
    "--package",
    "asyncio-pool",
];

/// The number of unforced switches of threads in the short form.
const SHORT: &str = "2";

pub(crate) fn run(shell: &Shell, form: Form) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let result = tests(shell, form, &mut tally);
    println!("\n{tally}");
    result
}

/// The short form, for CI.
pub(crate) fn short(shell: &Shell, tally: &mut Tally) -> anyhow::Result<()> {
    tests(shell, Form::Short, tally)
}

fn tests(shell: &Shell, form: Form, tally: &mut Tally) -> anyhow::Result<()> {
    let _flags = shell.push_env("RUSTFLAGS", "--cfg loom");
    let _short = (form == Form::Short).then(|| shell.push_env("LOOM_MAX_PREEMPTIONS", SHORT));
    // A directory of its own, because the flag changes every crate.
    let target = workspace::metadata()?.target_directory.join("loom");
    // Clippy sees code under `cfg(loom)` only here, and checks the proofs of its `unsafe` blocks.
    let proofs = "-Dclippy::undocumented_unsafe_blocks";
    let clippy = ["--quiet", "--lib", "--profile", "test"];
    cmd!(
        shell,
        "cargo clippy {clippy...} --target-dir {target} {PACKAGES...} -- {proofs}"
    )
    .run()?;
    tally.count(cmd!(
        shell,
        "cargo test --release --target-dir {target} {PACKAGES...} --lib -- loom"
    ))
}
