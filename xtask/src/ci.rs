//! `cargo xtask ci`: all that CI does, in one command that runs anywhere.
//!
//! The quick steps come first. What takes longer than a few minutes is a command of its own.

use crate::command::{Command, no_more};
use crate::process::{Failure, Process};
use crate::steps::Steps;
use crate::workspace::Workspace;
use crate::{elsewhere, loom, test, tidy};

pub(crate) const COMMAND: Command = Command {
    name: "ci",
    arguments: "",
    about: "Runs all that CI runs; stops at the first failure.",
    run,
};

/// The command that tests the project, as the README gives it.
pub(crate) const TEST: &str = "cargo xtask test";

/// The command that shows the project, as the README gives it.
pub(crate) const TOUR: &str = "cargo run --release --example tour";

fn run(arguments: &[String]) -> Result<(), Failure> {
    no_more(arguments)?;
    let mut steps = Steps::default();
    every_step(&mut steps).and(steps.conclude())
}

fn every_step(steps: &mut Steps) -> Result<(), Failure> {
    steps.run("fmt", |_| cargo("fmt --all --check"))?;
    steps.run("tidy", |_| tidy::check())?;
    steps.run("clippy", |_| {
        // With the benchmarks: so they compile.
        cargo("clippy --workspace --all-targets --all-features -- -D warnings")
    })?;
    steps.run("test", |tally| test::all(&[], tally))?;
    steps.run("each alone", |_| each_crate_alone())?;
    steps.run("elsewhere", |_| elsewhere::check())?;
    steps.run("doc", |_| {
        let docs = Process::cargo().words("doc --no-deps --all-features");
        docs.env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    steps.run("loom", loom::short)?;
    steps.run("tour", |_| {
        let tour = TOUR
            .strip_prefix("cargo")
            .expect("the tour is a cargo command");
        Process::cargo().words(tour).words("-- --short").run()
    })
}

fn cargo(words: &str) -> Result<(), Failure> {
    Process::cargo().words(words).run()
}

/// Every crate builds without what its neighbours in the workspace turn on for it, also with none of its
/// features and with each of them alone. Examples are part of that: those that need a feature say so.
fn each_crate_alone() -> Result<(), Failure> {
    for package in Workspace::load()?.packages {
        if !package.directory.starts_with("crates/") {
            continue;
        }
        let check = format!("check --quiet --package {} --lib --examples", package.name);
        cargo(&check)?;
        if !package.features.is_empty() {
            cargo(&format!("{check} --no-default-features"))?;
        }
        for feature in package.features {
            cargo(&format!(
                "{check} --no-default-features --features {feature}"
            ))?;
        }
    }
    Ok(())
}
