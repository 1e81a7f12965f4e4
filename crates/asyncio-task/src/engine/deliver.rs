//! The delivery of messages from other threads: wake-ups, ends of tasks, and calls.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use crate::cell::cell_ref::{LocalRef, Message};
use crate::engine::current;
use crate::engine::local::Local;
use crate::engine::unhandled::{Cause, Unhandled};
use crate::handle::panic_payload::PanicPayload;

impl Local {
    /// Whether other threads have sent anything that was not delivered. One relaxed load.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.lease.has_messages() || !self.messages.borrow().is_empty()
    }

    /// Takes in no more than `limit` messages. Those that are left come next, before later ones. `call_soon` makes a
    /// callback of a call.
    pub(crate) fn deliver(
        &self,
        limit: usize,
        call_soon: impl Fn(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    ) {
        if self.messages.borrow().is_empty() {
            let mut messages = Vec::from(self.messages.take());
            self.lease.take(&mut messages);
            self.messages.replace(messages.into());
        }
        for _ in 0..limit {
            let message = self.messages.borrow_mut().pop_front();
            match message {
                None => break,
                Some(Message::Wake(task)) => {
                    if let Some(cell) = task.arrive(&self.lease) {
                        self.wake_guarded(&cell);
                    }
                }
                Some(Message::End(task)) => {
                    if let Some(cell) = task.into_local(&self.lease) {
                        self.end(&cell);
                    }
                }
                Some(Message::Call(call, location)) => call_soon(call, location),
            }
        }
        const LARGE: usize = 1 << 12;
        let messages = &mut *self.messages.borrow_mut();
        if messages.is_empty() && messages.capacity() > LARGE {
            *messages = VecDeque::new();
        }
    }

    /// Wakes a task, and does not unwind: the messages that are left would be lost.
    fn wake_guarded(&self, cell: &LocalRef) {
        if cell.is_local() {
            return self.wake(cell);
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.wake(cell))) {
            let cause = Cause::Panic(PanicPayload::new(payload));
            let message = "the schedule of a task panicked";
            self.report_and_drop(cell, Unhandled::of_task(message, cell, cause));
        }
    }
}

/// Ends a task whose step nothing will run.
pub(crate) fn end_unscheduled(cell: &LocalRef) {
    current::of(cell, |tasks| match tasks {
        Some(tasks) => tasks.end(cell),
        // Its loop does not run here and now, or is gone, and then the task has ended.
        None => {
            cell.state.doom();
            cell.post_end();
        }
    });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Tasks;

    /// The places of the queue of messages after so many calls.
    fn places_after(calls: usize) -> usize {
        let tasks = Tasks::new(|| ());
        let remote = tasks.remote();
        assert!((0..calls).all(|_| remote.call(|| ()).is_ok()));
        tasks.enter(&(), || {
            tasks.deliver();
            while tasks.run_one() {}
            current::tasks(|tasks| tasks.map(|tasks| tasks.messages.borrow().capacity()))
                .expect("the tasks are entered")
        })
    }

    #[test]
    fn a_flood_of_messages_leaves_no_memory_behind_and_a_few_leave_theirs() {
        assert!((10..100).contains(&places_after(10)));
        assert_eq!(places_after(10_000), 0);
    }
}
