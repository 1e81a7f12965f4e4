//! The end of a loop: its tasks are told to end and waited for, then everything goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use asyncio_task::{Cause, TaskRef, Unhandled};

use crate::event_loop::Core;

/// How often tasks that closing ones have spawned are cancelled and waited for in their turn.
const ROUNDS: usize = 3;

impl Core {
    /// `wait`: whether the loop can run here.
    pub(crate) fn close(&self, wait: bool) {
        if wait {
            for _ in 0..ROUNDS {
                self.cancel_all();
            }
        }
        for task in self.own_tasks() {
            let message = "a task was dropped when its event loop closed";
            self.tasks
                .report(&Unhandled::new(message, Some(&task), Cause::Message));
        }
        self.shared.closed.store(true, Ordering::Release);
        self.tasks.close();
        self.let_go(|| self.timers.close());
        self.let_go(|| self.reactor.close());
        // Letters that came in meanwhile; what their calls would spawn is refused.
        self.tasks.deliver();
        self.tasks.close();
    }

    /// Cancels all tasks and runs until they have ended.
    fn cancel_all(&self) {
        let tasks = self.own_tasks();
        for task in &tasks {
            // Not `cancel`: the end of main has let go of its handles, and a second request would cut the
            // cleanups that this began.
            task.cancel_once();
        }
        for task in tasks {
            while !task.is_finished() {
                self.stopping.set(false);
                self.run_once(|| false);
            }
        }
    }

    /// The tasks that are the loop's to end. Children end with their group, which tells them; those of a group
    /// that was leaked never do.
    fn own_tasks(&self) -> Vec<TaskRef> {
        let all = self.tasks.all().into_iter();
        all.filter(|task| !task.is_child()).collect()
    }

    /// Drops wakers of others. That one of them panics keeps nothing else from ending.
    fn let_go(&self, drop_them: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_them)) {
            self.waker_panicked(payload);
        }
    }
}
