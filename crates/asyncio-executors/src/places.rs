//! How many children of a group may run at a time, and who is next.
//!
//! First come, first served: no place is taken while a waiter is in the line. A place that was granted to a waiter that
//! has gone since passes to the next waiter. A child arrives when it is spawned, not when it takes its first step. If
//! there is a place for it then, it is *expected*, and counts as if it had the place. Otherwise it joins the line at
//! once. So children get their places in the order in which they were spawned, and take their first steps in any order.
//!
//! A limit that is set or lowered later may leave fewer places than children are expected. Then one that comes takes a
//! place only if those that are expected and came before it would have places too. Otherwise it joins the line, where
//! its number belongs. The line is served when all that are expected would have places, or have come.
//!
//! The clone of a waker is foreign code. So each decision from before a clone is made again after it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::shrink::shrink;

/// The places of a group. Without a limit there is always one.
pub(crate) struct Places {
    limit: Cell<usize>,
    taken: Cell<usize>,
    /// How many children have not taken their first step, and are not in the line.
    expected: Cell<usize>,
    /// The number of the next arrival.
    next: Cell<u64>,
    /// No child with a lower number is expected. Without a limit, it is not kept up.
    expected_from: Cell<u64>,
    /// The waiters, in the order in which they came.
    line: RefCell<VecDeque<Rc<Waiter>>>,
    /// How many in the line have gone.
    gone: Cell<usize>,
}

struct Waiter {
    number: u64,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    /// It has a place, and may not know yet.
    Granted,
    Gone,
}

/// A place, or a wait for one. To be given back with [`Places::leave`].
#[derive(Default)]
pub(crate) enum Place {
    /// Not asked for yet.
    #[default]
    None,
    /// For a child that has not taken its first step, and was not in the line.
    Expected(u64),
    Waiting(Waiting),
    /// Here, beside the place, it needs no room.
    Taken {
        has_returned: bool,
    },
}

impl Place {
    const TAKEN: Self = Self::Taken {
        has_returned: false,
    };

    /// The child that has the place returns.
    #[inline]
    pub(crate) fn note_return(&mut self) {
        if let Self::Taken { has_returned } = self {
            *has_returned = true;
        }
    }

    /// Whether the child that has the place has returned.
    #[inline]
    pub(crate) fn has_returned(&self) -> bool {
        matches!(self, Self::Taken { has_returned: true })
    }
}

/// A waiter's entry in the line.
pub(crate) struct Waiting(Rc<Waiter>);

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            limit: Cell::new(usize::MAX),
            taken: Cell::new(0),
            expected: Cell::new(0),
            next: Cell::new(0),
            expected_from: Cell::new(0),
            line: RefCell::default(),
            gone: Cell::new(0),
        }
    }

    /// Sets the limit. Children that have a place keep it, also if they are more.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
        if self.expected.get() == 0 {
            self.expected_from.set(self.next.get());
        }
        self.grant();
    }

    /// A child has come, and takes its first step later.
    #[inline]
    pub(crate) fn expect(&self, place: &mut Place) {
        if let Place::None = place {
            let number = self.number();
            if self.limit.get() != usize::MAX && !self.is_free_for(number, self.expected.get()) {
                return self.join(place, number, None);
            }
            *place = Place::Expected(number);
            self.expected.set(self.expected.get() + 1);
        }
    }

    /// A child that was expected has come, or never will.
    fn note_expected(&self, number: u64) {
        let others = self.expected.get() - 1;
        self.expected.set(others);
        if others == 0 {
            self.expected_from.set(self.next.get());
        } else if number == self.expected_from.get() {
            self.expected_from.set(number + 1);
        }
    }

    #[inline]
    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Waits for a place.
    #[inline]
    pub(crate) fn poll_enter(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        match place {
            Place::Taken { .. } => Poll::Ready(()),
            // Without a limit there is no wait.
            Place::Expected(_) if self.limit.get() == usize::MAX => {
                self.expected.set(self.expected.get() - 1);
                self.taken.set(self.taken.get() + 1);
                *place = Place::TAKEN;
                Poll::Ready(())
            }
            _ => self.poll_line(place, cx),
        }
    }

    /// Takes a place that is free for one that comes after all others.
    #[inline]
    pub(crate) fn take_free(&self, place: &mut Place) -> bool {
        let taken = self.taken.get().saturating_add(self.expected.get());
        let is_free = matches!(place, Place::None)
            && taken < self.limit.get()
            && self.line.borrow().is_empty();
        if is_free {
            self.taken.set(self.taken.get() + 1);
            *place = Place::TAKEN;
        }
        is_free
    }

    /// Whether a place is free for an arrival, with so many others expected, and it overtakes nobody.
    #[inline]
    fn is_free_for(&self, number: u64, others: usize) -> bool {
        let lower = usize::try_from(number - self.expected_from.get()).unwrap_or(usize::MAX);
        let before = others.min(lower);
        let overtakes = || (self.line.borrow().front()).is_some_and(|first| first.number < number);
        self.taken.get().saturating_add(before) < self.limit.get() && !overtakes()
    }

    /// Takes a place if one is free for this arrival.
    #[inline]
    fn take_at_once(&self, place: &mut Place) -> bool {
        let is_free = match place {
            Place::Expected(number) => self.is_free_for(*number, self.expected.get() - 1),
            Place::None => self.is_free_for(u64::MAX, self.expected.get()),
            Place::Waiting(_) | Place::Taken { .. } => false,
        };
        if !is_free {
            return false;
        }
        if let Place::Expected(number) = place {
            self.note_expected(*number);
        }
        self.taken.set(self.taken.get() + 1);
        *place = Place::TAKEN;
        true
    }

    /// Takes the place that the waiter in the line was granted, if it was.
    fn take_granted(&self, place: &mut Place) -> bool {
        match place {
            Place::Waiting(Waiting(waiter)) if waiter.state.get() == State::Granted => {
                let unused = waiter.waker.take();
                *place = Place::TAKEN;
                drop(unused);
                true
            }
            _ => false,
        }
    }

    #[inline(never)]
    fn poll_line(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        if self.take_granted(place) || self.take_at_once(place) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        if self.take_at_once(place) {
            return Poll::Ready(());
        }
        match place {
            Place::Taken { .. } => return Poll::Ready(()),
            Place::None => self.join(place, self.number(), Some(waker)),
            Place::Expected(number) => {
                let number = *number;
                self.join(place, number, Some(waker));
                self.note_expected(number);
            }
            Place::Waiting(Waiting(waiter)) => {
                let old = waiter.waker.replace(Some(waker));
                drop(old);
            }
        }
        self.grant();
        match self.take_granted(place) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Joins the line, behind all who came earlier.
    #[inline(never)]
    fn join(&self, place: &mut Place, number: u64, waker: Option<Waker>) {
        let waiter = Rc::new(Waiter {
            number,
            state: Cell::new(State::Waiting),
            waker: RefCell::new(waker),
        });
        let mut line = self.line.borrow_mut();
        let behind = line.partition_point(|other| other.number < number);
        line.insert(behind, waiter.clone());
        *place = Place::Waiting(Waiting(waiter));
    }

    /// Gives a place back, or leaves the line.
    #[inline]
    pub(crate) fn leave(&self, place: &mut Place) {
        match place {
            Place::None => {}
            Place::Taken { .. } if self.line.borrow().is_empty() => {
                *place = Place::None;
                self.taken.set(self.taken.get() - 1);
            }
            _ => self.leave_line(place),
        }
    }

    #[cold]
    fn leave_line(&self, place: &mut Place) {
        match std::mem::take(place) {
            Place::None => return,
            Place::Expected(number) => self.note_expected(number),
            Place::Taken { .. } => self.taken.set(self.taken.get() - 1),
            Place::Waiting(Waiting(waiter)) => {
                if waiter.state.replace(State::Gone) == State::Waiting {
                    let waker = waiter.waker.take();
                    self.forget_gone();
                    drop(waker);
                } else {
                    self.taken.set(self.taken.get() - 1);
                }
            }
        }
        self.grant();
    }

    /// Grants the free places to the waiters, but keeps as many places as children are expected.
    fn grant(&self) {
        while self.taken.get().saturating_add(self.expected.get()) < self.limit.get() {
            let Some(next) = self.first_in_line() else {
                return;
            };
            if next.state.get() == State::Gone {
                self.gone.set(self.gone.get() - 1);
                continue;
            }
            next.state.set(State::Granted);
            self.taken.set(self.taken.get() + 1);
            let waker = next.waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn first_in_line(&self) -> Option<Rc<Waiter>> {
        let mut line = self.line.borrow_mut();
        let first = line.pop_front();
        shrink(&mut line);
        first
    }

    /// Counts a waiter that has left the line. When half of the line has left, it is cleared, so that each costs
    /// little.
    fn forget_gone(&self) {
        self.gone.set(self.gone.get() + 1);
        let mut line = self.line.borrow_mut();
        if self.gone.get() * 2 > line.len() {
            line.retain(|waiter| waiter.state.get() != State::Gone);
            self.gone.set(0);
        }
        // The first in the line is there.
        while line
            .front()
            .is_some_and(|first| first.state.get() == State::Gone)
        {
            line.pop_front();
            self.gone.set(self.gone.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(places: &Places, place: &mut Place) -> bool {
        places
            .poll_enter(place, &Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn nobody_overtakes_whoever_waits() {
        let places = Places::new();
        places.set_limit(1);
        let (mut a, mut b, mut c) = Default::default();
        assert!(enter(&places, &mut a));
        assert!(!enter(&places, &mut b));
        places.leave(&mut a);
        assert!(!enter(&places, &mut c), "the place is b's already");
        assert!(enter(&places, &mut b));
        places.leave(&mut b);
        assert!(enter(&places, &mut c));
    }

    #[test]
    fn a_place_given_to_one_who_goes_passes_to_the_next() {
        let places = Places::new();
        places.set_limit(1);
        let (mut a, mut b, mut c) = Default::default();
        assert!(enter(&places, &mut a));
        assert!(!enter(&places, &mut b));
        assert!(!enter(&places, &mut c));
        places.leave(&mut a);
        places.leave(&mut b);
        assert!(enter(&places, &mut c));
    }

    #[test]
    fn those_who_leave_the_line_leave_nothing_behind() {
        let places = Places::new();
        places.set_limit(1);
        let mut first = Place::None;
        assert!(enter(&places, &mut first));
        for _ in 0..1000 {
            let mut place = Place::None;
            assert!(!enter(&places, &mut place));
            places.leave(&mut place);
        }
        assert!(places.line.borrow().is_empty());
        let mut place = Place::None;
        places.leave(&mut first);
        assert!(enter(&places, &mut place));
    }

    #[test]
    fn who_comes_later_does_not_overtake_a_child_that_has_not_begun() {
        let places = Places::new();
        places.set_limit(2);
        let (mut child, mut second, mut later) = Default::default();
        places.expect(&mut child);
        places.expect(&mut second);
        assert!(!enter(&places, &mut later), "both places are theirs");
        assert!(
            enter(&places, &mut second),
            "whoever of the two begins first"
        );
        places.leave(&mut second);
        assert!(
            enter(&places, &mut later),
            "one is left, and one is the first child's"
        );
        assert!(enter(&places, &mut child));
    }

    #[test]
    fn a_child_that_never_begins_leaves_its_place() {
        let places = Places::new();
        places.set_limit(1);
        let (mut child, mut later) = Default::default();
        places.expect(&mut child);
        assert!(!enter(&places, &mut later));
        places.leave(&mut child);
        assert!(enter(&places, &mut later));
    }

    #[test]
    fn children_of_before_the_limit_stand_in_the_line_in_their_order() {
        let places = Places::new();
        let mut all: [Place; 4] = Default::default();
        all.iter_mut().for_each(|place| places.expect(place));
        places.set_limit(1);
        let [a, b, c, d] = &mut all;
        assert!(enter(&places, a));
        assert!(!enter(&places, d) && !enter(&places, b) && !enter(&places, c));
        places.leave(a);
        assert!(!enter(&places, d) && !enter(&places, c) && enter(&places, b));
        places.leave(b);
        assert!(!enter(&places, d) && enter(&places, c));
        places.leave(c);
        assert!(enter(&places, d));
    }

    #[test]
    fn children_get_their_places_in_the_order_in_which_they_were_spawned() {
        let places = Places::new();
        places.set_limit(2);
        let mut all: [Place; 4] = Default::default();
        all.iter_mut().for_each(|place| places.expect(place));
        let [a, b, c, d] = &mut all;
        assert!(!enter(&places, d) && enter(&places, b) && !enter(&places, c));
        assert!(enter(&places, a), "it has had its place all the time");
        places.leave(b);
        assert!(!enter(&places, d) && enter(&places, c));
        places.leave(c);
        places.leave(a);
        assert!(enter(&places, d));
    }

    #[test]
    fn a_late_limit_gives_places_in_that_order_as_well() {
        for lowered in [false, true] {
            let places = Places::new();
            if lowered {
                places.set_limit(4);
            }
            let mut all: [Place; 5] = Default::default();
            let [a, b, c, d, e] = &mut all;
            for place in [&mut *a, &mut *b, &mut *c, &mut *d] {
                places.expect(place);
            }
            places.set_limit(2);
            places.expect(e);
            assert!(!enter(&places, d) && !enter(&places, e));
            assert!(enter(&places, b), "one place is left for the first");
            assert!(!enter(&places, c) && enter(&places, a));
            places.leave(a);
            assert!(!enter(&places, e) && !enter(&places, d) && enter(&places, c));
            places.leave(b);
            places.leave(c);
            assert!(enter(&places, e) && enter(&places, d));
        }
    }

    #[test]
    fn a_child_that_leaves_before_its_turn_holds_up_nobody() {
        let places = Places::new();
        let mut all: [Place; 4] = Default::default();
        all.iter_mut().for_each(|place| places.expect(place));
        places.set_limit(1);
        let [a, b, c, d] = &mut all;
        assert!(!enter(&places, d) && !enter(&places, c));
        places.leave(a);
        places.leave(b);
        assert!(!enter(&places, d) && enter(&places, c));
        places.leave(c);
        assert!(enter(&places, d));
    }

    #[test]
    fn a_burst_of_waiters_frees_its_memory() {
        let places = Places::new();
        places.set_limit(1);
        let mut all: Vec<Place> = (0..40_000).map(|_| Place::None).collect();
        all.iter_mut().for_each(|place| places.expect(place));
        for place in &mut all[..39_000] {
            assert!(enter(&places, place));
            places.leave(place);
        }
        assert!(places.line.borrow().capacity() < 10_000);
    }

    #[test]
    fn a_higher_limit_lets_more_in_at_once() {
        let places = Places::new();
        places.set_limit(1);
        let (mut a, mut b, mut c) = Default::default();
        assert!(enter(&places, &mut a));
        assert!(!enter(&places, &mut b));
        assert!(!enter(&places, &mut c));
        places.set_limit(2);
        assert!(enter(&places, &mut b));
        assert!(!enter(&places, &mut c));
    }

    #[test]
    fn a_child_that_has_not_begun_does_not_overtake_an_earlier_one_in_the_line() {
        let places = Places::new();
        places.set_limit(1);
        let (mut first, mut second, mut child) = Default::default();
        places.expect(&mut first);
        assert!(!enter(&places, &mut second));
        places.expect(&mut child);
        places.leave(&mut first);
        assert!(!enter(&places, &mut child), "the second came before it");
        assert!(enter(&places, &mut second));
        places.leave(&mut second);
        assert!(enter(&places, &mut child));
    }

    #[test]
    fn those_who_leave_the_middle_of_the_line_are_passed_over() {
        let places = Places::new();
        places.set_limit(1);
        let (mut runs, mut first, mut second) = Default::default();
        let mut between: [Place; 3] = Default::default();
        assert!(enter(&places, &mut runs));
        assert!(!enter(&places, &mut first));
        for place in &mut between {
            assert!(!enter(&places, place));
        }
        assert!(!enter(&places, &mut second));
        between
            .iter_mut()
            .take(2)
            .for_each(|place| places.leave(place));
        assert_eq!((places.gone.get(), places.line.borrow().len()), (2, 5));
        places.leave(&mut first);
        assert_eq!(places.gone.get(), 0, "more than half have gone");
        assert_eq!(places.line.borrow().len(), 2);

        assert!(!enter(&places, &mut first));
        places.leave(&mut second);
        assert_eq!((places.gone.get(), places.line.borrow().len()), (1, 3));
        places.leave(&mut runs);
        assert!(enter(&places, &mut between[2]));
        places.leave(&mut between[2]);
        assert!(enter(&places, &mut first));
        assert_eq!(places.gone.get(), 0);
    }

    #[test]
    fn the_line_is_cleared_when_more_than_half_of_it_has_left() {
        let places = Places::new();
        places.set_limit(1);
        let mut runs = Place::None;
        let mut line: [Place; 6] = Default::default();
        assert!(enter(&places, &mut runs));
        for place in &mut line {
            assert!(!enter(&places, place));
        }
        let mut after = |n: usize| {
            places.leave(&mut line[n]);
            (places.gone.get(), places.line.borrow().len())
        };
        assert_eq!([1, 2, 3].map(&mut after), [(1, 6), (2, 6), (3, 6)]);
        assert_eq!(after(4), (0, 2));
    }

    #[test]
    fn the_first_in_the_line_is_one_that_waits() {
        let places = Places::new();
        places.set_limit(1);
        let mut runs = Place::None;
        let mut line: [Place; 4] = Default::default();
        assert!(enter(&places, &mut runs));
        for place in &mut line {
            assert!(!enter(&places, place));
        }
        places.leave(&mut line[0]);
        assert_eq!((places.gone.get(), places.line.borrow().len()), (0, 3));
    }
}
