//! The waiters of one source.
//!
//! Nearly always there is one, and it has its place right here; only a second one makes a list.
//! There are two kinds:
//!
//! - a *future* ([`WaiterId::future`]) has a number of its own while it waits. It replaces its own
//!   waker, takes it back when it is dropped, and any number of them wait beside each other.
//! - a *poller* ([`WaiterId::poller`]) came through a `poll_*` method and has no number: whether a
//!   different waker is the same task with a new waker or another task, nobody can tell. By the
//!   contract of `Future::poll` the last waker counts; but several tasks may poll, and none of them is
//!   to hang. So all are kept, up to a limit. When there would be more, those that are kept are all
//!   woken: a task that still waits comes again. The limit is doubled each time, to a bound, and is small
//!   again after an event. So tasks that poll one source settle after a few rounds (were they more
//!   than the bound, they would keep each other busy, but none would hang), and the old wakers of a
//!   task which comes with a fresh one each time neither pile up nor keep it spinning, as they would
//!   if only the oldest were woken.
//!
//! A list has a queue for each direction. In a queue the futures stand in the order of their numbers,
//! which is the order of arrival, so one is found by binary search. One that leaves early leaves a
//! vacancy behind. Vacancies are removed once they are half of the queue, so a removal costs the search
//! and, averaged over all of them, a constant. One that was woken for nothing comes again under its number,
//! and gets its place back.
//!
//! Nothing here clones, wakes or drops a waker: all that leave are handed out.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::task::Waker;

use crate::readiness::{Direction, Readiness};

/// How many wakers without a number are kept in a direction, at first and at most.
const POLLERS: usize = 4;
const MOST_POLLERS: usize = 256;

/// A future that comes again gets its place back if it is no further from an end of the queue. Otherwise many
/// that come in no order would cost their square.
const NEAR: usize = 64;

/// A queue that has room for more than this, and uses a quarter of it, gives memory back.
const ROOM_KEPT: usize = 32;

/// Which waiter it is, and for which direction it waits (the lowest bit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// A future that does not wait.
    pub(crate) const NOT_WAITING: WaiterId = WaiterId(u64::MAX);

    #[inline]
    pub(crate) fn poller(direction: Direction) -> Self {
        WaiterId(Self::bit(direction))
    }

    /// The `n`th wait, counted from zero.
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
    pub(crate) fn direction(self) -> Direction {
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

/// The waiters of a source, in both directions.
#[derive(Default)]
pub(crate) struct Waiters {
    line: Cell<Line>,
}

enum Line {
    One(Waiter),
    /// None, or a list, which is kept from the first time on that there were two. Boxed, because a slot
    /// should stay small and hardly any has it.
    Listed(Option<Box<List>>),
}

impl Default for Line {
    #[inline]
    fn default() -> Self {
        Line::Listed(None)
    }
}

impl Line {
    fn into_list(self) -> Box<List> {
        let one = match self {
            Line::Listed(Some(list)) => return list,
            Line::Listed(None) => None,
            Line::One(waiter) => Some(waiter),
        };
        let mut list = Box::<List>::default();
        if let Some(Waiter { waker, id }) = one {
            let queue = list.queue(id.direction());
            if id.is_poller() {
                queue.pollers.push(waker);
            } else {
                queue.futures.push_back((id, Some(waker)));
            }
        }
        list
    }
}

#[derive(Default)]
struct List {
    read: Queue,
    write: Queue,
}

impl List {
    fn queue(&mut self, direction: Direction) -> &mut Queue {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// The waiters of one direction.
struct Queue {
    pollers: Vec<Waker>,
    /// How many pollers are kept at the moment.
    most_pollers: usize,
    /// By number. The first and the last are no vacancies.
    futures: VecDeque<(WaiterId, Option<Waker>)>,
    vacancies: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            pollers: Vec::new(),
            most_pollers: POLLERS,
            futures: VecDeque::new(),
            vacancies: 0,
        }
    }
}

impl Queue {
    fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        if id.is_poller() {
            return self.pollers.iter().any(|other| other.will_wake(waker));
        }
        let at = self.position(id);
        let other = at.and_then(|at| self.futures[at].1.as_ref());
        other.is_some_and(|other| other.will_wake(waker))
    }

    /// Where a future waits.
    fn position(&self, id: WaiterId) -> Option<usize> {
        let at = self.futures.binary_search_by_key(&id, |future| future.0);
        at.ok().filter(|at| self.futures[*at].1.is_some())
    }

    /// Adds a poller. If there are too many, gives out the others.
    fn push_poller(&mut self, waker: Waker) -> Vec<Waker> {
        let mut too_many = Vec::new();
        if self.pollers.len() >= self.most_pollers {
            self.most_pollers = MOST_POLLERS.min(self.most_pollers * 2);
            too_many = std::mem::take(&mut self.pollers);
        }
        self.pollers.push(waker);
        too_many
    }

    /// Lets a future wait in the place of its number, or as the last one under a fresh number if that is too
    /// far away. Gives its number and the waker that it waited with so far.
    fn insert_future(
        &mut self,
        id: WaiterId,
        waker: Waker,
        fresh: impl FnOnce() -> WaiterId,
    ) -> (WaiterId, Option<Waker>) {
        match self.futures.binary_search_by_key(&id, |future| future.0) {
            Ok(at) => {
                let replaced = self.futures[at].1.replace(waker);
                self.vacancies -= usize::from(replaced.is_none());
                (id, replaced)
            }
            Err(at) if at.min(self.futures.len() - at) <= NEAR => {
                self.futures.insert(at, (id, Some(waker)));
                (id, None)
            }
            Err(_) => {
                let id = fresh();
                self.futures.push_back((id, Some(waker)));
                (id, None)
            }
        }
    }

    fn remove_future(&mut self, id: WaiterId) -> Option<Waker> {
        let at = self.position(id)?;
        let waker = self.futures[at].1.take();
        self.vacancies += 1;
        self.tidy();
        waker
    }

    /// Moves all pollers and the first `most` futures to `woken`. True if there are more.
    fn take(&mut self, most: usize, woken: &mut Vec<Waker>) -> bool {
        self.most_pollers = POLLERS;
        woken.append(&mut self.pollers);
        let mut left = most;
        while left > 0
            && let Some((_, waker)) = self.futures.pop_front()
        {
            match waker {
                Some(waker) => {
                    woken.push(waker);
                    left -= 1;
                }
                None => self.vacancies -= 1,
            }
        }
        self.tidy();
        !self.futures.is_empty()
    }

    /// Removes vacancies and gives memory back, where that is worth it.
    fn tidy(&mut self) {
        while self.futures.back().is_some_and(|last| last.1.is_none()) {
            self.futures.pop_back();
            self.vacancies -= 1;
        }
        while self.futures.front().is_some_and(|first| first.1.is_none()) {
            self.futures.pop_front();
            self.vacancies -= 1;
        }
        if self.vacancies > self.futures.len() / 2 {
            self.futures.retain(|future| future.1.is_some());
            self.vacancies = 0;
        }
        if self.futures.capacity() > ROOM_KEPT.max(4 * self.futures.len()) {
            self.futures.shrink_to(2 * self.futures.len());
        }
    }
}

impl Waiters {
    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    pub(crate) fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        let mut line = self.line.take();
        let contains = match &mut line {
            Line::One(one) => one.id == id && one.waker.will_wake(waker),
            Line::Listed(None) => false,
            Line::Listed(Some(list)) => list.queue(id.direction()).contains(id, waker),
        };
        self.line.set(line);
        contains
    }

    /// Lets `id` wait if there is no other. Otherwise gives its waker back.
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

    /// Lets `id` wait. A future may need a fresh number, one that is later than all others. Gives the number
    /// under which it waits; what is to be dropped, the waker that it waited with so far; and what is to be
    /// woken, pollers of which there would be too many.
    pub(crate) fn insert(
        &self,
        id: WaiterId,
        waker: Waker,
        fresh: impl FnOnce() -> WaiterId,
    ) -> (WaiterId, Option<Waker>, Vec<Waker>) {
        let former = match self.line.take() {
            Line::Listed(None) => None,
            // The same one comes with another waker.
            Line::One(former) if former.id == id && !id.is_poller() => Some(former.waker),
            line => {
                let mut list = line.into_list();
                let queue = list.queue(id.direction());
                let inserted = if id.is_poller() {
                    (id, None, queue.push_poller(waker))
                } else {
                    let (id, replaced) = queue.insert_future(id, waker, fresh);
                    (id, replaced, Vec::new())
                };
                self.line.set(Line::Listed(Some(list)));
                return inserted;
            }
        };
        self.line.set(Line::One(Waiter { waker, id }));
        (id, former, Vec::new())
    }

    /// Takes a future out.
    pub(crate) fn remove(&self, id: WaiterId) -> Option<Waker> {
        match self.line.take() {
            Line::One(waiter) if waiter.id == id => Some(waiter.waker),
            mut line => {
                let removed = match &mut line {
                    Line::Listed(Some(list)) => list.queue(id.direction()).remove_future(id),
                    _ => None,
                };
                self.line.set(line);
                removed
            }
        }
    }

    /// Moves the first waiters of the directions that `seen` allows to `woken`: readers before writers, in
    /// each all pollers and up to `most` futures, in the order in which they came. True if there are more.
    #[inline]
    pub(crate) fn take(&self, seen: Readiness, most: usize, woken: &mut Vec<Waker>) -> bool {
        match self.line.take() {
            Line::Listed(None) => false,
            Line::One(waiter) if seen.allows(waiter.id.direction()) => {
                woken.push(waiter.waker);
                false
            }
            line => self.take_others(line, seen, most, woken),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_others(
        &self,
        mut line: Line,
        seen: Readiness,
        most: usize,
        woken: &mut Vec<Waker>,
    ) -> bool {
        let mut are_more = false;
        if let Line::Listed(Some(list)) = &mut line {
            for direction in [Direction::Read, Direction::Write] {
                if seen.allows(direction) {
                    are_more |= list.queue(direction).take(most, woken);
                }
            }
        }
        self.line.set(line);
        are_more
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
        /// One of ten futures waits, with one of eight wakers.
        Future(usize, usize),
        Poller(Direction, usize),
        /// A future is dropped.
        Remove(usize),
        /// What can go on, to read and to write, and how many futures are taken.
        Take(bool, bool, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let direction = prop_oneof![Just(Direction::Read), Just(Direction::Write)];
        let step = prop_oneof![
            6 => (0..10usize, 0..8usize).prop_map(|(future, waker)| Step::Future(future, waker)),
            4 => (direction, 0..8usize).prop_map(|(side, waker)| Step::Poller(side, waker)),
            4 => (0..10usize).prop_map(Step::Remove),
            1 => (any::<bool>(), any::<bool>(), 0..4usize)
                .prop_map(|(read, write, most)| Step::Take(read, write, most)),
        ];
        prop::collection::vec(step, 0..200)
    }

    /// The same, as plain lists.
    #[derive(Default)]
    struct Model {
        /// Who waits, and with which waker.
        futures: Vec<(WaiterId, usize)>,
        pollers: Vec<(Direction, usize)>,
        limits: [usize; 2],
    }

    impl Model {
        /// The waker that is replaced, if the future waits already.
        fn insert_future(&mut self, id: WaiterId, waker: usize) -> Option<usize> {
            let known = self.futures.iter_mut().find(|future| future.0 == id);
            if let Some(known) = known {
                return Some(std::mem::replace(&mut known.1, waker));
            }
            self.futures.push((id, waker));
            self.futures.sort_by_key(|future| future.0);
            None
        }

        /// The wakers that are woken for want of room.
        fn insert_poller(&mut self, direction: Direction, waker: usize) -> Vec<usize> {
            let mut woken = Vec::new();
            let limit = &mut self.limits[direction as usize];
            if self
                .pollers
                .iter()
                .filter(|poller| poller.0 == direction)
                .count()
                >= *limit
            {
                *limit = MOST_POLLERS.min(*limit * 2);
                woken = self.take_pollers(direction);
            }
            self.pollers.push((direction, waker));
            woken
        }

        fn take_pollers(&mut self, direction: Direction) -> Vec<usize> {
            let taken = self.pollers.extract_if(.., |poller| poller.0 == direction);
            taken.map(|poller| poller.1).collect()
        }

        fn remove(&mut self, id: WaiterId) -> Option<usize> {
            let at = self.futures.iter().position(|future| future.0 == id)?;
            Some(self.futures.remove(at).1)
        }

        /// The wakers that are taken, and whether there are more.
        fn take(&mut self, direction: Direction, most: usize) -> (Vec<usize>, bool) {
            self.limits[direction as usize] = POLLERS;
            let mut taken = self.take_pollers(direction);
            let futures = self
                .futures
                .extract_if(.., |future| future.0.direction() == direction);
            taken.extend(futures.take(most).map(|future| future.1));
            let are_more = self
                .futures
                .iter()
                .any(|future| future.0.direction() == direction);
            (taken, are_more)
        }
    }

    fn waker() -> Waker {
        Arc::new(Numbered).into()
    }

    fn no_fresh() -> WaiterId {
        panic!("its own number is the latest")
    }

    fn list_of<R>(waiters: &Waiters, look: impl FnOnce(Option<&mut List>) -> R) -> R {
        let mut line = waiters.line.take();
        let seen = look(match &mut line {
            Line::Listed(list) => list.as_deref_mut(),
            Line::One(_) => None,
        });
        waiters.line.set(line);
        seen
    }

    #[test]
    fn a_list_is_made_for_the_second_only() {
        let [one, another] = [waker(), waker()];
        let is_listed = |waiters: &Waiters| list_of(waiters, |list| list.is_some());
        let (first, second) = (
            WaiterId::future(0, Direction::Read),
            WaiterId::future(1, Direction::Write),
        );
        let waiters = Waiters::default();
        let (_, replaced, _) = waiters.insert(first, one.clone(), no_fresh);
        assert!(replaced.is_none());
        let (_, replaced, _) = waiters.insert(first, another.clone(), no_fresh);
        assert!(replaced.is_some_and(|waker| waker.will_wake(&one)));
        assert!(!is_listed(&waiters));
        let (_, replaced, _) = waiters.insert(second, one, no_fresh);
        assert!(replaced.is_none());
        assert!(is_listed(&waiters));
    }

    #[test]
    fn one_that_was_woken_for_nothing_gets_its_place_back_unless_it_is_far_away() {
        let id = |n| WaiterId::future(n, Direction::Read);
        let waiters = Waiters::default();
        for n in 0..1000 {
            waiters.insert(id(n), waker(), no_fresh);
        }
        for n in [0, 10, 500, 990, 999] {
            drop(waiters.remove(id(n)));
        }
        let [first, near, far] = [(); 3].map(|()| waker());
        assert_eq!(waiters.insert(id(10), near.clone(), no_fresh).0, id(10));
        assert_eq!(waiters.insert(id(0), first.clone(), no_fresh).0, id(0));
        assert_eq!(waiters.insert(id(999), waker(), no_fresh).0, id(999));
        // A vacancy is as good as a place.
        assert_eq!(waiters.insert(id(990), waker(), no_fresh).0, id(990));
        let mut woken = Vec::new();
        assert!(waiters.take(Readiness::NEW, 800, &mut woken));
        assert!(woken[0].will_wake(&first) && woken[10].will_wake(&near));
        for n in 0..800 {
            waiters.insert(id(2000 + n), waker(), no_fresh);
        }
        let fresh = || id(5000);
        assert_eq!(waiters.insert(id(1500), far.clone(), fresh).0, id(5000));
        woken.clear();
        assert!(!waiters.take(Readiness::NEW, usize::MAX, &mut woken));
        assert_eq!(woken.len(), 199 + 800 + 1);
        assert!(woken.last().unwrap().will_wake(&far));
    }

    /// Whether they are woken or leave, in whatever order.
    #[test]
    fn a_burst_gives_its_memory_back() {
        const MANY: u64 = 10_000;
        let id = |n| WaiterId::future(n, Direction::Read);
        let room =
            |waiters: &Waiters| list_of(waiters, |list| list.unwrap().read.futures.capacity());
        let some = waker();
        let leave: [&dyn Fn(&Waiters); 4] = [
            &|waiters| (1..MANY).for_each(|n| drop(waiters.remove(id(n)))),
            &|waiters| (1..MANY).rev().for_each(|n| drop(waiters.remove(id(n)))),
            &|waiters| {
                let far_apart = (0..MANY).map(|n| n * 7919 % MANY).filter(|n| *n > 0);
                far_apart.for_each(|n| drop(waiters.remove(id(n))));
            },
            &|waiters| {
                waiters.take(Readiness::NEW, usize::MAX, &mut Vec::new());
                waiters.insert(id(MANY), some.clone(), no_fresh);
            },
        ];
        for leave in leave {
            let waiters = Waiters::default();
            for n in 0..MANY {
                waiters.insert(id(n), some.clone(), no_fresh);
            }
            assert!(room(&waiters) >= MANY as usize);
            leave(&waiters);
            assert!(room(&waiters) <= ROOM_KEPT, "{}", room(&waiters));
            let mut left = Vec::new();
            waiters.take(Readiness::NEW, usize::MAX, &mut left);
            assert_eq!(left.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn the_waiters_are_lists(steps in steps()) {
            let wakers: Vec<Waker> = (0..8).map(|_| waker()).collect();
            let number = |waker: &Waker| {
                let at = wakers.iter().position(|known| known.will_wake(waker));
                at.expect("it is one of them")
            };
            let waiters = Waiters::default();
            let mut model = Model { limits: [POLLERS; 2], ..Model::default() };
            // As the futures know themselves. Those that are woken do not notice.
            let mut ids = [WaiterId::NOT_WAITING; 10];
            let so_far = Cell::new(0);
            for step in steps {
                match step {
                    Step::Future(future, waker) => {
                        let side = [Direction::Read, Direction::Write][future % 2];
                        let fresh = || {
                            so_far.set(so_far.get() + 1);
                            WaiterId::future(so_far.get(), side)
                        };
                        if ids[future] == WaiterId::NOT_WAITING {
                            ids[future] = fresh();
                        }
                        let given = wakers[waker].clone();
                        let replaced = match waiters.insert_alone(ids[future], given) {
                            Ok(()) => None,
                            Err(given) => {
                                let (id, replaced, woken) = waiters.insert(ids[future], given, fresh);
                                prop_assert!(woken.is_empty());
                                ids[future] = id;
                                replaced
                            }
                        };
                        let expected = model.insert_future(ids[future], waker);
                        prop_assert_eq!(replaced.as_ref().map(number), expected);
                        prop_assert!(waiters.contains(ids[future], &wakers[waker]));
                    }
                    Step::Poller(side, waker) => {
                        let id = WaiterId::poller(side);
                        let given = wakers[waker].clone();
                        let woken = match waiters.insert_alone(id, given) {
                            Ok(()) => Vec::new(),
                            Err(given) => waiters.insert(id, given, no_fresh).2,
                        };
                        let woken: Vec<_> = woken.iter().map(number).collect();
                        prop_assert_eq!(woken, model.insert_poller(side, waker));
                        prop_assert!(waiters.contains(id, &wakers[waker]));
                    }
                    Step::Remove(future) => {
                        let removed = waiters.remove(ids[future]);
                        prop_assert_eq!(removed.as_ref().map(number), model.remove(ids[future]));
                        prop_assert!(!waiters.contains(ids[future], &wakers[0]));
                        ids[future] = WaiterId::NOT_WAITING;
                    }
                    Step::Take(read, write, most) => {
                        // The one that waits alone is always taken.
                        let is_alone = model.futures.len() + model.pollers.len() == 1
                            && list_of(&waiters, |list| list.is_none());
                        let most = most.max(usize::from(is_alone));
                        let mut woken = Vec::new();
                        let seen = Readiness::for_tests(read, write);
                        let are_more = waiters.take(seen, most, &mut woken);
                        let woken: Vec<_> = woken.iter().map(number).collect();
                        let mut expected = (Vec::new(), false);
                        for (is_seen, side) in [(read, Direction::Read), (write, Direction::Write)] {
                            if is_seen {
                                let (taken, more) = model.take(side, most);
                                expected.0.extend(taken);
                                expected.1 |= more;
                            }
                        }
                        prop_assert_eq!((woken, are_more), expected);
                    }
                }
            }
        }
    }
}
