//! A line of waiters: first come, first served, and out of it in constant time from any place.
//!
//! ```text
//!  outside ──join──▶ waiting ──call──▶ called ──next_called──▶ chosen ──look, go──▶ gone
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
//! Entries are reused: once as many have waited at a time as ever will, waiting allocates nothing. When few
//! are left of more than [`FEW`], the unused entries at the end give their memory back.
//!
//! A waker that was woken may be [kept](Line::keep), until its future goes ahead; the line has that
//! of the last who did. If the same task waits again, as it usually does, no waker is cloned: on
//! most loops that would be two atomic operations, more than all the rest of a wait. What is
//! kept is nothing to rely on, and compared with the task's own before it is used.

use std::task::Waker;

/// So many entries are kept in any case.
const FEW: usize = 1 << 12;

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
    /// It was chosen, and this is what it was given; its entry is gone.
    Chosen(S),
    /// It waits, and the line holds a waker for it.
    Waits,
    /// It would wait, but needs a fresh waker; look again with one.
    NeedsWaker,
}

/// What is left of a waiter whose entry is gone. It may hold a waker, so it is to be dropped where
/// nothing is borrowed.
#[derive(Debug)]
#[must_use = "it may hold a waker, to be dropped where nothing is borrowed"]
pub(crate) struct Departed<S> {
    /// What it asked for, or was given if it was chosen.
    pub(crate) share: S,
    pub(crate) chosen: bool,
    waker: Option<Waker>,
}

/// The waker of one who was chosen, to be woken.
#[derive(Debug)]
#[must_use = "who was chosen is to be woken"]
pub(crate) struct Call {
    pub(crate) waker: Waker,
    key: Key,
}

/// The waiters for one thing.
///
/// `S` is the share: what a waiter asks for, or is given when it is chosen.
#[derive(Debug)]
pub(crate) struct Line<S> {
    entries: Vec<Entry<S>>,
    /// The first entry that is nobody's; each has the next one `behind`.
    unused: usize,
    waiting: Chain,
    called: Chain,
    /// How many stand in `waiting`.
    count: usize,
    /// That of the last who went ahead, should the same task come again.
    kept: Option<Waker>,
    /// With fewer waiters than this, it is time to give memory back.
    ebb: usize,
    /// How many entries are somebody's. Not beside `count`: both grow when somebody joins, so the two
    /// would be loaded as one, and wait for the store of the one that changed last.
    len: usize,
}

/// The ends of a list of entries.
#[derive(Debug, Clone, Copy)]
struct Chain {
    first: usize,
    last: usize,
}

#[derive(Debug)]
struct Entry<S> {
    stage: Stage,
    /// `None` while it has been handed out to be woken.
    waker: Option<Waker>,
    share: S,
    before: usize,
    behind: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unused,
    Waiting,
    Called,
    Chosen,
}

impl<S: Copy> Line<S> {
    pub(crate) const fn new() -> Self {
        const EMPTY: Chain = Chain {
            first: NOBODY,
            last: NOBODY,
        };
        Self {
            entries: Vec::new(),
            unused: NOBODY,
            waiting: EMPTY,
            called: EMPTY,
            count: 0,
            kept: None,
            ebb: 0,
            len: 0,
        }
    }

    /// How many wait and were not chosen.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.count
    }

    /// How many wait or were chosen and have not noticed yet: what asyncio counts as waiters.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What the first in line asks for.
    #[inline]
    pub(crate) fn first(&self) -> Option<S> {
        let first = self.entries.get(self.waiting.first)?;
        Some(first.share)
    }

    /// What the waiter was given, if it was chosen.
    #[inline]
    pub(crate) fn given(&self, key: Key) -> Option<S> {
        let entry = &self.entries[key.0];
        (entry.stage != Stage::Waiting).then_some(entry.share)
    }

    /// Chooses the first in line and hands out its waker to be woken.
    #[inline]
    pub(crate) fn choose_first(&mut self) -> Option<Call> {
        self.choose_first_with(self.first()?)
    }

    /// Chooses the first in line, gives it `share`, and hands out its waker to be woken.
    #[inline]
    pub(crate) fn choose_first_with(&mut self, share: S) -> Option<Call> {
        let key = self.waiting.first;
        let first = self.entries.get_mut(key)?;
        first.stage = Stage::Chosen;
        first.share = share;
        let waker = first.waker.take();
        debug_assert!(waker.is_some(), "who waits and was not stirred has a waker");
        let behind = first.behind;
        self.waiting.drop_first(&mut self.entries, behind);
        self.count -= 1;
        Some(Call {
            waker: waker?,
            key: Key(key),
        })
    }

    /// Chooses the first in line and gives it `share`; [`next_called`](Self::next_called) has its
    /// waker. False if nobody waits.
    pub(crate) fn call_first_with(&mut self, share: S) -> bool {
        let key = self.waiting.first;
        let Some(first) = self.entries.get_mut(key) else {
            return false;
        };
        let stirred = first.waker.is_none();
        first.stage = if stirred {
            Stage::Chosen
        } else {
            Stage::Called
        };
        first.share = share;
        let behind = first.behind;
        self.waiting.drop_first(&mut self.entries, behind);
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
    #[inline]
    pub(crate) fn next_called(&mut self) -> Option<Call> {
        let key = self.called.first;
        let next = self.entries.get_mut(key)?;
        next.stage = Stage::Chosen;
        let waker = next.waker.take();
        debug_assert!(waker.is_some(), "who is called has a waker");
        let behind = next.behind;
        self.called.drop_first(&mut self.entries, behind);
        Some(Call {
            waker: waker?,
            key: Key(key),
        })
    }

    /// Takes back the waker of one who was woken, if that one is still here and has not run.
    /// Otherwise here it is, to be dropped where nothing is borrowed.
    #[inline]
    pub(crate) fn keep(&mut self, call: Call) -> Option<Waker> {
        let Call { waker, key } = call;
        match self.entries.get_mut(key.0) {
            // If it is somebody else's by now, that is found out before it is used.
            Some(entry) if entry.stage == Stage::Chosen && entry.waker.is_none() => {
                entry.waker = Some(waker);
                None
            }
            _ => Some(waker),
        }
    }

    /// Where the future at `place` stands. From outside it joins, asking for `share`.
    ///
    /// For `fresh`, see [`wait`](Self::wait), for `outdated` [`go`](Self::go).
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
        outdated: &mut Option<Waker>,
        share: S,
    ) -> Look<S> {
        if let Place::InLine(key) = *place
            && self.entries[key.0].stage != Stage::Waiting
        {
            *place = Place::Left;
            return Look::Chosen(self.go(key, outdated));
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
                let fresh = fresh.take();
                let same = || self.kept.take_if(|kept| kept.will_wake(waker));
                let Some(waker) = fresh.or_else(same) else {
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

    /// Removes the entry of a future that was chosen and goes ahead with what it was given. If a
    /// waker is no longer needed, `outdated` has it, which has none before.
    #[inline]
    pub(crate) fn go(&mut self, key: Key, outdated: &mut Option<Waker>) -> S {
        let Departed { share, waker, .. } = self.leave(key);
        if waker.is_some() {
            let kept = std::mem::replace(&mut self.kept, waker);
            if kept.is_some() {
                debug_assert!(outdated.is_none(), "a waker would be dropped in here");
                *outdated = kept;
            }
        }
        share
    }

    /// Removes the entry of a future that gives up.
    #[inline]
    pub(crate) fn leave(&mut self, key: Key) -> Departed<S> {
        let entry = &mut self.entries[key.0];
        let stage = std::mem::replace(&mut entry.stage, Stage::Unused);
        let waker = entry.waker.take();
        let share = entry.share;
        let (before, behind) = (entry.before, entry.behind);
        entry.behind = std::mem::replace(&mut self.unused, key.0);
        self.len -= 1;
        match stage {
            Stage::Waiting => {
                self.waiting.link(&mut self.entries, before, behind);
                self.count -= 1;
            }
            Stage::Called => self.called.link(&mut self.entries, before, behind),
            Stage::Chosen => {}
            Stage::Unused => unreachable!("a future leaves once"),
        }
        if self.len < self.ebb {
            self.come_down();
        }
        Departed {
            share,
            chosen: stage != Stage::Waiting,
            waker,
        }
    }

    #[inline]
    fn join(&mut self, waker: Waker, share: S) -> Key {
        let last = self.waiting.last;
        let entry = Entry {
            stage: Stage::Waiting,
            waker: Some(waker),
            share,
            before: last,
            behind: NOBODY,
        };
        let key = self.unused;
        let key = match self.entries.get_mut(key) {
            Some(unused) => {
                self.unused = unused.behind;
                *unused = entry;
                key
            }
            None => self.one_more(entry),
        };
        self.waiting.put_last(&mut self.entries, last, key);
        self.count += 1;
        self.len += 1;
        Key(key)
    }

    /// More wait than ever before.
    #[cold]
    fn one_more(&mut self, entry: Entry<S>) -> usize {
        self.entries.push(entry);
        self.ebb = ebb(self.entries.len());
        self.entries.len() - 1
    }

    /// Gives the unused entries at the end back. Costs a step for each entry, after as many have left.
    #[cold]
    fn come_down(&mut self) {
        let used = self
            .entries
            .iter()
            .rposition(|entry| entry.stage != Stage::Unused);
        self.entries.truncate(used.map_or(0, |last| last + 1));
        self.entries.shrink_to((2 * self.entries.len()).max(FEW));
        // Those at the front are used first, so that the end becomes unused.
        self.unused = NOBODY;
        for (key, entry) in self.entries.iter_mut().enumerate().rev() {
            if entry.stage == Stage::Unused {
                entry.behind = std::mem::replace(&mut self.unused, key);
            }
        }
        // A waiter near the end may keep the rest: then it is tried again with half as many.
        self.ebb = ebb(self.entries.len()).min(self.len.div_ceil(2));
    }
}

/// With how many waiters left of so many entries memory is given back.
fn ebb(entries: usize) -> usize {
    match entries {
        0..=FEW => 0,
        many => many / 8,
    }
}

impl Chain {
    /// Puts an entry that is in no chain at the end of this one.
    fn append<S>(&mut self, entries: &mut [Entry<S>], key: usize) {
        let last = self.last;
        entries[key].before = last;
        entries[key].behind = NOBODY;
        self.put_last(entries, last, key);
    }

    /// An entry that has `last` before it is the last one now.
    #[inline]
    fn put_last<S>(&mut self, entries: &mut [Entry<S>], last: usize, key: usize) {
        self.last = key;
        match entries.get_mut(last) {
            Some(last) => last.behind = key,
            None => self.first = key,
        }
    }

    /// The first entry is gone, and `behind` stood behind it.
    #[inline]
    fn drop_first<S>(&mut self, entries: &mut [Entry<S>], behind: usize) {
        self.first = behind;
        match entries.get_mut(behind) {
            Some(entry) => entry.before = NOBODY,
            None => self.last = NOBODY,
        }
    }

    /// Makes `before` and `behind` neighbours, between whom somebody stood.
    #[inline]
    fn link<S>(&mut self, entries: &mut [Entry<S>], before: usize, behind: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn join(line: &mut Line<usize>, share: usize) -> Key {
        line.join(Waker::noop().clone(), share)
    }

    #[test]
    fn a_burst_gives_its_memory_back_and_keeps_its_order() {
        let mut line = Line::new();
        let keys: Vec<Key> = (0..100_000).map(|n| join(&mut line, n)).collect();
        let (leave, stay) = keys.split_at(99_990);
        leave.iter().for_each(|&key| drop(line.leave(key)));
        assert_eq!((line.len(), line.first()), (10, Some(99_990)));
        // Those that come now stand behind, wherever their entries are.
        let late: Vec<Key> = (0..10).map(|n| join(&mut line, n)).collect();
        for share in (99_990..100_000).chain(0..10) {
            assert_eq!(line.first(), Some(share));
            drop(line.choose_first());
        }
        stay.iter()
            .chain(&late)
            .for_each(|&key| drop(line.leave(key)));
        assert!(
            line.entries.capacity() <= 4 * FEW,
            "{}",
            line.entries.capacity()
        );
        assert_eq!((line.len(), line.waiting(), line.first()), (0, 0, None));
    }

    #[test]
    fn what_comes_and_goes_allocates_nothing() {
        let mut line = Line::new();
        let round = |line: &mut Line<usize>| {
            let keys: Vec<Key> = (0..FEW).map(|n| join(line, n)).collect();
            keys.iter().for_each(|&key| drop(line.leave(key)));
            (line.entries.as_ptr(), line.entries.capacity())
        };
        let warm = round(&mut line);
        assert_eq!(round(&mut line), warm);
    }
}
