//! Tasks that deal with threads through a queue of `asyncio-sync`: a wait holds virtual time, and a task that
//! steps back ends the turn, so that timers and sockets are looked at.

use std::any::Any;

use asyncio_sync::{ThreadHooks, set_thread_hooks};

use crate::current;

/// While this lives, the loop that runs on this thread hears of such tasks.
pub(crate) struct Hooked {
    before: ThreadHooks,
}

impl Hooked {
    pub(crate) fn to_this_loop() -> Self {
        let mut hooks = ThreadHooks::none();
        hooks.wait = hold_virtual_time;
        hooks.step_back = end_turn;
        Self {
            before: set_thread_hooks(hooks),
        }
    }
}

impl Drop for Hooked {
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
    // Without a loop here there is no turn.
    let _ = current::try_with(|core| core.turn_is_over.set(true));
}
