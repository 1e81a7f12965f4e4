//! The processes that are left of a group when its leader has ended.

use std::mem;
use std::time::Duration;

use asyncio_loop::try_running_loop;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::pauses::Pauses;

/// The longest pause between two looks for processes of the group.
const MAX_PAUSE: Duration = Duration::from_millis(20);

/// A process group. Its number is its own while it has a process, also one that is not reaped.
///
/// When the last process has ended, the system may give the number to another group. That takes as many new processes
/// as there are numbers, between two looks.
pub(super) struct Group {
    number: Pid,
}

impl Group {
    pub(super) fn new(leader: Pid) -> Self {
        Group { number: leader }
    }

    pub(super) fn kill(&self, signal: Signal) -> rustix::io::Result<()> {
        kill_process_group(self.number, signal)
    }

    /// Waits until no process is left. If it is dropped before, it kills them.
    pub(super) async fn wait_or_kill(self) {
        // Virtual time does not jump from one look to the next.
        let _outside = try_running_loop().map(|here| here.outside_work());
        let group = KillOnDrop(self.number);
        let mut pauses = Pauses::up_to(MAX_PAUSE);
        while test_kill_process_group(self.number) != Err(Errno::SRCH) {
            pauses.pause().await;
        }
        // Its number may be another group's by now.
        mem::forget(group);
    }
}

struct KillOnDrop(Pid);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Without a process there is nothing to kill.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}
