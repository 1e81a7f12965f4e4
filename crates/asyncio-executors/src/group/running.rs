//! A group while it runs: the future of a group, its body, and the steps of both.
//!
//! A step polls the body and the children that were woken before it. A group has ended when its body and all children
//! have. Then it has a value, errors, a panic, or a request that it propagates.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_task::{
    Interrupted, LastPoll, Listener, Propagation, Scope, ScopeHandle, TaskRef, propagate_here,
};
use pin_project_lite::pin_project;

use crate::answer::Answer;
use crate::error_group::ErrorGroup;
use crate::forgotten::Failure;
use crate::group::shared::{Contest, Payload, Shared, report};

/// The report of an error in a group that panics.
const LOST_BY_PANIC: &str = "an error in a task group is lost, as the group panics";

/// The report of an error in a group that is dropped before it returns.
const LOST_BY_DROP: &str =
    "an error in a task group is lost, as the group is dropped before it returns";

/// The group's own side.
struct Group<'env, T, E> {
    shared: Rc<Shared<'env, E>>,
    listener: Listener,
    /// How the body is cancelled, once it has begun.
    body: Option<ScopeHandle>,
    /// The enclosing code must propagate a cancellation after this, although no request came from there.
    propagates: bool,
    /// The result of the body, once it has ended.
    result: Option<BodyEnd<T, E>>,
}

enum BodyEnd<T, E> {
    Returned(T),
    Failed(Failure<E>),
    /// It panicked or was cancelled.
    Without,
    /// The group itself is over. The code that propagates a request on its behalf.
    Over(Propagation),
}

pin_project! {
    /// A group and its body, which begins in the first poll.
    // No async function: in debug builds its frame would have room for the body twice, and groups are nested.
    pub(crate) struct Grouped<'env, T, E, M, F> {
        make_body: Option<M>,
        // Before the body, so that its children are dropped first.
        group: Option<Group<'env, T, E>>,
        #[pin]
        body: Option<Scope<Body<'env, F, E>>>,
    }
}

impl<'env, T, E, M, F> Grouped<'env, T, E, M, F>
where
    M: FnOnce(Rc<Shared<'env, E>>) -> F,
    F: Future<Output = Result<T, E>>,
{
    pub(crate) fn new(make_body: M) -> Self {
        Self {
            make_body: Some(make_body),
            group: None,
            body: None,
        }
    }

    /// Makes the body and the group. Apart: what is moved here is not on the stack while they are polled.
    #[inline(never)]
    fn begin(self: Pin<&mut Self>) {
        let mut this = self.project();
        let Some(make_body) = this.make_body.take() else {
            return;
        };
        let shared = Shared::new();
        let future = make_body(shared.clone());
        *this.group = Some(Group::new(&shared));
        this.body.set(Some(Scope::new(Body { future, shared })));
    }
}

impl<'env, T, E, M, F> Future for Grouped<'env, T, E, M, F>
where
    M: FnOnce(Rc<Shared<'env, E>>) -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, ErrorGroup<E>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.make_body.is_some() {
            self.as_mut().begin();
        }
        let this = self.project();
        let Some(group) = this.group else {
            panic!("a task group was polled again after it had ended");
        };
        let poll = group.poll(this.body, cx);
        if poll.is_ready() {
            *this.group = None;
        }
        poll
    }
}

impl<'env, T, E> Group<'env, T, E> {
    fn new(shared: &Rc<Shared<'env, E>>) -> Self {
        Self {
            shared: shared.clone(),
            listener: Listener::new(),
            body: None,
            propagates: false,
            result: None,
        }
    }

    /// Runs a step of the body and of each child, as far as they were woken. Children that the body spawns wait for the
    /// next round.
    // Always: debug builds keep a frame for each call, and groups are nested.
    #[inline(always)]
    fn poll<F>(
        &mut self,
        mut body: Pin<&mut Option<Scope<Body<'env, F, E>>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, ErrorGroup<E>>>
    where
        F: Future<Output = Result<T, E>>,
    {
        if let Some(BodyEnd::Over(propagation)) = self.result {
            return propagation.poll_again("a task group was awaited again after it had ended");
        }
        if self.listener.heard() {
            self.pass_on();
        }
        let shared = self.shared.clone();
        let poll_body = |cx: &mut Context<'_>| self.poll_body(body.as_mut(), cx);
        let panicked = |child: &TaskRef, payload| shared.panicked(Some(child), payload);
        shared.children.poll_beside(cx, poll_body, panicked);
        if shared.answer.get().is_given(|| shared.is_any_asked(None)) {
            self.listener.answer();
            shared.answer.set(Answer::Unasked);
        }
        if self.result.is_some() && shared.children.is_empty() {
            return self.finish();
        }
        self.listener.wait(cx);
        Poll::Pending
    }

    /// Passes a request on to the body and to all children. A second request, if it has another origin, interrupts
    /// their cleanups. Children that were woken before it have had their last poll already.
    fn pass_on(&mut self) {
        let request = self.listener.request();
        let contest = self.shared.contest.get();
        self.shared.ending.set(true);
        let answer = self.shared.answer.get().asked(contest == Contest::Decided);
        self.shared.answer.set(answer);
        // Once all is decided, the body returns that.
        if contest != Contest::Decided
            && let Some(body) = &self.body
        {
            body.pass_on(&request);
        }
        let last_poll = match contest {
            Contest::Open if !request.dismissed() => LastPoll::OfAwaited,
            _ => LastPoll::IfAwaited,
        };
        self.shared.children.pass_on(&request, last_poll);
    }

    fn poll_body<F>(&mut self, body: Pin<&mut Option<Scope<F>>>, cx: &mut Context<'_>) -> Poll<()>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Some(body) = body.as_pin_mut() else {
            return Poll::Ready(());
        };
        // The outcome is stored once, where it is, and the guard has one pointer: debug builds keep several frames for
        // a guard, and groups are nested.
        let mut outcome = Poll::Pending;
        let step = &mut BodyStep {
            body,
            cx,
            outcome: &mut outcome,
        };
        let polled = self.listener.isolate(|| {
            if self.body.is_none() {
                self.shared.open(step.body.as_mut(), &mut self.body);
            }
            catch_unwind(AssertUnwindSafe(|| step.poll()))
        });
        let panic = polled.err();
        if panic.is_none() && outcome.is_pending() {
            return Poll::Pending;
        }
        self.end_body(panic, &mut outcome);
        Poll::Ready(())
    }

    /// The body has panicked, or returned. Apart: it is not on the stack while the body is polled.
    #[inline(never)]
    fn end_body(
        &mut self,
        panic: Option<Payload>,
        outcome: &mut Poll<Result<Result<T, E>, Interrupted>>,
    ) {
        let end = match std::mem::replace(outcome, Poll::Pending) {
            Poll::Ready(Ok(Ok(value))) => BodyEnd::Returned(value),
            Poll::Ready(Ok(Err(error))) => {
                self.shared.end_children();
                BodyEnd::Failed(Failure::here(error))
            }
            Poll::Ready(Err(Interrupted::Own)) | Poll::Pending => {
                self.shared.goes_on();
                BodyEnd::Without
            }
            // The listener keeps requests of the enclosing code out, so the body propagates one of its own accord.
            Poll::Ready(Err(Interrupted::Outer(cancelled))) => {
                cancelled.swallow();
                self.shared.goes_on();
                self.shared.end_children();
                self.propagates = true;
                BodyEnd::Without
            }
        };
        self.shared.body.take();
        if let Some(payload) = panic {
            let task = asyncio_task::current_task();
            self.shared.panicked(task.as_ref(), payload);
        }
        self.body = None;
        self.result = Some(end);
    }

    fn finish(&mut self) -> Poll<Result<T, ErrorGroup<E>>> {
        self.shared.ending.set(true);
        let is_without_errors =
            self.shared.errors.borrow().is_empty() && self.shared.panic.borrow().is_none();
        if is_without_errors && let Some(BodyEnd::Returned(_)) = self.result {
            return self.finish_with_value();
        }
        let (failures, result) = self.take_ends();
        let panic = self.shared.panic.take();
        if let Some((payload, _)) = panic {
            self.listener.release();
            Failure::lose(failures, LOST_BY_PANIC);
            resume_unwind(payload);
        }
        let errors = failures.into_iter().map(|failure| failure.error);
        if let Some(errors) = ErrorGroup::new(errors.collect()) {
            self.listener.release();
            return Poll::Ready(Err(errors));
        }
        let heard = self.listener.conclude(false);
        let propagation = match result {
            _ if heard => Propagation::here(),
            None | Some(BodyEnd::Without) if self.propagates => propagate_here(),
            _ => {
                unreachable!("a body without a value was cancelled, by an error or from outside")
            }
        };
        self.result = Some(BodyEnd::Over(propagation));
        Poll::Pending
    }

    /// The body has returned a value, and nothing has failed.
    // Apart from the other ends. In a type for all of them, a value is stored in its own size and loaded in that of the
    // largest. The processor waits for such a store.
    fn finish_with_value(&mut self) -> Poll<Result<T, ErrorGroup<E>>> {
        if self.shared.answer.get() == Answer::Swallowed {
            self.listener.conclude(true);
        } else if self.shared.contest.get() == Contest::Decided && !self.listener.is_dismissed() {
            self.listener.release();
        }
        let heard = self.listener.conclude(false);
        let over = match heard {
            true => Propagation::here(),
            false => Propagation::NOWHERE,
        };
        match self.result.replace(BodyEnd::Over(over)) {
            Some(BodyEnd::Returned(value)) if !heard => Poll::Ready(Ok(value)),
            _ => Poll::Pending,
        }
    }
}

/// A poll of a body that is under way.
struct BodyStep<'a, 'b, F: Future> {
    body: Pin<&'a mut Scope<F>>,
    cx: &'a mut Context<'b>,
    outcome: &'a mut Poll<Result<F::Output, Interrupted>>,
}

impl<F: Future> BodyStep<'_, '_, F> {
    #[inline(always)]
    fn poll(&mut self) {
        *self.outcome = self.body.as_mut().poll(self.cx);
    }
}

impl<T, E> Group<'_, T, E> {
    /// All errors, that of the body last, and what else the body came to.
    fn take_ends(&mut self) -> (Vec<Failure<E>>, Option<BodyEnd<T, E>>) {
        let mut failures = self.shared.errors.take();
        match self.result.replace(BodyEnd::Over(Propagation::NOWHERE)) {
            Some(BodyEnd::Failed(failure)) => {
                failures.push(failure);
                (failures, None)
            }
            result => (failures, result),
        }
    }
}

impl<T, E> Drop for Group<'_, T, E> {
    fn drop(&mut self) {
        // The handles may keep `shared`; the children end here.
        self.shared.ending.set(true);
        self.shared.over.set(true);
        let panicked = |child: &TaskRef, payload| self.shared.panicked(Some(child), payload);
        self.shared.children.end_with(panicked);
        self.shared.finished.set(true);
        let panic = self.shared.panic.take();
        if let Some((payload, child)) = panic {
            let message = "a task group is dropped before its panic can go on";
            report(message, child.as_ref(), payload);
        }
        let (failures, _value) = self.take_ends();
        if !failures.is_empty() {
            Failure::lose(failures, LOST_BY_DROP);
        }
    }
}

pin_project! {
    /// The body's future, which tells the group when it returns.
    struct Body<'env, F, E> {
        #[pin]
        future: F,
        shared: Rc<Shared<'env, E>>,
    }
}

impl<F: Future, E> Future for Body<'_, F, E> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let poll = this.future.poll(cx);
        if poll.is_ready() {
            this.shared.has_returned();
        }
        poll
    }
}
