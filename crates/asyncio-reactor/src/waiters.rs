//! The waiters of one source.
//!
//! Usually there is one waiter, which is stored inline. A second one allocates the queues. There
//! are two kinds of waiters:
//!
//! - A *future* ([`WaiterId::future`]) has an id of its own while it waits. It replaces its own
//!   waker, and removes it when it is dropped. Any number of futures can wait.
//! - A *poller* ([`WaiterId::poller`]) called a `poll_*` method and has no id of its own. A
//!   different waker may be a new waker of the same task, or another task. By the contract of
//!   `Future::poll` only the last waker counts; but several tasks may poll, and none of them may
//!   hang. So all wakers are kept, up to a limit. At the limit all kept wakers are woken, and a
//!   task that still waits polls again. The limit then doubles, up to a maximum, and an event
//!   resets it.
//!
//! The limit of pollers has three consequences. Tasks that poll one source settle after a few
//! rounds. More tasks than the maximum would keep each other busy, but none would hang. If a
//! task comes with a new waker each time, its old wakers do not pile up. They do not keep the task
//! spinning either, as they would if only the oldest were woken.
//!
//! Each direction has its own queue. Futures are queued in the order of their ids, which is the
//! order of arrival, so a future is found by binary search. A future that leaves early leaves a
//! vacancy behind. Vacancies are removed once they are half of the queue, so a removal costs the
//! search and amortised constant time. A future that was woken in vain waits again under its id,
//! and gets its position back.
//!
//! Nothing here clones, wakes or drops a waker: all removed wakers are returned to the caller.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::task::Waker;

use crate::readiness::{Direction, Readiness};

/// How many pollers are kept in a direction, at first and at most.
const INITIAL_POLLERS: usize = 4;
const MAX_POLLERS: usize = 256;

/// A future that waits again gets its position back if the position is at most this far from an end
/// of the queue. Otherwise `n` futures that wait again in random order would cost O(n²).
const MAX_REINSERT_DISTANCE: usize = 64;

/// A queue with more capacity than this that uses less than a quarter of it is shrunk.
const KEPT_CAPACITY: usize = 32;

/// A waiter's id: its number, and the direction that it waits for in the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// The id of a future that does not wait.
    pub(crate) const NOT_WAITING: WaiterId = WaiterId(u64::MAX);

    #[inline]
    pub(crate) fn poller(direction: Direction) -> Self {
        WaiterId(Self::bit(direction))
    }

    /// The id of the `n`th wait, counted from zero.
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

    /// Its number, for a console. `None`: it does not wait.
    #[inline(always)]
    pub(crate) fn entry(self) -> Option<usize> {
        (self != Self::NOT_WAITING).then_some(self.0 as usize)
    }

    #[inline]
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
    storage: Cell<Storage>,
}

enum Storage {
    Single(Waiter),
    /// No waiter; or the queues, which are kept once there were two waiters. Boxed, because slots
    /// must stay small and few of them have queues.
    Queues(Option<Box<Queues>>),
}

impl Default for Storage {
    #[inline]
    fn default() -> Self {
        Storage::Queues(None)
    }
}

impl Storage {
    fn into_queues(self) -> Box<Queues> {
        let one = match self {
            Storage::Queues(Some(queues)) => return queues,
            Storage::Queues(None) => None,
            Storage::Single(waiter) => Some(waiter),
        };
        let mut queues = Box::<Queues>::default();
        if let Some(Waiter { waker, id }) = one {
            let queue = queues.queue(id.direction());
            if id.is_poller() {
                queue.pollers.push(waker);
            } else {
                queue.futures.push_back((id, Some(waker)));
            }
        }
        queues
    }
}

#[derive(Default)]
struct Queues {
    read: Queue,
    write: Queue,
}

impl Queues {
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
    poller_limit: usize,
    /// Ordered by id. The first and the last are no vacancies.
    futures: VecDeque<(WaiterId, Option<Waker>)>,
    vacancies: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            pollers: Vec::new(),
            poller_limit: INITIAL_POLLERS,
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

    /// The position of a waiting future.
    fn position(&self, id: WaiterId) -> Option<usize> {
        let at = self.futures.binary_search_by_key(&id, |future| future.0);
        at.ok().filter(|at| self.futures[*at].1.is_some())
    }

    /// Adds a poller. At the limit, returns the other pollers.
    fn push_poller(&mut self, waker: Waker) -> Vec<Waker> {
        let mut too_many = Vec::new();
        if self.pollers.len() >= self.poller_limit {
            self.poller_limit = MAX_POLLERS.min(self.poller_limit * 2);
            too_many = std::mem::take(&mut self.pollers);
        }
        self.pollers.push(waker);
        too_many
    }

    /// Queues a future at the position of its id, or last under a fresh id if that position is too
    /// far from an end. Returns its id and the waker that it replaces.
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
            Err(at) if at.min(self.futures.len() - at) <= MAX_REINSERT_DISTANCE => {
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
        self.compact();
        waker
    }

    /// Moves all pollers and the first `most` futures to `to_wake`. True if more wait.
    fn take(&mut self, most: usize, to_wake: &mut Vec<Waker>) -> bool {
        self.poller_limit = INITIAL_POLLERS;
        to_wake.append(&mut self.pollers);
        let mut left = most;
        while left > 0
            && let Some((_, waker)) = self.futures.pop_front()
        {
            match waker {
                Some(waker) => {
                    to_wake.push(waker);
                    left -= 1;
                }
                None => self.vacancies -= 1,
            }
        }
        self.compact();
        !self.futures.is_empty()
    }

    /// Removes vacancies and shrinks the queue, if that is worth it.
    fn compact(&mut self) {
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
        if self.futures.capacity() > KEPT_CAPACITY.max(4 * self.futures.len()) {
            self.futures.shrink_to(2 * self.futures.len());
        }
    }
}

impl Waiters {
    /// Whether `id` waits with a waker that wakes the same task as `waker`.
    pub(crate) fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        let mut storage = self.storage.take();
        let contains = match &mut storage {
            Storage::Single(one) => one.id == id && one.waker.will_wake(waker),
            Storage::Queues(None) => false,
            Storage::Queues(Some(queues)) => queues.queue(id.direction()).contains(id, waker),
        };
        self.storage.set(storage);
        contains
    }

    /// Whether nothing waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        match self.storage.take() {
            // As `take` has left it.
            Storage::Queues(None) => true,
            storage => {
                self.storage.set(storage);
                false
            }
        }
    }

    /// Lets `id` wait if no other waiter does. Otherwise returns the waker.
    #[inline]
    pub(crate) fn insert_if_empty(&self, id: WaiterId, waker: Waker) -> Result<(), Waker> {
        match self.storage.take() {
            Storage::Queues(None) => {
                self.storage.set(Storage::Single(Waiter { waker, id }));
                Ok(())
            }
            storage => {
                self.storage.set(storage);
                Err(waker)
            }
        }
    }

    /// Lets `id` wait. A future may need a fresh id, which must be greater than all others. Returns
    /// the id under which it waits, the waker that it replaces (to drop), and the pollers above the
    /// limit (to wake).
    pub(crate) fn insert(
        &self,
        id: WaiterId,
        waker: Waker,
        fresh: impl FnOnce() -> WaiterId,
    ) -> (WaiterId, Option<Waker>, Vec<Waker>) {
        let former = match self.storage.take() {
            Storage::Queues(None) => None,
            // The same future with a new waker.
            Storage::Single(former) if former.id == id && !id.is_poller() => Some(former.waker),
            storage => {
                let mut queues = storage.into_queues();
                let queue = queues.queue(id.direction());
                let inserted = if id.is_poller() {
                    (id, None, queue.push_poller(waker))
                } else {
                    let (id, replaced) = queue.insert_future(id, waker, fresh);
                    (id, replaced, Vec::new())
                };
                self.storage.set(Storage::Queues(Some(queues)));
                return inserted;
            }
        };
        self.storage.set(Storage::Single(Waiter { waker, id }));
        (id, former, Vec::new())
    }

    /// Removes a future.
    pub(crate) fn remove(&self, id: WaiterId) -> Option<Waker> {
        match self.storage.take() {
            Storage::Single(waiter) if waiter.id == id => Some(waiter.waker),
            mut storage => {
                let removed = match &mut storage {
                    Storage::Queues(Some(queues)) => queues.queue(id.direction()).remove_future(id),
                    _ => None,
                };
                self.storage.set(storage);
                removed
            }
        }
    }

    /// Moves the first waiters of the directions that `seen` allows to `to_wake`. Readers come
    /// before writers; each direction gives all pollers and up to `most` futures, in the order of
    /// arrival. True if more wait.
    #[inline]
    pub(crate) fn take(&self, seen: Readiness, most: usize, to_wake: &mut Vec<Waker>) -> bool {
        match self.storage.take() {
            Storage::Queues(None) => false,
            Storage::Single(waiter) if seen.allows(waiter.id.direction()) => {
                to_wake.push(waiter.waker);
                false
            }
            storage => self.take_others(storage, seen, most, to_wake),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_others(
        &self,
        mut storage: Storage,
        seen: Readiness,
        most: usize,
        to_wake: &mut Vec<Waker>,
    ) -> bool {
        let mut more_wait = false;
        if let Storage::Queues(Some(queues)) = &mut storage {
            for direction in [Direction::Read, Direction::Write] {
                if seen.allows(direction) {
                    more_wait |= queues.queue(direction).take(most, to_wake);
                }
            }
        }
        self.storage.set(storage);
        more_wait
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
        /// The ready directions (read, write), and how many futures are taken.
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

    /// The same as plain lists.
    #[derive(Default)]
    struct Model {
        /// The waiting ids, with the number of the waker.
        futures: Vec<(WaiterId, usize)>,
        pollers: Vec<(Direction, usize)>,
        limits: [usize; 2],
    }

    impl Model {
        /// Inserts a future. Returns the waker that it replaces.
        fn insert_future(&mut self, id: WaiterId, waker: usize) -> Option<usize> {
            let known = self.futures.iter_mut().find(|future| future.0 == id);
            if let Some(known) = known {
                return Some(std::mem::replace(&mut known.1, waker));
            }
            self.futures.push((id, waker));
            self.futures.sort_by_key(|future| future.0);
            None
        }

        /// Inserts a poller. Returns the wakers above the limit.
        fn insert_poller(&mut self, direction: Direction, waker: usize) -> Vec<usize> {
            let mut to_wake = Vec::new();
            let limit = &mut self.limits[direction as usize];
            if self
                .pollers
                .iter()
                .filter(|poller| poller.0 == direction)
                .count()
                >= *limit
            {
                *limit = MAX_POLLERS.min(*limit * 2);
                to_wake = self.take_pollers(direction);
            }
            self.pollers.push((direction, waker));
            to_wake
        }

        fn take_pollers(&mut self, direction: Direction) -> Vec<usize> {
            let taken = self.pollers.extract_if(.., |poller| poller.0 == direction);
            taken.map(|poller| poller.1).collect()
        }

        fn remove(&mut self, id: WaiterId) -> Option<usize> {
            let at = self.futures.iter().position(|future| future.0 == id)?;
            Some(self.futures.remove(at).1)
        }

        /// Returns the taken wakers, and whether more wait.
        fn take(&mut self, direction: Direction, most: usize) -> (Vec<usize>, bool) {
            self.limits[direction as usize] = INITIAL_POLLERS;
            let mut taken = self.take_pollers(direction);
            let futures = self
                .futures
                .extract_if(.., |future| future.0.direction() == direction);
            taken.extend(futures.take(most).map(|future| future.1));
            let more_wait = self
                .futures
                .iter()
                .any(|future| future.0.direction() == direction);
            (taken, more_wait)
        }
    }

    fn waker() -> Waker {
        Arc::new(Numbered).into()
    }

    fn no_fresh() -> WaiterId {
        panic!("no fresh id is needed")
    }

    fn queues_of<R>(waiters: &Waiters, look: impl FnOnce(Option<&mut Queues>) -> R) -> R {
        let mut storage = waiters.storage.take();
        let seen = look(match &mut storage {
            Storage::Queues(queues) => queues.as_deref_mut(),
            Storage::Single(_) => None,
        });
        waiters.storage.set(storage);
        seen
    }

    /// They are counted, are at most half of the queue, and are not at its ends.
    fn check_vacancies(queue: &Queue) {
        let is_vacant = |future: &(WaiterId, Option<Waker>)| future.1.is_none();
        let vacancies = queue.futures.iter().filter(|future| is_vacant(future));
        assert_eq!(vacancies.count(), queue.vacancies);
        assert!(queue.vacancies <= queue.futures.len() / 2);
        assert!(!queue.futures.front().is_some_and(is_vacant));
        assert!(!queue.futures.back().is_some_and(is_vacant));
    }

    #[test]
    fn only_a_second_waiter_allocates_the_queues() {
        let [one, another] = [waker(), waker()];
        let has_queues = |waiters: &Waiters| queues_of(waiters, |queues| queues.is_some());
        let (first, second) = (
            WaiterId::future(0, Direction::Read),
            WaiterId::future(1, Direction::Write),
        );
        let waiters = Waiters::default();
        let (_, replaced, _) = waiters.insert(first, one.clone(), no_fresh);
        assert!(replaced.is_none());
        let (_, replaced, _) = waiters.insert(first, another.clone(), no_fresh);
        assert!(replaced.is_some_and(|waker| waker.will_wake(&one)));
        assert!(!has_queues(&waiters));
        let (_, replaced, _) = waiters.insert(second, one, no_fresh);
        assert!(replaced.is_none());
        assert!(has_queues(&waiters));
    }

    #[test]
    fn a_future_woken_in_vain_gets_its_position_back() {
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
        // A vacancy counts as a position.
        assert_eq!(waiters.insert(id(990), waker(), no_fresh).0, id(990));
        let mut to_wake = Vec::new();
        assert!(waiters.take(Readiness::NEW, 800, &mut to_wake));
        assert!(to_wake[0].will_wake(&first) && to_wake[10].will_wake(&near));
        for n in 0..800 {
            waiters.insert(id(2000 + n), waker(), no_fresh);
        }
        let fresh = || id(5000);
        assert_eq!(waiters.insert(id(1500), far.clone(), fresh).0, id(5000));
        to_wake.clear();
        assert!(!waiters.take(Readiness::NEW, usize::MAX, &mut to_wake));
        assert_eq!(to_wake.len(), 199 + 800 + 1);
        assert!(to_wake.last().unwrap().will_wake(&far));
    }

    /// A queue in which futures wait, and some have left again.
    fn queue(futures: u64, left: impl IntoIterator<Item = u64>) -> Queue {
        let id = |n| WaiterId::future(n, Direction::Read);
        let mut queue = Queue::default();
        for n in 0..futures {
            queue.insert_future(id(n), Waker::noop().clone(), no_fresh);
        }
        for n in left {
            queue.remove_future(id(n));
        }
        queue
    }

    /// The length of a queue, and its vacancies.
    fn shape(queue: &Queue) -> (usize, usize) {
        (queue.futures.len(), queue.vacancies)
    }

    #[test]
    fn vacancies_stay_until_they_are_more_than_half_of_the_queue() {
        assert_eq!(shape(&queue(8, [1, 2, 3, 4])), (8, 4));
        assert_eq!(shape(&queue(8, [1, 2, 3, 4, 5])), (3, 0));
    }

    #[test]
    fn vacancies_leave_with_the_end_that_they_are_at() {
        assert_eq!(shape(&queue(20, [17, 18, 19])), (17, 0));
        assert_eq!(shape(&queue(20, [1, 2, 0])), (17, 0));
        let mut queue = queue(20, [1, 2, 6, 7]);
        let mut to_wake = Vec::new();
        assert!(queue.take(3, &mut to_wake));
        assert_eq!((to_wake.len(), shape(&queue)), (3, (15, 2)));
        assert!(queue.take(1, &mut to_wake));
        assert_eq!(shape(&queue), (12, 0));
    }

    #[test]
    fn memory_stays_while_a_quarter_of_it_is_used() {
        let mut queue = queue(10_000, []);
        let capacity = queue.futures.capacity();
        let quarter = (capacity / 4) as u64;
        for n in (quarter..10_000).rev() {
            queue.remove_future(WaiterId::future(n, Direction::Read));
        }
        assert_eq!(queue.futures.capacity(), capacity);
        queue.remove_future(WaiterId::future(quarter - 1, Direction::Read));
        let kept = queue.futures.capacity();
        assert!(2 * queue.futures.len() <= kept && kept < capacity, "{kept}");
    }

    /// In whatever order they are woken or removed.
    #[test]
    fn a_burst_gives_its_memory_back() {
        const MANY: u64 = 10_000;
        let id = |n| WaiterId::future(n, Direction::Read);
        let capacity = |waiters: &Waiters| {
            queues_of(waiters, |queues| queues.unwrap().read.futures.capacity())
        };
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
            assert!(capacity(&waiters) >= MANY as usize);
            leave(&waiters);
            assert!(
                capacity(&waiters) <= KEPT_CAPACITY,
                "{}",
                capacity(&waiters)
            );
            let mut left = Vec::new();
            waiters.take(Readiness::NEW, usize::MAX, &mut left);
            assert_eq!(left.len(), 1);
        }
    }

    proptest! {
        #[test]
        fn the_waiters_match_a_model_of_plain_lists(steps in steps()) {
            let wakers: Vec<Waker> = (0..8).map(|_| waker()).collect();
            let number = |waker: &Waker| {
                let at = wakers.iter().position(|known| known.will_wake(waker));
                at.expect("every waker is known")
            };
            let waiters = Waiters::default();
            let mut model = Model { limits: [INITIAL_POLLERS; 2], ..Model::default() };
            // The ids that the futures hold. A woken future does not notice that it was removed.
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
                        let replaced = match waiters.insert_if_empty(ids[future], given) {
                            Ok(()) => None,
                            Err(given) => {
                                let (id, replaced, to_wake) = waiters.insert(ids[future], given, fresh);
                                prop_assert!(to_wake.is_empty());
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
                        let to_wake = match waiters.insert_if_empty(id, given) {
                            Ok(()) => Vec::new(),
                            Err(given) => waiters.insert(id, given, no_fresh).2,
                        };
                        let to_wake: Vec<_> = to_wake.iter().map(number).collect();
                        prop_assert_eq!(to_wake, model.insert_poller(side, waker));
                        prop_assert!(waiters.contains(id, &wakers[waker]));
                    }
                    Step::Remove(future) => {
                        let removed = waiters.remove(ids[future]);
                        prop_assert_eq!(removed.as_ref().map(number), model.remove(ids[future]));
                        prop_assert!(!waiters.contains(ids[future], &wakers[0]));
                        ids[future] = WaiterId::NOT_WAITING;
                    }
                    Step::Take(read, write, most) => {
                        // A single inline waiter is always taken.
                        let is_alone = model.futures.len() + model.pollers.len() == 1
                            && queues_of(&waiters, |queues| queues.is_none());
                        let most = most.max(usize::from(is_alone));
                        let mut to_wake = Vec::new();
                        let seen = Readiness::for_tests(read, write);
                        let more_wait = waiters.take(seen, most, &mut to_wake);
                        let to_wake: Vec<_> = to_wake.iter().map(number).collect();
                        let mut expected = (Vec::new(), false);
                        for (is_seen, side) in [(read, Direction::Read), (write, Direction::Write)] {
                            if is_seen {
                                let (taken, more) = model.take(side, most);
                                expected.0.extend(taken);
                                expected.1 |= more;
                            }
                        }
                        prop_assert_eq!((to_wake, more_wait), expected);
                    }
                }
                queues_of(&waiters, |queues| {
                    let queues = queues.map_or_else(Vec::new, |both| vec![&both.read, &both.write]);
                    queues.into_iter().for_each(check_vacancies);
                });
            }
        }
    }
}
