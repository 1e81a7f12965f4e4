//! `cargo xtask ci`: all that CI does, in one command that runs anywhere.
//!
//! The quick steps come first. Checks that take longer than a few minutes are commands of their own.

use std::time::Instant;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::tally::Tally;
use crate::{alone, book, elsewhere, loom, test, tidy, tools};

/// The command of the tour, as in the README.
pub(crate) const TOUR: &str = "cargo run --release --example tour";

type Step = fn(&Shell, &mut Tally) -> anyhow::Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("tools", |sh, _| tools::install_all(sh)),
    ("format", |sh, _| format(sh)),
    ("tidy", |sh, _| tidy::check(sh)),
    ("pages", |sh, _| pages(sh)),
    ("book", |sh, _| book::build(sh)),
    ("dependencies", |sh, _| dependencies(sh)),
    ("clippy", |sh, _| clippy(sh)),
    ("test", test::all),
    ("each alone", |sh, _| alone::check(sh)),
    ("elsewhere", |sh, _| elsewhere::check(sh)),
    ("doc", |sh, _| doc(sh)),
    ("loom", loom::short),
    ("tour", |sh, _| tour(sh)),
];

/// Runs every step up to the first that fails, and ends with a table of them and a line of counts.
pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let mut table = String::new();
    let begun = Instant::now();
    let mut result = Ok(());
    for (name, step) in STEPS {
        println!("\n== {name}");
        let start = Instant::now();
        result = step(shell, &mut tally).with_context(|| format!("{name} failed"));
        let seconds = start.elapsed().as_secs_f64();
        let mark = if result.is_err() { "  FAILED" } else { "" };
        table += &format!("{name:<16}{seconds:>8.1} s{mark}\n");
        if result.is_err() {
            // Otherwise the last line of a failed run would say "0 failed".
            tally.failed = tally.failed.max(1);
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("\n{table}{:<16}{seconds:>8.1} s\n{tally}", "total");
    result
}

fn format(shell: &Shell) -> anyhow::Result<()> {
    cmd!(shell, "cargo fmt --all --check").run()?;
    Ok(cmd!(shell, "taplo fmt --config .config/taplo.toml --check").run()?)
}

/// Checks the spelling, and the files and headings that pages link to.
fn pages(shell: &Shell) -> anyhow::Result<()> {
    cmd!(shell, "typos").run()?;
    let options = ["--offline", "--include-fragments", "--no-progress"];
    Ok(cmd!(shell, "lychee {options...} README.md docs crates").run()?)
}

/// Checks the licences and sources of dependencies, and finds unused ones. The advisory database is not available
/// everywhere, so `cargo deny check advisories` is not a part.
fn dependencies(shell: &Shell) -> anyhow::Result<()> {
    cmd!(
        shell,
        "cargo deny --offline --config .config/deny.toml check bans licenses sources"
    )
    .run()?;
    Ok(cmd!(shell, "cargo shear").run()?)
}

fn clippy(shell: &Shell) -> anyhow::Result<()> {
    // Includes the benchmarks, so that they compile.
    let what = ["--workspace", "--all-targets", "--all-features"];
    Ok(cmd!(shell, "cargo clippy {what...} -- -D warnings").run()?)
}

fn doc(shell: &Shell) -> anyhow::Result<()> {
    let _flags = shell.push_env("RUSTDOCFLAGS", "-D warnings");
    Ok(cmd!(shell, "cargo doc --no-deps --all-features").run()?)
}

fn tour(shell: &Shell) -> anyhow::Result<()> {
    let words = TOUR.split(' ');
    Ok(shell
        .cmd("cargo")
        .args(words.skip(1))
        .args(["--", "--short"])
        .run()?)
}
