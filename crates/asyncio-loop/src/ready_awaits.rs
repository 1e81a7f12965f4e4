//! Awaits that are ready at once: while a loop runs, `asyncio-sync` counts them for each step of a task.
//!
//! It knows no loop and no steps; it calls a hook of the thread, which is ours from here on until the loop has left.

use asyncio_sync::set_step_hook;

/// While this lives, an operation that need not wait steps back after many others in the same step.
pub(crate) struct Counted {
    before: Option<fn() -> Option<u64>>,
}

impl Counted {
    pub(crate) fn by_step() -> Self {
        let before = set_step_hook(Some(asyncio_task::current_step));
        Self { before }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        set_step_hook(self.before);
    }
}
