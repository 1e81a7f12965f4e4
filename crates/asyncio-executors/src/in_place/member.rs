//! One of several futures that are polled in place, and the rule that its value follows.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use asyncio_task::{Branch, BranchEnd, Interrupted, Listener, PlainRound, ScopeHandle};
use pin_project_lite::pin_project;

/// The rule for values that end the other branches.
pub(crate) trait Rule<T> {
    /// The first value wins, also after a request from outside.
    const IS_CONTEST: bool = false;

    /// Whether the value ends the others.
    fn decides(value: &T) -> bool;
}

/// A race: the first value.
pub(crate) struct First;

/// A gather: no value.
pub(crate) struct All;

/// A gather of results: the first error.
pub(crate) struct Try;

impl<T> Rule<T> for First {
    const IS_CONTEST: bool = true;

    fn decides(_: &T) -> bool {
        true
    }
}

impl<T> Rule<T> for All {
    fn decides(_: &T) -> bool {
        false
    }
}

impl<T, E> Rule<Result<T, E>> for Try {
    fn decides(value: &Result<T, E>) -> bool {
        value.is_err()
    }
}

pin_project! {
    /// One of several: a branch, and its value when it has returned.
    pub(crate) struct Member<F: Future> {
        #[pin]
        branch: Branch<F>,
        value: Option<F::Output>,
    }
}

/// The result of a member's poll in a plain round.
pub(crate) enum PlainPoll<T> {
    Waits,
    /// It has ended, in this poll or before.
    Ended,
    /// It has returned a value that ends the others.
    Decides(T),
}

/// The end of a member.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Returned {
        decides: bool,
        is_asked: bool,
    },
    /// It was cancelled.
    Cancelled,
    /// It propagates a cancellation of its own accord.
    Propagates,
}

impl<F: Future> Member<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            branch: Branch::new(future),
            value: None,
        }
    }

    /// Polls it in a plain round, unless it has ended, and keeps its value.
    #[inline(always)]
    pub(crate) fn poll_plain<R: Rule<F::Output>>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> PlainPoll<()> {
        let this = self.project();
        if this.branch.has_ended() {
            return PlainPoll::Ended;
        }
        let Poll::Ready(value) = this.branch.poll_plain(cx) else {
            return PlainPoll::Waits;
        };
        let decides = R::decides(&value);
        *this.value = Some(value);
        match decides {
            true => PlainPoll::Decides(()),
            false => PlainPoll::Ended,
        }
    }

    /// Polls it in a plain round of a race.
    #[inline(always)]
    pub(crate) fn poll_first(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().branch.poll_plain(cx)
    }

    /// A scope has opened in the plain poll of this member, which has returned a value.
    pub(crate) fn end_plain(self: Pin<&mut Self>, round: PlainRound<'_>, listener: &mut Listener) {
        self.project().branch.end_plain(round, listener);
    }

    /// A scope has opened in the plain poll of this member, which waits.
    pub(crate) fn go_on<R: Rule<F::Output>>(
        self: Pin<&mut Self>,
        round: PlainRound<'_>,
        listener: &mut Listener,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let this = self.project();
        let end = ready!(this.branch.go_on(round, listener, cx));
        Poll::Ready(Self::note::<R>(this.value, end))
    }

    /// Polls it, unless it has ended.
    #[inline]
    pub(crate) fn poll<R: Rule<F::Output>>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        let this = self.project();
        if this.branch.has_ended() {
            return Poll::Pending;
        }
        let end = ready!(this.branch.poll(cx));
        Poll::Ready(Self::note::<R>(this.value, end))
    }

    fn note<R: Rule<F::Output>>(place: &mut Option<F::Output>, end: BranchEnd<F::Output>) -> End {
        match end {
            BranchEnd::Returned { value, is_asked } => {
                let decides = R::decides(&value);
                *place = Some(value);
                End::Returned { decides, is_asked }
            }
            BranchEnd::Interrupted(Interrupted::Own) => End::Cancelled,
            BranchEnd::Interrupted(Interrupted::Outer(cancelled)) => {
                cancelled.swallow();
                End::Propagates
            }
        }
    }

    pub(crate) fn state(self: Pin<&mut Self>) -> MemberState {
        let branch = self.project().branch;
        match branch.has_ended() {
            true => MemberState::Ended,
            false => branch
                .handle()
                .map_or(MemberState::Plain, MemberState::Scoped),
        }
    }

    pub(crate) fn discard(self: Pin<&mut Self>) {
        self.project().branch.discard();
    }

    pub(crate) fn value(self: Pin<&mut Self>) -> &mut Option<F::Output> {
        self.project().value
    }
}

/// How a member is told to end.
pub(crate) enum MemberState {
    Ended,
    /// No scope has opened inside of it: it is dropped.
    Plain,
    Scoped(ScopeHandle),
}
