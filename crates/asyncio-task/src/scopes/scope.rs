//! A cancel scope around a future: what `catch_cancel`, timeouts and their like are made of.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::{HeardRequest, Isolation, Origin, Removal, ScopeKey};
use crate::cell::state::LastPoll;
use crate::engine::budget;
use crate::engine::current;
use crate::engine::local::Local;
use crate::scopes::cancelled::Cancelled;
use crate::scopes::delivery;
use crate::scopes::scope_state::{AWAY, Frame, Interrupted, PollStep, ScopeState, Stage};

pin_project! {
    /// A future as a scope of its own. It can be cancelled apart from the enclosing code, which hears of it when a
    /// request has ended the future.
    ///
    /// This is a building block. Outside of any task it only passes polls through.
    ///
    /// # Panics
    ///
    /// When it is polled on another loop than it began on; [opened](Self::open), also outside of any: nothing could
    /// end it there.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        state: ScopeState,
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(key) = this.state.key {
                crate::scopes::drop_scope(key, this.state.is_polling, || this.future.set(None));
            }
        }
    }
}

/// The means to cancel a scope.
#[derive(Clone, Debug)]
pub struct ScopeHandle {
    key: ScopeKey,
}

impl<F: Future> Scope<F> {
    /// An enclosing scope `future`.
    pub fn new(future: F) -> Self {
        Self {
            state: ScopeState::new(),
            future: Some(future),
        }
    }

    /// Opens the scope where this is called, in a poll of the task it belongs to, and gives what can cancel
    /// it. `None` outside of any task.
    pub fn open(self: Pin<&mut Self>) -> Option<ScopeHandle> {
        let key = self.project().state.open()?;
        Some(ScopeHandle { key })
    }

    /// [`open`](Self::open), right after a poll that has returned `Pending`: the scope is open, and this gives what can
    /// cancel it.
    #[inline]
    pub fn open_after_poll(self: Pin<&mut Self>) -> Option<ScopeHandle> {
        let state = self.project().state;
        if state.key.is_none() {
            state.open();
        }
        state.is_open = true;
        state.key.map(ScopeHandle::of)
    }

    /// For code that has caught a panic of a poll: drops what is left of the future.
    pub fn discard(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    /// The request to cancel that the future had heard of, if there is one. For code that has caught a panic of a poll,
    /// and has [discarded](Self::discard) the future. The panic has let it go; here it is again, so that code that
    /// cleans up is not cut by it.
    pub fn take_request(self: Pin<&mut Self>) -> Option<Cancelled> {
        self.project().state.take_request()
    }
}

/// The steps of nearly every poll. They are compiled with each type of future, and so into the poll.
impl<F: Future> Scope<F> {
    /// The wrapped future has returned a value.
    #[inline]
    fn finish(state: &mut ScopeState, frame: Frame) {
        state.key = None;
        frame.leave_with(|tasks, _, mut tree, left| {
            let Some(key) = left.key else { return };
            let removal = tree.remove_unasked(key);
            drop(tree);
            if let Removal::Asked = removal {
                tasks.scopes.complete_scope(key);
            }
        });
    }

    /// The wrapped future has returned `Pending`.
    #[inline]
    fn pause(state: &mut ScopeState, frame: Frame, cx: &Context<'_>) -> PollStep {
        state.pause(frame, cx, |tree, task| {
            let around = Local::innermost_place(tree, task);
            Some(tree.insert_in(around))
        })
    }

    /// A step in which the scope has no frame.
    #[cold]
    #[inline(never)]
    fn go_without_frame(
        step: &PollStep,
        state: &mut ScopeState,
        mut future: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Interrupted>> {
        match step {
            PollStep::Poll(_) | PollStep::Wait => Poll::Pending,
            PollStep::Pass => {
                state.is_polling = true;
                let poll = polled(future.as_mut()).poll(cx);
                state.is_polling = false;
                if poll.is_ready() {
                    clear(future);
                }
                poll.map(Ok)
            }
            PollStep::End => {
                let interrupted = state.end(&mut || clear(future.as_mut()));
                match state.reports(&interrupted, cx) {
                    true => Poll::Ready(Err(interrupted)),
                    false => Poll::Pending,
                }
            }
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = Result<F::Output, Interrupted>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let state = &mut *this.state;
        let mut step = current::running(|step| {
            let Some((tasks, task)) = step else {
                assert!(!state.is_open, "{AWAY}");
                return PollStep::Pass;
            };
            let stage = state.stage;
            state.stage = match stage {
                Stage::New if !budget::draw(current::current_step) => {
                    state.step_back(tasks, task, cx);
                    return PollStep::Wait;
                }
                Stage::New => Stage::PolledOnce,
                _ => Stage::Polled,
            };
            state.rounds = 0;
            match state.key {
                Some(key) => match Frame::enter_calmly(tasks, task, key) {
                    Some(frame) => PollStep::Poll(frame),
                    None => state.next_step(key, None, tasks, task, cx),
                },
                None if stage == Stage::Ended => PollStep::End,
                None => PollStep::Poll(Frame::enter(tasks, task, None, Isolation::None)),
            }
        });
        loop {
            // One question, and one after the poll: a match of all steps would jump through a table.
            let PollStep::Poll(frame) = step else {
                return Self::go_without_frame(&step, this.state, this.future, cx);
            };
            this.state.is_polling = true;
            let poll = polled(this.future.as_mut()).poll(cx);
            this.state.is_polling = false;
            if let Poll::Ready(output) = poll {
                Self::finish(this.state, frame);
                clear(this.future.as_mut());
                return Poll::Ready(Ok(output));
            }
            step = Self::pause(this.state, frame, cx);
            if let PollStep::Wait = step {
                return Poll::Pending;
            }
        }
    }
}

/// Drops the future. Apart: in debug builds, the `None` takes as much of the stack as a future.
#[inline]
fn clear<F>(mut future: Pin<&mut Option<F>>) {
    future.set(None);
}

fn polled<F>(future: Pin<&mut Option<F>>) -> Pin<&mut F> {
    future
        .as_pin_mut()
        .expect("a scope was polled again after it ended")
}

impl ScopeHandle {
    pub(crate) fn of(key: ScopeKey) -> Self {
        Self { key }
    }

    /// Asks the scope to end. `false` if it has. Made while its loop does not run, the request takes effect
    /// when that runs again.
    pub fn cancel(&self) -> bool {
        self.cancel_with(None)
    }

    /// Asks the scope to end, and perhaps says why.
    pub fn cancel_with(&self, message: Option<Arc<str>>) -> bool {
        self.request(Origin::ANEW, message, LastPoll::Allowed)
    }

    /// Asks the scope to end where nothing can take its value any more, though it may take values of others. It is not
    /// polled to a value again, even if it was woken before.
    pub fn cut(&self) -> bool {
        self.request(Origin::ANEW, None, LastPoll::IfAwaited)
    }

    /// Passes on to the scope a request that a [`Listener`](crate::Listener) has heard, and leaves it no last poll.
    /// `false` as with [`cancel`](Self::cancel).
    pub fn pass_on(&self, request: &HeardRequest) -> bool {
        let last_poll = last_poll_after(request);
        self.request(request.origin, request.message.clone(), last_poll)
    }

    /// [`cut`](Self::cut), which interrupts no cleanup: if the scope propagates a request, this takes effect when that
    /// is answered.
    pub fn cut_when_free(&self) {
        self.request_when_free(Origin::ANEW, LastPoll::IfAwaited);
    }

    /// [`pass_on`](Self::pass_on), which interrupts no cleanup, as in [`cut_when_free`](Self::cut_when_free).
    pub fn pass_on_when_free(&self, request: &HeardRequest) {
        self.request_when_free(request.origin, last_poll_after(request));
    }

    fn request_when_free(&self, origin: Origin, last_poll: LastPoll) {
        delivery::of_scope(self.key, |scopes| {
            if let Some(scopes) = scopes {
                scopes.cancel_scope_when_free(self.key, origin, last_poll);
            }
        });
    }

    fn request(&self, origin: Origin, message: Option<Arc<str>>, last_poll: LastPoll) -> bool {
        delivery::of_scope(self.key, |scopes| {
            scopes.is_some_and(|scopes| scopes.cancel_scope(self.key, origin, message, last_poll))
        })
    }

    /// For timers: the scope's time is over. Unlike [`cancel`](Self::cancel) this interrupts nothing if the
    /// scope propagates a request already.
    pub fn expire(&self) {
        self.expire_at(false);
    }

    /// For timers: the scope's time was over before it began. It is polled once.
    pub fn expire_after_one_poll(&self) {
        self.expire_at(true);
    }

    fn expire_at(&self, one_poll: bool) {
        delivery::of_scope(self.key, |scopes| {
            if let Some(scopes) = scopes {
                scopes.expire_scope(self.key, one_poll);
            }
        });
    }

    /// Whether a request to the scope itself is open.
    #[must_use]
    pub fn is_asked_to_end(&self) -> bool {
        delivery::of_scope(self.key, |scopes| {
            scopes.is_some_and(|scopes| scopes.borrow().is_asked_to_end(self.key))
        })
    }

    /// Whether the scope has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        delivery::of_scope(self.key, |scopes| scopes.is_some())
    }
}

/// The last poll that a request leaves to a scope when it is passed on.
fn last_poll_after(request: &HeardRequest) -> LastPoll {
    match request.dismissed {
        true => LastPoll::Refused,
        false => LastPoll::IfAwaited,
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("ended", &self.future.is_none())
            .finish_non_exhaustive()
    }
}
