//! `cargo xtask fuzz [--seconds N] [TARGET …]`: every parser and frame reader of our own, with bytes that libFuzzer
//! makes.
//!
//! Each file of `fuzz/targets` has a law in `fuzz/src`, such as a naive model, and breaks with the input that violates
//! it. cargo-fuzz keeps that input in `fuzz/artifacts`, and what it has learned in `fuzz/corpus`, for the next run. It
//! needs a nightly toolchain, for the coverage and for address sanitizer. Tests of `asyncio-fuzz` try the laws with the
//! inputs in `fuzz/seeds`, on any toolchain.

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::workspace;

const VERSION: &str = "0.13.1";

/// The targets.
const TARGETS: &[&str] = &[
    "stream_reader",
    "stream_writer",
    "worker_frames",
    "server_sent_events",
    "forms",
];

/// How long each target is tried in the short form.
const SECONDS: &str = "12";

pub(crate) fn run(shell: &Shell, words: &[&str]) -> anyhow::Result<()> {
    let (seconds, chosen) = match words {
        ["--seconds", seconds, chosen @ ..] => (*seconds, chosen),
        chosen => (SECONDS, chosen),
    };
    seconds
        .parse::<u32>()
        .with_context(|| format!("`{seconds}` is no number of seconds"))?;
    if let Some(target) = chosen.iter().find(|target| !TARGETS.contains(target)) {
        bail!("there is no target `{target}`, but: {}", TARGETS.join(", "));
    }
    let chosen = if chosen.is_empty() { TARGETS } else { chosen };
    let tool = install(shell)?;
    let directories = ["--fuzz-dir", "fuzz", "--target-dir", "target/fuzz"];
    let fuzz = |command: &str, target: &str| {
        let cargo_fuzz = cmd!(shell, "rustup run nightly {tool} fuzz {command}");
        cargo_fuzz.args(directories).arg(target)
    };
    for target in chosen {
        fuzz("build", target)
            .run()
            .with_context(|| format!("the target `{target}` does not compile"))?;
    }
    let mut failed = Vec::new();
    for target in chosen {
        // libFuzzer stops at 2 GiB. An input that takes half a minute hangs.
        let limits = [
            &format!("-max_total_time={seconds}"),
            "-max_len=1024",
            "-len_control=10",
            "-timeout=30",
        ];
        // The tool has shown the input. The others are still worth a try.
        let inputs = [
            format!("fuzz/corpus/{target}"),
            format!("fuzz/seeds/{target}"),
        ];
        std::fs::create_dir_all(workspace::root().join(&inputs[0]))?;
        let run = fuzz("run", target).args(inputs).arg("--").args(limits);
        if run.run().is_err() {
            failed.push(*target);
        }
    }
    if !failed.is_empty() {
        bail!(
            "inputs that violate a law, in fuzz/artifacts: {}",
            failed.join(", ")
        );
    }
    Ok(())
}

/// Compiles the tool, unless this version is there. No package index has it as a binary.
fn install(shell: &Shell) -> anyhow::Result<std::path::PathBuf> {
    cmd!(shell, "rustup run nightly rustc --version")
        .quiet()
        .read()
        .context("fuzzing needs a nightly toolchain: `rustup toolchain install nightly`")?;
    let root = super::tools::directory().with_file_name("fuzz-tool");
    cmd!(
        shell,
        "cargo install --quiet --locked --root {root} --version {VERSION} cargo-fuzz"
    )
    .run()?;
    Ok(root.join("bin/cargo-fuzz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_a_file() {
        let targets = workspace::root().join("fuzz/targets");
        let mut files: Vec<_> = std::fs::read_dir(targets)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_owned())
            .collect();
        files.sort();
        let mut names = TARGETS.to_vec();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
