//! A list of waiters: first in, first out, with removal from any position in constant time.
//!
//! ```text
//!  new ──wait──▶ waiting ──grant_first_unwoken──▶ unwoken ──next_unwoken──▶ granted ──finish──▶ done
//!                   └──────────────────grant_first──────────────────────────▲
//! ```
//!
//! - A new waiter goes to the end of the list. Only the first waiter is granted.
//! - An *unwoken* waiter has its grant, but its waker is still to be woken. When several waiters
//!   are granted together, all of them have their grants before the first is woken.
//! - The entry of a granted waiter stays until its future is polled or dropped, and holds the
//!   *grant*. So no grant is lost: the future uses its grant or, if dropped, passes it on.
//! - Only the future of an entry removes the entry, so a [`Key`] needs no generation. The entry of
//!   a leaked future stays forever.
//! - This file never clones, wakes or drops a waker, so its functions can run under a borrow or a
//!   lock. Wakers that are no longer needed are returned to the caller.
//!
//! Entries are reused: if no more tasks wait at a time than before, waiting allocates nothing. When
//! few of more than [`MIN_ENTRIES`] waiters are left, the vacant entries at the end are freed.
//!
//! A woken waker may be [kept](WaitList::keep_waker) in its entry. The list keeps the waker of the
//! last waiter that finished. If the same task waits again, as is usual, its waker is not cloned.
//! On most loops a clone costs two atomic operations, more than the rest of a wait. A kept waker is
//! compared with the task's own waker before it is used.

use std::task::Waker;

/// The number of entries that are never freed.
const MIN_ENTRIES: usize = 1 << 12;

/// The index of no entry.
const NONE: usize = usize::MAX;

/// The panic message of a future that is polled again after completion.
pub(crate) const POLLED_AGAIN: &str = "a future was polled after it had completed";

/// The index of a waiter's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(usize);

/// The state of a waiting future with respect to its list.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaiterState {
    /// Not in the list yet.
    #[default]
    New,
    /// In the list: waiting, or granted and not polled since.
    Listed(Key),
    /// Finished.
    Done,
}

impl Key {
    /// The place in the list.
    pub(crate) fn entry(self) -> usize {
        self.0
    }
}

impl WaiterState {
    /// The place in the list of a future that is there.
    #[inline]
    pub(crate) fn entry(self) -> Option<usize> {
        match self {
            Self::Listed(key) => Some(key.entry()),
            Self::New | Self::Done => None,
        }
    }

    /// Whether its future has returned, and must not be polled again.
    #[inline]
    pub(crate) fn is_done(self) -> bool {
        self == Self::Done
    }
}

/// The result of polling a waiter.
#[derive(Debug)]
pub(crate) enum WaitPoll<G> {
    /// The grant of the waiter, whose entry has been removed.
    Granted(G),
    /// The waiter waits, and the list holds a waker for it.
    Waiting,
    /// The waiter must wait and needs a new waker. Poll again with a clone.
    NeedsWaker,
}

/// The contents of a removed entry.
///
/// It may hold a waker, so it must be dropped where nothing is borrowed.
#[derive(Debug)]
#[must_use = "it may hold a waker, which must be dropped where nothing is borrowed"]
pub(crate) struct Removed<G> {
    /// The grant if the waiter was granted, otherwise its request.
    pub(crate) grant: G,
    pub(crate) was_granted: bool,
    waker: Option<Waker>,
}

/// The waker of a granted waiter, to be woken.
#[derive(Debug)]
#[must_use = "a granted waiter must be woken"]
pub(crate) struct Wakeup {
    pub(crate) waker: Waker,
    key: Key,
}

/// The waiters of one primitive.
///
/// `G` is the type of a request, and of the grant that answers it.
#[derive(Debug)]
pub(crate) struct WaitList<G> {
    entries: Vec<Entry<G>>,
    /// The first vacant entry. Each vacant entry links to the `next`.
    first_vacant: usize,
    waiting: List,
    unwoken: List,
    /// The number of entries in `waiting`.
    waiting_count: usize,
    /// The waker of the last waiter that finished, for the next wait of the same task.
    kept_waker: Option<Waker>,
    /// Memory is freed when fewer waiters than this are left.
    shrink_below: usize,
    /// The number of entries that are not vacant.
    ///
    /// Not next to `waiting_count`: adjacent fields would be loaded together, and that load would
    /// wait for the store to the field that changed last.
    len: usize,
}

/// The ends of a linked list of entries.
#[derive(Debug, Clone, Copy)]
struct List {
    first: usize,
    last: usize,
}

#[derive(Debug)]
struct Entry<G> {
    stage: Stage,
    /// `None` while the caller wakes it.
    waker: Option<Waker>,
    /// The request until the waiter is granted, then the grant.
    grant: G,
    previous: usize,
    next: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Vacant,
    Waiting,
    Unwoken,
    Granted,
}

impl<G: Copy> WaitList<G> {
    pub(crate) const fn new() -> Self {
        const EMPTY: List = List {
            first: NONE,
            last: NONE,
        };
        Self {
            entries: Vec::new(),
            first_vacant: NONE,
            waiting: EMPTY,
            unwoken: EMPTY,
            waiting_count: 0,
            kept_waker: None,
            shrink_below: 0,
            len: 0,
        }
    }

    /// The number of waiters without a grant.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// The number of waiters, including granted waiters that have not run since, as asyncio counts.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The request of the first waiter.
    #[inline]
    pub(crate) fn first_request(&self) -> Option<G> {
        let first = self.entries.get(self.waiting.first)?;
        Some(first.grant)
    }

    /// The grant of a waiter, if it was granted.
    #[inline]
    pub(crate) fn granted(&self, key: Key) -> Option<G> {
        let entry = &self.entries[key.0];
        (entry.stage != Stage::Waiting).then_some(entry.grant)
    }

    /// Grants the first waiter its request, and returns its waker to be woken.
    #[inline]
    pub(crate) fn grant_first(&mut self) -> Option<Wakeup> {
        self.grant_first_with(self.first_request()?)
    }

    /// Gives the first waiter `grant`, and returns its waker to be woken.
    #[inline]
    pub(crate) fn grant_first_with(&mut self, grant: G) -> Option<Wakeup> {
        let key = self.waiting.first;
        let first = self.entries.get_mut(key)?;
        first.stage = Stage::Granted;
        first.grant = grant;
        let waker = first.waker.take();
        debug_assert!(waker.is_some(), "a waiting entry lost its waker");
        let next = first.next;
        self.waiting.remove_first(&mut self.entries, next);
        self.waiting_count -= 1;
        Some(Wakeup {
            waker: waker?,
            key: Key(key),
        })
    }

    /// Gives the first waiter `grant`; `false` if there is no waiter.
    ///
    /// [`next_unwoken`](Self::next_unwoken) returns its waker.
    pub(crate) fn grant_first_unwoken(&mut self, grant: G) -> bool {
        let key = self.waiting.first;
        let Some(first) = self.entries.get_mut(key) else {
            return false;
        };
        let waker_taken = first.waker.is_none();
        first.stage = if waker_taken {
            Stage::Granted
        } else {
            Stage::Unwoken
        };
        first.grant = grant;
        let next = first.next;
        self.waiting.remove_first(&mut self.entries, next);
        self.waiting_count -= 1;
        if !waker_taken {
            self.unwoken.append(&mut self.entries, key);
        }
        true
    }

    /// Takes the waker of the first waiter, to wake it without a grant.
    ///
    /// The future stores a new waker at its next poll.
    pub(crate) fn take_first_waker(&mut self) -> Option<Waker> {
        self.entries.get_mut(self.waiting.first)?.waker.take()
    }

    /// The waker of the next unwoken waiter, to be woken.
    #[inline]
    pub(crate) fn next_unwoken(&mut self) -> Option<Wakeup> {
        let key = self.unwoken.first;
        let first = self.entries.get_mut(key)?;
        first.stage = Stage::Granted;
        let waker = first.waker.take();
        debug_assert!(waker.is_some(), "an unwoken entry lost its waker");
        let next = first.next;
        self.unwoken.remove_first(&mut self.entries, next);
        Some(Wakeup {
            waker: waker?,
            key: Key(key),
        })
    }

    /// Stores the waker of a woken waiter in its entry, if the waiter has not run since.
    ///
    /// Otherwise returns the waker, which must be dropped where nothing is borrowed.
    #[inline]
    pub(crate) fn keep_waker(&mut self, wakeup: Wakeup) -> Option<Waker> {
        let Wakeup { waker, key } = wakeup;
        match self.entries.get_mut(key.0) {
            // The entry may belong to another waiter by now. A kept waker is compared before use.
            Some(entry) if entry.stage == Stage::Granted && entry.waker.is_none() => {
                entry.waker = Some(waker);
                None
            }
            _ => Some(waker),
        }
    }

    /// Polls a waiter: returns its grant, or adds it to the list with `request`.
    ///
    /// See [`wait`](Self::wait) for `new_waker` and [`finish`](Self::finish) for `old_waker`.
    ///
    /// # Panics
    ///
    /// If the waiter is done.
    #[inline(always)]
    pub(crate) fn poll_wait(
        &mut self,
        waiter: &mut WaiterState,
        waker: &Waker,
        new_waker: &mut Option<Waker>,
        old_waker: &mut Option<Waker>,
        request: G,
    ) -> WaitPoll<G> {
        if let WaiterState::Listed(key) = *waiter
            && self.entries[key.0].stage != Stage::Waiting
        {
            *waiter = WaiterState::Done;
            return WaitPoll::Granted(self.finish(key, old_waker));
        }
        if self.wait(waiter, waker, new_waker, request) {
            WaitPoll::Waiting
        } else {
            WaitPoll::NeedsWaker
        }
    }

    /// Adds a new waiter with `request` to the list, or updates the waker of a listed waiter.
    ///
    /// A new waiter needs a waker, and so does a waiter that another task polls. The waker is taken
    /// from `new_waker`, and an outdated waker is left there: wakers are neither cloned nor dropped
    /// here. Returns `false` if a waker is needed and `new_waker` is empty.
    ///
    /// # Panics
    ///
    /// If the waiter is done.
    #[inline(always)]
    pub(crate) fn wait(
        &mut self,
        waiter: &mut WaiterState,
        waker: &Waker,
        new_waker: &mut Option<Waker>,
        request: G,
    ) -> bool {
        match *waiter {
            WaiterState::New => {
                let new_waker = new_waker.take();
                let same_task = || self.kept_waker.take_if(|kept| kept.will_wake(waker));
                let Some(waker) = new_waker.or_else(same_task) else {
                    return false;
                };
                *waiter = WaiterState::Listed(self.push(waker, request));
                true
            }
            WaiterState::Listed(key) => match &mut self.entries[key.0].waker {
                Some(kept) if kept.will_wake(waker) => true,
                kept => {
                    let has_new = new_waker.is_some();
                    if has_new {
                        std::mem::swap(kept, new_waker);
                    }
                    has_new
                }
            },
            WaiterState::Done => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Removes the entry of a granted waiter, and returns the grant.
    ///
    /// A waker that is no longer needed is put into `old_waker`, which must be empty before.
    #[inline]
    pub(crate) fn finish(&mut self, key: Key, old_waker: &mut Option<Waker>) -> G {
        let Removed { grant, waker, .. } = self.remove(key);
        if waker.is_some() {
            let kept = std::mem::replace(&mut self.kept_waker, waker);
            if kept.is_some() {
                debug_assert!(
                    old_waker.is_none(),
                    "a waker would be dropped under the borrow"
                );
                *old_waker = kept;
            }
        }
        grant
    }

    /// Removes the entry of a waiter.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Removed<G> {
        let entry = &mut self.entries[key.0];
        let stage = std::mem::replace(&mut entry.stage, Stage::Vacant);
        let waker = entry.waker.take();
        let grant = entry.grant;
        let (previous, next) = (entry.previous, entry.next);
        entry.next = std::mem::replace(&mut self.first_vacant, key.0);
        self.len -= 1;
        match stage {
            Stage::Waiting => {
                self.waiting.unlink(&mut self.entries, previous, next);
                self.waiting_count -= 1;
            }
            Stage::Unwoken => self.unwoken.unlink(&mut self.entries, previous, next),
            Stage::Granted => {}
            Stage::Vacant => unreachable!("an entry is removed once"),
        }
        if self.len < self.shrink_below {
            self.shrink();
        }
        Removed {
            grant,
            was_granted: stage != Stage::Waiting,
            waker,
        }
    }

    #[inline]
    fn push(&mut self, waker: Waker, request: G) -> Key {
        let last = self.waiting.last;
        let entry = Entry {
            stage: Stage::Waiting,
            waker: Some(waker),
            grant: request,
            previous: last,
            next: NONE,
        };
        let key = self.first_vacant;
        let key = match self.entries.get_mut(key) {
            Some(vacant) => {
                self.first_vacant = vacant.next;
                *vacant = entry;
                key
            }
            None => self.grow(entry),
        };
        self.waiting.set_last(&mut self.entries, last, key);
        self.waiting_count += 1;
        self.len += 1;
        Key(key)
    }

    /// Adds an entry. Called when all entries are in use.
    #[cold]
    fn grow(&mut self, entry: Entry<G>) -> usize {
        self.entries.push(entry);
        self.shrink_below = shrink_below(self.entries.len());
        self.entries.len() - 1
    }

    /// Frees the vacant entries at the end.
    ///
    /// Costs one step for each entry, amortized over the waiters that have left.
    #[cold]
    fn shrink(&mut self) {
        let used = self
            .entries
            .iter()
            .rposition(|entry| entry.stage != Stage::Vacant);
        self.entries.truncate(used.map_or(0, |last| last + 1));
        self.entries
            .shrink_to((2 * self.entries.len()).max(MIN_ENTRIES));
        // Entries at the front are used first, so that the entries at the end become vacant.
        self.first_vacant = NONE;
        for (key, entry) in self.entries.iter_mut().enumerate().rev() {
            if entry.stage == Stage::Vacant {
                entry.next = std::mem::replace(&mut self.first_vacant, key);
            }
        }
        // A waiter near the end may keep the entries before it. Try again when half the waiters are
        // left.
        self.shrink_below = shrink_below(self.entries.len()).min(self.len.div_ceil(2));
    }
}

/// The number of waiters below which memory is freed, for a number of entries.
fn shrink_below(entries: usize) -> usize {
    match entries {
        0..=MIN_ENTRIES => 0,
        many => many / 8,
    }
}

impl List {
    /// Appends an entry that is in no list.
    fn append<G>(&mut self, entries: &mut [Entry<G>], key: usize) {
        let last = self.last;
        entries[key].previous = last;
        entries[key].next = NONE;
        self.set_last(entries, last, key);
    }

    /// Makes `key`, whose previous entry is `last`, the last entry.
    #[inline]
    fn set_last<G>(&mut self, entries: &mut [Entry<G>], last: usize, key: usize) {
        self.last = key;
        match entries.get_mut(last) {
            Some(last) => last.next = key,
            None => self.first = key,
        }
    }

    /// Removes the first entry, whose next entry is `next`.
    #[inline]
    fn remove_first<G>(&mut self, entries: &mut [Entry<G>], next: usize) {
        self.first = next;
        match entries.get_mut(next) {
            Some(entry) => entry.previous = NONE,
            None => self.last = NONE,
        }
    }

    /// Removes the entry between `previous` and `next`.
    #[inline]
    fn unlink<G>(&mut self, entries: &mut [Entry<G>], previous: usize, next: usize) {
        match entries.get_mut(previous) {
            Some(entry) => entry.next = next,
            None => self.first = next,
        }
        match entries.get_mut(next) {
            Some(entry) => entry.previous = previous,
            None => self.last = previous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(list: &mut WaitList<usize>, grant: usize) -> Key {
        list.push(Waker::noop().clone(), grant)
    }

    #[test]
    fn a_burst_frees_its_memory_and_keeps_its_order() {
        let mut list = WaitList::new();
        let keys: Vec<Key> = (0..100_000).map(|n| push(&mut list, n)).collect();
        let (leaving, staying) = keys.split_at(99_990);
        leaving.iter().for_each(|&key| drop(list.remove(key)));
        assert_eq!((list.len(), list.first_request()), (10, Some(99_990)));
        // Later waiters are behind the others, whatever entries they use.
        let later: Vec<Key> = (0..10).map(|n| push(&mut list, n)).collect();
        for grant in (99_990..100_000).chain(0..10) {
            assert_eq!(list.first_request(), Some(grant));
            drop(list.grant_first());
        }
        staying
            .iter()
            .chain(&later)
            .for_each(|&key| drop(list.remove(key)));
        assert!(
            list.entries.capacity() <= 4 * MIN_ENTRIES,
            "{}",
            list.entries.capacity()
        );
        assert_eq!(
            (list.len(), list.waiting(), list.first_request()),
            (0, 0, None)
        );
    }

    #[test]
    fn memory_is_freed_when_less_than_an_eighth_is_used() {
        let mut list = WaitList::new();
        let keys: Vec<Key> = (0..8 * MIN_ENTRIES).map(|n| push(&mut list, n)).collect();
        let full = list.entries.capacity();
        let (staying, leaving) = keys.split_at(MIN_ENTRIES);
        leaving.iter().rev().for_each(|&key| drop(list.remove(key)));
        assert_eq!(list.entries.capacity(), full, "an eighth is left");
        staying.iter().rev().for_each(|&key| drop(list.remove(key)));
        assert!(list.entries.capacity() <= 2 * MIN_ENTRIES);
    }

    /// The caller has woken a waiter, which left meanwhile, and another one has its entry.
    #[test]
    fn a_kept_waker_does_not_replace_that_of_the_next_in_its_entry() {
        let mut list = WaitList::new();
        let woken = push(&mut list, 0);
        let wakeup = list.grant_first().unwrap();
        drop(list.remove(woken));
        assert!(list.keep_waker(wakeup).is_some(), "it has left");

        let woken = push(&mut list, 1);
        let wakeup = list.grant_first().unwrap();
        drop(list.remove(woken));
        assert_eq!(push(&mut list, 2).entry(), woken.entry());
        assert!(list.keep_waker(wakeup).is_some(), "it waits");

        let wakeup = Wakeup {
            waker: Waker::noop().clone(),
            key: woken,
        };
        assert!(list.grant_first_unwoken(2));
        assert!(list.keep_waker(wakeup).is_some(), "it is not woken yet");
        let next = list.next_unwoken().unwrap();
        assert!(list.keep_waker(next).is_none(), "it is its own");
    }

    #[test]
    fn reused_entries_allocate_nothing() {
        let mut list = WaitList::new();
        let round = |list: &mut WaitList<usize>| {
            let keys: Vec<Key> = (0..MIN_ENTRIES).map(|n| push(list, n)).collect();
            keys.iter().for_each(|&key| drop(list.remove(key)));
            (list.entries.as_ptr(), list.entries.capacity())
        };
        let warm = round(&mut list);
        assert_eq!(round(&mut list), warm);
    }
}
