//! Who waits for one source.
//!
//! Nearly always that is one task, and it has its place right here; only a second one makes a list.
//! There are two kinds:
//!
//! - a *future* ([`WaiterId::future`]) has a name of its own while it waits. It replaces its own
//!   waker, takes it back when it is dropped, and any number of them wait beside each other.
//! - a *poller* ([`WaiterId::poller`]) came through a `poll_*` method and has no name: whether a
//!   different waker is the same task with a new waker or another task, nobody can tell. By the
//!   contract of `Future::poll` the last waker counts; but several tasks may poll, and none of them is
//!   to hang. So all are kept, up to a limit. When there would be more, those that are kept are all
//!   woken: who still waits comes again. The limit is doubled each time, to a bound, and is small
//!   again after an event. So tasks that poll one source settle after a few rounds (were they more
//!   than the bound, they would keep each other busy, but none would hang), and the old wakers of a
//!   task which comes with a fresh one each time neither pile up nor keep it spinning, as they would
//!   if only the oldest were woken.
//!
//! Always true: the line is in the order of arrival. Nothing here clones, wakes or drops a waker: what
//! leaves is handed out.

use std::cell::Cell;
use std::fmt;
use std::task::Waker;

use crate::readiness::{Direction, Readiness};

/// How many wakers without a name are kept in a direction, at first and at most.
const POLLERS: usize = 4;
const MOST_POLLERS: usize = 256;

/// Who it is, and for which direction it waits (the lowest bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// A future that does not wait.
    pub(crate) const NOT_WAITING: WaiterId = WaiterId(u64::MAX);

    #[inline]
    pub(crate) fn poller(direction: Direction) -> Self {
        WaiterId(Self::bit(direction))
    }

    /// The name for the `n`th wait, counted from zero.
    #[inline]
    pub(crate) fn future(n: u64, direction: Direction) -> Self {
        WaiterId(((n + 1) << 1) | Self::bit(direction))
    }

    #[inline]
    fn bit(direction: Direction) -> u64 {
        match direction {
            Direction::Read => 0,
            Direction::Write => 1,
        }
    }

    pub(crate) fn is_poller(self) -> bool {
        self.0 <= 1
    }

    #[inline]
    fn direction(self) -> Direction {
        if self.0 & 1 == 0 {
            Direction::Read
        } else {
            Direction::Write
        }
    }
}

struct Waiter {
    waker: Waker,
    id: WaiterId,
}

/// Who waits, in both directions.
#[derive(Default)]
pub(crate) struct Waiters {
    line: Cell<Line>,
}

enum Line {
    One(Waiter),
    /// Nobody, or a list, which is kept from the first time on that there were two. Boxed, because a slot
    /// should stay small and hardly any has it.
    Listed(Option<Box<List>>),
}

struct List {
    line: Vec<Waiter>,
    /// How many pollers are kept, for reading and for writing.
    pollers: [usize; 2],
}

impl Default for Line {
    #[inline]
    fn default() -> Self {
        Line::Listed(None)
    }
}

impl Line {
    fn into_list(self) -> Box<List> {
        let line = match self {
            Line::Listed(Some(list)) => return list,
            Line::Listed(None) => Vec::new(),
            Line::One(waiter) => vec![waiter],
        };
        Box::new(List {
            line,
            pollers: [POLLERS; 2],
        })
    }
}

impl List {
    fn pollers(&mut self, direction: Direction) -> &mut usize {
        match direction {
            Direction::Read => &mut self.pollers[0],
            Direction::Write => &mut self.pollers[1],
        }
    }
}

impl Waiters {
    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    pub(crate) fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        let same = |waiter: &Waiter| waiter.id == id && waiter.waker.will_wake(waker);
        let line = self.line.take();
        let contains = match &line {
            Line::One(waiter) => same(waiter),
            Line::Listed(None) => false,
            Line::Listed(Some(list)) => list.line.iter().any(same),
        };
        self.line.set(line);
        contains
    }

    /// Lets `id` wait if nobody else does. Otherwise gives its waker back.
    #[inline]
    pub(crate) fn insert_alone(&self, id: WaiterId, waker: Waker) -> Result<(), Waker> {
        match self.line.take() {
            Line::Listed(None) => {
                self.line.set(Line::One(Waiter { waker, id }));
                Ok(())
            }
            line => {
                self.line.set(line);
                Err(waker)
            }
        }
    }

    /// Lets `id` wait. Gives back the waker that it waited with so far. If that makes too many
    /// pollers, the others of them move to `woken`.
    pub(crate) fn insert(
        &self,
        id: WaiterId,
        waker: Waker,
        woken: impl FnOnce(Vec<Waker>),
    ) -> Option<Waker> {
        let waiter = Waiter { waker, id };
        let line = match self.line.take() {
            Line::Listed(None) => {
                self.line.set(Line::One(waiter));
                return None;
            }
            // The same one comes with another waker.
            Line::One(former) if former.id == id && !id.is_poller() => {
                self.line.set(Line::One(waiter));
                return Some(former.waker);
            }
            line => line,
        };
        let mut replaced = None;
        let mut too_many = Vec::new();
        let mut list = line.into_list();
        let same = |other: &Waiter| other.id == id;
        if !id.is_poller() {
            let at = list.line.iter().position(same);
            replaced = at.map(|at| list.line.remove(at).waker);
        } else if list.line.iter().filter(|other| same(other)).count()
            >= *list.pollers(id.direction())
        {
            let limit = list.pollers(id.direction());
            *limit = MOST_POLLERS.min(*limit * 2);
            let pollers = list.line.extract_if(.., |other| same(other));
            too_many = pollers.map(|other| other.waker).collect();
        }
        list.line.push(waiter);
        self.line.set(Line::Listed(Some(list)));
        if !too_many.is_empty() {
            woken(too_many);
        }
        replaced
    }

    /// Takes out the one that waits as `id`; the oldest, if there are several.
    pub(crate) fn remove(&self, id: WaiterId) -> Option<Waker> {
        match self.line.take() {
            Line::One(waiter) if waiter.id == id => Some(waiter.waker),
            Line::Listed(Some(mut list)) => {
                let at = list.line.iter().position(|waiter| waiter.id == id);
                let removed = at.map(|at| list.line.remove(at).waker);
                self.line.set(Line::Listed(Some(list)));
                removed
            }
            line => {
                self.line.set(line);
                None
            }
        }
    }

    /// Moves all wakers of the directions that `seen` allows to `woken`: readers before writers, and
    /// each in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&self, seen: Readiness, woken: &mut Vec<Waker>) {
        match self.line.take() {
            Line::Listed(None) => {}
            Line::One(waiter) if seen.allows(waiter.id.direction()) => woken.push(waiter.waker),
            line => self.take_others(line, seen, woken),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_others(&self, mut line: Line, seen: Readiness, woken: &mut Vec<Waker>) {
        if let Line::Listed(Some(list)) = &mut line {
            for direction in [Direction::Read, Direction::Write] {
                if seen.allows(direction) {
                    *list.pollers(direction) = POLLERS;
                    let leave = |waiter: &mut Waiter| waiter.id.direction() == direction;
                    let leaving = list.line.extract_if(.., leave);
                    woken.extend(leaving.map(|waiter| waiter.waker));
                }
            }
        }
        self.line.set(line);
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Numbered;

    impl Wake for Numbered {
        fn wake(self: Arc<Self>) {}
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(WaiterId, usize),
        Remove(WaiterId),
        /// What can go on: to read, to write.
        TakeAll(bool, bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Of five, one is the pollers', in each direction.
        let id = || (0u64..10).prop_map(WaiterId);
        let poller = (0u64..2).prop_map(WaiterId);
        let step = prop_oneof![
            5 => (id(), 0usize..8).prop_map(|(id, waker)| Step::Insert(id, waker)),
            5 => (poller, 0usize..8).prop_map(|(id, waker)| Step::Insert(id, waker)),
            3 => id().prop_map(Step::Remove),
            1 => (any::<bool>(), any::<bool>()).prop_map(|(r, w)| Step::TakeAll(r, w)),
        ];
        prop::collection::vec(step, 0..100)
    }

    /// The same, as a plain list.
    struct Model {
        line: Vec<(WaiterId, usize)>,
        limits: [usize; 2],
    }

    impl Model {
        fn take(&mut self, leaves: impl Fn(WaiterId) -> bool) -> Vec<usize> {
            let (gone, stay) = self.line.iter().partition(|waiter| leaves(waiter.0));
            self.line = stay;
            let gone: Vec<(WaiterId, usize)> = gone;
            gone.into_iter().map(|waiter| waiter.1).collect()
        }

        /// Who is replaced, and who is woken for want of room.
        fn insert(&mut self, id: WaiterId, waker: usize) -> (Option<usize>, Vec<usize>) {
            let mut come = (None, Vec::new());
            if !id.is_poller() {
                come.0 = self.remove(id);
            } else if self.line.iter().filter(|waiter| waiter.0 == id).count()
                >= self.limits[id.0 as usize]
            {
                self.limits[id.0 as usize] = MOST_POLLERS.min(self.limits[id.0 as usize] * 2);
                come.1 = self.take(|other| other == id);
            }
            self.line.push((id, waker));
            come
        }

        fn remove(&mut self, id: WaiterId) -> Option<usize> {
            let at = self.line.iter().position(|waiter| waiter.0 == id)?;
            Some(self.line.remove(at).1)
        }

        fn take_all(&mut self, bit: u64) -> Vec<usize> {
            self.limits[bit as usize] = POLLERS;
            self.take(|id| id.0 & 1 == bit)
        }
    }

    #[test]
    fn a_list_is_made_for_the_second_only() {
        let [one, another]: [Waker; 2] = [Arc::new(Numbered).into(), Arc::new(Numbered).into()];
        let is_listed = |waiters: &Waiters| {
            let line = waiters.line.take();
            let is_listed = matches!(line, Line::Listed(Some(_)));
            waiters.line.set(line);
            is_listed
        };
        let (first, second) = (
            WaiterId::future(0, Direction::Read),
            WaiterId::future(1, Direction::Write),
        );
        let waiters = Waiters::default();
        assert!(waiters.insert(first, one.clone(), drop).is_none());
        let replaced = waiters.insert(first, another.clone(), drop);
        assert!(replaced.is_some_and(|waker| waker.will_wake(&one)));
        assert!(!is_listed(&waiters));
        assert!(waiters.insert(second, one, drop).is_none());
        assert!(is_listed(&waiters));
    }

    proptest! {
        #[test]
        fn the_line_is_a_list(steps in steps()) {
            let wakers: Vec<Waker> = (0..8).map(|_| Arc::new(Numbered).into()).collect();
            let number = |waker: &Waker| {
                let at = wakers.iter().position(|known| known.will_wake(waker));
                at.expect("it is one of them")
            };
            let waiters = Waiters::default();
            let mut model = Model { line: Vec::new(), limits: [POLLERS; 2] };
            for step in steps {
                match step {
                    Step::Insert(id, waker) => {
                        let mut woken = Vec::new();
                        let replaced = match waiters.insert_alone(id, wakers[waker].clone()) {
                            Ok(()) => None,
                            Err(waker) => waiters.insert(id, waker, |w| woken = w),
                        };
                        let woken = woken.iter().map(number).collect();
                        let replaced = replaced.as_ref().map(number);
                        prop_assert_eq!((replaced, woken), model.insert(id, waker));
                        prop_assert!(waiters.contains(id, &wakers[waker]));
                    }
                    Step::Remove(id) => {
                        let removed = waiters.remove(id);
                        prop_assert_eq!(removed.as_ref().map(number), model.remove(id));
                    }
                    Step::TakeAll(read, write) => {
                        let mut woken = Vec::new();
                        waiters.take_all(Readiness::for_tests(read, write), &mut woken);
                        let woken: Vec<_> = woken.iter().map(number).collect();
                        let mut expected = Vec::new();
                        if read {
                            expected.extend(model.take_all(0));
                        }
                        if write {
                            expected.extend(model.take_all(1));
                        }
                        prop_assert_eq!(woken, expected);
                    }
                }
            }
        }
    }
}
