//! Other systems than the one at hand: what is written for them is checked here, and runs nowhere.
//!
//! Clippy needs no linker of theirs, only their standard library. So that nobody has to fetch those to
//! work on the project, a system without one is passed over and named; `.ci/run` installs them all.

use crate::process::{Failure, Process, output_of};

/// A system of each kind: kqueue twice, and Windows.
pub(crate) const TARGETS: &[&str] = &[
    "x86_64-apple-darwin",
    "x86_64-unknown-freebsd",
    "x86_64-pc-windows-msvc",
];

/// Everything but the benchmarks, whose peers run on Linux alone.
const CLIPPY: &str =
    "clippy --workspace --exclude asyncio-bench --all-targets --all-features --target";

pub(crate) fn check() -> Result<(), Failure> {
    let installed = output_of("rustup", "target list --installed").unwrap_or_default();
    for target in TARGETS {
        if installed.lines().any(|line| line == *target) {
            let clippy = Process::cargo().words(CLIPPY).words(target);
            clippy.words("-- -D warnings").run()?;
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
