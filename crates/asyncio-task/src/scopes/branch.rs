//! A branch: a future that is polled in place beside others of one task, and can be ended apart from them.
//!
//! It is a [`Scope`](crate::Scope) that enters the tree only when a scope opens inside of it. A branch without any has
//! nothing that could hear of a request, so dropping it is how it ends. Its polls cost a note beside the tree.
//!
//! A [`Listener`] around the branches hears the requests from outside, and its owner ends each branch by
//! its handle.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::{HeardRequest, Isolation, Origin, Removal, Task as _};
use crate::engine::current;
use crate::engine::local::Local;
use crate::scopes::listener::Listener;
use crate::scopes::loop_scopes::LoopScopes;
use crate::scopes::scope::ScopeHandle;
use crate::scopes::scope_state::{Frame, Interrupted, PollStep, ScopeState, Stage};

pin_project! {
    /// A future of several that are polled in place, as a scope of its own. See the head of its file.
    ///
    /// # Panics
    ///
    /// When it is polled outside of any task.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Branch<F> {
        state: ScopeState,
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Branch<F> {
        fn drop(this: Pin<&mut Self>) {
            // Only a look, which costs no call: most have none.
            if this.state.key.is_some() {
                this.drop_scoped();
            }
        }
    }
}

/// How a [`Branch`] ended. Its future has been dropped.
#[derive(Debug)]
pub enum BranchEnd<T> {
    /// It returned a value.
    Returned {
        /// The value.
        value: T,
        /// It was asked to end, and has not swallowed that.
        is_asked: bool,
    },
    /// It was cancelled.
    Interrupted(Interrupted),
}

impl<F> Branch<F> {
    /// Drops the future of a branch that has a scope.
    #[cold]
    #[inline(never)]
    fn drop_scoped(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Some(key) = this.state.key.take() {
            crate::scopes::drop_scope(key, this.state.is_polling, || this.future.set(None));
        }
    }
}

const OUTSIDE: &str =
    "this is polled by a task: spawn the code that contains it, or run it as main";

impl<F: Future> Branch<F> {
    /// A branch that has not begun.
    pub fn new(future: F) -> Self {
        let mut state = ScopeState::new();
        state.stage = Stage::Polled; // an end is reported in the same poll
        Self {
            state,
            future: Some(future),
        }
    }

    /// Whether its future has gone.
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.future.is_none()
    }

    /// Its handle, if scopes have opened inside of it. Otherwise nothing in it can hear of a request: drop it.
    pub fn handle(&self) -> Option<ScopeHandle> {
        self.state.key.map(ScopeHandle::of)
    }

    /// Drops the future where it waits.
    #[inline]
    pub fn discard(self: Pin<&mut Self>) {
        match self.state.key {
            None => self.project().future.set(None),
            Some(_) => self.drop_scoped(),
        }
    }

    /// Polls the future of a branch in which no scope has opened, in a [`PlainRound`].
    #[inline(always)]
    pub fn poll_plain(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let poll = future.poll(cx);
        if poll.is_ready() {
            this.future.set(None);
        }
        poll
    }

    /// A scope has opened in a plain poll that has returned a value. Nothing was passed on to the branch before.
    #[cold]
    pub fn end_plain(self: Pin<&mut Self>, round: PlainRound<'_>, listener: &mut Listener) {
        Self::finish(self.project().state, round.into_frame(listener));
    }

    /// A scope has opened in a plain poll that has returned `Pending`.
    #[cold]
    pub fn go_on(
        self: Pin<&mut Self>,
        round: PlainRound<'_>,
        listener: &mut Listener,
        cx: &mut Context<'_>,
    ) -> Poll<BranchEnd<F::Output>> {
        let this = self.project();
        let step = Self::pause(this.state, round.into_frame(listener), cx);
        Self::follow(step, this.state, this.future, cx)
    }

    #[inline]
    fn begin(state: &mut ScopeState, cx: &Context<'_>) -> PollStep {
        current::running(|step| {
            let Some((tasks, task)) = step else {
                panic!("{OUTSIDE}");
            };
            state.rounds = 0;
            let Some(key) = state.key else {
                return PollStep::Poll(Frame::enter(tasks, task, None, Isolation::None));
            };
            match Frame::enter_calmly(tasks, task, key) {
                Some(frame) => PollStep::Poll(frame),
                None => state.next_step(key, None, tasks, task, cx),
            }
        })
    }

    /// The future has returned `Pending`. A branch in which no scope has opened stays out of the tree.
    #[inline]
    fn pause(state: &mut ScopeState, frame: Frame, cx: &Context<'_>) -> PollStep {
        state.pause(frame, cx, |_, _| None)
    }

    /// The future has returned a value. Whether it has left a request unanswered.
    #[inline]
    fn finish(state: &mut ScopeState, frame: Frame) -> bool {
        state.key = None;
        frame.leave_with(|tasks, _, mut tree, left| {
            let Some(key) = left.key else { return false };
            let is_asked = tree.is_asked_to_end(key);
            let removal = tree.remove_unasked(key);
            drop(tree);
            if let Removal::Asked = removal {
                tasks.scopes.complete_scope(key);
            }
            is_asked
        })
    }

    #[inline]
    fn follow(
        mut step: PollStep,
        state: &mut ScopeState,
        mut future: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<BranchEnd<F::Output>> {
        loop {
            let frame = match step {
                PollStep::Poll(frame) => frame,
                PollStep::Wait | PollStep::Pass => return Poll::Pending,
                PollStep::End => {
                    let interrupted = state.end(&mut || future.set(None));
                    return Poll::Ready(BranchEnd::Interrupted(interrupted));
                }
            };
            let polled = future.as_mut().as_pin_mut();
            let polled = polled.expect("a branch is not polled again after it ended");
            state.is_polling = true;
            let poll = polled.poll(cx);
            state.is_polling = false;
            if let Poll::Ready(value) = poll {
                let is_asked = Self::finish(state, frame);
                future.set(None);
                return Poll::Ready(BranchEnd::Returned { value, is_asked });
            }
            step = Self::pause(state, frame, cx);
        }
    }
}

impl<F: Future> Future for Branch<F> {
    type Output = BranchEnd<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let step = Self::begin(this.state, cx);
        Self::follow(step, this.state, this.future, cx)
    }
}

/// A poll of several branches of one task in which no scope has opened so far. Nothing in them can hear of a request,
/// so all of them together have one frame at most (`loop_scopes.rs`).
pub struct PlainRound<'a> {
    scopes: &'a LoopScopes,
}

impl PlainRound<'_> {
    /// Calls `poll` in a round. `None` if the round is [observed](is_observed): then it is not plain.
    ///
    /// # Panics
    ///
    /// Outside of any task.
    #[inline(always)]
    pub fn run<R>(poll: impl FnOnce(PlainRound<'_>) -> R) -> Option<R> {
        current::running(|step| {
            let Some((tasks, task)) = step else {
                panic!("{OUTSIDE}");
            };
            if tasks.is_observed() {
                return None;
            }
            let scopes = &*tasks.scopes;
            scopes.begin_branches(task.id());
            Some(poll(PlainRound { scopes }))
        })
    }

    /// Whether a scope has opened in the branch that was polled last. That is the end of the round.
    #[inline(always)]
    pub fn has_opened(&self) -> bool {
        self.scopes.has_opened()
    }

    /// No scope has opened.
    #[inline(always)]
    pub fn end(self) {
        let scopes = self.scopes;
        std::mem::forget(self);
        scopes.end_branches();
    }

    /// A scope has opened: the round becomes the frame of its branch, and the listener around is known.
    fn into_frame(self, listener: &mut Listener) -> Frame {
        let key = self.scopes.borrow().listener_of_branch();
        std::mem::forget(self);
        listener.stand_at(key);
        Frame::entered()
    }
}

impl Drop for PlainRound<'_> {
    /// The poll of a branch has panicked.
    #[cold]
    fn drop(&mut self) {
        if !self.scopes.has_opened() {
            return self.scopes.end_branches();
        }
        let listener = self.scopes.borrow().listener_of_branch();
        drop(Frame::entered());
        listener.into_iter().for_each(crate::scopes::close);
    }
}

/// A request that begins here and goes to several branches as one cause, because nothing can take their values.
#[must_use]
pub fn request_to_losers() -> HeardRequest {
    let origin = current::tasks(|tasks| match tasks {
        Some(tasks) => tasks.scopes.borrow_mut().new_origin(),
        None => Origin::ANEW,
    });
    HeardRequest {
        heard_by: None,
        origin,
        message: None,
        dismissed: true,
    }
}

/// Whether a seed orders what is polled, or debug mode times it.
#[must_use]
#[inline]
pub fn is_observed() -> bool {
    current::tasks(|tasks| tasks.is_some_and(Local::is_observed))
}

/// Polls a part of the step under way, and takes its time if debug mode is on. A slow one is reported with `place`.
pub fn timed_part<R>(place: &'static Location<'static>, poll: impl FnOnce() -> R) -> R {
    current::tasks(|tasks| match tasks {
        Some(tasks) => tasks.timed_part(place, poll),
        None => poll(),
    })
}

impl Listener {
    /// Polls branches that requests from outside do not enter, as in [`isolate`](Self::isolate).
    ///
    /// In a contest, the first value decides what becomes of the others. A value that is on its way in one of them then
    /// reaches it within the step, as in [`Children::set_contest`](crate::Children::set_contest).
    // Always: debug builds keep a frame for each call, and polls are nested.
    #[inline(always)]
    pub fn poll_branches<R>(&mut self, is_contest: bool, poll: impl FnOnce() -> R) -> R {
        struct Contest(bool);
        impl Drop for Contest {
            #[inline]
            fn drop(&mut self) {
                set_hands_over(self.0);
            }
        }
        let result = self.isolate(|| {
            let _contest = is_contest.then(|| Contest(set_hands_over(true)));
            poll()
        });
        // A round that was cut short in a branch puts off the requests inside of the listener. Those around it are
        // next.
        current::tasks(|tasks| {
            if let Some(tasks) = tasks
                && tasks.turn.is_cut()
            {
                tasks.put_off_requests();
            }
        });
        result
    }
}

#[inline]
fn set_hands_over(on: bool) -> bool {
    current::tasks(|tasks| tasks.is_some_and(|tasks| tasks.turn.hands_over.replace(on)))
}

impl<F> fmt::Debug for Branch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch")
            .field("ended", &self.future.is_none())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PlainRound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainRound").finish_non_exhaustive()
    }
}
