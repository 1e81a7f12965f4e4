//! The six programs of the first hour, and the same programs on tokio: they do the same, and ours are shorter.

use crate::examples::{chats, lines, serves_background_tasks};

/// An example and its twin, as text.
struct Pair {
    name: &'static str,
    ours: &'static str,
    twin: &'static str,
}

macro_rules! pairs {
    ($($name:literal),*) => {
        [$(Pair {
            name: $name,
            ours: include_str!(concat!("../../crates/asyncio/examples/", $name, ".rs")),
            twin: include_str!(concat!("../twins/", $name, ".rs")),
        }),*]
    };
}

/// The number of lines with code, without tests.
fn lines_of_code(text: &str) -> usize {
    let (program, _tests) = text.split_once("#[cfg(test)]").unwrap_or((text, ""));
    let lines = program.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[test]
fn ours_are_shorter() {
    let pairs = pairs![
        "background_tasks",
        "chat",
        "connection_pool",
        "crawler",
        "job_scheduler",
        "supervised_workers"
    ];
    let page = include_str!("../../docs/coming-from-tokio.md");
    for Pair { name, ours, twin } in pairs {
        let (ours, twin) = (lines_of_code(ours), lines_of_code(twin));
        assert!(ours < twin, "{name}: {ours} lines, on tokio {twin}");
        let row = format!("examples/{name}.rs) | {ours} | [{twin}]");
        assert!(page.contains(&row), "coming-from-tokio.md lacks: {row}");
    }
}

#[test]
fn crawler() {
    let twin = lines(env!("CARGO_BIN_EXE_twin-crawler"));
    assert_eq!(twin, lines(env!("CARGO_BIN_EXE_example-crawler")));
}

#[test]
fn job_scheduler() {
    let twin = lines(env!("CARGO_BIN_EXE_twin-job_scheduler"));
    assert_eq!(twin, lines(env!("CARGO_BIN_EXE_example-job_scheduler")));
}

#[test]
fn supervised_workers() {
    let twin = lines(env!("CARGO_BIN_EXE_twin-supervised_workers"));
    assert_eq!(
        twin,
        lines(env!("CARGO_BIN_EXE_example-supervised_workers"))
    );
}

/// A `Drop` does not await, so the user of the twin is told before its connection is closed.
#[test]
fn connection_pool() {
    let twin = lines(env!("CARGO_BIN_EXE_twin-connection_pool"));
    let mut ours = lines(env!("CARGO_BIN_EXE_example-connection_pool"));
    let closed = ours.iter().position(|line| line == "connection 2 closed");
    let closed = closed.expect("it was cut");
    ours.swap(closed, closed + 1);
    assert_eq!(ours[closed], "7.1 s: timed out");
    ours[closed] = "7 s: timed out".to_owned();
    assert_eq!(twin, ours);
}

#[test]
fn background_tasks() {
    serves_background_tasks(env!("CARGO_BIN_EXE_twin-background_tasks"));
}

#[test]
fn chat() {
    assert!(chats(env!("CARGO_BIN_EXE_twin-chat")).status.success());
}
