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
//! Always true: the line is in the order of arrival, and its first stands in `first`. Nothing here
//! clones, wakes or drops a waker: what leaves is handed out.

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
    first: Cell<Option<Waiter>>,
    /// Boxed, because a slot should stay small and hardly any has it.
    others: Cell<Option<Box<Others>>>,
}

struct Others {
    line: Vec<Waiter>,
    /// How many pollers are kept, for reading and for writing.
    pollers: [usize; 2],
}

impl Default for Others {
    fn default() -> Self {
        Others {
            line: Vec::new(),
            pollers: [POLLERS; 2],
        }
    }
}

impl Others {
    fn pollers(&mut self, direction: Direction) -> &mut usize {
        match direction {
            Direction::Read => &mut self.pollers[0],
            Direction::Write => &mut self.pollers[1],
        }
    }
}

impl Waiters {
    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    #[inline]
    pub(crate) fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        let same = |waiter: &Waiter| waiter.id == id && waiter.waker.will_wake(waker);
        let Some(first) = self.first.take() else {
            return false;
        };
        let is_first = same(&first);
        self.first.set(Some(first));
        is_first || {
            let others = self.others.take();
            let among = others.as_ref().is_some_and(|o| o.line.iter().any(same));
            self.others.set(others);
            among
        }
    }

    /// Lets `id` wait. Gives back the waker that it waited with so far. If that makes too many
    /// pollers, the others of them move to `woken`.
    #[inline]
    pub(crate) fn insert(
        &self,
        id: WaiterId,
        waker: Waker,
        woken: impl FnOnce(Vec<Waker>),
    ) -> Option<Waker> {
        let waiter = Waiter { waker, id };
        match self.first.take() {
            None => {
                self.first.set(Some(waiter));
                None
            }
            Some(first) => {
                self.first.set(Some(first));
                self.insert_beside(waiter, woken)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn insert_beside(&self, waiter: Waiter, woken: impl FnOnce(Vec<Waker>)) -> Option<Waker> {
        let mut replaced = None;
        let mut too_many = Vec::new();
        self.with_line(|others| {
            let id = waiter.id;
            let same = |other: &Waiter| other.id == id;
            if !id.is_poller() {
                let at = others.line.iter().position(same);
                replaced = at.map(|at| others.line.remove(at).waker);
            } else if others.line.iter().filter(|other| same(other)).count()
                >= *others.pollers(id.direction())
            {
                let limit = others.pollers(id.direction());
                *limit = MOST_POLLERS.min(*limit * 2);
                let pollers = others.line.extract_if(.., |other| same(other));
                too_many = pollers.map(|other| other.waker).collect();
            }
            others.line.push(waiter);
        });
        if !too_many.is_empty() {
            woken(too_many);
        }
        replaced
    }

    /// Takes out the one that waits as `id`; the oldest, if there are several.
    pub(crate) fn remove(&self, id: WaiterId) -> Option<Waker> {
        let first = self.first.take()?;
        let others = self.others.take();
        if others.is_none() && first.id == id {
            return Some(first.waker);
        }
        self.first.set(Some(first));
        self.others.set(others);
        self.with_line(|others| {
            let at = others.line.iter().position(|waiter| waiter.id == id)?;
            Some(others.line.remove(at).waker)
        })
    }

    /// Moves all wakers of the directions that `seen` allows to `woken`: readers before writers, and
    /// each in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&self, seen: Readiness, woken: &mut Vec<Waker>) {
        let Some(first) = self.first.take() else {
            return;
        };
        let others = self.others.take();
        if others.is_none() {
            if seen.allows(first.id.direction()) {
                woken.push(first.waker);
            } else {
                self.first.set(Some(first));
            }
            return;
        }
        self.first.set(Some(first));
        self.others.set(others);
        self.take_several(seen, woken);
    }

    #[cold]
    #[inline(never)]
    fn take_several(&self, seen: Readiness, woken: &mut Vec<Waker>) {
        self.with_line(|others| {
            for direction in [Direction::Read, Direction::Write] {
                if seen.allows(direction) {
                    *others.pollers(direction) = POLLERS;
                    let leave = |waiter: &mut Waiter| waiter.id.direction() == direction;
                    let leaving = others.line.extract_if(.., leave);
                    woken.extend(leaving.map(|waiter| waiter.waker));
                }
            }
        });
    }

    /// Calls `f`, which runs no foreign code, with the whole line as a list.
    fn with_line<R>(&self, f: impl FnOnce(&mut Others) -> R) -> R {
        let mut others = self.others.take().unwrap_or_default();
        if let Some(first) = self.first.take() {
            others.line.insert(0, first);
        }
        let result = f(&mut others);
        if !others.line.is_empty() {
            self.first.set(Some(others.line.remove(0)));
        }
        self.others.set(Some(others));
        result
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
                        let replaced = waiters.insert(id, wakers[waker].clone(), |w| woken = w);
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
                        let anybody = !model.line.is_empty();
                        if anybody && read {
                            expected.extend(model.take_all(0));
                        }
                        if anybody && write {
                            expected.extend(model.take_all(1));
                        }
                        prop_assert_eq!(woken, expected);
                    }
                }
            }
        }
    }
}
