//! Values on their way between the members of a child set.
//!
//! A child that ends with a value leaves it to the task that awaits it. That task takes the value in its next step. If
//! it is ended before that step, the value is lost, and with it an item of a queue that the child had taken. Therefore:
//!
//! - A round goes on in a race that has no winner yet, and in the last poll that a request leaves. It ends when each
//!   awaiting member and the body have had that step, whatever the budget. Nothing can be decided in between.
//! - Elsewhere, a member that a value is on its way to keeps its last poll when its group ends
//!   ([`Keeps::OnePoll`]). So does a member whose own children hand a value over.
//! - When a group ends, an awaited member keeps its last poll only if its awaiting task can take the value. That is a
//!   task outside of the set, the body, or a member that keeps its own last poll ([`last_polls`]).
//! - The members of a group that ends are cancelled in one round, whatever the budget. Members that wait only for each
//!   other are dropped in it. So a race returns its value in the step in which it is decided.

use std::cell::Cell;

/// Flags of a child set about the values that are on their way between its members.
#[derive(Default)]
pub(crate) struct Handover(Cell<u8>);

/// Set while the first value of a member decides what becomes of the others. No value may be under way then.
const CONTEST: u8 = 1 << 0;
/// Set when the members have been asked to end, and nothing takes their values. Cleared by the next round, or by the
/// one under way.
const ENDS: u8 = 1 << 1;
/// Set when an awaited member has ended with a value. Cleared when all that were ready then are about to have a step.
const VALUE: u8 = 1 << 2;
/// The same, without a value.
const NO_VALUE: u8 = 1 << 3;

impl Handover {
    #[inline]
    fn has(&self, flags: u8) -> bool {
        self.0.get() & flags != 0
    }

    #[inline]
    fn set(&self, flags: u8, on: bool) {
        let others = self.0.get() & !flags;
        self.0.set(others | if on { flags } else { 0 });
    }

    pub(crate) fn set_contest(&self, on: bool) {
        self.set(CONTEST, on);
    }

    #[inline]
    pub(crate) fn is_contest(&self) -> bool {
        self.has(CONTEST)
    }

    /// Whether nothing is under way.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        !self.has(ENDS | VALUE | NO_VALUE)
    }

    /// Notes that all members were asked to end and that nothing takes their values.
    pub(crate) fn end(&self) {
        self.set(ENDS, true);
    }

    /// Whether a round has to end the members.
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.has(ENDS)
    }

    /// The same, and takes note that it does.
    pub(crate) fn take_end(&self) -> bool {
        let ends = self.has(ENDS);
        self.set(ENDS, false);
        ends
    }

    /// Notes that an awaited member has ended with a value.
    #[inline]
    pub(crate) fn note_value(&self) {
        self.set(VALUE, true);
    }

    /// Notes that an awaited member has ended without a value.
    #[inline]
    pub(crate) fn note_end(&self) {
        self.set(NO_VALUE, true);
    }

    /// Whether a value may be on its way.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.has(VALUE)
    }

    /// Whether the task that awaits a member that has ended may not have had a step.
    pub(crate) fn has_ended(&self) -> bool {
        self.has(VALUE | NO_VALUE)
    }

    /// Notes that all that are ready are about to have a step.
    #[inline]
    pub(crate) fn settle(&self) {
        self.set(VALUE | NO_VALUE, false);
    }
}

/// The last poll of a member when its group ends: kept, or taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keeps {
    /// The awaiting task can take the value.
    Poll,
    /// A value is on its way to the member. It takes that in one poll.
    OnePoll,
    /// It has no poll, but takes the value of a member that has one.
    OfAwaited,
    Nothing,
}

/// The task that takes the value of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taker {
    Nobody,
    /// Another member, by its place in the list.
    Member(usize),
    /// A task that does not end with the set.
    Outside,
}

/// Decides for each of `members` members whether it keeps its last poll when their group ends.
pub(crate) fn last_polls(
    members: usize,
    taker: impl Fn(usize) -> Taker,
    expects: impl Fn(usize) -> bool,
) -> Vec<Keeps> {
    // Whether the value of each has a taker, as far as that is known.
    let mut taken: Vec<Option<bool>> = vec![None; members];
    let mut chain = Vec::new();
    for first in 0..members {
        let mut next = first;
        // Until it is known, or the chain comes back to itself.
        let end = loop {
            if let Some(known) = taken[next] {
                break known;
            }
            taken[next] = Some(false);
            chain.push(next);
            match taker(next) {
                Taker::Nobody => break false,
                Taker::Outside => break true,
                Taker::Member(member) => next = member,
            }
        };
        for member in chain.drain(..) {
            taken[member] = Some(end);
        }
    }
    let keep = |taken| match taken {
        Some(true) => Keeps::Poll,
        _ => Keeps::Nothing,
    };
    let mut all: Vec<_> = taken.into_iter().map(keep).collect();
    for first in (0..members).filter(|&member| expects(member)) {
        if all[first] == Keeps::Nothing {
            all[first] = Keeps::OnePoll;
        }
        // The value of that poll goes on to the member's own taker.
        let mut next = first;
        while let Taker::Member(member) = taker(next) {
            all[member] = match all[member] {
                Keeps::Nothing => Keeps::OfAwaited,
                Keeps::OnePoll => Keeps::Poll,
                Keeps::Poll | Keeps::OfAwaited => break,
            };
            next = member;
        }
    }
    all
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn taken_by(takers: &[Taker]) -> Vec<Keeps> {
        last_polls(takers.len(), |member| takers[member], |member| member == 0)
    }

    use Keeps::{Nothing, OfAwaited, OnePoll, Poll};
    use Taker::{Member, Nobody, Outside};

    #[test]
    fn a_value_needs_a_taker() {
        assert_eq!(
            taken_by(&[Nobody, Nobody, Outside]),
            [OnePoll, Nothing, Poll]
        );
    }

    #[test]
    fn the_end_of_a_chain_counts() {
        let takers = [Member(2), Member(0), Outside, Member(4), Nobody, Member(3)];
        assert_eq!(
            taken_by(&takers),
            [Poll, Poll, Poll, Nothing, Nothing, Nothing]
        );
    }

    #[test]
    fn a_member_that_takes_one_value_takes_no_second() {
        assert_eq!(taken_by(&[Nobody, Member(0)]), [OnePoll, Nothing]);
    }

    #[test]
    fn a_value_that_is_on_its_way_goes_to_the_end_of_the_chain() {
        let takers = [Member(1), Member(2), Nobody, Nobody];
        assert_eq!(taken_by(&takers), [OnePoll, OfAwaited, OfAwaited, Nothing]);
    }

    #[test]
    fn a_circle_ends() {
        let takers = [Member(1), Member(2), Member(1)];
        assert_eq!(taken_by(&takers), [OnePoll, OfAwaited, OfAwaited]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let mut takers: Vec<_> = (1..100_000).map(Member).collect();
        takers.push(Outside);
        assert!(taken_by(&takers).iter().all(|&keeps| keeps == Poll));
    }
}
