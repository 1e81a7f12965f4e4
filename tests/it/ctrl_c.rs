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
fn it_cancels_the_main_task_of_a_guest_and_the_host_goes_on() {
    let ended = interrupted("guest");
    assert_eq!(
        ended.output,
        "cleaned up\ncancelled: true\ninterrupted by Some(2)\n"
    );
    assert_eq!(ended.signal(), None);
}

#[test]
fn on_tokio_it_cancels_main_and_the_process_ends_by_sigint() {
    let ended = interrupted("main waits in a guest of tokio");
    assert_eq!(ended.output, "cleaned up\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn on_tokio_the_cleanups_of_other_tasks_wait_for_its_timers() {
    let ended = interrupted("others wait in a guest of tokio");
    assert_eq!(ended.output, "the other cleaned up\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn on_tokio_groups_and_shields_hold_it_up() {
    let ended = interrupted("a group in a guest of tokio");
    assert_eq!(ended.output, "quick\nslow\nthe group has ended\n");
    assert_eq!(ended.signal(), SIGINT);
    let ended = interrupted("a shield in a guest of tokio");
    assert_eq!(ended.output, "asked\nwritten\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn on_tokio_the_second_one_ends_the_process_while_a_cleanup_waits() {
    let mut child = Child::start(&mut child("a guest cleans up for long"));
    child.expect("ready");
    child.interrupt();
    child.expect("cleaning up");
    child.interrupt();
    let ended = child.wait();
    assert_eq!((&*ended.output, ended.signal()), ("", SIGINT));
}

#[test]
fn of_two_guests_in_a_set_of_tokios_the_first_one_hears_it() {
    let ended = interrupted("two guests in a set of tokio's");
    assert_eq!(
        ended.output,
        "cancelled: true\ninterrupted by Some(2)\ncleaned up\n"
    );
    assert_eq!(ended.signal(), None);
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
fn a_cleanup_of_main_may_wait_and_the_process_ends_when_it_is_over() {
    let ended = interrupted("main waits in its cleanup");
    assert_eq!(ended.output, "cleaning up\nclean\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn the_second_one_ends_the_process_also_while_a_cleanup_waits() {
    let mut child = Child::start(&mut child("main waits long in its cleanup"));
    child.expect("ready");
    child.interrupt();
    child.expect("cleaning up");
    child.interrupt();
    let ended = child.wait();
    assert_eq!(ended.output, "");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn a_main_that_swallows_it_goes_on_and_a_second_one_ends_the_process_all_the_same() {
    for second in [false, true] {
        let mut child = Child::start(&mut child("main swallows it"));
        child.expect("ready");
        child.interrupt();
        child.expect("never mind");
        if second {
            child.interrupt();
        }
        let ended = child.wait();
        if second {
            assert_eq!((&*ended.output, ended.signal()), ("", SIGINT));
        } else {
            assert_eq!(ended.output, "a value, and 0 requests open\n");
            assert!(ended.status.success());
        }
    }
}

#[test]
fn children_of_a_group_in_main_clean_up_and_wait_for_it() {
    let ended = interrupted("a group");
    assert_eq!(ended.output, "quick\nslow\nthe group has ended\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn a_shield_in_main_holds_it_up() {
    let ended = interrupted("a shield");
    assert_eq!(ended.output, "asked\nwritten\n");
    assert_eq!(ended.signal(), SIGINT);
}

#[test]
fn cleanups_of_the_other_tasks_may_wait_and_a_second_one_ends_them() {
    let ended = interrupted("others wait in their cleanup");
    let after_main = "cleaned up\nthe other cleans up\nthe other is clean\n";
    assert_eq!(ended.output, after_main);
    assert_eq!(ended.signal(), SIGINT);

    let mut child = Child::start(&mut child("others wait long in their cleanup"));
    child.expect("ready");
    child.interrupt();
    child.expect("cleaned up");
    child.expect("the other cleans up");
    child.interrupt();
    assert_eq!(child.wait().signal(), SIGINT);
}

#[test]
fn the_first_one_that_comes_after_main_has_returned_ends_a_closing_that_takes_long() {
    let mut child = Child::start(&mut child("closing takes long"));
    child.expect("the other cleans up");
    child.interrupt();
    let ended = child.wait();
    assert_eq!(ended.output, "");
    assert_eq!(ended.signal(), SIGINT);
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

mod sigterm {
    use super::*;

    const SIGTERM: Option<i32> = Some(15);

    fn terminated(scene: &str) -> Ended {
        let mut child = Child::start(&mut child(scene));
        child.expect("ready");
        child.terminate();
        child.wait()
    }

    #[test]
    fn cancels_main_by_option_and_the_process_ends_by_it() {
        for scene in ["sigterm", "sigterm by the attribute"] {
            let ended = terminated(scene);
            assert_eq!(ended.output, "cleaning up\nclean\n");
            assert_eq!(ended.signal(), SIGTERM);
        }
    }

    #[test]
    fn ends_the_process_at_once_without_the_option() {
        let ended = terminated("main waits in its cleanup");
        assert_eq!(ended.output, "");
        assert_eq!(ended.signal(), SIGTERM);
    }

    #[test]
    fn ends_the_process_at_once_the_second_time() {
        let mut child = Child::start(&mut child("sigterm takes long"));
        child.expect("ready");
        child.terminate();
        child.expect("cleaning up");
        child.terminate();
        let ended = child.wait();
        assert_eq!(ended.output, "");
        assert_eq!(ended.signal(), SIGTERM);
    }

    #[test]
    fn and_ctrl_c_are_two_signals() {
        let ended = interrupted("sigterm");
        assert_eq!(ended.output, "cleaning up\nclean\n");
        assert_eq!(ended.signal(), SIGINT);
    }

    #[test]
    fn is_told_by_the_runner() {
        let ended = terminated("sigterm and a runner");
        assert_eq!(
            ended.output,
            "cleaning up\nclean\ncancelled: true, interrupted by Some(15)\n"
        );
        assert!(ended.status.success());
    }

    /// A container's first process is ended by no signal, so its exit code tells.
    #[test]
    #[cfg(target_os = "linux")]
    fn ends_the_first_process_of_a_container_with_an_exit_code() {
        let program = env!("CARGO_BIN_EXE_asyncio-test-child");
        let unshare = |program: &str| {
            let mut unshare = std::process::Command::new("unshare");
            let flags = [
                "--user",
                "--map-root-user",
                "--pid",
                "--fork",
                "--kill-child",
            ];
            unshare.args(flags).arg(program);
            unshare
        };
        if !unshare("true")
            .status()
            .is_ok_and(|status| status.success())
        {
            return; // no namespaces here
        }
        let mut container = Child::start(unshare(program).arg("sigterm"));
        container.expect("ready");
        container.terminate_child();
        let ended = container.wait();
        assert_eq!(ended.output, "cleaning up\nclean\n");
        assert_eq!(ended.status.code(), Some(128 + 15));
    }
}
