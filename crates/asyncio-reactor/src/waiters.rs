//! Who waits for one direction of one source.
//!
//! Nearly always that is one task, and it has its place right here; only a second one makes a
//! list. There are two kinds:
//!
//! - a *future* ([`WaiterId::future`]) has a name of its own. It replaces its own waker, takes it
//!   back when it is dropped, and any number of them wait beside each other.
//! - a *poller* ([`WaiterId::POLLER`]) came through a `poll_*` method and has no name: whether a
//!   different waker is the same task with a new waker or another task, nobody can tell. By the
//!   contract of `Future::poll` the last waker counts. A few more are kept, so that a handful of
//!   tasks that poll one source do not starve each other, and no more than that, so that a task
//!   which comes with a fresh waker each time does not pile them up. Waking the replaced one
//!   instead would make such a task spin.
//!
//! Always true: if `others` is not empty, `first` is taken. Nothing here clones, wakes or drops a
//! waker: what leaves is handed out.

use std::collections::VecDeque;
use std::task::Waker;

/// How many wakers without a name are kept.
const POLLERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    pub(crate) const POLLER: WaiterId = WaiterId(0);

    /// The name of the `n`th future that waits, counted from zero.
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
    first: Option<Waiter>,
    /// Boxed, because a slot should stay small and hardly any has it.
    #[expect(clippy::box_collection)]
    others: Option<Box<Vec<Waiter>>>,
}

impl Waiters {
    fn others(&self) -> &[Waiter] {
        self.others.as_deref().map_or(&[], Vec::as_slice)
    }

    /// Whether `id` waits, and with a waker that wakes what `waker` would.
    pub(crate) fn contains(&self, id: WaiterId, waker: &Waker) -> bool {
        let same = |waiter: &Waiter| waiter.id == id && waiter.waker.will_wake(waker);
        self.first.as_ref().is_some_and(same) || self.others().iter().any(same)
    }

    /// Lets `id` wait. Gives back the waker that lost its place.
    pub(crate) fn insert(&mut self, id: WaiterId, waker: Waker) -> Option<Waker> {
        let replaced = match self.len_of(id) {
            0 => None,
            n if id == WaiterId::POLLER && n < POLLERS => None,
            _ => self.remove(id),
        };
        let waiter = Waiter { waker, id };
        match &mut self.first {
            None => self.first = Some(waiter),
            Some(_) => self.others.get_or_insert_default().push(waiter),
        }
        replaced
    }

    fn len_of(&self, id: WaiterId) -> usize {
        let others = self.others().iter().filter(|waiter| waiter.id == id);
        others.count() + usize::from(self.first.as_ref().is_some_and(|waiter| waiter.id == id))
    }

    /// Takes out the one that waits as `id`; the oldest, if there are several.
    pub(crate) fn remove(&mut self, id: WaiterId) -> Option<Waker> {
        let first = self.first.take_if(|waiter| waiter.id == id);
        let Some(others) = &mut self.others else {
            return first.map(|waiter| waiter.waker);
        };
        if first.is_some() {
            if !others.is_empty() {
                self.first = Some(others.remove(0));
            }
            return first.map(|waiter| waiter.waker);
        }
        let at = others.iter().position(|waiter| waiter.id == id)?;
        Some(others.remove(at).waker)
    }

    /// Moves all wakers to `woken`, in the order in which they came.
    pub(crate) fn take_all(&mut self, woken: &mut VecDeque<Waker>) {
        let Some(first) = self.first.take() else {
            return;
        };
        woken.push_back(first.waker);
        if let Some(others) = &mut self.others {
            woken.extend(others.drain(..).map(|waiter| waiter.waker));
        }
    }
}
