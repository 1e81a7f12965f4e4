//! `cargo xtask mutants [--sample K/N] [PACKAGE …]`: whether the tests notice when a function does something else.
//!
//! cargo-mutants changes one thing at a time: a function returns a default, a comparison turns round, a match arm is
//! gone. A mutant is caught if a test fails or hangs. A mutant that survives is a missing test, or code that need not
//! be there. `Debug` and `Display` are left alone. Without a package, all of [`TESTED_BY`] are tried, which takes
//! days, because each mutant is a build. `--sample 1/40` tries one mutant in forty: of the samples from 0 to 39, the
//! second.

use anyhow::bail;
use xshell::{Shell, cmd};

const VERSION: &str = "27.1.0";

/// The packages whose mutants are tried, each with the packages whose tests may catch them.
const TESTED_BY: &[(&str, &[&str])] = &[
    ("asyncio-timer", &["asyncio-timer"]),
    ("asyncio-sync", &["asyncio-sync", "asyncio-tests"]),
    (
        "asyncio-task",
        &["asyncio-task", "asyncio-executors", "asyncio-tests"],
    ),
    ("asyncio-reactor", &["asyncio-reactor", "asyncio-net"]),
    ("asyncio-loop", &["asyncio-loop", "asyncio-tests"]),
    ("asyncio-executors", &["asyncio-executors", "asyncio-tests"]),
    ("asyncio-pool", &["asyncio-pool", "asyncio-tests"]),
    ("asyncio-net", &["asyncio-net"]),
    ("asyncio-os", &["asyncio-os", "asyncio-tests"]),
];

pub(crate) fn run(shell: &Shell, words: &[&str]) -> anyhow::Result<()> {
    let (sample, packages) = match words {
        ["--sample", sample, packages @ ..] => (*sample, packages),
        packages => ("0/1", packages),
    };
    let unknown = |package: &&&str| !TESTED_BY.iter().any(|(name, _)| name == *package);
    if let Some(package) = packages.iter().find(unknown) {
        bail!("no tests are listed for the mutants of {package}: see xtask/src/mutants.rs");
    }
    let tool = install(shell)?;
    let chosen = TESTED_BY
        .iter()
        .filter(|(name, _)| packages.is_empty() || packages.contains(name));
    let mut survived = Vec::new();
    for (package, tests) in chosen {
        let tests = tests.join(",");
        let output = format!("target/mutants/{package}");
        shell.create_dir(&output)?;
        let options = ["--minimum-test-timeout", "60", "--no-shuffle"];
        let sample = ["--sharding", "round-robin", "--shard", sample];
        let found = cmd!(
            shell,
            "{tool} mutants --package {package} --test-package {tests} --output {output} --exclude-re {FORMATTING} {options...} {sample...}"
        );
        // The tool has said which. The others are still worth a try.
        if found.run().is_err() {
            survived.push(*package);
        }
    }
    if !survived.is_empty() {
        bail!(
            "mutants survived, or the tool failed: {}",
            survived.join(", ")
        );
    }
    Ok(())
}

/// The mutants of formatting, which no promise is about.
const FORMATTING: &str = "impl (fmt::)?(Debug|Display)";

/// Compiles the tool, unless this version is there. No package index has it as a binary.
fn install(shell: &Shell) -> anyhow::Result<std::path::PathBuf> {
    let root = super::tools::directory().with_file_name("mutants-tool");
    cmd!(
        shell,
        "cargo install --quiet --locked --root {root} --version {VERSION} cargo-mutants"
    )
    .run()?;
    Ok(root.join("bin/cargo-mutants"))
}
