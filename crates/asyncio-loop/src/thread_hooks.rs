//! The hooks of `asyncio-sync` for waits that other threads end. A wait holds virtual time. A task
//! that yields to the loop ends the turn, so that timers and sockets are checked.

use std::any::Any;

use asyncio_sync::{ThreadHooks, set_thread_hooks};

use crate::current;

/// Routes the hooks to the running loop while it lives.
pub(crate) struct ThreadHooksGuard {
    before: ThreadHooks,
}

impl ThreadHooksGuard {
    pub(crate) fn install() -> Self {
        let mut hooks = ThreadHooks::none();
        hooks.wait = hold_virtual_time;
        hooks.step_back = end_turn;
        Self {
            before: set_thread_hooks(hooks),
        }
    }
}

impl Drop for ThreadHooksGuard {
    fn drop(&mut self) {
        set_thread_hooks(self.before);
    }
}

fn hold_virtual_time() -> Option<Box<dyn Any + Send + Sync>> {
    let held = current::try_with(|core| {
        let is_virtual = core.timers.clock.is_virtual();
        is_virtual.then(|| core.handle().outside_work())
    });
    Some(Box::new(held.ok()??))
}

fn end_turn() {
    // Without a running loop there is no turn.
    let _ = current::try_with(|core| core.tasks.end_turn());
}
