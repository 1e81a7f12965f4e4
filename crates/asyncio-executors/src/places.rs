//! How many children of a group may run at a time, and who is next.
//!
//! First come, first served: nobody takes a place while somebody waits for one. A place that was given to
//! somebody who has gone since passes to the next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The places of a group. Without a limit there is always one.
pub(crate) struct Places {
    limit: Cell<usize>,
    taken: Cell<usize>,
    line: RefCell<VecDeque<Rc<Waiter>>>,
    /// How many in the line have gone.
    gone: Cell<usize>,
}

struct Waiter {
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

/// Somebody's place, or the wish for one. To be given back with [`Places::leave`].
#[derive(Default)]
pub(crate) enum Place {
    /// Not asked for yet.
    #[default]
    None,
    Waiting(Waiting),
    Taken,
}

/// A stand in the line.
pub(crate) struct Waiting(Rc<Waiter>);

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            limit: Cell::new(usize::MAX),
            taken: Cell::new(0),
            line: RefCell::default(),
            gone: Cell::new(0),
        }
    }

    /// Those that have a place keep it, also if they are more.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
        self.grant();
    }

    /// Waits for a place.
    #[inline]
    pub(crate) fn poll_enter(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        match place {
            Place::Taken => Poll::Ready(()),
            Place::None if self.is_free() => {
                self.taken.set(self.taken.get() + 1);
                *place = Place::Taken;
                Poll::Ready(())
            }
            _ => self.poll_line(place, cx),
        }
    }

    #[cold]
    fn poll_line(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        match place {
            Place::Taken => return Poll::Ready(()),
            Place::None => {
                let waiter = Rc::new(Waiter {
                    state: Cell::new(State::Waiting),
                    waker: RefCell::new(Some(cx.waker().clone())),
                });
                self.line.borrow_mut().push_back(waiter.clone());
                *place = Place::Waiting(Waiting(waiter));
            }
            Place::Waiting(Waiting(waiter)) if waiter.state.get() == State::Granted => {
                *place = Place::Taken;
                return Poll::Ready(());
            }
            Place::Waiting(Waiting(waiter)) => {
                let waker = cx.waker().clone();
                let old = waiter.waker.replace(Some(waker));
                drop(old);
            }
        }
        Poll::Pending
    }

    /// Gives a place back, or leaves the line.
    #[inline]
    pub(crate) fn leave(&self, place: &mut Place) {
        match place {
            Place::None => {}
            Place::Taken if self.line.borrow().is_empty() => {
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
            Place::Taken => {}
            Place::Waiting(Waiting(waiter)) => {
                if waiter.state.replace(State::Gone) == State::Waiting {
                    drop(waiter.waker.take());
                    return self.forget_gone();
                }
            }
        }
        self.taken.set(self.taken.get() - 1);
        self.grant();
    }

    fn is_free(&self) -> bool {
        self.taken.get() < self.limit.get() && self.line.borrow().len() == self.gone.get()
    }

    /// Gives what is free to those who wait.
    fn grant(&self) {
        while self.taken.get() < self.limit.get() {
            let Some(next) = self.line.borrow_mut().pop_front() else {
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

    /// One in the line has gone. They are cleared away when they are half of it, so that each costs little.
    fn forget_gone(&self) {
        self.gone.set(self.gone.get() + 1);
        let mut line = self.line.borrow_mut();
        if self.gone.get() * 2 > line.len() {
            line.retain(|waiter| waiter.state.get() != State::Gone);
            self.gone.set(0);
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
}
