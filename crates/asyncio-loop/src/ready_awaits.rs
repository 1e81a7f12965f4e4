//! Awaits that are ready at once: while a loop runs, `asyncio-sync` counts them for each step of a
//! task.
//!
//! `asyncio-sync` knows no loop and no steps. It calls a hook of the thread, which this module sets
//! while the loop runs.

use asyncio_sync::set_step_hook;

/// While it lives, an operation that need not wait yields after many others in the same step.
pub(crate) struct ReadyAwaitHook {
    before: Option<fn() -> Option<u64>>,
}

impl ReadyAwaitHook {
    pub(crate) fn install() -> Self {
        let before = set_step_hook(Some(asyncio_task::current_step));
        Self { before }
    }
}

impl Drop for ReadyAwaitHook {
    fn drop(&mut self) {
        set_step_hook(self.before);
    }
}
