//! The state of a task: one word that only its owner's thread touches.
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
//!  9 doom, while it runs: it cannot be seized now, so it ends when this poll is over.
//! ```
//!
//! Ending is the time in which the future is dropped. It counts as running, and nothing wakes the task
//! any more, for nothing would poll it.
//!
//! A loop may be run from within a poll. If the running task was woken meanwhile, that loop finds it in the queue and
//! cannot run it. Its place in the queue is used up, which is noted, and the task gets another when its poll is over.
//!
//! A request to cancel ends the task at its next step, its future dropped unpolled, except that
//! - a task that was woken before the request is polled once more, unless nothing can take a value ([`LastPoll`]). A
//!   value of this poll wins (first come, first served);
//! - a task that has not begun never begins;
//! - a request made while the task runs takes effect when that poll returns `Pending`.

use crate::sync::Cell;

const SCHEDULED: u16 = 1 << 0;
const STARTED: u16 = 1 << 1;
const RUNNING: u16 = 1 << 2;
const DONE: u16 = 1 << 3;
/// The outcome is a value, and it is in the cell.
const VALUE: u16 = 1 << 4;
/// The outcome is a panic, and its payload is in the extra fields.
const PANICKED: u16 = 1 << 5;
/// The outcome has been handed out.
const TAKEN: u16 = 1 << 6;
/// A `Task<T>` or a supervisor will take the outcome.
const AWAITED: u16 = 1 << 7;
/// A request to cancel is open.
const CANCEL: u16 = 1 << 8;
/// It came when the task was woken already: one poll more.
const LAST_CHANCE: u16 = 1 << 9;
/// An awaited task has ended with a value since its last step began (`handover.rs`).
const EXPECTS: u16 = 1 << 10;
/// Its future is being dropped.
const ENDING: u16 = 1 << 11;
/// Its place in the queue came up while it ran.
const MISSED: u16 = 1 << 12;
/// Its scheduler is being cloned, and must not be dropped meanwhile.
const HELD: u16 = 1 << 13;
/// A cancel scope inside of it has passed a request on: it propagates that as a whole.
const PROPAGATES: u16 = 1 << 14;
/// It is to end without further ado.
const DOOMED: u16 = 1 << 15;

/// The state of one task: the word that the flags above are bits of.
pub(crate) struct State(Cell<u16>);

/// The action for a task whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    Poll,
    /// Drop the future unpolled.
    Cancel,
    /// It is done; only its place in the queue was left.
    AlreadyDone,
    /// It runs at this moment, further up the stack: its turn comes after that.
    AlreadyRunning,
}

/// The action for a task whose poll returned `Pending`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pause {
    Park,
    /// Queue it: it was woken, and the place that it had is used up.
    Again,
    /// Drop the future: a request came meanwhile.
    Cancel,
}

/// Whether a request to cancel leaves one more poll to a task that was woken before it, whose value then counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastPoll {
    /// Allowed: the value has a taker.
    Allowed,
    /// Allowed if the handle of the task is held, so that the value may have a taker.
    IfHeld,
    /// Allowed if the task is awaited at this moment.
    IfAwaited,
    /// Refused to the task itself. A task that it awaits keeps its last poll, and the value goes to the awaiting task.
    OfAwaited,
    /// Refused: nothing can take a value. The task is dropped where it waits, and an item on its way to the task goes
    /// to the next in line.
    Refused,
}

/// The effect of a request to cancel.
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
    pub(super) fn new() -> Self {
        Self(Cell::new(AWAITED))
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.0.get() & flag != 0
    }

    /// 1: the task is woken. Whether it has to be queued.
    #[inline]
    pub(super) fn wake(&self) -> bool {
        let s = self.0.get();
        if s & (SCHEDULED | ENDING | DONE) != 0 {
            return false;
        }
        self.0.set(s | SCHEDULED);
        true
    }

    /// 2: the task has come to the head of its queue.
    #[inline]
    pub(super) fn begin(&self) -> Begin {
        let s = self.0.get() & !SCHEDULED;
        if s & (DONE | CANCEL | PROPAGATES | RUNNING | EXPECTS) == 0 {
            self.0.set(s | RUNNING | STARTED);
            return Begin::Poll;
        }
        self.begin_otherwise(s)
    }

    /// 2, out of turn: the task keeps the place that it has in its queue.
    pub(super) fn begin_out_of_turn(&self) -> Begin {
        let s = self.0.get();
        if s & RUNNING != 0 {
            return Begin::AlreadyRunning; // that place is its turn
        }
        let begin = self.begin();
        self.0.set(self.0.get() | s & SCHEDULED);
        begin
    }

    #[cold]
    fn begin_otherwise(&self, s: u16) -> Begin {
        if s & EXPECTS != 0 {
            self.0.set(self.0.get() & !EXPECTS); // it takes the value now
            return self.begin();
        }
        if s & RUNNING != 0 {
            self.0.set(s | SCHEDULED | MISSED);
            return Begin::AlreadyRunning;
        }
        if s & DONE != 0 {
            self.0.set(s);
            return Begin::AlreadyDone;
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
    pub(super) fn pause(&self) -> Pause {
        let s = self.0.get();
        if s & (CANCEL | PROPAGATES | MISSED) == 0 {
            self.0.set(s & !RUNNING);
            return Pause::Park;
        }
        self.pause_otherwise(s)
    }

    #[cold]
    fn pause_otherwise(&self, s: u16) -> Pause {
        if s & PROPAGATES != 0 || s & (CANCEL | LAST_CHANCE) == CANCEL {
            return Pause::Cancel;
        }
        self.park()
    }

    /// 3, for a task whose request goes on elsewhere: in a cleanup, say.
    pub(super) fn park(&self) -> Pause {
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
    pub(super) fn begin_drop(&self) {
        self.0.set(self.0.get() | ENDING);
    }

    /// 5: it is over. Whether its place in a queue is left behind.
    #[inline]
    pub(super) fn finish(&self, outcome: Outcome) -> bool {
        let flag = match outcome {
            Outcome::Value => VALUE,
            Outcome::Panicked => PANICKED,
            Outcome::Cancelled => 0,
        };
        let s = self.0.get();
        self.0.set(
            s & !(RUNNING | ENDING | MISSED | CANCEL | LAST_CHANCE | PROPAGATES | DOOMED)
                | DONE
                | flag,
        );
        s & (SCHEDULED | MISSED) == SCHEDULED
    }

    /// 6: the outcome is taken, once.
    #[inline]
    pub(super) fn take(&self) -> Option<Outcome> {
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
    pub(super) fn seize(&self) -> bool {
        let s = self.0.get();
        if s & (DONE | RUNNING) != 0 {
            return false;
        }
        self.0.set(s | RUNNING);
        true
    }

    /// 8: a request to cancel. `woken`: a message that wakes the task is on its way. `scoped`: the task may be in a
    /// cleanup, which a second request interrupts as the first interrupted the work.
    pub(crate) fn cancel(&self, woken: bool, scoped: bool) -> CancelRequest {
        let s = self.0.get();
        if s & DONE != 0 {
            return CancelRequest::Done;
        }
        let mut t = s | CANCEL;
        let first = s & CANCEL == 0 || scoped && s & DOOMED == 0;
        if first && s & STARTED != 0 && (woken || s & SCHEDULED != 0) {
            t |= LAST_CHANCE;
        }
        self.0.set(t);
        if s & (SCHEDULED | RUNNING) == 0 {
            CancelRequest::Wake
        } else {
            CancelRequest::Noted
        }
    }

    /// 8, for a request that leaves no last poll: takes back what an earlier one left as well.
    pub(crate) fn refuse_last_poll(&self) {
        self.0.set(self.0.get() & !LAST_CHANCE);
    }

    /// 8, for a request that has come before this poll is over, which is to take effect after the next.
    #[cold]
    pub(crate) fn put_off(&self) {
        let s = self.0.get();
        if s & (CANCEL | RUNNING | PROPAGATES | DOOMED | DONE) == CANCEL | RUNNING {
            self.0.set(s | LAST_CHANCE);
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
        let s = self.0.get();
        if s & DOOMED == 0 {
            self.0.set(s & !(CANCEL | LAST_CHANCE));
        }
    }

    /// A request that was held up inside has come back to the task.
    pub(crate) fn ask_again(&self) {
        self.0.set(self.0.get() | CANCEL);
    }

    /// A scope inside has passed a request on to the task.
    pub(crate) fn propagate(&self) {
        self.0.set(self.0.get() | PROPAGATES);
    }

    /// A task that it awaits has ended with a value, which it takes in its next step.
    #[inline]
    pub(crate) fn expect(&self) {
        self.0.set(self.0.get() | EXPECTS);
    }

    /// Whether a value is on its way to it.
    pub(crate) fn expects(&self) -> bool {
        self.has(EXPECTS)
    }

    /// Whether it has not begun, though nothing has asked it to end.
    #[inline]
    pub(crate) fn waits_for_its_first_step(&self) -> bool {
        self.0.get() & (STARTED | RUNNING | DONE | CANCEL) == 0
    }

    pub(crate) fn is_cancelling(&self) -> bool {
        self.has(CANCEL)
    }

    /// Whether it is polled once more before it is cancelled.
    pub(crate) fn has_last_chance(&self) -> bool {
        self.has(LAST_CHANCE)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.has(RUNNING)
    }

    pub(crate) fn is_scheduled(&self) -> bool {
        self.has(SCHEDULED)
    }

    /// Marks the scheduler of the task as being cloned, by code that may end the task.
    pub(super) fn hold_schedule(&self) {
        self.0.set(self.0.get() | HELD);
    }

    /// The clone is made.
    pub(super) fn release_schedule(&self) {
        self.0.set(self.0.get() & !HELD);
    }

    /// Whether what schedules the task must not be dropped now.
    #[inline]
    pub(super) fn is_schedule_held(&self) -> bool {
        self.has(HELD)
    }

    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.has(DONE)
    }

    /// Whether it ended with a value that nothing has taken.
    #[inline]
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

    /// Nothing will take the outcome any more.
    #[inline]
    pub(super) fn abandon(&self) {
        self.0.set(self.0.get() & !AWAITED);
    }

    /// The same, for a handle that is given up: no poll is left to a task that has been asked to end.
    #[inline]
    pub(super) fn forget_handle(&self) {
        self.0.set(self.0.get() & !(AWAITED | LAST_CHANCE));
    }

    #[inline]
    pub(crate) fn is_awaited(&self) -> bool {
        self.has(AWAITED)
    }

    /// Touches the word, as freeing the cell does, for the model checker to see.
    #[cfg(all(test, loom))]
    pub(super) fn touch(&self) {
        self.0.set(self.0.get());
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const OUTCOMES: [Outcome; 3] = [Outcome::Value, Outcome::Panicked, Outcome::Cancelled];

    fn parked() -> State {
        let state = scheduled();
        assert_eq!(state.begin(), Begin::Poll);
        assert_eq!(state.pause(), Pause::Park);
        state
    }

    fn scheduled() -> State {
        let state = State::new();
        assert!(state.wake());
        state
    }

    fn running() -> State {
        let state = scheduled();
        assert_eq!(state.begin(), Begin::Poll);
        state
    }

    fn done(outcome: Outcome) -> State {
        let state = running();
        state.begin_drop();
        assert!(!state.finish(outcome));
        state
    }

    #[test]
    fn wake_1_queues_a_parked_or_running_task_once_and_none_that_ends() {
        let state = parked();
        assert!(state.wake());
        assert!(!state.wake());
        let state = running();
        assert!(state.wake());
        assert!(!state.wake());
        let state = running();
        state.begin_drop();
        assert!(!state.wake());
        assert!(OUTCOMES.iter().all(|outcome| !done(*outcome).wake()));
    }

    #[test]
    fn begin_2_polls_or_drops_or_leaves_the_task_alone() {
        assert_eq!(scheduled().begin(), Begin::Poll);
        assert_eq!(running().shown(), TaskState::Running);

        let never_begun = scheduled();
        never_begun.cancel(false, false);
        assert_eq!(never_begun.begin(), Begin::Cancel);

        let asked_while_it_waited = parked();
        asked_while_it_waited.cancel(false, false);
        assert!(asked_while_it_waited.wake());
        assert_eq!(asked_while_it_waited.begin(), Begin::Cancel);

        let ended_while_queued = running();
        ended_while_queued.wake();
        ended_while_queued.begin_drop();
        assert!(
            ended_while_queued.finish(Outcome::Value),
            "its place is left"
        );
        assert_eq!(ended_while_queued.begin(), Begin::AlreadyDone);
        assert!(!ended_while_queued.wake());
    }

    #[test]
    fn begin_2_passes_over_a_running_task_and_pause_3_queues_it_again() {
        let state = running();
        state.wake();
        assert_eq!(state.begin(), Begin::AlreadyRunning);
        assert!(!state.wake(), "it is to be queued, by pause");
        assert_eq!(state.pause(), Pause::Again);
        assert_eq!(state.shown(), TaskState::Ready);
        assert_eq!(state.begin(), Begin::Poll);
        assert_eq!(state.pause(), Pause::Park, "once");

        let ends_instead = running();
        ends_instead.wake();
        ends_instead.begin();
        ends_instead.begin_drop();
        assert!(!ends_instead.finish(Outcome::Value), "its place is used up");
    }

    #[test]
    fn pause_3_parks_or_stays_scheduled_or_ends() {
        assert_eq!(parked().shown(), TaskState::Waiting);
        let woke_itself = running();
        woke_itself.wake();
        assert_eq!(woke_itself.pause(), Pause::Park);
        assert_eq!(woke_itself.shown(), TaskState::Ready);
        assert_eq!(woke_itself.begin(), Begin::Poll);

        let cancelled_itself = running();
        cancelled_itself.cancel(false, false);
        cancelled_itself.wake();
        assert_eq!(cancelled_itself.pause(), Pause::Cancel);
    }

    #[test]
    fn finish_5_keeps_the_outcome_and_forgets_the_request() {
        for (outcome, shown) in OUTCOMES.into_iter().zip([
            TaskState::Finished,
            TaskState::Panicked,
            TaskState::Cancelled,
        ]) {
            let state = running();
            state.cancel(false, false);
            state.begin_drop();
            state.finish(outcome);
            assert!(state.is_done());
            assert_eq!(state.shown(), shown);
            assert_eq!(state.cancel(false, false), CancelRequest::Done);
        }
    }

    #[test]
    fn take_6_gives_the_outcome_once_when_there_is_one() {
        assert_eq!(running().take(), None);
        for outcome in OUTCOMES {
            let state = done(outcome);
            assert!(!state.is_taken());
            assert_eq!(state.take(), Some(outcome));
            assert!(state.is_taken());
            assert_eq!(state.take(), None);
        }
    }

    #[test]
    fn seize_7_takes_what_does_not_run_and_is_not_done() {
        for state in [State::new(), scheduled(), parked()] {
            assert!(state.seize());
            assert!(!state.seize());
            assert_eq!(state.shown(), TaskState::Running);
        }
        assert!(!running().seize());
        assert!(!done(Outcome::Value).seize());
    }

    #[test]
    fn cancel_8_tells_whether_the_task_has_to_be_woken() {
        assert_eq!(State::new().cancel(false, false), CancelRequest::Wake);
        assert_eq!(parked().cancel(false, false), CancelRequest::Wake);
        assert_eq!(scheduled().cancel(false, false), CancelRequest::Noted);
        assert_eq!(running().cancel(false, false), CancelRequest::Noted);
        assert_eq!(parked().cancel(true, false), CancelRequest::Wake);
        assert_eq!(
            done(Outcome::Value).cancel(true, false),
            CancelRequest::Done
        );
    }

    #[test]
    fn cancel_8_leaves_one_poll_to_a_task_that_was_woken_before() {
        let woken_here = parked();
        woken_here.wake();
        woken_here.cancel(false, false);
        let woken_by_mail = parked();
        woken_by_mail.cancel(true, false);
        woken_by_mail.wake();
        let woke_itself = running();
        woke_itself.wake();
        woke_itself.cancel(false, false);
        assert_eq!(woke_itself.pause(), Pause::Park);
        for state in [woken_here, woken_by_mail, woke_itself] {
            state.cancel(true, false); // a second request changes nothing
            assert_eq!(state.begin(), Begin::Poll);
            state.wake();
            state.cancel(true, false);
            assert_eq!(state.pause(), Pause::Cancel);
        }
    }

    #[test]
    fn cancel_8_leaves_one_poll_to_a_cleanup_that_was_woken_before_a_second_request() {
        let asked_twice = |scoped, ends: bool| {
            let state = running();
            state.cancel(false, false);
            if ends {
                state.doom();
            }
            state.wake();
            state.cancel(false, scoped);
            state.has_last_chance()
        };
        assert!(asked_twice(true, false));
        assert!(!asked_twice(false, false), "it is the same request");
        assert!(!asked_twice(true, true), "it ends at once");
    }

    #[test]
    fn cancel_8_leaves_no_poll_where_nobody_can_take_a_value() {
        let refused = parked();
        refused.wake();
        refused.cancel(false, false);
        refused.refuse_last_poll();
        let abandoned = parked();
        abandoned.wake();
        abandoned.cancel(false, false);
        abandoned.forget_handle();
        for state in [refused, abandoned] {
            assert_eq!(state.begin(), Begin::Cancel);
        }
    }

    #[test]
    fn a_fact_that_is_noted_again_stays() {
        let state = parked();
        state.wake();
        state.begin();
        assert!(!state.ends_at_once(), "it has begun");
        let twice = |note: &dyn Fn(&State)| (0..2).for_each(|_| note(&state));
        twice(&|state| {
            state.cancel(false, false);
        });
        assert!(state.is_cancelling());
        twice(&State::ask_again);
        assert!(state.is_cancelling());
        twice(&State::put_off);
        assert!(state.has_last_chance());
        twice(&State::expect);
        assert!(state.expects());
        twice(&State::hold_schedule);
        assert!(state.is_schedule_held());
        twice(&State::doom);
        assert!(state.ends_at_once() && state.is_cancelling());
        let propagates = running();
        (0..2).for_each(|_| propagates.propagate());
        assert_eq!(propagates.pause(), Pause::Cancel);
    }

    #[test]
    fn begin_2_passes_over_a_running_task_as_often_as_it_likes() {
        let state = running();
        state.wake();
        assert_eq!([(); 2].map(|()| state.begin()), [Begin::AlreadyRunning; 2]);
        assert_eq!(state.pause(), Pause::Again);
    }

    #[test]
    fn doom_9_ends_a_running_task_after_its_poll_even_if_it_was_woken() {
        let state = running();
        state.wake();
        state.cancel(false, false);
        state.doom();
        assert_eq!(state.pause(), Pause::Cancel);
        let over = done(Outcome::Value);
        over.doom();
        assert_eq!(over.take(), Some(Outcome::Value));
    }
}
