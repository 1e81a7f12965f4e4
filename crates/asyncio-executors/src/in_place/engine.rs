//! The course of a race or a gather: who is polled, who is told to end, and what becomes of a request from outside.

use std::any::Any;
use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_task::{
    Cause, HeardRequest, Listener, PanicPayload, PlainRound, Propagation, ScopeHandle, StepBack,
    Unhandled, current_task, is_observed, order_below, propagate_here, request_to_losers,
    timed_part,
};

use super::crew::{Crew, CrewOf};
use super::member::{End, MemberState, PlainPoll};
use crate::answer::Answer;
use crate::forgotten::Failure;

/// The report of an error in a gather that panics.
const LOST_BY_PANIC: &str = "an error in a gather is lost, as the gather panics";

/// The report of an error in a gather that is dropped before it returns.
const LOST_BY_DROP: &str =
    "an error in a gather is lost, as the gather is dropped before it returns";

/// The report of a panic after the first.
const SECOND_PANIC: &str = "a second panic in a race or a gather, which passes only the first on";

type Payload = Box<dyn Any + Send>;

/// The engine of a race or a gather.
pub(crate) struct Engine<R> {
    listener: Listener,
    step_back: StepBack,
    stage: Stage,
    course: Course,
    /// The place of the call, for debug mode.
    place: &'static Location<'static>,
    rule: PhantomData<fn() -> R>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No scope has opened in any member.
    Plain,
    /// A member may have.
    Scoped,
    /// It has ended, with a value or without.
    Over,
}

/// The end of all members.
pub(crate) enum Ends<T> {
    /// In a plain round one has decided, with this.
    Decided(T),
    /// The values are in their places. The member whose value has ended the others, if one has.
    Stored(Option<usize>),
}

/// The result of a plain round.
enum Plain<T> {
    Wait,
    Over(Ends<T>),
    /// A scope has opened in this member.
    Opened(usize),
}

/// The members in a plain round. If the poll of one panics, the others are dropped: none can hear of that.
struct Fellows<'a, C: Crew> {
    crew: Pin<&'a mut C>,
    stage: &'a mut Stage,
    is_over: bool,
}

impl<C: Crew> Drop for Fellows<'_, C> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_over {
            *self.stage = Stage::Over;
            discard_all(self.crew.as_mut());
        }
    }
}

#[cold]
fn discard_all<C: Crew>(mut crew: Pin<&mut C>) {
    for member in 0..C::LEN {
        let discard = || crew.as_mut().discard(member);
        if let Err(second) = catch_unwind(AssertUnwindSafe(discard)) {
            report(SECOND_PANIC, second);
        }
    }
}

/// The number of a member, in a type whose `None` is a number as well. Otherwise, a new race would have fields without
/// a value. These were copied in parts, and the processor waited for the parts.
#[derive(Clone, Copy)]
struct Number(NonZeroU32);

impl Number {
    fn new(member: usize) -> Self {
        let number = u32::try_from(member + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer than 2^32 futures"))
    }

    fn get(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// How far a race or a gather has come.
struct Course {
    /// How many members have not ended. Counted from the first scoped round on.
    left: u32,
    /// A member has ended without a value.
    is_short: bool,
    /// The others end: they have been told.
    is_ending: bool,
    answer: Answer,
    /// The member whose value has ended the others.
    decided: Option<Number>,
    /// An `Rc` and no `Box`: the drop of none is inlined.
    rest: Option<Rc<Rare>>,
}

/// Rarely used fields of a course.
#[derive(Default)]
struct Rare {
    /// The first panic.
    panic: Cell<Option<Payload>>,
    /// The request to the losers: one cause, however often it is made.
    request: Cell<Option<HeardRequest>>,
    /// It has ended, and this code propagates a request.
    propagation: Cell<Option<Propagation>>,
}

impl<R> Engine<R> {
    pub(crate) fn new(place: &'static Location<'static>) -> Self {
        Self {
            listener: Listener::new(),
            step_back: StepBack::new(),
            stage: Stage::Plain,
            course: Course {
                left: 0,
                is_short: false,
                is_ending: false,
                answer: Answer::Unasked,
                decided: None,
                rest: None,
            },
            place,
            rule: PhantomData,
        }
    }

    /// Polls all. `Ready` when all have ended and the values that are needed are there.
    ///
    /// `poll` polls one in a plain round. `store` puts what has decided into its place.
    #[inline(always)]
    pub(crate) fn poll<C: CrewOf<R>, T>(
        &mut self,
        mut crew: Pin<&mut C>,
        cx: &mut Context<'_>,
        poll: impl FnMut(Pin<&mut C>, usize, &mut Context<'_>) -> PlainPoll<T>,
        store: impl FnOnce(Pin<&mut C>, usize, T),
    ) -> Poll<Ends<T>> {
        ready!(Pin::new(&mut self.step_back).poll(cx)); // so a loop of ready ones lets others run
        if self.stage != Stage::Plain {
            return self.poll_scoped(crew, cx).map(Ends::Stored);
        }
        match self.plain_round(crew.as_mut(), cx, poll, store) {
            Some(Plain::Wait) => Poll::Pending,
            Some(Plain::Over(ends)) => Poll::Ready(ends),
            Some(Plain::Opened(member)) => self.go_on(crew, member + 1, cx).map(Ends::Stored),
            None => self.poll_scoped(crew, cx).map(Ends::Stored),
        }
    }

    /// A round as long as no scope has opened in any member. `None` if a seed orders the members, or debug mode times
    /// them.
    #[inline(always)]
    fn plain_round<C: CrewOf<R>, T>(
        &mut self,
        mut crew: Pin<&mut C>,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(Pin<&mut C>, usize, &mut Context<'_>) -> PlainPoll<T>,
        store: impl FnOnce(Pin<&mut C>, usize, T),
    ) -> Option<Plain<T>> {
        PlainRound::run(|round| {
            let mut fellows = Fellows {
                crew: crew.as_mut(),
                stage: &mut self.stage,
                is_over: false,
            };
            let mut waits = false;
            for member in 0..C::LEN {
                let polled = poll(fellows.crew.as_mut(), member, cx);
                if round.has_opened() {
                    fellows.is_over = true;
                    drop(fellows);
                    let polled = stored(polled, |value| store(crew.as_mut(), member, value));
                    self.open(crew, member, polled, round, cx);
                    return Plain::Opened(member);
                }
                match polled {
                    PlainPoll::Waits => waits = true,
                    PlainPoll::Ended => {}
                    PlainPoll::Decides(value) => {
                        (0..C::LEN).for_each(|other| fellows.crew.as_mut().discard(other));
                        fellows.is_over = true;
                        drop(fellows);
                        round.end();
                        self.stage = Stage::Over;
                        return Plain::Over(Ends::Decided(value));
                    }
                }
            }
            fellows.is_over = true;
            drop(fellows);
            round.end();
            if waits {
                return Plain::Wait;
            }
            self.stage = Stage::Over;
            Plain::Over(Ends::Stored(None))
        })
    }

    /// The members can hear of requests from here on.
    #[cold]
    fn leave_plain<C: Crew>(&mut self, crew: Pin<&mut C>) {
        self.stage = Stage::Scoped;
        self.course.left = left(crew);
    }

    /// A scope has opened in a member.
    #[cold]
    #[inline(never)]
    fn open<C: CrewOf<R>>(
        &mut self,
        mut crew: Pin<&mut C>,
        member: usize,
        poll: Poll<bool>,
        round: PlainRound<'_>,
        cx: &mut Context<'_>,
    ) {
        self.leave_plain(crew.as_mut());
        self.course.left += u32::from(poll.is_ready()); // it is noted below
        let end = match poll {
            Poll::Pending => crew.as_mut().go_on(member, round, &mut self.listener, cx),
            Poll::Ready(decides) => {
                crew.as_mut().end_plain(member, round, &mut self.listener);
                // Nothing was passed on yet, so it has left nothing unanswered.
                let is_asked = false;
                Poll::Ready(End::Returned { decides, is_asked })
            }
        };
        if let Poll::Ready(end) = end
            && self.course.note_end::<R, C>(member, end)
        {
            self.course.end_others(crew);
        }
    }

    /// Polls all, if scopes have opened in some of them.
    #[inline(never)]
    fn poll_scoped<C: CrewOf<R>>(
        &mut self,
        mut crew: Pin<&mut C>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        if self.stage == Stage::Over {
            return self
                .propagation()
                .poll_again("a race or a gather was awaited again after it had ended");
        }
        if self.stage == Stage::Plain {
            self.leave_plain(crew.as_mut());
        }
        if self.listener.heard() {
            self.pass_on(crew.as_mut());
        }
        self.go_on(crew, 0, cx)
    }

    /// Polls the members from this one on, and sees what has become of all.
    #[inline(never)]
    fn go_on<C: CrewOf<R>>(
        &mut self,
        mut crew: Pin<&mut C>,
        first: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<usize>> {
        let was_ending = self.course.is_ending && first == 0;
        if first == 0 || !self.course.is_ending {
            self.poll_all(crew.as_mut(), first, cx);
        }
        if self.course.is_ending && !was_ending && self.course.left > 0 {
            // Those that wait for nothing end in the step in which they are told.
            self.poll_all(crew.as_mut(), 0, cx);
        }
        if self.course.answer.is_given(|| is_any_asked(crew)) {
            self.listener.answer();
            self.course.answer = Answer::Unasked;
        }
        if self.course.left > 0 {
            self.listener.wait_if_needed(cx);
            return Poll::Pending;
        }
        self.stage = Stage::Over;
        if self.course.answer == Answer::Unasked
            && self.course.rest.is_none()
            && self.has_value::<C>()
            && !self.listener.conclude(false)
        {
            return Poll::Ready(self.course.decided());
        }
        self.finish::<C>()
    }

    fn poll_all<C: CrewOf<R>>(&mut self, crew: Pin<&mut C>, first: usize, cx: &mut Context<'_>) {
        match is_observed() {
            false => self.round(crew, first, |n| n, |member, crew| crew.poll(member, cx)),
            true => self.observed_round(crew, cx),
        }
    }

    /// Polls in the order of the seed, and takes the times.
    #[cold]
    #[inline(never)]
    fn observed_round<C: CrewOf<R>>(&mut self, crew: Pin<&mut C>, cx: &mut Context<'_>) {
        let (order, place) = (shuffled(C::LEN), self.place);
        let poll = |member, crew: Pin<&mut C>| timed_part(place, || crew.poll(member, cx));
        self.round(crew, 0, |n| order[n], poll);
    }

    /// Polls each member once. A panic of one ends the others.
    #[inline]
    fn round<C: CrewOf<R>>(
        &mut self,
        mut crew: Pin<&mut C>,
        first: usize,
        member: impl Fn(usize) -> usize,
        mut poll: impl FnMut(usize, Pin<&mut C>) -> Poll<End>,
    ) {
        let course = &mut self.course;
        let mut next = first;
        loop {
            let is_contest = C::IS_CONTEST && course.decided.is_none();
            let polled = self.listener.poll_branches(is_contest, || {
                catch_unwind(AssertUnwindSafe(|| {
                    while next < C::LEN {
                        let member = member(next);
                        next += 1;
                        if let Poll::Ready(end) = poll(member, crew.as_mut())
                            && course.note_end::<R, C>(member, end)
                        {
                            course.end_others(crew.as_mut());
                            return;
                        }
                    }
                }))
            });
            match polled {
                Ok(()) => return,
                Err(payload) => course.panicked(crew.as_mut(), member(next - 1), payload),
            }
        }
    }

    /// Passes a request from outside on to all. Those that were woken before it have been polled since, by the last
    /// poll of the code around.
    #[cold]
    fn pass_on<C: CrewOf<R>>(&mut self, mut crew: Pin<&mut C>) {
        let request = self.listener.request();
        let course = &mut self.course;
        course.answer = course
            .answer
            .asked(C::IS_CONTEST && course.decided.is_some());
        // A value wins the race, so a task that a contender awaits keeps its last poll.
        let request = match C::IS_CONTEST && course.decided.is_none() {
            true => request,
            false => request.dismissing(),
        };
        course.tell_all(crew.as_mut(), |handle| {
            handle.pass_on(&request);
        });
        if course.is_short && !C::IS_CONTEST && !course.is_ending {
            course.end_others(crew);
        }
    }

    /// Whether the values that are needed are there.
    fn has_value<C: CrewOf<R>>(&self) -> bool {
        self.course.decided.is_some() || !C::IS_CONTEST && !self.course.is_short
    }

    /// All have ended: after a request, a panic, or without a value.
    #[cold]
    #[inline(never)]
    fn finish<C: CrewOf<R>>(&mut self) -> Poll<Option<usize>> {
        if let Some(payload) = self.course.take_panic() {
            self.listener.release();
            if !C::IS_CONTEST {
                self.report_loss(LOST_BY_PANIC);
            }
            resume_unwind(payload);
        }
        let decided = self.course.decided();
        let has_value = self.has_value::<C>();
        if has_value && self.course.answer == Answer::Swallowed {
            self.listener.conclude(true);
        } else if decided.is_some() && (!C::IS_CONTEST || !self.listener.is_dismissed()) {
            self.listener.release();
        }
        let heard = self.listener.conclude(false);
        if has_value && !heard {
            return Poll::Ready(decided);
        }
        let propagation = match heard {
            true => Propagation::here(),
            false => propagate_here(),
        };
        self.course.rare().propagation.set(Some(propagation));
        Poll::Pending
    }

    /// The code that propagates a request on behalf of this, which is over.
    fn propagation(&self) -> Propagation {
        let rest = self.course.rest.as_ref();
        let propagation = rest.and_then(|rest| rest.propagation.get());
        propagation.unwrap_or(Propagation::NOWHERE)
    }

    /// A gather is dropped. If it has an error that it has not returned, the error is lost.
    pub(super) fn drop_gather(&self) {
        if self.stage != Stage::Over {
            self.report_loss(LOST_BY_DROP);
        }
    }

    fn report_loss(&self, message: &'static str) {
        if self.course.decided.is_some() {
            Failure::lose(vec![Failure::here(())], message);
        }
    }
}

impl Course {
    fn decided(&self) -> Option<usize> {
        self.decided.map(Number::get)
    }

    /// A member has ended. Whether the others end with it.
    #[inline]
    fn note_end<R, C: CrewOf<R>>(&mut self, member: usize, end: End) -> bool {
        self.left -= 1;
        let decides = match end {
            End::Returned { decides, is_asked } => {
                if is_asked {
                    self.goes_on();
                }
                if decides && self.decided.is_none() {
                    self.decided = Some(Number::new(member));
                }
                decides
            }
            End::Cancelled | End::Propagates => {
                self.is_short = true;
                self.goes_on();
                // Others can win a race. Without all values there is nothing to gather.
                !C::IS_CONTEST
            }
        };
        decides && !self.is_ending
    }

    /// A member has ended, and has not swallowed the request from outside, if there is one.
    fn goes_on(&mut self) {
        self.answer = self.answer.refused();
    }

    /// Ends the others: nobody can take their values. If they clean up for a request from outside, they are not
    /// interrupted. One that answers it is ended then.
    fn end_others<C: Crew>(&mut self, mut crew: Pin<&mut C>) {
        self.answer = self.answer.settled(|| is_any_asked(crew.as_mut()));
        self.is_ending = true;
        let mut request = self.rest.as_ref().and_then(|rest| rest.request.take());
        let is_asked = self.answer != Answer::Unasked;
        self.tell_all(crew, |handle| {
            let request = request.get_or_insert_with(request_to_losers);
            match is_asked {
                true => handle.pass_on_when_free(request),
                false => {
                    handle.pass_on(request);
                }
            }
        });
        if request.is_some() {
            self.rare().request.set(request);
        }
    }

    /// Tells each member that has a scope, and drops the others.
    fn tell_all<C: Crew>(&mut self, mut crew: Pin<&mut C>, mut tell: impl FnMut(&ScopeHandle)) {
        for n in 0..C::LEN {
            match crew.as_mut().state(n) {
                MemberState::Ended => {}
                MemberState::Scoped(handle) => tell(&handle),
                MemberState::Plain => {
                    self.left -= 1;
                    self.is_short = true;
                    self.goes_on();
                    let discard = || crew.as_mut().discard(n);
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(discard)) {
                        self.keep_panic(payload);
                    }
                }
            }
        }
    }

    /// The poll of a member has panicked.
    #[cold]
    #[inline(never)]
    fn panicked<C: Crew>(&mut self, mut crew: Pin<&mut C>, member: usize, payload: Payload) {
        self.keep_panic(payload);
        self.goes_on();
        let discard = || crew.as_mut().discard(member);
        if let Err(second) = catch_unwind(AssertUnwindSafe(discard)) {
            self.keep_panic(second);
        }
        self.is_short = true;
        self.left = left(crew.as_mut());
        if !self.is_ending {
            self.end_others(crew);
        }
    }

    /// Keeps the first panic, and reports the others.
    #[cold]
    fn keep_panic(&mut self, payload: Payload) {
        let rest = self.rare();
        match rest.panic.take() {
            None => rest.panic.set(Some(payload)),
            first => {
                rest.panic.set(first);
                report(SECOND_PANIC, payload);
            }
        }
    }

    fn take_panic(&self) -> Option<Payload> {
        self.rest.as_ref()?.panic.take()
    }

    fn rare(&mut self) -> &Rare {
        self.rest.get_or_insert_default()
    }
}

impl Drop for Rare {
    fn drop(&mut self) {
        if let Some(payload) = self.panic.take() {
            report(
                "a race or a gather is dropped before its panic can go on",
                payload,
            );
        }
    }
}

/// The state after a plain poll, once `store` has seen to its value.
#[cold]
fn stored<T>(polled: PlainPoll<T>, store: impl FnOnce(T)) -> Poll<bool> {
    match polled {
        PlainPoll::Waits => Poll::Pending,
        PlainPoll::Ended => Poll::Ready(false),
        PlainPoll::Decides(value) => {
            store(value);
            Poll::Ready(true)
        }
    }
}

/// How many members have not ended.
#[cold]
fn left<C: Crew>(mut crew: Pin<&mut C>) -> u32 {
    let has_ended = |n: &usize| matches!(crew.as_mut().state(*n), MemberState::Ended);
    let left = C::LEN - (0..C::LEN).filter(has_ended).count();
    u32::try_from(left).expect("fewer than 2^32 futures")
}

/// Whether a request to any member is open.
#[cold]
fn is_any_asked<C: Crew>(mut crew: Pin<&mut C>) -> bool {
    (0..C::LEN).any(|n| match crew.as_mut().state(n) {
        MemberState::Ended | MemberState::Plain => false,
        MemberState::Scoped(handle) => handle.is_asked_to_end(),
    })
}

#[cold]
fn report(message: &'static str, payload: Payload) {
    let task = current_task();
    let cause = Cause::Panic(PanicPayload::new(payload));
    asyncio_loop::call_exception_handler(&Unhandled::new(message, task.as_ref(), cause));
}

/// The numbers below `len`, in an order from the loop's seed.
#[cold]
pub(crate) fn shuffled(len: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..len).collect();
    for left in (1..len).rev() {
        all.swap(left, order_below(left + 1).unwrap_or(left));
    }
    all
}
