//! Who waits for one source.
//!
//! Nearly always that is one task a direction, and it has its place right here; only a second one
//! makes a list. There are two kinds:
//!
//! - a *future* ([`WaiterId::future`]) has a name of its own while it waits. It replaces its own waker, takes it
//!   back when it is dropped, and any number of them wait beside each other.
//! - a *poller* ([`WaiterId::POLLER`]) came through a `poll_*` method and has no name: whether a
//!   different waker is the same task with a new waker or another task, nobody can tell. By the
//!   contract of `Future::poll` the last waker counts. A few more are kept, so that a handful of
//!   tasks that poll one source do not starve each other, and no more than that, so that a task
//!   which comes with a fresh waker each time does not pile them up. Waking the replaced one
//!   instead would make such a task spin.
//!
//! Always true: who is among the others of a direction came later than its first, and there is one.
//! Nothing here clones, wakes or drops a
//! waker: what leaves is handed out.

use std::cell::Cell;
use std::fmt;
use std::task::Waker;

use crate::readiness::Direction;

/// How many wakers without a name are kept.
const POLLERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    pub(crate) const POLLER: WaiterId = WaiterId(0);
    /// A future that does not wait.
    pub(crate) const NOT_WAITING: WaiterId = WaiterId(u64::MAX);

    /// The name for the `n`th wait, counted from zero.
    pub(crate) fn future(n: u64) -> Self {
        WaiterId(n + 1)
    }
}

struct Waiter {
    waker: Waker,
    id: WaiterId,
}

/// Who waits, in both directions.
#[derive(Default)]
pub(crate) struct Waiters {
    reader: Cell<Option<Waiter>>,
    writer: Cell<Option<Waiter>>,
    /// Boxed, because a slot should stay small and hardly any has it.
    others: Cell<Option<Box<Others>>>,
}

#[derive(Default)]
struct Others {
    readers: Vec<Waiter>,
    writers: Vec<Waiter>,
}

impl Others {
    fn of(&mut self, direction: Direction) -> &mut Vec<Waiter> {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

impl Waiters {
    #[inline]
    fn first(&self, direction: Direction) -> &Cell<Option<Waiter>> {
        match direction {
            Direction::Read => &self.reader,
            Direction::Write => &self.writer,
        }
    }

    /// Calls `f`, which runs no foreign code, with the others, if there ever were any.
    fn with_others<R>(
        &self,
        direction: Direction,
        f: impl FnOnce(&mut Vec<Waiter>) -> R,
    ) -> Option<R> {
        let mut others = self.others.take()?;
        let result = f(others.of(direction));
        self.others.set(Some(others));
        Some(result)
    }

    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    #[inline]
    pub(crate) fn contains(&self, direction: Direction, id: WaiterId, waker: &Waker) -> bool {
        let place = self.first(direction);
        let Some(first) = place.take() else {
            return false;
        };
        let same = |waiter: &Waiter| waiter.id == id && waiter.waker.will_wake(waker);
        let is_first = same(&first);
        place.set(Some(first));
        is_first
            || self
                .with_others(direction, |others| others.iter().any(same))
                .unwrap_or(false)
    }

    /// Lets `id` wait. Gives back the waker that lost its place.
    #[inline]
    pub(crate) fn insert(&self, direction: Direction, id: WaiterId, waker: Waker) -> Option<Waker> {
        let waiter = Waiter { waker, id };
        let place = self.first(direction);
        match place.take() {
            None => {
                place.set(Some(waiter));
                None
            }
            Some(first) => {
                place.set(Some(first));
                self.insert_beside(direction, waiter)
            }
        }
    }

    #[cold]
    fn insert_beside(&self, direction: Direction, waiter: Waiter) -> Option<Waker> {
        let id = waiter.id;
        let replaced = match self.count(direction, id) {
            0 => None,
            n if id == WaiterId::POLLER && n < POLLERS => None,
            _ => self.remove(direction, id),
        };
        let place = self.first(direction);
        match place.take() {
            None => place.set(Some(waiter)),
            Some(first) => {
                place.set(Some(first));
                let mut others = self.others.take().unwrap_or_default();
                others.of(direction).push(waiter);
                self.others.set(Some(others));
            }
        }
        replaced
    }

    fn count(&self, direction: Direction, id: WaiterId) -> usize {
        let place = self.first(direction);
        let first = place.take();
        let is_first = first.as_ref().is_some_and(|waiter| waiter.id == id);
        place.set(first);
        let others = self.with_others(direction, |others| {
            others.iter().filter(|waiter| waiter.id == id).count()
        });
        usize::from(is_first) + others.unwrap_or(0)
    }

    /// Takes out the one that waits as `id`; the oldest, if there are several.
    pub(crate) fn remove(&self, direction: Direction, id: WaiterId) -> Option<Waker> {
        let place = self.first(direction);
        let first = place.take()?;
        if first.id == id {
            let next = self.with_others(direction, |others| {
                (!others.is_empty()).then(|| others.remove(0))
            });
            place.set(next.flatten());
            return Some(first.waker);
        }
        place.set(Some(first));
        let removed = self.with_others(direction, |others| {
            let at = others.iter().position(|waiter| waiter.id == id)?;
            Some(others.remove(at).waker)
        });
        removed.flatten()
    }

    /// Moves all wakers of a direction to `woken`, in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&self, direction: Direction, woken: &mut Vec<Waker>) {
        let Some(first) = self.first(direction).take() else {
            return;
        };
        woken.push(first.waker);
        self.with_others(direction, |others| {
            woken.extend(others.drain(..).map(|waiter| waiter.waker));
        });
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
        TakeAll,
    }

    fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
        // Id 0 is the pollers'.
        let id = || (0u64..5).prop_map(WaiterId);
        let step = prop_oneof![
            5 => (id(), 0usize..8).prop_map(|(id, waker)| Step::Insert(id, waker)),
            3 => id().prop_map(Step::Remove),
            1 => Just(Step::TakeAll),
        ];
        prop::collection::vec((any::<bool>(), step), 0..60)
    }

    /// The same, as a plain list.
    #[derive(Default)]
    struct Model(Vec<(WaiterId, usize)>);

    impl Model {
        fn insert(&mut self, id: WaiterId, waker: usize) -> Option<usize> {
            let kept = if id == WaiterId::POLLER { POLLERS } else { 1 };
            let replaced = match self.0.iter().filter(|waiter| waiter.0 == id).count() {
                n if n < kept => None,
                _ => self.remove(id),
            };
            self.0.push((id, waker));
            replaced
        }

        fn remove(&mut self, id: WaiterId) -> Option<usize> {
            let at = self.0.iter().position(|waiter| waiter.0 == id)?;
            Some(self.0.remove(at).1)
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
            let mut models = [Model::default(), Model::default()];
            for (reads, step) in steps {
                let direction = if reads { Direction::Read } else { Direction::Write };
                let model = &mut models[usize::from(reads)];
                match step {
                    Step::Insert(id, waker) => {
                        let replaced = waiters.insert(direction, id, wakers[waker].clone());
                        prop_assert_eq!(replaced.as_ref().map(number), model.insert(id, waker));
                        prop_assert!(waiters.contains(direction, id, &wakers[waker]));
                    }
                    Step::Remove(id) => {
                        let removed = waiters.remove(direction, id);
                        prop_assert_eq!(removed.as_ref().map(number), model.remove(id));
                    }
                    Step::TakeAll => {
                        let mut woken = Vec::new();
                        waiters.take_all(direction, &mut woken);
                        let woken: Vec<_> = woken.iter().map(number).collect();
                        let expected: Vec<_> = model.0.drain(..).map(|waiter| waiter.1).collect();
                        prop_assert_eq!(woken, expected);
                    }
                }
            }
        }
    }
}
