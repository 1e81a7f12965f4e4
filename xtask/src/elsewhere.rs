//! Other systems: their code is checked here, and runs nowhere.
//!
//! Clippy needs no linker for them, only their standard library. A system without an installed standard library is
//! named and skipped. `.ci/run` installs all of them.

use xshell::{Shell, cmd};

/// A system of each kind: kqueue twice, and Windows.
pub(crate) const TARGETS: &[&str] = &[
    "x86_64-apple-darwin",
    "x86_64-unknown-freebsd",
    "x86_64-pc-windows-msvc",
];

pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    let list = cmd!(shell, "rustup target list --installed").quiet();
    let installed = list.ignore_stderr().read().unwrap_or_default();
    // Everything except the benchmarks, whose peers run on Linux alone, and what has C, which is not compiled for other
    // systems here: the feature `tls`, and the programs with other crates.
    let what = [
        "--workspace",
        "--exclude",
        "asyncio-bench",
        "--exclude",
        "asyncio-ecosystem",
        "--all-targets",
        "--features",
        "asyncio/tracing",
    ];
    for target in TARGETS {
        if installed.lines().any(|line| line == *target) {
            cmd!(
                shell,
                "cargo clippy {what...} --target {target} -- -D warnings"
            )
            .run()?;
        } else {
            println!("not checked, for want of `rustup target add {target}`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_installs_what_is_checked() {
        let script = include_str!("../../.ci/run");
        for target in TARGETS {
            assert!(script.contains(target), "{target}");
        }
    }
}
