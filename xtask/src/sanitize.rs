//! `cargo xtask sanitize`: the tests of unsafe code, under tools that watch the memory.
//!
//! Address sanitizer needs a nightly toolchain; without the standard library's source, `std`
//! itself is not instrumented, its allocations and leaks are seen all the same. Valgrind needs no
//! special build and sees `std` as well, but runs a test many times slower.
//!
//! Both see cells of tasks that are used again, as programs have them. Address sanitizer takes asyncio-task a
//! second time with `--cfg asyncio_no_pool`: each cell then comes and goes, so that a use after its end is seen.

use crate::command::{Command, no_more, take_flag};
use crate::process::{Failure, Process, output_of};
use crate::steps::Steps;
use crate::tally::Tally;
use crate::tidy;
use crate::workspace::Workspace;

pub(crate) const COMMAND: Command = Command {
    name: "sanitize",
    arguments: "[--address | --valgrind]",
    about: "Runs the tests of unsafe code under address sanitizer and valgrind.",
    run,
};

/// Packages without unsafe files whose tests drive those that have some.
const DRIVERS: &[&str] = &["asyncio-executors", "asyncio-loop", "asyncio-tests"];

/// Tests that cannot run under a tool: this one forbids its child all system calls, and the tools make some.
const NOT_UNDER_TOOLS: &str = "-- --skip tasks_that_only_wake_each_other_make_no_system_call";

const VALGRIND: &str = "valgrind --quiet --error-exitcode=1 --num-callers=30 --fair-sched=yes \
                        --leak-check=full --show-leak-kinds=definite,indirect \
                        --errors-for-leak-kinds=definite,indirect";

fn run(arguments: &[String]) -> Result<(), Failure> {
    let (address_only, others) = take_flag(arguments, "--address");
    let (valgrind_only, others) = take_flag(&others, "--valgrind");
    no_more(&others)?;
    let workspace = Workspace::load()?;
    let host = host()?;
    let both = address_only == valgrind_only;
    let mut steps = Steps::default();
    // The second runs also if the first fails: each finds what the other cannot.
    let mut result = Ok(());
    if both || address_only {
        let address = |tally: &mut Tally| address(&workspace, &host, tally);
        result = result.and(steps.run("address", address));
    }
    if both || valgrind_only {
        let valgrind = |tally: &mut Tally| valgrind(&workspace, &host, tally);
        result = result.and(steps.run("valgrind", valgrind));
    }
    result.and(steps.conclude())
}

fn address(workspace: &Workspace, host: &str, tally: &mut Tally) -> Result<(), Failure> {
    if output_of("rustup", "run nightly rustc --version").is_none() {
        let words =
            "address sanitizer needs a nightly toolchain: `rustup toolchain install nightly`";
        return Err(Failure::because(words));
    }
    let run = |directory: &str, flags: &str, packages: Vec<String>, tally: &mut Tally| {
        address_with(workspace, host, directory, flags, packages, tally)
    };
    let no_pool = "-Zsanitizer=address --cfg asyncio_no_pool";
    let tasks = vec!["-p".to_owned(), "asyncio-task".to_owned()];
    let pooled = run(
        "sanitize",
        "-Zsanitizer=address",
        packages(workspace)?,
        tally,
    );
    pooled.and(run("sanitize-no-pool", no_pool, tasks, tally))?;
    tally.not_empty()
}

fn address_with(
    workspace: &Workspace,
    host: &str,
    directory: &str,
    flags: &str,
    packages: Vec<String>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let target = workspace.target_directory.join(directory);
    let tests = Process::cargo_of("nightly").words("test --tests --no-fail-fast");
    tests
        // The target is named, so that the flag is not for build scripts and macros as well.
        .args(["--target", host, "--target-dir", &target.to_string_lossy()])
        .args(packages)
        .env("RUSTFLAGS", flags)
        .env(
            "ASAN_OPTIONS",
            "detect_leaks=1:detect_stack_use_after_return=1",
        )
        .words(NOT_UNDER_TOOLS)
        .run_tests(tally)
}

fn valgrind(workspace: &Workspace, host: &str, tally: &mut Tally) -> Result<(), Failure> {
    if output_of("valgrind", "--version").is_none() {
        return Err(Failure::because("valgrind is not installed"));
    }
    let runner = format!(
        "CARGO_TARGET_{}_RUNNER",
        host.to_uppercase().replace('-', "_")
    );
    let tests = Process::cargo().words("test --tests --no-fail-fast");
    tests
        .args(packages(workspace)?)
        .words(NOT_UNDER_TOOLS)
        .env(&runner, VALGRIND)
        // A backtrace reads all debug information, which takes very long here.
        .env("RUST_BACKTRACE", "0")
        .run_tests(tally)?;
    tally.not_empty()
}

/// `-p` for each package whose sources have unsafe files, or that drives those. Tests that use `unsafe` to look
/// at safe code, and leak on purpose, are not meant.
fn packages(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let files = tidy::unsafe_files()?;
    let has_unsafe_files = |directory: &str| {
        let inside = format!("{directory}/src/");
        files.iter().any(|file| file.starts_with(&inside))
    };
    let mut words = Vec::new();
    for package in &workspace.packages {
        let name = package.name.as_str();
        let of_users = package.directory.starts_with("crates/");
        if DRIVERS.contains(&name) || of_users && has_unsafe_files(&package.directory) {
            words.extend(["-p".to_owned(), name.to_owned()]);
        }
    }
    Ok(words)
}

/// The machine's target, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String, Failure> {
    let version = output_of("rustc", "-vV").unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Failure::because("`rustc -vV` names no host"))
}
