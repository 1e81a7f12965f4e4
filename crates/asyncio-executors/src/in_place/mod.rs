//! Several futures polled in place, as parts of the task around: `race`, `gather` and `try_gather` of tuples and
//! arrays.
//!
//! Nothing is allocated. Each poll polls all that have not returned, in order, or as the loop's seed says. Each future
//! is a [`Branch`](asyncio_task::Branch). While no cancel scope is open inside of any, a round costs little more than
//! the polls, and a loser is dropped where it waits. If a scope has opened inside of a branch, the branch can hear of
//! its end. So it is told, and awaited.
//!
//! Requests from outside reach the listener around the branches, if any of them has a scope. It tells all of them, as a
//! task group tells its children (`group`). Without any scope nothing could hear of a request, and the code around
//! drops the branches with itself.
//!
//! Why these are no tasks: `docs/decisions/in-place.md`.

mod crew;
mod engine;
mod member;
mod pinned_array;

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crew::CrewOf;
pub(crate) use crew::{
    Array, Tuple1, Tuple2, Tuple3, Tuple4, Tuple5, Tuple6, Tuple7, Tuple8, Tuple9, Tuple10,
    Tuple11, Tuple12,
};
use engine::{Ends, Engine};
use member::{All, First, PlainPoll, Try};

pin_project! {
    /// A race.
    pub(crate) struct Racing<C> {
        #[pin]
        crew: C,
        engine: Engine<First>,
    }
}

/// A crew of which each member can win a race.
pub(crate) trait Racers: CrewOf<First> {
    type Output;

    /// Polls a member in a plain round.
    fn poll_first(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// Keeps the value of a member.
    fn store(self: Pin<&mut Self>, n: usize, value: Self::Output);

    /// The value of a member.
    fn take(self: Pin<&mut Self>, n: usize) -> Option<Self::Output>;
}

impl<C: Racers> Racing<C> {
    pub(crate) fn new(crew: C, place: &'static Location<'static>) -> Self {
        Self {
            crew,
            engine: Engine::new(place),
        }
    }
}

impl<C: Racers> Future for Racing<C> {
    type Output = C::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut this = self.project();
        let poll = |crew: Pin<&mut C>, n, cx: &mut Context<'_>| match crew.poll_first(n, cx) {
            Poll::Ready(value) => PlainPoll::Decides(value),
            Poll::Pending => PlainPoll::Waits,
        };
        let ends = ready!(this.engine.poll(this.crew.as_mut(), cx, poll, C::store));
        Poll::Ready(match ends {
            // Not through the place of the value, where it would be stored and loaded again.
            Ends::Decided(value) => value,
            Ends::Stored(winner) => {
                let value = winner.and_then(|winner| this.crew.take(winner));
                value.expect("a race ends with the value of its winner")
            }
        })
    }
}

pin_project! {
    /// A gather.
    pub(crate) struct Gathering<C> {
        #[pin]
        crew: C,
        engine: Engine<All>,
    }
}

/// A crew whose values are gathered.
pub(crate) trait Gathered: CrewOf<All> {
    type Outputs;

    /// All values, when all are there.
    fn take_all(self: Pin<&mut Self>) -> Self::Outputs;
}

impl<C: Gathered> Gathering<C> {
    pub(crate) fn new(crew: C, place: &'static Location<'static>) -> Self {
        Self {
            crew,
            engine: Engine::new(place),
        }
    }
}

impl<C: Gathered> Future for Gathering<C> {
    type Output = C::Outputs;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Outputs> {
        let mut this = self.project();
        let poll = C::poll_plain;
        ready!(
            this.engine
                .poll(this.crew.as_mut(), cx, poll, |_, _, ()| ())
        );
        Poll::Ready(this.crew.take_all())
    }
}

pin_project! {
    /// A gather of results.
    pub(crate) struct TryGathering<C> {
        #[pin]
        crew: C,
        engine: Engine<Try>,
    }

    impl<C> PinnedDrop for TryGathering<C> {
        fn drop(this: Pin<&mut Self>) {
            this.engine.drop_gather();
        }
    }
}

/// A crew whose results are gathered.
pub(crate) trait TryGathered: CrewOf<Try> {
    type Outputs;
    type Error;

    /// The error of a member.
    fn take_error(self: Pin<&mut Self>, n: usize) -> Option<Self::Error>;

    /// All values, when all are there.
    fn take_all(self: Pin<&mut Self>) -> Self::Outputs;
}

impl<C: TryGathered> TryGathering<C> {
    pub(crate) fn new(crew: C, place: &'static Location<'static>) -> Self {
        Self {
            crew,
            engine: Engine::new(place),
        }
    }
}

impl<C: TryGathered> Future for TryGathering<C> {
    type Output = Result<C::Outputs, C::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let poll = |crew: Pin<&mut C>, n, cx: &mut Context<'_>| match crew.poll_plain(n, cx) {
            PlainPoll::Waits => PlainPoll::Waits,
            PlainPoll::Ended => PlainPoll::Ended,
            PlainPoll::Decides(()) => PlainPoll::Decides(n),
        };
        let ends = ready!(this.engine.poll(this.crew.as_mut(), cx, poll, |_, _, _| ()));
        let failed = match ends {
            Ends::Decided(failed) => Some(failed),
            Ends::Stored(failed) => failed,
        };
        let error = failed.and_then(|failed| this.crew.as_mut().take_error(failed));
        Poll::Ready(match error {
            Some(error) => Err(error),
            None => Ok(this.crew.take_all()),
        })
    }
}
