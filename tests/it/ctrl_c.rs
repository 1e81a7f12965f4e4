//! Ctrl-C, with real signals to real processes.

use asyncio_tests::{Child, Ended};

use crate::process::child;

const SIGINT: Option<i32> = Some(2);

/// Plays `scene`, and presses Ctrl-C when it is ready.
fn interrupted(scene: &str) -> Ended {
    let mut child = Child::start(&mut child(scene));
    child.expect("ready");
    child.interrupt();
    child.wait()
}

#[test]
fn the_first_one_cancels_main_which_cleans_up_and_the_process_ends_by_sigint() {
    let ended = interrupted("main waits");
    assert_eq!(ended.output, "cleaned up\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn a_main_that_spins_on_yields_hears_it() {
    let ended = interrupted("main spins");
    assert_eq!(ended.output, "cleaned up\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn the_other_tasks_clean_up_before_the_process_ends() {
    let ended = interrupted("others clean up");
    assert_eq!(ended.output, "cleaned up\nthe other cleaned up\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn the_second_one_ends_the_process_at_once() {
    let mut child = Child::start(&mut child("cleaning takes long"));
    child.expect("ready");
    child.interrupt();
    child.expect("cleaning up");
    child.interrupt();
    assert_eq!(child.wait().signal(), SIGINT);
}

#[test]
fn a_main_that_returns_all_the_same_keeps_its_value_and_the_program_goes_on() {
    let ended = interrupted("main keeps its value");
    assert_eq!(ended.output, "a value\n");
    assert!(ended.status.success());
}

#[test]
fn a_runner_tells_and_can_run_again() {
    let ended = interrupted("runner");
    assert_eq!(
        ended.output,
        "cleaned up\ncancelled: true, interrupted: true\nran again\ninterrupted: false\n"
    );
    assert!(ended.status.success());
}

#[test]
fn a_main_that_was_cancelled_before_was_not_interrupted() {
    let mut child = Child::start(&mut child("cancelled before"));
    child.expect("ready");
    let ended = child.wait();
    assert_eq!(
        ended.output,
        "cleaned up\ncancelled: true, interrupted: false\n"
    );
    assert!(ended.status.success());
}

#[test]
fn a_runner_off_the_main_thread_does_not_listen() {
    let ended = interrupted("not the main thread");
    assert_eq!(ended.output, "");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn before_between_and_after_runs_it_does_what_it_always_does() {
    for scene in ["before the run", "between two runs", "after the run"] {
        let ended = interrupted(scene);
        assert_eq!(ended.output, "", "{scene}");
        assert_eq!(ended.signal(), SIGINT, "{scene}");
    }
}

#[test]
fn one_that_comes_as_main_returns_is_not_lost() {
    let ended = Child::start(&mut child("as main returns")).wait();
    assert_eq!(ended.output, "");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_was_told_to_ignore_it_does() {
    // As in the background of a shell without job control.
    let mut shell = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_asyncio-test-child");
    let script = "trap '' INT; exec \"$0\" 'told to ignore it'";
    let ended = Child::start(shell.args(["-c", script, program])).wait();
    assert_eq!(ended.output, "went on\n");
    assert!(ended.status.success());
}
