//! The state that a group, its handles and its children share, and how the group begins to end.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use asyncio_task::{
    Cause, Children, LastPoll, PanicPayload, Scope, ScopeHandle, TaskId, TaskRef, Unhandled,
    has_open_request,
};

use crate::answer::Answer;
use crate::forgotten::Failure;
use crate::places::Places;

pub(super) type Payload = Box<dyn Any + Send>;

/// The state of a group.
pub(crate) struct Shared<'env, E> {
    pub(crate) children: Children<'env>,
    pub(super) errors: RefCell<Vec<Failure<E>>>,
    /// The first panic, and the task that panicked.
    pub(super) panic: RefCell<Option<(Payload, Option<TaskRef>)>>,
    pub(crate) places: Places,
    /// No more children; those that are there have been cancelled.
    pub(super) ending: Cell<bool>,
    /// It ends of itself, by a failure or as all is decided, and has told those that are there.
    pub(super) told: Cell<bool>,
    /// Whether one value of one child is what the group is for.
    pub(super) contest: Cell<Contest>,
    pub(super) answer: Cell<Answer>,
    /// Nothing waits for the group any more.
    pub(super) over: Cell<bool>,
    /// The group and all its children have ended.
    pub(super) finished: Cell<bool>,
    /// The body is to be cancelled as well, unless it has ended.
    pub(super) body: RefCell<Option<ScopeHandle>>,
}

/// A group whose value is that of one child: a race.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Contest {
    /// It is no race.
    None,
    /// The first value that a child returns wins, also after a request from outside.
    Open,
    /// The group has its value: a request from outside goes on after the value has been returned.
    Decided,
}

impl<E> Shared<'_, E> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            children: Children::new(),
            errors: RefCell::default(),
            panic: RefCell::default(),
            places: Places::new(),
            ending: Cell::new(false),
            told: Cell::new(false),
            contest: Cell::new(Contest::None),
            answer: Cell::new(Answer::Unasked),
            over: Cell::new(false),
            finished: Cell::new(false),
            body: RefCell::default(),
        })
    }

    /// Opens the scope of the body, and gives out its handle.
    pub(super) fn open<F: Future>(
        &self,
        body: Pin<&mut Scope<F>>,
        handle: &mut Option<ScopeHandle>,
    ) {
        *handle = body.open();
        assert!(
            handle.is_some(),
            "a task group is polled by a task: spawn the future that contains it, or run it as main"
        );
        self.body.replace(handle.clone());
    }

    /// A child or the body returns.
    #[inline]
    pub(super) fn has_returned(&self) {
        if self.answer.get() == Answer::Swallowed && has_open_request() {
            self.goes_on();
        }
    }

    /// A child or the body has ended, and has not swallowed a request from outside, if there is one.
    #[inline]
    pub(crate) fn goes_on(&self) {
        self.answer.set(self.answer.get().refused());
    }

    /// Whether the request from outside is open in the body or in a child but this one.
    #[cold]
    pub(super) fn is_any_asked(&self, except: Option<TaskId>) -> bool {
        let is_asked = |body: &ScopeHandle| body.is_asked_to_end();
        self.body.borrow().as_ref().is_some_and(is_asked) || self.children.is_any_cancelling(except)
    }

    /// The group ends of itself. The members that are left do not answer the request from outside any more.
    fn settle_answer(&self) {
        let is_open = || self.is_any_asked(asyncio_task::current_task().map(|task| task.id()));
        self.answer.set(self.answer.get().settled(is_open));
    }

    /// The first value that a child returns counts, so a request from outside leaves the last poll to tasks that
    /// children await.
    pub(crate) fn open_contest(&self) {
        self.contest.set(Contest::Open);
        self.children.set_contest(true);
    }

    /// The contest has its winner, which calls this before it returns. Nothing can take the values of the others.
    pub(crate) fn decide(&self) {
        self.has_returned();
        self.contest.set(Contest::Decided);
        self.children.set_contest(false);
        self.end_children();
    }

    /// Cancels the children and leaves the body, which may take their values.
    pub(crate) fn cancel_children(&self) {
        if !self.ending.replace(true) {
            self.children.cancel(None, LastPoll::IfHeld);
        }
    }

    /// Whether the group takes no more children.
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Whether the group and all its children have ended.
    pub(crate) fn has_finished(&self) -> bool {
        self.finished.get()
    }

    /// How many errors there are.
    pub(crate) fn errors(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Cancels the children, whose values nothing can take.
    ///
    /// Those that clean up for an earlier request are not interrupted. If one of them answers that request, it is
    /// cancelled then.
    pub(crate) fn end_children(&self) {
        if self.told.get() {
            return;
        }
        self.settle_answer();
        self.told.set(true);
        if self.ending.replace(true) {
            self.children.cancel_when_free();
        } else {
            self.children.cancel(None, LastPoll::IfAwaited);
        }
    }

    /// Cancels all members: the body first, so that the request reaches it before a child that it awaits can answer.
    fn end(&self) {
        self.settle_answer();
        let body = self.body.take();
        if let Some(body) = body {
            match self.answer.get() {
                Answer::Unasked => _ = body.cut(),
                Answer::Swallowed | Answer::Settled | Answer::GoesOn => body.cut_when_free(),
            }
        }
        self.end_children();
    }

    pub(super) fn failed(&self, error: E) {
        let failure = Failure::here(error);
        self.errors.borrow_mut().push(failure);
        self.end();
    }

    /// A child or the body panicked.
    #[cold]
    pub(crate) fn panicked(&self, child: Option<&TaskRef>, payload: Payload) {
        if self.over.get() {
            return report("a child of a dropped task group panicked", child, payload);
        }
        let second = {
            let mut first = self.panic.borrow_mut();
            match *first {
                None => {
                    *first = Some((payload, child.cloned()));
                    None
                }
                Some(_) => Some(payload),
            }
        };
        if let Some(payload) = second {
            let message = "a second panic in a task group, which passes only the first on";
            report(message, child, payload);
        }
        self.end();
    }
}

pub(super) fn report(message: &'static str, child: Option<&TaskRef>, payload: Payload) {
    let cause = Cause::Panic(PanicPayload::new(payload));
    asyncio_loop::call_exception_handler(&Unhandled::new(message, child, cause));
}
