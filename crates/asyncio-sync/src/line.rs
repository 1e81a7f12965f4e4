//! A line of waiters: first come, first served, and out of it in constant time from any place.
//!
//! ```text
//!  outside ──join──▶ waiting ──call──▶ called ──next_called──▶ chosen ──look──▶ gone
//!                       └────────────choose_first────────────────▲
//! ```
//!
//! - Who joins stands behind everybody else. Whoever is called or chosen has always been the first.
//! - A waiter that was *called* has been chosen, and its waker is still to be woken; of several who
//!   are called together, each is so before the first of them is woken.
//! - The entry of one that was chosen stays until its future takes note of it or is dropped; what
//!   it was given (its *share*) waits there. So a choice is never lost: the future either uses it
//!   or, dropped, passes it on.
//! - An entry is removed by nobody but the future it belongs to, so a [`Key`] needs no generation.
//!   A future that is leaked leaves its entry behind for good.
//! - No waker is cloned, woken or dropped in here, so all of this may happen under a borrow or a
//!   lock. Wakers that are no longer needed are handed out to the caller.
//!
//! Entries are reused: once as many have waited at a time as ever will, waiting allocates nothing.

use std::task::Waker;

use slab::Slab;

/// No entry.
const NOBODY: usize = usize::MAX;

/// The caller's mistake for which a future panics.
pub(crate) const POLLED_AGAIN: &str = "a future was polled after it had completed";

/// Which entry of a line is a waiter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(usize);

/// Where a future stands with regard to its line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has not joined.
    #[default]
    Outside,
    /// It has an entry: it waits, or was chosen and has not noticed yet.
    InLine(Key),
    /// It has got what it came for.
    Left,
}

/// What a future learns when it looks at its place.
#[derive(Debug)]
pub(crate) enum Look<S> {
    /// It was chosen; its entry is gone.
    Chosen(Departed<S>),
    /// It waits, and the line holds a waker for it.
    Waits,
    /// It would wait, but needs a fresh waker; look again with one.
    NeedsWaker,
}

/// What is left of a waiter whose entry is gone. It may hold a waker, so it is to be dropped where
/// nothing is borrowed.
#[derive(Debug)]
pub(crate) struct Departed<S> {
    /// What it asked for, or was given if it was chosen.
    pub(crate) share: S,
    pub(crate) chosen: bool,
    _waker: Option<Waker>,
}

/// The waiters for one thing.
///
/// `S` is the share: what a waiter asks for, or is given when it is chosen.
#[derive(Debug)]
pub(crate) struct Line<S> {
    entries: Slab<Entry<S>>,
    waiting: Chain,
    called: Chain,
    /// How many stand in `waiting`.
    count: usize,
}

/// The ends of a list of entries.
#[derive(Debug, Clone, Copy)]
struct Chain {
    first: usize,
    last: usize,
}

#[derive(Debug)]
struct Entry<S> {
    chosen: bool,
    /// `None` while it has been handed out to be woken.
    waker: Option<Waker>,
    share: S,
    before: usize,
    behind: usize,
}

impl<S> Line<S> {
    pub(crate) const fn new() -> Self {
        const EMPTY: Chain = Chain {
            first: NOBODY,
            last: NOBODY,
        };
        Self {
            entries: Slab::new(),
            waiting: EMPTY,
            called: EMPTY,
            count: 0,
        }
    }

    /// How many wait and were not chosen.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }

    /// How many wait or were chosen and have not noticed yet: what asyncio counts as waiters.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the first in line asks for.
    #[inline]
    pub(crate) fn first(&self) -> Option<&S> {
        let first = self.entries.get(self.waiting.first)?;
        Some(&first.share)
    }

    /// What the waiter was given, if it was chosen.
    #[inline]
    pub(crate) fn given(&self, key: Key) -> Option<&S> {
        let entry = &self.entries[key.0];
        entry.chosen.then_some(&entry.share)
    }

    /// Chooses the first in line and hands out its waker to be woken.
    #[inline]
    pub(crate) fn choose_first(&mut self) -> Option<Waker> {
        let first = self.entries.get_mut(self.waiting.first)?;
        first.chosen = true;
        let waker = first.waker.take();
        debug_assert!(waker.is_some(), "who waits and was not stirred has a waker");
        let behind = first.behind;
        self.waiting.link(&mut self.entries, NOBODY, behind);
        self.count -= 1;
        waker
    }

    /// Chooses the first in line, gives it `share`, and hands out its waker to be woken.
    #[inline]
    pub(crate) fn choose_first_with(&mut self, share: S) -> Option<Waker> {
        self.entries.get_mut(self.waiting.first)?.share = share;
        self.choose_first()
    }

    /// Chooses the first in line and gives it `share`; [`next_called`](Self::next_called) has its
    /// waker. False if nobody waits.
    pub(crate) fn call_first_with(&mut self, share: S) -> bool {
        let key = self.waiting.first;
        let Some(first) = self.entries.get_mut(key) else {
            return false;
        };
        first.chosen = true;
        first.share = share;
        let behind = first.behind;
        let stirred = first.waker.is_none();
        self.waiting.link(&mut self.entries, NOBODY, behind);
        self.count -= 1;
        if !stirred {
            self.called.append(&mut self.entries, key);
        }
        true
    }

    /// Hands out the waker of the first in line without choosing it: its future will look at its
    /// place, and leave a waker again.
    pub(crate) fn stir_first(&mut self) -> Option<Waker> {
        self.entries.get_mut(self.waiting.first)?.waker.take()
    }

    /// The waker of the next who was called, to be woken.
    pub(crate) fn next_called(&mut self) -> Option<Waker> {
        let next = self.entries.get_mut(self.called.first)?;
        let waker = next.waker.take();
        debug_assert!(waker.is_some(), "who is called has a waker");
        let behind = next.behind;
        self.called.link(&mut self.entries, NOBODY, behind);
        waker
    }

    /// Where the future at `place` stands. From outside it joins, asking for `share`.
    ///
    /// For `fresh`, see [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// If the future has left.
    #[inline]
    pub(crate) fn look(
        &mut self,
        place: &mut Place,
        waker: &Waker,
        fresh: &mut Option<Waker>,
        share: S,
    ) -> Look<S> {
        if let Place::InLine(key) = *place
            && self.entries[key.0].chosen
        {
            *place = Place::Left;
            return Look::Chosen(self.leave(key));
        }
        if self.wait(place, waker, fresh, share) {
            Look::Waits
        } else {
            Look::NeedsWaker
        }
    }

    /// Waits: joins from outside, asking for `share`, and keeps the right waker.
    ///
    /// A waker is needed to join, and when the task that polls is another than before. It is
    /// taken from `fresh`, where an outdated one is left in exchange: neither is cloned or
    /// dropped in here. False if one is needed and missing.
    ///
    /// # Panics
    ///
    /// If the future has left.
    #[inline]
    pub(crate) fn wait(
        &mut self,
        place: &mut Place,
        waker: &Waker,
        fresh: &mut Option<Waker>,
        share: S,
    ) -> bool {
        match *place {
            Place::Outside => {
                let Some(waker) = fresh.take() else {
                    return false;
                };
                *place = Place::InLine(self.join(waker, share));
                true
            }
            Place::InLine(key) => match &mut self.entries[key.0].waker {
                Some(kept) if kept.will_wake(waker) => true,
                kept => {
                    let has_fresh = fresh.is_some();
                    if has_fresh {
                        std::mem::swap(kept, fresh);
                    }
                    has_fresh
                }
            },
            Place::Left => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Removes the entry of a future that gives up or has been chosen.
    #[inline]
    pub(crate) fn leave(&mut self, key: Key) -> Departed<S> {
        let entry = self.entries.remove(key.0);
        if !entry.chosen {
            self.waiting
                .link(&mut self.entries, entry.before, entry.behind);
            self.count -= 1;
        } else if entry.waker.is_some() {
            self.called
                .link(&mut self.entries, entry.before, entry.behind);
        }
        Departed {
            share: entry.share,
            chosen: entry.chosen,
            _waker: entry.waker,
        }
    }

    fn join(&mut self, waker: Waker, share: S) -> Key {
        let key = self.entries.insert(Entry {
            chosen: false,
            waker: Some(waker),
            share,
            before: NOBODY,
            behind: NOBODY,
        });
        self.waiting.append(&mut self.entries, key);
        self.count += 1;
        Key(key)
    }
}

impl Chain {
    /// Puts an entry that is in no chain at the end of this one.
    #[inline]
    fn append<S>(&mut self, entries: &mut Slab<Entry<S>>, key: usize) {
        let last = std::mem::replace(&mut self.last, key);
        entries[key].before = last;
        entries[key].behind = NOBODY;
        match entries.get_mut(last) {
            Some(last) => last.behind = key,
            None => self.first = key,
        }
    }

    /// Makes `before` and `behind` neighbours, between whom somebody stood.
    #[inline]
    fn link<S>(&mut self, entries: &mut Slab<Entry<S>>, before: usize, behind: usize) {
        match entries.get_mut(before) {
            Some(entry) => entry.behind = behind,
            None => self.first = behind,
        }
        match entries.get_mut(behind) {
            Some(entry) => entry.before = before,
            None => self.last = before,
        }
    }
}
