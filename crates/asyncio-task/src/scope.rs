//! A cancel scope around a future: what `catch_cancel`, timeouts and their like are made of.

use std::cell::RefMut;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::budget;
use crate::cancelled::Cancelled;
use crate::cell::Header;
use crate::current;
use crate::home;
use crate::origin::{HeardRequest, Origin};
use crate::scope_tree::{Door, Next, ScopeKey, ScopeTree};
use crate::state::LastPoll;
use crate::tasks::Tasks;
use crate::waker;

pin_project! {
    /// A future as a scope of its own: it can be cancelled apart from the code around, and that code hears of
    /// it when a request has ended the future.
    ///
    /// This is a building block. Outside of any task it only passes polls through.
    ///
    /// # Panics
    ///
    /// When it is polled on another loop than it began on; [opened](Self::open), also outside of any: nothing could
    /// end it there.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Scope<F> {
        key: Option<ScopeKey>,
        stage: Stage,
        // Somebody has a handle of it.
        open: bool,
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Scope<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(key) = this.key.take() {
                let panicked = *this.stage == Stage::Polling;
                crate::scopes::drop_scope(key, panicked, || this.future.set(None));
            }
        }
    }
}

const AWAY: &str = "a time limit or another cancel scope belongs to the event loop that it began on, which does not \
                    run here: await it there, or make it where it is awaited";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    New,
    /// It has let others go first, and polled nothing.
    SteppedBack,
    /// It polls what it wraps. Afterwards: that has panicked.
    Polling,
    Polled,
    /// It was cancelled itself, and says so at its next poll.
    Ended,
}

/// How a [`Scope`] ended that did not come to a value. What it wrapped has been dropped.
#[derive(Debug)]
pub enum Unwound {
    /// It was cancelled itself, through its handle or its deadline, and nothing around it was.
    Itself,
    /// The request was for a scope around it, or for the task, and goes on with this token.
    Around(Cancelled),
}

/// The means to cancel a scope.
#[derive(Clone, Debug)]
pub struct ScopeHandle {
    key: ScopeKey,
}

impl<F: Future> Scope<F> {
    /// A scope around `future`.
    pub fn new(future: F) -> Self {
        Self {
            key: None,
            stage: Stage::New,
            open: false,
            future: Some(future),
        }
    }

    /// Opens the scope where this is called, in a poll of the task it belongs to, and gives what can cancel
    /// it. `None` outside of any task.
    pub fn open(self: Pin<&mut Self>) -> Option<ScopeHandle> {
        let this = self.project();
        let (key, open) = (this.key, this.open);
        current::tasks(|tasks| {
            let tasks = tasks?;
            let task = tasks.running_step()?;
            let mut tree = tasks.scopes.borrow_mut();
            let opened = match *key {
                Some(key) if tree.contains(key) => key,
                Some(_) => panic!("{AWAY}"),
                None => {
                    let around = Tasks::innermost_in(&mut tree, task);
                    tree.insert(Some(around))
                }
            };
            *key = Some(opened);
            *open = true;
            Some(ScopeHandle { key: opened })
        })
    }

    /// For code that has caught a panic of a poll: drops what is left of the future.
    pub fn discard(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    /// For code that has caught a panic of a poll, and has [discarded](Self::discard) the future: the request to
    /// cancel that the future had heard of, if there is one. The panic has let it go; here it is again, so that code
    /// that cleans up is not cut by it.
    pub fn take_request(self: Pin<&mut Self>) -> Option<Cancelled> {
        let key = self.project().key;
        let heard = current::tasks(|tasks| {
            let tasks = tasks?;
            let has_let_go = tasks.scopes.borrow().has_let_go((*key)?);
            has_let_go.then(|| end(tasks, key))
        });
        if let Some(key) = key.take() {
            crate::scopes::close(key);
        }
        match heard {
            Some(Unwound::Around(cancelled)) => Some(cancelled),
            Some(Unwound::Itself) | None => None,
        }
    }

    /// Whether it has polled what it wraps. A poll may step back instead, after many awaits that were ready.
    pub fn has_begun(self: Pin<&mut Self>) -> bool {
        !matches!(self.project().stage, Stage::New | Stage::SteppedBack)
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = Result<F::Output, Unwound>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        current::running(|step| match step {
            Some((tasks, task)) => self.poll_in(tasks, task, cx),
            None => {
                assert!(!self.open, "{AWAY}");
                let mut future = self.project().future;
                let output = std::task::ready!(polled(future.as_mut()).poll(cx));
                future.set(None);
                Poll::Ready(Ok(output))
            }
        })
    }
}

fn polled<F>(future: Pin<&mut Option<F>>) -> Pin<&mut F> {
    future
        .as_pin_mut()
        .expect("a scope was polled again after it ended")
}

impl<F: Future> Scope<F> {
    #[inline(always)]
    fn poll_in(
        mut self: Pin<&mut Self>,
        tasks: &Tasks,
        task: NonNull<Header>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<F::Output, Unwound>> {
        let this = self.as_mut().project();
        let stage = std::mem::replace(this.stage, Stage::Polled);
        if stage == Stage::New && !budget::draw(current::current_step) {
            *this.stage = Stage::SteppedBack;
            *this.key = Some(step_back(*this.key, tasks, task, cx));
            return Poll::Pending;
        }
        let frame = match *this.key {
            Some(key) => match Frame::enter_calmly(tasks, task, key) {
                Some(frame) => frame,
                None => return self.poll_after_news(tasks, task, cx, stage),
            },
            None if stage == Stage::Ended => return Poll::Ready(Err(Unwound::Itself)),
            None => Frame::enter(tasks, task, None, Door::Open),
        };
        match self.as_mut().poll_once(frame, tasks, task, cx, 0) {
            Ok(poll) => poll,
            Err(next) => self.see_to(next, tasks, task, cx, stage),
        }
    }

    /// Polls what it wraps, once, and says what is to be seen to when that waits, if anything is. `round`: how
    /// many there were before.
    #[inline(always)]
    fn poll_once(
        self: Pin<&mut Self>,
        frame: Frame<'_>,
        tasks: &Tasks,
        task: NonNull<Header>,
        cx: &mut Context<'_>,
        round: u32,
    ) -> Result<Poll<Result<F::Output, Unwound>>, Next> {
        let mut this = self.project();
        *this.stage = Stage::Polling;
        let poll = polled(this.future.as_mut()).poll(cx);
        *this.stage = Stage::Polled;
        let (mut tree, acts, key) = frame.leave();
        *this.key = key;
        if let Poll::Ready(output) = poll {
            if let Some(key) = this.key.take() {
                if tree.is_asked(key) {
                    drop(tree);
                    tasks.scopes.complete_scope(key);
                } else {
                    let rest = tree.remove(key);
                    drop(tree);
                    drop(rest);
                }
            } else {
                drop(tree);
            }
            this.future.set(None);
            return Ok(Poll::Ready(Ok(output)));
        }
        let key = key.unwrap_or_else(|| {
            let around = Tasks::innermost_in(&mut tree, task);
            tree.insert(Some(around))
        });
        *this.key = Some(key);
        if tree.pauses_calmly(key, waker::cell_of(cx.waker()) == Some(task)) {
            return Ok(Poll::Pending);
        }
        Err(tree.after_round(key, acts, tasks.steps(), round))
    }

    /// Polls it where something has been asked of it, or where it has not been polled before.
    #[cold]
    fn poll_after_news(
        mut self: Pin<&mut Self>,
        tasks: &Tasks,
        task: NonNull<Header>,
        cx: &mut Context<'_>,
        stage: Stage,
    ) -> Poll<Result<F::Output, Unwound>> {
        let this = self.as_mut().project();
        let mut next = Next::Poll(Vec::new());
        if let Some(key) = *this.key {
            let mut tree = tasks.scopes.borrow_mut();
            if tree.contains(key) {
                let around = Tasks::innermost_in(&mut tree, task);
                let moved = (!tree.is_inside(key, around)).then(|| tree.adopt(key, around));
                next = tree.before_poll(key, tasks.steps());
                drop(tree);
                if let Some(moved) = moved {
                    tasks.scopes.carry_out(moved);
                }
            } else {
                panic!("{AWAY}");
            }
        }
        self.see_to(next, tasks, task, cx, stage)
    }

    /// Does what comes next, until it waits or is over.
    #[cold]
    fn see_to(
        mut self: Pin<&mut Self>,
        mut next: Next,
        tasks: &Tasks,
        task: NonNull<Header>,
        cx: &mut Context<'_>,
        stage: Stage,
    ) -> Poll<Result<F::Output, Unwound>> {
        let mut rounds = 0;
        loop {
            match next {
                Next::Poll(told) => told.into_iter().for_each(Waker::wake),
                Next::Wait | Next::Answered(_) | Next::PutOff => {
                    let put_off = matches!(next, Next::PutOff);
                    let overdue = match next {
                        Next::Answered(overdue) => tasks.scopes.wakers(overdue),
                        _ => Vec::new(),
                    };
                    // Projected: a shared reference to all of this would cover the future, which is pinned
                    // and may refer to itself.
                    if let Some(key) = *self.as_mut().project().key {
                        tasks.note_waker(key, task, cx.waker());
                    }
                    if put_off {
                        cx.waker().wake_by_ref();
                    }
                    overdue.into_iter().for_each(Waker::wake);
                    return Poll::Pending;
                }
                Next::End => {
                    let mut this = self.as_mut().project();
                    let unwound = end(tasks, this.key);
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
                        *this.stage = Stage::Polling;
                        *this.key = stand_in(tasks, unwound);
                        resume_unwind(payload);
                    }
                    if stage == Stage::New && matches!(unwound, Unwound::Itself) {
                        // It has waited for nothing yet. In a loop, the task would neither let others run nor
                        // hear of requests.
                        *this.stage = Stage::Ended;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    return Poll::Ready(Err(unwound));
                }
            }
            rounds += 1;
            let key = *self.as_mut().project().key;
            let frame = Frame::enter(tasks, task, key, Door::Open);
            match self.as_mut().poll_once(frame, tasks, task, cx, rounds) {
                Ok(poll) => return poll,
                Err(then) => next = then,
            }
        }
    }
}

/// A scope lets others go first. It is in the tree, so that requests that come meanwhile are heard by the code that
/// opened it. What has been asked of it already stays for the next poll.
#[cold]
#[inline(never)]
fn step_back(
    key: Option<ScopeKey>,
    tasks: &Tasks,
    task: NonNull<Header>,
    cx: &Context<'_>,
) -> ScopeKey {
    let mut tree = tasks.scopes.borrow_mut();
    let key = key.unwrap_or_else(|| {
        let around = Tasks::innermost_in(&mut tree, task);
        tree.insert(Some(around))
    });
    drop(tree);
    tasks.note_waker(key, task, cx.waker());
    cx.waker().wake_by_ref();
    key
}

fn end(tasks: &Tasks, key: &mut Option<ScopeKey>) -> Unwound {
    let mut tree = tasks.scopes.borrow_mut();
    let Some((verdict, rest)) = key.take().and_then(|key| tree.end(key)) else {
        return Unwound::Itself;
    };
    let unwound = if verdict.own {
        Unwound::Itself
    } else {
        tree.hold(verdict.parent, verdict.request);
        Unwound::Around(Cancelled::new(
            verdict.parent,
            verdict.request,
            verdict.message,
        ))
    };
    drop(tree);
    drop(rest);
    unwound
}

/// The destructor of the work has panicked, as a request ended it. The request goes on with the panic: gives a scope
/// that has its place.
#[cold]
fn stand_in(tasks: &Tasks, unwound: Unwound) -> Option<ScopeKey> {
    let Unwound::Around(cancelled) = unwound else {
        return None;
    };
    let (holder, request) = cancelled.of()?;
    let mut tree = tasks.scopes.borrow_mut();
    let key = tree
        .contains(holder)
        .then(|| tree.stand_in(holder, request));
    drop(tree);
    drop(cancelled); // The code around propagates, unless it catches the panic and takes the request.
    key
}

/// A scope that is being polled, for as long as this lives.
pub(crate) struct Frame<'a> {
    tasks: &'a Tasks,
    /// How many scopes had acted before.
    acts: u64,
    /// It had no node when the poll began. One that it got is lost to it if the poll panics.
    is_new: bool,
}

impl<'a> Frame<'a> {
    #[inline]
    pub(crate) fn enter(
        tasks: &'a Tasks,
        task: NonNull<Header>,
        key: Option<ScopeKey>,
        door: Door,
    ) -> Self {
        let mut tree = tasks.scopes.borrow_mut();
        tree.enter(task, key, door);
        let acts = tree.acts();
        Self {
            tasks,
            acts,
            is_new: key.is_none(),
        }
    }

    /// [`enter`](Self::enter), if nothing is to be seen to before the scope is polled.
    #[inline]
    fn enter_calmly(tasks: &'a Tasks, task: NonNull<Header>, key: ScopeKey) -> Option<Self> {
        let mut tree = tasks.scopes.borrow_mut();
        let around = Tasks::innermost_in(&mut tree, task);
        let acts = tree.acts();
        let enters = tree.enter_calmly(task, key, around);
        enters.then(|| Self {
            tasks,
            acts,
            is_new: false,
        })
    }

    /// Gives the key, which it may have got meanwhile, and the tree, in which the scope is to be
    /// [paused](ScopeTree::pause) or removed.
    #[inline]
    pub(crate) fn leave(self) -> (RefMut<'a, ScopeTree>, u64, Option<ScopeKey>) {
        let (tasks, acts) = (self.tasks, self.acts);
        std::mem::forget(self);
        let mut tree = tasks.scopes.borrow_mut();
        let key = tree.leave();
        (tree, acts, key)
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        // The poll panicked.
        let mut tree = self.tasks.scopes.borrow_mut();
        let key = tree.leave();
        tree.pause(key);
        drop(tree);
        if let Some(key) = key.filter(|_| self.is_new) {
            self.tasks.scopes.complete_scope(key);
        }
    }
}

impl ScopeHandle {
    /// Asks the scope to end. `false` if it has. Made while its loop does not run, the request takes effect
    /// when that runs again.
    pub fn cancel(&self) -> bool {
        self.cancel_with(None)
    }

    /// Asks the scope to end, and perhaps says why.
    pub fn cancel_with(&self, message: Option<Arc<str>>) -> bool {
        self.request(Origin::ANEW, message, LastPoll::Allowed)
    }

    /// Asks the scope to end where nobody can take its value any more, though it may take values of what it awaits: it
    /// is not polled to one again, even if it was woken before.
    pub fn cut(&self) -> bool {
        self.request(Origin::ANEW, None, LastPoll::IfAwaited)
    }

    /// Passes on to the scope a request that a [`Listener`](crate::Listener) has heard, and leaves it no last poll.
    /// `false` as with [`cancel`](Self::cancel).
    pub fn pass_on(&self, request: &HeardRequest) -> bool {
        let last_poll = match request.dismissed {
            true => LastPoll::Refused,
            false => LastPoll::IfAwaited,
        };
        self.request(request.origin, request.message.clone(), last_poll)
    }

    fn request(&self, origin: Origin, message: Option<Arc<str>>, last_poll: LastPoll) -> bool {
        home::of_scope(self.key, |home| {
            home.is_some_and(|home| home.cancel_scope(self.key, origin, message, last_poll))
        })
    }

    /// For timers: the scope's time is over. Unlike [`cancel`](Self::cancel) this interrupts nothing if the
    /// scope unwinds already.
    pub fn expire(&self) {
        self.expire_at(false);
    }

    /// For timers: the scope's time was over before it began. It is polled once.
    pub fn expire_after_one_poll(&self) {
        self.expire_at(true);
    }

    fn expire_at(&self, one_poll: bool) {
        home::of_scope(self.key, |home| {
            if let Some(home) = home {
                home.expire_scope(self.key, one_poll);
            }
        });
    }

    /// Whether the scope has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        home::of_scope(self.key, |home| home.is_some())
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("ended", &self.future.is_none())
            .finish_non_exhaustive()
    }
}
