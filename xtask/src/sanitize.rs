//! `cargo xtask sanitize`: the tests of unsafe code, under tools that watch the memory.
//!
//! Address sanitizer needs a nightly toolchain. Without the standard library's source, `std` is not instrumented, but
//! its allocations and leaks are seen. Valgrind needs no special build and sees `std` as well, but runs a test many
//! times slower.
//!
//! Both run with the pool of cells, as programs do. Address sanitizer runs asyncio-task a second time with
//! `--cfg asyncio_no_pool`. Each cell is then allocated and freed, so that a use after free is seen.

use anyhow::{Context, bail};
use cargo_metadata::Metadata;
use xshell::{Shell, cmd};

use crate::tally::Tally;
use crate::{tidy, workspace};

#[derive(Clone, Copy)]
pub(crate) enum Tool {
    Address,
    Valgrind,
}

/// Packages without unsafe files whose tests drive those that have some.
const DRIVERS: &[&str] = &[
    "asyncio-executors",
    "asyncio-loop",
    "asyncio-net",
    "asyncio-tests",
];

/// Tests that cannot run under the tools. The first forbids its child all system calls, and the tools make some. The
/// second leaks a chain of a million futures on purpose. Those of the third measure the stack, of which the tools take
/// more.
const NOT_UNDER_TOOLS: &[&str] = &[
    "--skip",
    "tasks_that_only_wake_each_other_make_no_system_call",
    "--skip",
    "does_not_keep_a_loop_from_closing",
    "--skip",
    "nested_in_the_stack_of_a_test",
];

const VALGRIND: &str = "valgrind --quiet --error-exitcode=1 --num-callers=30 --fair-sched=yes \
                        --leak-check=full --show-leak-kinds=definite,indirect \
                        --errors-for-leak-kinds=definite,indirect";

pub(crate) fn run(shell: &Shell, tools: &[Tool]) -> anyhow::Result<()> {
    let metadata = workspace::metadata()?;
    let host = host(shell)?;
    let mut tally = Tally::default();
    // The second tool runs even if the first fails, since each finds faults that the other misses.
    let results = tools.iter().map(|tool| match tool {
        Tool::Address => address(shell, &metadata, &host, &mut tally),
        Tool::Valgrind => valgrind(shell, &metadata, &host, &mut tally),
    });
    let result = results.fold(Ok(()), anyhow::Result::and);
    println!("\n{tally}");
    result
}

fn address(
    shell: &Shell,
    metadata: &Metadata,
    host: &str,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let nightly = cmd!(shell, "rustup run nightly rustc --version").quiet();
    nightly.read().context(
        "address sanitizer needs a nightly toolchain: `rustup toolchain install nightly`",
    )?;
    let _options = shell.push_env(
        "ASAN_OPTIONS",
        "detect_leaks=1:detect_stack_use_after_return=1",
    );
    let mut run = |directory: &str, flags: &str, packages: &[String]| {
        let _flags = shell.push_env("RUSTFLAGS", flags);
        let target = metadata.target_directory.join(directory);
        // With an explicit target, the flags do not apply to build scripts and macros.
        let target = ["--target", host, "--target-dir", target.as_str()];
        tally.count(cmd!(
            shell,
            "rustup run nightly cargo test --tests --all-features --no-fail-fast {target...} {packages...} -- {NOT_UNDER_TOOLS...}"
        ))
    };
    let pooled = run(
        "sanitize",
        "-Zsanitizer=address",
        &packages(shell, metadata)?,
    );
    let no_pool = "-Zsanitizer=address --cfg asyncio_no_pool";
    let tasks = ["-p".to_owned(), "asyncio-task".to_owned()];
    pooled.and(run("sanitize-no-pool", no_pool, &tasks))
}

fn valgrind(
    shell: &Shell,
    metadata: &Metadata,
    host: &str,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    if cmd!(shell, "valgrind --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_err()
    {
        bail!("valgrind is not installed");
    }
    let runner = format!(
        "CARGO_TARGET_{}_RUNNER",
        host.to_uppercase().replace('-', "_")
    );
    let _runner = shell.push_env(runner, VALGRIND);
    // A backtrace reads all debug information, which takes very long under these tools.
    let _backtrace = shell.push_env("RUST_BACKTRACE", "0");
    let packages = packages(shell, metadata)?;
    tally.count(cmd!(
        shell,
        "cargo test --tests --all-features --no-fail-fast {packages...} -- {NOT_UNDER_TOOLS...}"
    ))
}

/// `-p` for each package whose sources have unsafe files, and for those that drive them. Files of tests do not count:
/// some use `unsafe` to test safe code, and leak on purpose.
fn packages(shell: &Shell, metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let files = tidy::unsafe_files(shell)?;
    let mut words = Vec::new();
    for package in &metadata.packages {
        let directory = workspace::directory(package);
        let sources = format!("{directory}/src/");
        let has_unsafe = files.iter().any(|file| file.starts_with(&sources));
        let is_driver = DRIVERS.contains(&package.name.as_str());
        if is_driver || directory.starts_with("crates/") && has_unsafe {
            words.extend(["-p".to_owned(), package.name.to_string()]);
        }
    }
    Ok(words)
}

/// The machine's target, such as `x86_64-unknown-linux-gnu`.
fn host(shell: &Shell) -> anyhow::Result<String> {
    let version = cmd!(shell, "rustc -vV").quiet().read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}
