//! `cargo xtask test`: every test of the project.
//!
//! These are unit tests, the tests of the facade, programs that must not compile, doc tests and the tests of these
//! checks. Examples must build. The programs of `tests/ecosystem` run against servers on loopback. If nextest is
//! installed (`cargo xtask setup`), each test is a process of its own with a time limit. Otherwise `cargo test` runs
//! them. `ASYNCIO_HEAVY=1` runs the heavier forms of some.

use xshell::{Shell, cmd};

use crate::tally::Tally;
use crate::tools;

pub(crate) fn run(shell: &Shell, arguments: &[&str]) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let result = if arguments.is_empty() {
        all(shell, &mut tally)
    } else {
        tally.count(cmd!(
            shell,
            "cargo test --all-features --no-fail-fast {arguments...}"
        ))
    };
    println!("\n{tally}");
    result
}

/// All tests but those of the benchmarks, which depend on every peer runtime. One selection of crates, so that each is
/// built once.
pub(crate) fn all(shell: &Shell, tally: &mut Tally) -> anyhow::Result<()> {
    const OPTIONS: [&str; 5] = [
        "--workspace",
        "--exclude",
        "asyncio-bench",
        "--all-features",
        "--no-fail-fast",
    ];
    if !tools::has_nextest(shell) {
        return tally.count(cmd!(shell, "cargo test {OPTIONS...}"));
    }
    let tests = tally.count(cmd!(shell, "cargo nextest run {OPTIONS...}"));
    // Nextest runs no doc tests. It builds no examples either: tests that run them build those.
    let doc_tests = tally.count(cmd!(shell, "cargo test --doc {OPTIONS...}"));
    tests.and(doc_tests)
}
