//! The state of a cancel scope, for any type of wrapped future: the work before and after each poll of that future.
//!
//! Nothing here depends on the type of the future, and none of it is on the stack while that is polled. So scopes can
//! be nested deep. The rules are those of `cancel/mod.rs`.

use std::cell::RefMut;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::{Context, Waker};

use crate::cancel::{Isolation, Left, Next, ScopeKey, Task};
use crate::cell::cell_ref::LocalRef;
use crate::cell::waker;
use crate::engine::current;
use crate::engine::local::Local;
use crate::scopes;
use crate::scopes::cancelled::Cancelled;
use crate::scopes::loop_scopes::TaskScopes;

/// The state of a cancel scope.
#[derive(Debug)]
pub(crate) struct ScopeState {
    pub(crate) key: Option<ScopeKey>,
    pub(crate) stage: Stage,
    /// How many polls there were at a stretch before the one under way.
    pub(crate) rounds: u8,
    /// It polls what it wraps. Afterwards: that has panicked.
    pub(crate) is_polling: bool,
    /// A handle of it exists.
    pub(crate) is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    New,
    /// It has let others go first, and polled nothing.
    SteppedBack,
    /// It has been polled once, or is being polled for the first time.
    PolledOnce,
    Polled,
    /// It was cancelled itself, and says so at its next poll.
    Ended,
}

/// The next action of a scope.
pub(crate) enum PollStep {
    /// It polls the wrapped future.
    Poll(Frame),
    Wait,
    /// It [leaves](ScopeState::end) the tree with what it wraps, and [reports](ScopeState::reports).
    End,
    /// It polls what it wraps and is no scope, as this is no step of a task.
    Pass,
}

/// How a [`Scope`](crate::Scope) ended that did not come to a value. The wrapped future has been dropped.
#[derive(Debug)]
pub enum Interrupted {
    /// It was cancelled itself, through its handle or its deadline, and no enclosing scope was.
    Own,
    /// The request was for an enclosing scope, or for the task, and goes on with this token.
    Outer(Cancelled),
}

pub(crate) const AWAY: &str = "a time limit or another cancel scope belongs to the event loop that it began on, which does not \
                    run here: await it there, or make it where it is awaited";

impl ScopeState {
    pub(crate) fn new() -> Self {
        Self {
            key: None,
            stage: Stage::New,
            rounds: 0,
            is_polling: false,
            is_open: false,
        }
    }

    /// Opens the scope in the step under way. `None` outside of any task.
    pub(crate) fn open(&mut self) -> Option<ScopeKey> {
        current::running(|step| {
            let (tasks, task) = step?;
            let mut tree = tasks.scopes.borrow_mut();
            let key = match self.key {
                Some(key) if tree.contains(key) => key,
                Some(_) => panic!("{AWAY}"),
                None => {
                    let around = Local::innermost_place(&mut tree, task);
                    tree.insert_in(around)
                }
            };
            self.key = Some(key);
            self.is_open = true;
            Some(key)
        })
    }

    /// Lets others go first. The scope is in the tree, so requests that come meanwhile reach the code that opened it.
    /// Earlier requests to it stay for the next poll.
    #[cold]
    #[inline(never)]
    pub(crate) fn step_back(&mut self, tasks: &Local, task: &LocalRef, cx: &Context<'_>) {
        self.stage = Stage::SteppedBack;
        tasks.turn.spend();
        let mut tree = tasks.scopes.borrow_mut();
        let key = self.key.unwrap_or_else(|| {
            let around = Local::innermost_place(&mut tree, task);
            tree.insert_in(around)
        });
        drop(tree);
        self.key = Some(key);
        tasks.note_waker(key, task, cx.waker());
        cx.waker().wake_by_ref();
    }

    /// The future of the scope has returned `Pending`. If the scope is not in the tree yet, `enter` may put it there;
    /// one that stays out has nothing to hear.
    #[inline]
    pub(crate) fn pause(
        &mut self,
        frame: Frame,
        cx: &Context<'_>,
        enter: impl FnOnce(&mut TaskScopes, &LocalRef) -> Option<ScopeKey>,
    ) -> PollStep {
        frame.leave_with(|tasks, task, mut tree, left| {
            let Some(key) = left.key.or_else(|| enter(&mut tree, task)) else {
                return PollStep::Wait;
            };
            self.key = Some(key);
            let is_own = waker::is_of(cx.waker(), task);
            if tree.pauses_calmly(key, cx.waker(), is_own) {
                return PollStep::Wait;
            }
            drop(tree);
            self.next_step(key, Some(left.handled), tasks, task, cx)
        })
    }

    /// The next step of a scope of which something was asked, or that was polled elsewhere before. `polled`: its future
    /// has just returned `Pending`, and so many scopes had handled a request before. `None`: a poll begins.
    #[cold]
    #[inline(never)]
    pub(crate) fn next_step(
        &mut self,
        key: ScopeKey,
        polled: Option<u64>,
        tasks: &Local,
        task: &LocalRef,
        cx: &Context<'_>,
    ) -> PollStep {
        let step = tasks.turn.steps();
        let mut tree = tasks.scopes.borrow_mut();
        let mut moved = None;
        let next = match polled {
            Some(handled) => tree.after_poll(key, handled, step, u32::from(self.rounds)),
            None => {
                assert!(tree.contains(key), "{AWAY}");
                let around = Local::innermost_in(&mut tree, task);
                moved = (!tree.is_inside(key, around)).then(|| tree.reparent(key, around));
                tree.before_poll(key, step)
            }
        };
        drop(tree);
        if let Some(moved) = moved {
            tasks.scopes.apply(moved);
        }
        let put_off = matches!(next, Next::Yield);
        let overdue = match next {
            Next::Poll(reached) => {
                reached.into_iter().for_each(Waker::wake);
                self.rounds += 1;
                return PollStep::Poll(Frame::enter(tasks, task, Some(key), Isolation::None));
            }
            Next::End => return PollStep::End,
            Next::Settled(overdue) => tasks.scopes.wakers(overdue),
            Next::Wait | Next::Yield => Vec::new(),
        };
        tasks.note_waker(key, task, cx.waker());
        if put_off {
            cx.waker().wake_by_ref();
        }
        overdue.into_iter().for_each(Waker::wake);
        PollStep::Wait
    }

    /// The scope is over by a request: it leaves the tree, and drops its work. How it has ended.
    #[cold]
    #[inline(never)]
    pub(crate) fn end(&mut self, drop_work: &mut dyn FnMut()) -> Interrupted {
        let ended = self.key.take().and_then(|key| {
            current::tasks(|tasks| {
                let tasks = tasks?;
                let mut tree = tasks.scopes.borrow_mut();
                let (interruption, rest) = tree.end(key)?;
                let step = tasks.turn.steps();
                tasks.scopes.note_cause(interruption.request, step);
                Some((interruption, rest))
            })
        });
        let interrupted = match ended {
            Some((interruption, _rest)) if !interruption.own => Interrupted::Outer(Cancelled::new(
                interruption.parent,
                interruption.request,
                interruption.message,
            )),
            _ => Interrupted::Own,
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(drop_work)) {
            self.end_with_panic(interrupted);
            resume_unwind(payload);
        }
        interrupted
    }

    /// The destructor of the work has panicked, as a request ended it. The request goes on with the panic: a scope
    /// takes its place.
    #[cold]
    fn end_with_panic(&mut self, interrupted: Interrupted) {
        self.is_polling = true;
        let Interrupted::Outer(cancelled) = interrupted else {
            return;
        };
        let held = cancelled.of();
        self.key = held.and_then(|(holder, request)| {
            current::tasks(|tasks| {
                let mut tree = tasks?.scopes.borrow_mut();
                let is_here = tree.contains(holder);
                is_here.then(|| tree.stand_in(holder, request))
            })
        });
        drop(cancelled); // The enclosing code propagates, unless it catches the panic and takes the request.
    }

    /// The request that had been delivered to the work, which has panicked.
    pub(crate) fn take_request(&mut self) -> Option<Cancelled> {
        let has_request = self.key.is_some_and(|key| {
            current::tasks(|tasks| {
                tasks.is_some_and(|tasks| tasks.scopes.borrow().takes_request_along(key))
            })
        });
        let heard = has_request.then(|| self.end(&mut || ())); // the work has gone
        if let Some(key) = self.key.take() {
            scopes::close(key);
        }
        match heard {
            Some(Interrupted::Outer(cancelled)) => Some(cancelled),
            Some(Interrupted::Own) | None => None,
        }
    }

    /// Whether the scope, which has ended, says so in this poll. If it has not waited yet, it waits in the next poll.
    /// Otherwise the task, in a loop, would neither let others run nor hear of requests.
    #[cold]
    #[inline(never)]
    pub(crate) fn reports(&mut self, interrupted: &Interrupted, cx: &Context<'_>) -> bool {
        let waits = self.stage == Stage::PolledOnce && matches!(interrupted, Interrupted::Own);
        if waits {
            self.stage = Stage::Ended;
            cx.waker().wake_by_ref();
        }
        !waits
    }
}

/// A scope that is being polled, for as long as this lives. It is left in the step in which it was entered, as polls
/// are nested.
pub(crate) struct Frame(());

impl Frame {
    #[inline]
    pub(crate) fn enter(
        tasks: &Local,
        task: &LocalRef,
        key: Option<ScopeKey>,
        isolation: Isolation,
    ) -> Self {
        tasks.scopes.borrow_mut().enter(task.id(), key, isolation);
        Self(())
    }

    /// A frame that the tree has entered otherwise.
    pub(crate) fn entered() -> Self {
        Self(())
    }

    /// [`enter`](Self::enter), if nothing is to be seen to before the scope is polled.
    // Apart in debug builds, where what is inlined takes stack while the scope is polled.
    #[cfg_attr(debug_assertions, inline(never))]
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn enter_calmly(tasks: &Local, task: &LocalRef, key: ScopeKey) -> Option<Self> {
        let mut tree = tasks.scopes.borrow_mut();
        let around = Local::innermost_place(&mut tree, task);
        let enters = tree.enter_calmly(task.id(), key, around);
        enters.then(|| Self(()))
    }

    /// Enters an observed scope in the step under way. `None` outside of any task.
    #[inline]
    pub(crate) fn enter_behind(key: Option<ScopeKey>, isolation: Isolation) -> Option<Self> {
        current::running(|step| {
            let (tasks, task) = step?;
            Some(Self::enter(tasks, task, key, isolation))
        })
    }

    /// Gives the key of the scope, which it may have got meanwhile.
    #[inline]
    pub(crate) fn leave(self) -> Option<ScopeKey> {
        self.leave_with(|_, _, mut tree, left| {
            tree.pause(left.key);
            left.key
        })
    }

    /// Calls `f` with the tasks, the one whose step is under way, their tree, and what is known of the scope. That is
    /// to be paused or removed there.
    #[inline]
    pub(crate) fn leave_with<R>(
        self,
        f: impl FnOnce(&Local, &LocalRef, RefMut<'_, TaskScopes>, Left) -> R,
    ) -> R {
        std::mem::forget(self);
        current::running(|step| {
            let (tasks, task) = step.expect("a poll ends in the step in which it began");
            let mut tree = tasks.scopes.borrow_mut();
            let left = tree.leave();
            f(tasks, task, tree, left)
        })
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // The poll panicked.
        current::tasks(|tasks| {
            let Some(tasks) = tasks else { return };
            let mut tree = tasks.scopes.borrow_mut();
            let left = tree.leave();
            tree.pause(left.key);
            drop(tree);
            if let Some(key) = left.key.filter(|_| left.is_new) {
                tasks.scopes.complete_scope(key);
            }
        });
    }
}
