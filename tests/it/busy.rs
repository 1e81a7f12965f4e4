//! A busy loop asks the operating system for nothing.

use asyncio_tests::Child;

use crate::process::child;

/// The kernel ends the child (`SECCOMP_MODE_STRICT`) at its first system call other than `read` and
/// `write`, so what it says after 20,000 rounds of yields, spawns and joins was said without any: no
/// wait, no look, no memory, no signal to itself. The last line is missing because sleeping does make a
/// call: the trap was set.
///
/// The child is on virtual time, since that mode forbids to read the processor's clock. On real time the
/// loop reads it once a turn, which is no system call where the kernel offers it (vDSO), and asks the
/// reactor only if it has sources, every 50 µs at most: a unit test of `run_once.rs` counts that.
#[test]
fn tasks_that_only_wake_each_other_make_no_system_call() {
    let ended = Child::start(&mut child("makes no system call")).wait();
    assert_eq!(ended.output, "no system call was made\n");
    assert_eq!(ended.signal(), Some(9));
}
