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

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    id: WaiterId,
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    reader: Option<Waiter>,
    writer: Option<Waiter>,
    /// Boxed, because a slot should stay small and hardly any has it.
    others: Option<Box<Others>>,
}

#[derive(Debug, Default)]
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
    fn first(&mut self, direction: Direction) -> &mut Option<Waiter> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    /// All that wait in a direction.
    fn all(&self, direction: Direction) -> impl Iterator<Item = &Waiter> {
        let others = self.others.as_deref();
        let (first, others) = match direction {
            Direction::Read => (&self.reader, others.map(|others| &others.readers)),
            Direction::Write => (&self.writer, others.map(|others| &others.writers)),
        };
        first.iter().chain(others.into_iter().flatten())
    }

    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    #[inline]
    pub(crate) fn contains(&mut self, direction: Direction, id: WaiterId, waker: &Waker) -> bool {
        let same = |waiter: &Waiter| waiter.id == id && waiter.waker.will_wake(waker);
        match self.first(direction) {
            None => false,
            Some(first) => same(first) || self.all(direction).any(same),
        }
    }

    /// Lets `id` wait. Gives back the waker that lost its place.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        direction: Direction,
        id: WaiterId,
        waker: Waker,
    ) -> Option<Waker> {
        let waiter = Waiter { waker, id };
        let first = self.first(direction);
        if first.is_none() {
            *first = Some(waiter);
            return None;
        }
        self.insert_beside(direction, waiter)
    }

    #[cold]
    fn insert_beside(&mut self, direction: Direction, waiter: Waiter) -> Option<Waker> {
        let id = waiter.id;
        let replaced = match self.all(direction).filter(|waiter| waiter.id == id).count() {
            0 => None,
            n if id == WaiterId::POLLER && n < POLLERS => None,
            _ => self.remove(direction, id),
        };
        match self.first(direction) {
            first @ None => *first = Some(waiter),
            Some(_) => self
                .others
                .get_or_insert_default()
                .of(direction)
                .push(waiter),
        }
        replaced
    }

    /// Takes out the one that waits as `id`; the oldest, if there are several.
    pub(crate) fn remove(&mut self, direction: Direction, id: WaiterId) -> Option<Waker> {
        let first = self.first(direction).take_if(|waiter| waiter.id == id);
        let others = self.others.as_mut().map(|others| others.of(direction));
        let removed = match (first, others) {
            (Some(first), Some(others)) if !others.is_empty() => {
                *self.first(direction) = Some(others.remove(0));
                first
            }
            (Some(first), _) => first,
            (None, others) => {
                let others = others?;
                let at = others.iter().position(|waiter| waiter.id == id)?;
                others.remove(at)
            }
        };
        Some(removed.waker)
    }

    /// Moves all wakers of a direction to `woken`, in the order in which they came.
    #[inline]
    pub(crate) fn take_all(&mut self, direction: Direction, woken: &mut Vec<Waker>) {
        let Some(first) = self.first(direction).take() else {
            return;
        };
        woken.push(first.waker);
        if let Some(others) = &mut self.others {
            let others = others.of(direction).drain(..);
            woken.extend(others.map(|waiter| waiter.waker));
        }
    }
}
