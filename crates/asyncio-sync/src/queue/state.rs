//! What is in a queue, who waits for it, and what has been promised to whom.
//!
//! - An item that is put while a getter waits is promised to the first of them: it stays where it
//!   is in the queue, but is one fewer for everybody else to take. Which one the getter takes is
//!   decided when it runs: the next in the order of the queue. So nobody overtakes, a getter that
//!   was chosen and is dropped disturbs no order, and its promise goes to the next one.
//! - Likewise, a slot that comes free is promised to the first putter who waits.
//! - Therefore: while a getter waits, every item is promised; while a putter waits, every slot is
//!   taken or promised.
//! - Shutting down breaks the promises that can no longer be kept: to putters all, to getters those
//!   whose items are thrown away. Getters who wait for more than is left are refused; if one of those
//!   who were promised an item leaves without it, a refused one that has not run yet finds it there.
//!
//! No cell and no lock is here, and no waker is cloned, woken or dropped: what is to be woken is
//! handed out. The same state serves one thread behind a `RefCell` and several behind a `Mutex`.

use std::mem;
use std::task::Waker;

use crate::line::{Call, Departed, Key, Line, POLLED_AGAIN, Place};
use crate::queue::discipline::Discipline;
use crate::queue::error::TooManyDone;

#[derive(Debug)]
pub(crate) struct QueueState<D> {
    items: D,
    /// 0 for no limit.
    maxsize: usize,
    shut_down: bool,
    /// How many were put and are not marked done.
    unfinished: usize,
    pub(crate) getters: Line<Answer>,
    pub(crate) putters: Line<Answer>,
    pub(crate) joiners: Line<()>,
    /// To getters who were chosen and have not run yet; at most as many as there are items.
    promised_items: usize,
    /// To putters who were chosen and have not run yet.
    promised_slots: usize,
}

/// What a getter or putter who waits is told in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An item or a slot is kept for it.
    Promised,
    /// The queue was shut down.
    Refused,
}

/// Whether a getter or putter can go ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Now.
    Granted,
    /// Never: the queue is shut down.
    Refused,
    /// Not yet: it has to wait.
    Wait,
}

impl<D: Discipline> QueueState<D> {
    pub(crate) fn new(maxsize: usize) -> Self {
        Self {
            items: D::default(),
            maxsize,
            shut_down: false,
            unfinished: 0,
            getters: Line::new(),
            putters: Line::new(),
            joiners: Line::new(),
            promised_items: 0,
            promised_slots: 0,
        }
    }

    #[inline]
    pub(crate) fn items(&self) -> &D {
        &self.items
    }

    pub(crate) fn maxsize(&self) -> usize {
        self.maxsize
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    /// How many items are there for anybody to take.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.items.count() - self.promised_items
    }

    /// Whether there is a slot for anybody to fill.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.maxsize == 0 || self.items.count() + self.promised_slots < self.maxsize
    }

    #[inline]
    pub(crate) fn may_get(&self, place: Place) -> Admission {
        match place {
            Place::Outside if self.available() > 0 => Admission::Granted,
            Place::Outside => self.unless_shut_down(Admission::Wait),
            Place::InLine(key) => match self.getters.given(key) {
                // The promise is broken if there is none left.
                Some(Answer::Promised) if self.promised_items > 0 => Admission::Granted,
                Some(Answer::Refused) if self.available() > 0 => Admission::Granted,
                Some(_) => Admission::Refused,
                None => self.unless_shut_down(Admission::Wait),
            },
            Place::Left => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Takes the item at `position` for a getter who may, and frees its slot.
    ///
    /// What is called is the putter who was promised the slot. If a waker is no longer needed,
    /// `outdated` has it.
    #[inline]
    pub(crate) fn get(
        &mut self,
        place: &mut Place,
        position: D::Position,
        outdated: &mut Option<Waker>,
    ) -> (D::Item, Option<Call>) {
        if let Place::InLine(key) = *place
            && go(&mut self.getters, key, outdated) == Answer::Promised
        {
            self.promised_items -= 1;
        }
        *place = Place::Left;
        let item = self.items.remove(position);
        (item, self.promise_slot())
    }

    /// A getter joins the line though it might have an item at once. It is promised that: what is called is it.
    ///
    /// For `fresh`, see [`Line::wait`].
    pub(crate) fn get_in_line(
        &mut self,
        place: &mut Place,
        waker: &Waker,
        fresh: &mut Option<Waker>,
    ) -> Option<Call> {
        self.getters.wait(place, waker, fresh, Answer::Promised);
        self.promise_item()
    }

    /// The same for a putter, and a slot.
    pub(crate) fn put_in_line(
        &mut self,
        place: &mut Place,
        waker: &Waker,
        fresh: &mut Option<Waker>,
    ) -> Option<Call> {
        self.putters.wait(place, waker, fresh, Answer::Promised);
        self.promise_slot()
    }

    /// A waiter for the end of all items has joined though there may be none. Call those of
    /// [`joiners`](Self::joiners) who were called then.
    pub(crate) fn serve_joiners(&mut self) {
        self.release_joiners_if_finished();
    }

    #[inline]
    pub(crate) fn may_put(&self, place: Place) -> Admission {
        match place {
            Place::Outside if self.has_room() => self.unless_shut_down(Admission::Granted),
            Place::Outside => self.unless_shut_down(Admission::Wait),
            Place::InLine(key) => match self.putters.given(key) {
                Some(Answer::Promised) => self.unless_shut_down(Admission::Granted),
                Some(Answer::Refused) => Admission::Refused,
                None => self.unless_shut_down(Admission::Wait),
            },
            Place::Left => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Puts the item at `position` for a putter who may.
    ///
    /// What is called is the getter who was promised an item. If a waker is no longer needed,
    /// `outdated` has it.
    #[inline]
    pub(crate) fn put(
        &mut self,
        place: &mut Place,
        item: D::Item,
        position: D::Position,
        outdated: &mut Option<Waker>,
    ) -> Option<Call> {
        if let Place::InLine(key) = *place {
            go(&mut self.putters, key, outdated);
            self.promised_slots -= 1;
        }
        *place = Place::Left;
        self.items.insert(item, position);
        self.unfinished += 1;
        self.promise_item()
    }

    /// Removes a getter who gives up or is refused. What is called is the one who was promised
    /// an item in its stead.
    pub(crate) fn getter_leaves(&mut self, key: Key) -> (Departed<Answer>, Option<Call>) {
        let departed = self.getters.leave(key);
        let kept = departed.chosen && departed.share == Answer::Promised && self.promised_items > 0;
        if !kept {
            return (departed, None);
        }
        self.promised_items -= 1;
        (departed, self.promise_item())
    }

    /// Removes a putter who gives up or is refused. What is called is the one who was promised
    /// a slot in its stead.
    pub(crate) fn putter_leaves(&mut self, key: Key) -> (Departed<Answer>, Option<Call>) {
        let departed = self.putters.leave(key);
        let kept = departed.chosen && departed.share == Answer::Promised && !self.shut_down;
        if !kept {
            return (departed, None);
        }
        self.promised_slots -= 1;
        (departed, self.promise_slot())
    }

    /// Marks an item done. Call those of [`joiners`](Self::joiners) who were called then.
    pub(crate) fn task_done(&mut self) -> Result<(), TooManyDone> {
        self.unfinished = self.unfinished.checked_sub(1).ok_or(TooManyDone)?;
        self.release_joiners_if_finished();
        Ok(())
    }

    /// From now on nothing is put. Those who wait are [refused](Self::next_refused).
    pub(crate) fn shut_down(&mut self) {
        self.shut_down = true;
        self.promised_slots = 0;
    }

    /// Takes all items out, as done; for a queue that is shut down.
    pub(crate) fn throw_away(&mut self) -> D {
        self.promised_items = 0;
        // Fewer if some were marked done before they were taken.
        self.unfinished = self.unfinished.saturating_sub(self.items.count());
        self.release_joiners_if_finished();
        mem::take(&mut self.items)
    }

    /// The next who has waited in vain for a queue that is shut down now.
    pub(crate) fn next_refused(&mut self) -> Option<Call> {
        let getter = self.getters.choose_first_with(Answer::Refused);
        getter.or_else(|| self.putters.choose_first_with(Answer::Refused))
    }

    fn release_joiners_if_finished(&mut self) {
        while self.unfinished == 0 && self.joiners.call_first_with(()) {}
    }

    #[inline]
    fn promise_item(&mut self) -> Option<Call> {
        if self.available() == 0 {
            return None;
        }
        let getter = self.getters.choose_first_with(Answer::Promised)?;
        self.promised_items += 1;
        Some(getter)
    }

    #[inline]
    fn promise_slot(&mut self) -> Option<Call> {
        if self.shut_down || !self.has_room() {
            return None;
        }
        let putter = self.putters.choose_first_with(Answer::Promised)?;
        self.promised_slots += 1;
        Some(putter)
    }

    #[inline]
    fn unless_shut_down(&self, admission: Admission) -> Admission {
        if self.shut_down {
            Admission::Refused
        } else {
            admission
        }
    }
}

/// [`Line::go`]. Apart, so that who did not have to wait does not carry it along.
#[inline(never)]
fn go(line: &mut Line<Answer>, key: Key, outdated: &mut Option<Waker>) -> Answer {
    line.go(key, outdated)
}
