//! The environment and the standard error of a whole process, which are no scenes of their own.

use std::process::{Command, Stdio};

use asyncio_tests::Child;

/// The child that plays `scene`.
pub(crate) fn child(scene: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asyncio-test-child"));
    command.arg(scene);
    command
}

/// This holds with all features too: the feature that sends reports elsewhere does so only if there is a receiver.
#[test]
fn a_report_is_a_line_on_standard_error() {
    let ended = child("reports").output().expect("the child starts");
    let lines = String::from_utf8(ended.stderr).expect("reports are text");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("asyncio: ") && lines[0].contains("burnt"));
    assert!(lines[1].contains("no flour"));
}

/// The seed of a run that failed is printed, and with it alone the same happens again.
#[test]
fn a_test_that_fails_under_some_order_says_under_which() {
    let run = |command: &mut Command| {
        let ended = command.output().expect("the child starts");
        assert!(!ended.status.success());
        let told = String::from_utf8(ended.stderr).expect("it is text");
        let left = |line: &&str| line.trim_start().starts_with("left: ");
        let order = told.lines().find(left).expect("what it was").to_owned();
        let (_, seed) = told.rsplit_once("this failed under `order = [").unwrap();
        (seed.split(']').next().unwrap().to_owned(), order)
    };
    let first = run(&mut child("fails under some order"));
    let again = run(child("fails under some order").arg(&first.0));
    assert_eq!(first, again);
}

#[test]
fn a_report_that_nobody_can_read_does_not_end_the_loop() {
    // `eprintln!` panics when standard error is gone, and took the loop with it once.
    let mut command = child("reports to nobody");
    let nobody = Command::new("true")
        .stdin(Stdio::piped())
        .spawn()
        .map(|mut process| {
            process.wait().unwrap();
            process.stdin.take()
        });
    command.stderr(nobody.unwrap().map_or_else(Stdio::null, Stdio::from));
    let mut child = Child::start(&mut command);
    child.expect("went on");
    assert!(child.wait().status.success());
}
