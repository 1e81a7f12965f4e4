//! The state of a queue: its items, its waiters, and the reservations of the waiters.
//!
//! - An item that is put while a getter waits is *reserved* for the first waiting getter. A
//!   reservation is a count: one item fewer is available to others. The getter takes the next item
//!   in the order of the queue when it runs. So no getter overtakes. If a getter is dropped, the
//!   order of the items is unchanged, and its reservation goes to the next getter.
//! - In the same way, a free slot is reserved for the first waiting putter.
//! - So while a getter waits, every item is reserved. While a putter waits, every slot is used or
//!   reserved.
//! - A shutdown cancels the reservations of all putters. If the items are discarded, it also
//!   cancels the reservations of all getters. Getters without a reservation are refused. If a
//!   getter with a reservation is dropped, a refused getter that has not run since takes the item.
//!
//! This file has no cell and no lock, and clones, wakes or drops no waker: it returns the wakers to
//! be woken. The same state serves one thread in a `RefCell`, and several threads in a `Mutex`.

use std::mem;
use std::task::Waker;

use crate::queue::discipline::Discipline;
use crate::queue::error::TooManyDone;
use crate::wait_list::{Key, POLLED_AGAIN, Removed, WaitList, WaiterState, Wakeup};

#[derive(Debug)]
pub(crate) struct QueueState<D> {
    items: D,
    /// The maximum number of items; 0 means no limit.
    maxsize: usize,
    shut_down: bool,
    /// The number of items that were put and are not marked done.
    unfinished: usize,
    pub(crate) getters: WaitList<Answer>,
    pub(crate) putters: WaitList<Answer>,
    pub(crate) joiners: WaitList<()>,
    /// The reservations of getters that have not run since. At most the number of items.
    reserved_items: usize,
    /// The reservations of putters that have not run since, and the slots that are held.
    reserved_slots: usize,
}

/// The grant of a getter or putter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An item or a slot is reserved for it.
    Reserved,
    /// The queue was shut down.
    Refused,
}

/// The answer to whether a getter or putter may proceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It may proceed.
    Granted,
    /// It must fail, because the queue is shut down.
    Refused,
    /// It must wait.
    Wait,
}

impl<D: Discipline> QueueState<D> {
    pub(crate) fn new(maxsize: usize) -> Self {
        Self {
            items: D::default(),
            maxsize,
            shut_down: false,
            unfinished: 0,
            getters: WaitList::new(),
            putters: WaitList::new(),
            joiners: WaitList::new(),
            reserved_items: 0,
            reserved_slots: 0,
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

    /// The number of items that are not reserved.
    #[inline]
    pub(crate) fn available(&self) -> usize {
        self.items.count() - self.reserved_items
    }

    /// Whether there is a free slot that is not reserved.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.maxsize == 0 || self.items.count() + self.reserved_slots < self.maxsize
    }

    #[inline]
    pub(crate) fn may_get(&self, waiter: WaiterState) -> Admission {
        match waiter {
            WaiterState::New if self.available() > 0 => Admission::Granted,
            WaiterState::New => self.unless_shut_down(Admission::Wait),
            WaiterState::Listed(key) => match self.getters.granted(key) {
                // A shutdown may have cancelled the reservation.
                Some(Answer::Reserved) if self.reserved_items > 0 => Admission::Granted,
                Some(Answer::Refused) if self.available() > 0 => Admission::Granted,
                Some(_) => Admission::Refused,
                None => self.unless_shut_down(Admission::Wait),
            },
            WaiterState::Done => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Takes the item at `position`, for a getter that may proceed, and frees its slot.
    ///
    /// Returns the wake-up of the putter for which the slot is now reserved. A waker that is no
    /// longer needed is put into `old_waker`.
    #[inline]
    pub(crate) fn get(
        &mut self,
        waiter: &mut WaiterState,
        position: D::Position,
        old_waker: &mut Option<Waker>,
    ) -> (D::Item, Option<Wakeup>) {
        if let WaiterState::Listed(key) = *waiter
            && finish(&mut self.getters, key, old_waker) == Answer::Reserved
        {
            self.reserved_items -= 1;
        }
        *waiter = WaiterState::Done;
        let item = self.items.remove(position);
        (item, self.reserve_slot())
    }

    /// Adds a getter that yields to the wait list, although an item may be available.
    ///
    /// Returns the wake-up of the getter for which an item is now reserved. See [`WaitList::wait`]
    /// for `new_waker`.
    pub(crate) fn list_getter(
        &mut self,
        waiter: &mut WaiterState,
        waker: &Waker,
        new_waker: &mut Option<Waker>,
    ) -> Option<Wakeup> {
        self.getters
            .wait(waiter, waker, new_waker, Answer::Reserved);
        self.reserve_item()
    }

    /// Adds a putter that yields to the wait list, although a slot may be free.
    ///
    /// Returns the wake-up of the putter for which a slot is now reserved.
    pub(crate) fn list_putter(
        &mut self,
        waiter: &mut WaiterState,
        waker: &Waker,
        new_waker: &mut Option<Waker>,
    ) -> Option<Wakeup> {
        self.putters
            .wait(waiter, waker, new_waker, Answer::Reserved);
        self.reserve_slot()
    }

    #[inline]
    pub(crate) fn may_put(&self, waiter: WaiterState) -> Admission {
        match waiter {
            WaiterState::New if self.has_room() => self.unless_shut_down(Admission::Granted),
            WaiterState::New => self.unless_shut_down(Admission::Wait),
            WaiterState::Listed(key) => match self.putters.granted(key) {
                Some(Answer::Reserved) => self.unless_shut_down(Admission::Granted),
                Some(Answer::Refused) => Admission::Refused,
                None => self.unless_shut_down(Admission::Wait),
            },
            WaiterState::Done => panic!("{POLLED_AGAIN}"),
        }
    }

    /// Puts the item at `position`, for a putter that may proceed.
    ///
    /// Returns the wake-up of the getter for which an item is now reserved. A waker that is no
    /// longer needed is put into `old_waker`.
    #[inline]
    pub(crate) fn put(
        &mut self,
        waiter: &mut WaiterState,
        item: D::Item,
        position: D::Position,
        old_waker: &mut Option<Waker>,
    ) -> Option<Wakeup> {
        if let WaiterState::Listed(key) = *waiter {
            finish(&mut self.putters, key, old_waker);
            self.reserved_slots -= 1;
        }
        *waiter = WaiterState::Done;
        self.items.insert(item, position);
        self.unfinished += 1;
        self.reserve_item()
    }

    /// Keeps a slot reserved, for a putter that may proceed and puts its item later.
    ///
    /// A waker that is no longer needed is put into `old_waker`.
    pub(crate) fn hold_slot(&mut self, waiter: &mut WaiterState, old_waker: &mut Option<Waker>) {
        match *waiter {
            // It has its slot already.
            WaiterState::Listed(key) => drop(finish(&mut self.putters, key, old_waker)),
            _ => self.reserved_slots += 1,
        }
        *waiter = WaiterState::Done;
    }

    /// Puts the item at `position` into a slot that is held. The queue is not shut down.
    ///
    /// Returns the wake-up of the getter for which an item is now reserved.
    pub(crate) fn put_into_slot(&mut self, item: D::Item, position: D::Position) -> Option<Wakeup> {
        self.reserved_slots -= 1;
        self.items.insert(item, position);
        self.unfinished += 1;
        self.reserve_item()
    }

    /// Gives back a slot that is held. Returns the wake-up of the putter that gets it.
    pub(crate) fn release_slot(&mut self) -> Option<Wakeup> {
        if self.shut_down {
            return None; // the shutdown has cancelled all reservations
        }
        self.reserved_slots -= 1;
        self.reserve_slot()
    }

    /// Removes a getter that was dropped or refused.
    ///
    /// Returns the wake-up of the getter that gets its reservation.
    pub(crate) fn remove_getter(&mut self, key: Key) -> (Removed<Answer>, Option<Wakeup>) {
        let removed = self.getters.remove(key);
        let was_reserved =
            removed.was_granted && removed.grant == Answer::Reserved && self.reserved_items > 0;
        if !was_reserved {
            return (removed, None);
        }
        self.reserved_items -= 1;
        (removed, self.reserve_item())
    }

    /// Removes a putter that was dropped or refused.
    ///
    /// Returns the wake-up of the putter that gets its reservation.
    pub(crate) fn remove_putter(&mut self, key: Key) -> (Removed<Answer>, Option<Wakeup>) {
        let removed = self.putters.remove(key);
        let was_reserved =
            removed.was_granted && removed.grant == Answer::Reserved && !self.shut_down;
        if !was_reserved {
            return (removed, None);
        }
        self.reserved_slots -= 1;
        (removed, self.reserve_slot())
    }

    /// Marks an item done. The caller must wake the unwoken [`joiners`](Self::joiners).
    pub(crate) fn task_done(&mut self) -> Result<(), TooManyDone> {
        self.unfinished = self.unfinished.checked_sub(1).ok_or(TooManyDone)?;
        self.grant_joiners_if_finished();
        Ok(())
    }

    /// Shuts the queue down. The caller must wake the waiters with
    /// [`next_refused`](Self::next_refused).
    pub(crate) fn shut_down(&mut self) {
        self.shut_down = true;
        self.reserved_slots = 0;
    }

    /// Removes all items of a queue that is shut down, and marks them done.
    ///
    /// The caller must wake the unwoken [`joiners`](Self::joiners).
    pub(crate) fn discard_items(&mut self) -> D {
        self.reserved_items = 0;
        // Saturating, because items may be marked done before they are taken.
        self.unfinished = self.unfinished.saturating_sub(self.items.count());
        self.grant_joiners_if_finished();
        mem::take(&mut self.items)
    }

    /// Refuses the next waiter of a queue that is shut down, and returns its wake-up.
    pub(crate) fn next_refused(&mut self) -> Option<Wakeup> {
        let getter = self.getters.grant_first_with(Answer::Refused);
        getter.or_else(|| self.putters.grant_first_with(Answer::Refused))
    }

    /// Grants all joiners if all items are done. The caller must wake the unwoken joiners.
    pub(crate) fn grant_joiners_if_finished(&mut self) {
        while self.unfinished == 0 && self.joiners.grant_first_unwoken(()) {}
    }

    #[inline]
    fn reserve_item(&mut self) -> Option<Wakeup> {
        if self.available() == 0 {
            return None;
        }
        let getter = self.getters.grant_first_with(Answer::Reserved)?;
        self.reserved_items += 1;
        Some(getter)
    }

    #[inline]
    fn reserve_slot(&mut self) -> Option<Wakeup> {
        if self.shut_down || !self.has_room() {
            return None;
        }
        let putter = self.putters.grant_first_with(Answer::Reserved)?;
        self.reserved_slots += 1;
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

/// Calls [`WaitList::finish`]. Out of line, to keep the path without a wait short.
#[inline(never)]
fn finish(list: &mut WaitList<Answer>, key: Key, old_waker: &mut Option<Waker>) -> Answer {
    list.finish(key, old_waker)
}
