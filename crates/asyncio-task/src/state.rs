//! What a task is at: one word that only its owner's thread touches.
//!
//! ```text
//!           1 wake                 2 begin                 4 end           5 finish
//!  parked ─────────► scheduled ─────────────► running ───────────► ending ───────────► done
//!    ▲                  ▲                     │    │                                     │
//!    │      3 pause     │   1 wake (itself)   │    └── woken while running:              │ 6 take
//!    └──────────────────┼─────────────────────┤        scheduled already                 ▼
//!                       └─────────────────────┘                                        taken
//!
//!  7 seize, from parked or scheduled: running, but only to be ended, out of turn.
//!  8 cancel, at any time before done: notes the request and sees to it that the task gets a step.
//!  9 doom, while it runs: what could not seize it has it end when this poll is over.
//! ```
//!
//! Ending is the time in which the future is dropped. It counts as running, and nothing wakes the task
//! any more, for nobody would poll it.
//!
//! A loop may be run from within a poll. If the running task was woken meanwhile, that loop finds it in
//! the queue and cannot run it: its place in the queue is used up, which is noted, and the task gets
//! another when its poll is over.
//!
//! A request to cancel ends the task at its next step, its future dropped unpolled, except that
//! - a task that was woken before the request came is polled once more, and a value that this poll
//!   returns wins (first come, first served);
//! - a task that has not begun never begins;
//! - a request made while the task runs takes effect when that poll returns `Pending`.

use crate::sync::Cell;

const SCHEDULED: u16 = 1 << 0;
const STARTED: u16 = 1 << 1;
const RUNNING: u16 = 1 << 2;
const DONE: u16 = 1 << 3;
/// The outcome is a value, and it is in the cell.
const VALUE: u16 = 1 << 4;
/// The outcome is a panic, and its payload is aside.
const PANICKED: u16 = 1 << 5;
/// The outcome has been handed out.
const TAKEN: u16 = 1 << 6;
/// A `Task<T>` or a supervisor will take the outcome.
const AWAITED: u16 = 1 << 7;
/// A request to cancel is open.
const CANCEL: u16 = 1 << 8;
/// It came when the task was woken already: one poll more.
const LAST_CHANCE: u16 = 1 << 9;
/// Not a task for the eyes of users, but a callback that runs in a task's cell.
const CALLBACK: u16 = 1 << 10;
/// Its future is being dropped.
const ENDING: u16 = 1 << 11;
/// Its place in the queue came up while it ran.
const MISSED: u16 = 1 << 12;
/// What schedules it is being cloned, and must not be dropped meanwhile.
const HELD: u16 = 1 << 13;
/// A cancel scope inside of it has passed a request on: it unwinds as a whole.
const UNWINDS: u16 = 1 << 14;
/// It is to end without further ado.
const DOOMED: u16 = 1 << 15;

/// See the head of this file.
pub(crate) struct State(Cell<u16>);

/// What to do with a task whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    Poll,
    /// Drop the future unpolled.
    Cancel,
    /// It is done; only its place in the queue was left.
    Nothing,
    /// It runs at this moment, further up the stack: its turn comes after that.
    Later,
}

/// What to do with a task whose poll returned `Pending`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    Park,
    /// Queue it: it was woken, and the place that it had is used up.
    Again,
    /// Drop the future: a request came meanwhile.
    Cancel,
}

/// What came of a request to cancel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CancelRequest {
    /// Too late.
    Done,
    /// The task will see it without further help.
    Noted,
    /// The task has to be woken to see it.
    Wake,
}

/// How a task ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Value,
    Panicked,
    Cancelled,
}

/// For people who look at a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits to be woken.
    Waiting,
    /// It is in a ready queue.
    Ready,
    /// It is being polled.
    Running,
    /// A request to cancel it is on its way.
    Cancelling,
    /// It returned a value.
    Finished,
    /// It was cancelled.
    Cancelled,
    /// It panicked.
    Panicked,
}

impl State {
    pub(crate) fn new(callback: bool) -> Self {
        Self(Cell::new(AWAITED | if callback { CALLBACK } else { 0 }))
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.0.get() & flag != 0
    }

    /// 1: the task is woken. Whether it has to be queued.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        let s = self.0.get();
        if s & (SCHEDULED | ENDING | DONE) != 0 {
            return false;
        }
        self.0.set(s | SCHEDULED);
        true
    }

    /// 2: the task has come to the head of its queue.
    #[inline]
    pub(crate) fn begin(&self) -> Begin {
        let s = self.0.get() & !SCHEDULED;
        if s & (DONE | CANCEL | UNWINDS | RUNNING) == 0 {
            self.0.set(s | RUNNING | STARTED);
            return Begin::Poll;
        }
        self.begin_otherwise(s)
    }

    #[cold]
    fn begin_otherwise(&self, s: u16) -> Begin {
        if s & RUNNING != 0 {
            self.0.set(s | SCHEDULED | MISSED);
            return Begin::Later;
        }
        if s & DONE != 0 {
            self.0.set(s);
            return Begin::Nothing;
        }
        if s & LAST_CHANCE != 0 {
            self.0.set((s | RUNNING) & !LAST_CHANCE);
            return Begin::Poll;
        }
        self.0.set(s | RUNNING);
        Begin::Cancel
    }

    /// 3: its poll returned `Pending`.
    #[inline]
    pub(crate) fn pause(&self) -> Pause {
        let s = self.0.get();
        if s & (CANCEL | UNWINDS | MISSED) == 0 {
            self.0.set(s & !RUNNING);
            return Pause::Park;
        }
        self.pause_otherwise(s)
    }

    #[cold]
    fn pause_otherwise(&self, s: u16) -> Pause {
        if s & UNWINDS != 0 || s & (CANCEL | LAST_CHANCE) == CANCEL {
            return Pause::Cancel;
        }
        self.park()
    }

    /// 3, for a task whose request goes on elsewhere: in a cleanup, say.
    pub(crate) fn park(&self) -> Pause {
        let s = self.0.get();
        self.0.set(s & !(RUNNING | MISSED));
        if s & MISSED != 0 {
            Pause::Again
        } else {
            Pause::Park
        }
    }

    /// 4: the future is about to be dropped, and nothing wakes the task from here on.
    #[inline]
    pub(crate) fn end(&self) {
        self.0.set(self.0.get() | ENDING);
    }

    /// 5: it is over. Whether its place in a queue is left behind.
    #[inline]
    pub(crate) fn finish(&self, outcome: Outcome) -> bool {
        let flag = match outcome {
            Outcome::Value => VALUE,
            Outcome::Panicked => PANICKED,
            Outcome::Cancelled => 0,
        };
        let s = self.0.get();
        self.0.set(
            s & !(RUNNING | ENDING | MISSED | CANCEL | LAST_CHANCE | UNWINDS | DOOMED)
                | DONE
                | flag,
        );
        s & (SCHEDULED | MISSED) == SCHEDULED
    }

    /// 6: somebody takes the outcome, once.
    #[inline]
    pub(crate) fn take(&self) -> Option<Outcome> {
        let s = self.0.get();
        if s & (DONE | TAKEN) != DONE {
            return None;
        }
        self.0.set(s | TAKEN);
        Some(if s & VALUE != 0 {
            Outcome::Value
        } else if s & PANICKED != 0 {
            Outcome::Panicked
        } else {
            Outcome::Cancelled
        })
    }

    /// 7: the owner is about to end a task out of turn. Whether it may: not one that runs or is done.
    pub(crate) fn seize(&self) -> bool {
        let s = self.0.get();
        if s & (DONE | RUNNING) != 0 {
            return false;
        }
        self.0.set(s | RUNNING);
        true
    }

    /// 8: somebody asks the task to end. `woken`: a letter that wakes it is on its way.
    pub(crate) fn cancel(&self, woken: bool) -> CancelRequest {
        let s = self.0.get();
        if s & DONE != 0 {
            return CancelRequest::Done;
        }
        let mut t = s | CANCEL;
        // A task that was woken only to hear of an earlier request has nothing on its way.
        if s & (CANCEL | STARTED) == STARTED && (woken || s & SCHEDULED != 0) {
            t |= LAST_CHANCE;
        }
        self.0.set(t);
        if s & (SCHEDULED | RUNNING) == 0 {
            CancelRequest::Wake
        } else {
            CancelRequest::Noted
        }
    }

    /// 9: the task is to end, and cannot be seized because it runs: it ends if this poll returns `Pending`.
    pub(crate) fn doom(&self) {
        let s = self.0.get();
        if s & DONE == 0 {
            self.0.set((s | CANCEL | DOOMED) & !LAST_CHANCE);
        }
    }

    /// Whether it ends without regard to scopes: it is doomed, or has never begun.
    pub(crate) fn ends_at_once(&self) -> bool {
        self.has(DOOMED) || !self.has(STARTED)
    }

    /// The request has been answered.
    pub(crate) fn answer(&self) {
        self.0.set(self.0.get() & !(CANCEL | LAST_CHANCE));
    }

    /// A scope inside has passed a request on to the task.
    pub(crate) fn unwind(&self) {
        self.0.set(self.0.get() | UNWINDS);
    }

    pub(crate) fn is_cancelling(&self) -> bool {
        self.has(CANCEL)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.has(RUNNING)
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.has(SCHEDULED)
    }

    /// What schedules the task is about to be cloned, by code that may end the task.
    pub(crate) fn hold_schedule(&self) {
        self.0.set(self.0.get() | HELD);
    }

    /// The clone is made.
    pub(crate) fn release_schedule(&self) {
        self.0.set(self.0.get() & !HELD);
    }

    /// Whether what schedules the task must not be dropped now.
    #[inline]
    pub(crate) fn is_schedule_held(&self) -> bool {
        self.has(HELD)
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.has(DONE)
    }

    /// Whether it ended with a value that nobody has taken.
    pub(crate) fn has_value(&self) -> bool {
        self.0.get() & (DONE | VALUE | TAKEN) == DONE | VALUE
    }

    /// Whether it ended with a panic.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has(PANICKED)
    }

    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        self.has(TAKEN)
    }

    /// Nobody will take the outcome any more.
    #[inline]
    pub(crate) fn abandon(&self) {
        self.0.set(self.0.get() & !AWAITED);
    }

    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.has(AWAITED)
    }

    /// Touches the word, as freeing the cell does, for the model checker to see.
    #[cfg(all(test, loom))]
    pub(crate) fn touch(&self) {
        self.0.set(self.0.get());
    }

    pub(crate) fn is_callback(&self) -> bool {
        self.has(CALLBACK)
    }

    pub(crate) fn shown(&self) -> TaskState {
        let s = self.0.get();
        if s & DONE != 0 {
            return if s & VALUE != 0 {
                TaskState::Finished
            } else if s & PANICKED != 0 {
                TaskState::Panicked
            } else {
                TaskState::Cancelled
            };
        }
        if s & CANCEL != 0 {
            TaskState::Cancelling
        } else if s & RUNNING != 0 {
            TaskState::Running
        } else if s & SCHEDULED != 0 {
            TaskState::Ready
        } else {
            TaskState::Waiting
        }
    }
}
