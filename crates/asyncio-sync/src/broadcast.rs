//! The broadcast channel: each receiver gets each value, and is told if it was too slow.
//!
//! The values are numbered. The channel keeps the last of them in a ring. A receiver has the number of the value that
//! it takes next, and stands at that value. A receiver that has lost values stands at the front of the ring, and one
//! that has taken all stands at the end. Each value has the number of receivers that stand at it.
//!
//! A receiver takes the values in order. So a value is still to be taken by the receivers that stand at it or before
//! it. A receiver stands at the front of the ring, and when the last one goes on, the values up to the next receiver
//! leave. So coming and going cost O(1), however far a receiver is behind. The last one to take a value gets the value
//! itself, and the others get clones.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::budget;
use crate::burst::shrink_target;
use crate::wait_list::WaiterState;
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("broadcast", "receive");

/// Creates a broadcast channel: each receiver gets each value that is sent while it exists.
///
/// A send never waits. A receiver that is more than `capacity` values behind loses the oldest, and is told how many.
/// For receivers that need the latest value only, there is [`watch`](crate::watch()). For values that go to one
/// receiver each, there is [`Queue`](crate::Queue).
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::{BroadcastError, broadcast};
///
/// # futures::executor::block_on(async {
/// let (news, mut reader) = broadcast(2);
/// let mut archive = news.subscribe();
/// news.send("one").unwrap();
/// assert_eq!(reader.recv().await, Ok("one"));
/// news.send("two").unwrap();
/// news.send("three").unwrap();
/// drop(news);
///
/// assert_eq!(reader.recv().await, Ok("two"));
/// assert_eq!(reader.recv().await, Ok("three"));
/// assert_eq!(reader.recv().await, Err(BroadcastError::Closed));
///
/// assert_eq!(archive.recv().await, Err(BroadcastError::Lagged(1)));
/// assert_eq!(archive.recv().await, Ok("two"));
/// # });
/// ```
///
/// A value that is expensive to clone goes into an `Rc`.
///
/// # Panics
///
/// If `capacity` is 0.
#[track_caller]
pub fn broadcast<T>(capacity: usize) -> (BroadcastSender<T>, BroadcastReceiver<T>) {
    assert!(
        capacity > 0,
        "the capacity of a broadcast must be at least 1"
    );
    let shared = Rc::new(Shared {
        ring: RefCell::new(Ring {
            capacity,
            values: VecDeque::new(),
            first: 0,
            receivers: 1,
            at_end: 1,
        }),
        senders: Cell::new(1),
        waiters: WaitQueue::new(KIND),
    });
    let receiver = BroadcastReceiver {
        shared: Rc::clone(&shared),
        next: 0,
    };
    (BroadcastSender { shared }, receiver)
}

/// The side of a [`broadcast`](broadcast()) channel that sends. When the last clone is gone, the channel is closed.
pub struct BroadcastSender<T> {
    shared: Rc<Shared<T>>,
}

/// The side of a [`broadcast`](broadcast()) channel that receives. A clone receives what the original has not taken.
pub struct BroadcastReceiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the value that it takes next.
    next: u64,
}

/// The channel has no receiver any more. Contains the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broadcast channel has no receiver")]
pub struct NoReceivers<T>(pub T);

impl<T> NoReceivers<T> {
    /// The error alone: the value is dropped. For `?` into a boxed error, which takes only values that are `Send` and
    /// `Sync`.
    pub fn without_value(self) -> NoReceivers<()> {
        NoReceivers(())
    }
}

/// Why a receive gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// The receiver was too slow, and has lost this number of values. The next receive gives the oldest that is left.
    #[error("{0} values of the broadcast channel were lost, as the receiver was too slow")]
    Lagged(u64),
    /// All senders are gone, and all values were received.
    #[error("the broadcast channel is closed")]
    Closed,
}

struct Shared<T> {
    ring: RefCell<Ring<T>>,
    senders: Cell<usize>,
    waiters: WaitQueue,
}

/// The values that some receiver has not taken, and the receivers.
struct Ring<T> {
    capacity: usize,
    /// At the first, if there is one, stands a receiver.
    values: VecDeque<Slot<T>>,
    /// The number of the first value in `values`.
    first: u64,
    receivers: usize,
    /// How many receivers have taken all values.
    at_end: usize,
}

struct Slot<T> {
    /// `None` while it is being cloned.
    value: Option<T>,
    /// How many receivers take it next.
    here: usize,
}

const IN_USE: &str = "a value of a broadcast channel was received by its own `Clone`";

impl<T> Ring<T> {
    /// The number of the value that is sent next.
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    /// Adds a value. Gives the oldest if there is no room for both, to be dropped outside.
    fn push(&mut self, value: T) -> Option<T> {
        let oldest = match self.values.len() < self.capacity {
            true => None,
            false => self.pop(),
        };
        self.values.push_back(Slot {
            value: Some(value),
            here: std::mem::take(&mut self.at_end),
        });
        oldest
    }

    /// Removes the first value. The receivers that stand there stand at the next from now on.
    fn pop(&mut self) -> Option<T> {
        let slot = self.values.pop_front()?;
        self.first += 1;
        *self.receivers_at(self.first) += slot.here;
        self.shrink();
        slot.value
    }

    fn shrink(&mut self) {
        if let Some(capacity) = shrink_target(self.values.len(), self.values.capacity()) {
            self.values.shrink_to(capacity);
        }
    }

    /// The place in `values` of a number that is in there.
    fn place_of(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (place < self.values.len()).then_some(place)
    }

    /// How many receivers stand where one stands that takes the value of this number next.
    fn receivers_at(&mut self, next: u64) -> &mut usize {
        match self.place_of(next.max(self.first)) {
            Some(place) => &mut self.values[place].here,
            None => &mut self.at_end,
        }
    }

    /// Whether one receiver only has not taken the value at a place, where it stands.
    fn is_last_at(&self, place: usize) -> bool {
        place == 0 && self.values[place].here == 1 // nobody stands before the first
    }

    /// A receiver has taken the value of a number. Gives the value if no other receiver is to take it.
    fn take(&mut self, number: u64) -> Option<T> {
        let place = self.place_of(number)?;
        if self.is_last_at(place) {
            return self.pop();
        }
        self.values[place].here -= 1;
        *self.receivers_at(number + 1) += 1;
        None
    }

    /// A receiver is gone that would have taken the value of this number next. Gives the values that have no receiver
    /// left.
    fn leave(&mut self, next: u64) -> Vec<T> {
        self.receivers -= 1;
        *self.receivers_at(next) -= 1;
        let untaken = self.values.iter().take_while(|slot| slot.here == 0).count();
        self.first += untaken as u64;
        let values = self.values.drain(..untaken);
        let untaken = values.filter_map(|slot| slot.value).collect();
        self.shrink();
        untaken
    }

    /// A receiver is new that takes the value of this number next.
    fn join(&mut self, next: u64) {
        self.receivers += 1;
        *self.receivers_at(next) += 1;
    }
}

impl<T> Shared<T> {
    fn wake_all(&self) {
        self.waiters.grant_and_wake(usize::MAX, |_| ());
    }
}

impl<T> BroadcastSender<T> {
    /// Sends a value to all receivers, and returns their number. Never waits: a receiver that has no room loses its
    /// oldest value.
    ///
    /// # Errors
    ///
    /// If there is no receiver. The error contains the value.
    pub fn send(&self, value: T) -> Result<usize, NoReceivers<T>> {
        let mut ring = self.shared.ring.borrow_mut();
        let receivers = ring.receivers;
        if receivers == 0 {
            drop(ring);
            return Err(NoReceivers(value));
        }
        let _oldest = ring.push(value); // dropped after the wake-ups
        drop(ring);
        self.shared.wake_all();
        Ok(receivers)
    }

    /// A new receiver, for the values that are sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> BroadcastReceiver<T> {
        let shared = Rc::clone(&self.shared);
        let mut ring = shared.ring.borrow_mut();
        let next = ring.end();
        ring.join(next);
        drop(ring);
        BroadcastReceiver { shared, next }
    }

    /// The number of receivers.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.shared.ring.borrow().receivers
    }

    /// The number of values that some receiver has not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.ring.borrow().values.len()
    }

    /// Whether all receivers have taken all values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for BroadcastSender<T> {
    fn clone(&self) -> Self {
        let shared = Rc::clone(&self.shared);
        shared.senders.set(shared.senders.get() + 1);
        Self { shared }
    }
}

impl<T> Drop for BroadcastSender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.wake_all();
        }
    }
}

impl<T> BroadcastReceiver<T> {
    /// Receives the next value. Waits until there is one, and does not yield if there is.
    ///
    /// # Errors
    ///
    /// If values were lost since the last receive, or if all senders are gone and all values were received.
    ///
    /// # Cancellation
    ///
    /// A cancelled receive has taken no value.
    ///
    /// # Panics
    ///
    /// If `Clone` of a value receives that value itself, by another receiver.
    pub fn recv(&mut self) -> impl FusedFuture<Output = Result<T, BroadcastError>>
    where
        T: Clone,
    {
        Recv {
            receiver: self,
            waiter: WaiterState::New,
            has_spent: false,
        }
    }

    /// Receives the next value without waiting; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_nowait(&mut self) -> Option<Result<T, BroadcastError>>
    where
        T: Clone,
    {
        let mut ring = self.shared.ring.borrow_mut();
        if self.next < ring.first {
            let lost = ring.first - self.next;
            self.next = ring.first;
            return Some(Err(BroadcastError::Lagged(lost)));
        }
        let Some(place) = ring.place_of(self.next) else {
            let is_closed = self.shared.senders.get() == 0;
            return is_closed.then_some(Err(BroadcastError::Closed));
        };
        let value = if ring.is_last_at(place) {
            let value = ring.take(self.next);
            self.next += 1;
            value
        } else {
            let out = Out {
                shared: &self.shared,
                number: self.next,
                value: Some(ring.values[place].value.take().expect(IN_USE)),
            };
            drop(ring);
            let copy = out.value.clone();
            drop(out);
            let unwanted = self.shared.ring.borrow_mut().take(self.next);
            self.next += 1;
            drop(unwanted);
            copy
        };
        Some(Ok(value.expect(IN_USE)))
    }

    /// The number of values that can be received without waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        let ring = self.shared.ring.borrow();
        let behind = ring.end() - self.next.max(ring.first);
        usize::try_from(behind).unwrap_or(usize::MAX)
    }

    /// Whether no value can be received without waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. Values that are left can be received.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.senders.get() == 0
    }
}

/// A value that is out of its ring while it is cloned, which runs code of the user. It goes back if its slot is left.
struct Out<'a, T> {
    shared: &'a Shared<T>,
    number: u64,
    value: Option<T>,
}

impl<T> Drop for Out<'_, T> {
    fn drop(&mut self) {
        let mut ring = self.shared.ring.borrow_mut();
        if let Some(place) = ring.place_of(self.number) {
            ring.values[place].value = self.value.take();
        }
        // Otherwise it is dropped after the borrow, as a field of this.
    }
}

impl<T> Clone for BroadcastReceiver<T> {
    fn clone(&self) -> Self {
        let shared = Rc::clone(&self.shared);
        shared.ring.borrow_mut().join(self.next);
        let next = self.next;
        Self { shared, next }
    }
}

impl<T> Drop for BroadcastReceiver<T> {
    fn drop(&mut self) {
        let untaken = self.shared.ring.borrow_mut().leave(self.next);
        drop(untaken); // outside of the borrow
    }
}

/// The future of [`recv`](BroadcastReceiver::recv).
struct Recv<'a, T> {
    receiver: &'a mut BroadcastReceiver<T>,
    waiter: WaiterState,
    /// It has spent its unit of the budget.
    has_spent: bool,
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, BroadcastError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.has_spent {
            if !budget::try_spend() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            this.has_spent = true;
        }
        let BroadcastReceiver { shared, next } = &*this.receiver;
        // Each send and the closing grant all waiters, so a waiter without a grant has nothing to receive.
        let is_over = || *next != shared.ring.borrow().end() || shared.senders.get() == 0;
        std::task::ready!(shared.waiters.poll(&mut this.waiter, cx, (), is_over));
        let received = this.receiver.recv_nowait();
        Poll::Ready(received.unwrap_or(Err(BroadcastError::Closed)))
    }
}

impl<T: Clone> FusedFuture for Recv<'_, T> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<T> Drop for Recv<'_, T> {
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            drop(self.receiver.shared.waiters.remove(key));
        }
    }
}

impl<T> fmt::Debug for BroadcastSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastSender")
            .field("values", &self.len())
            .field("receivers", &self.receivers())
            .finish()
    }
}

impl<T> fmt::Debug for BroadcastReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReceiver")
            .field("values", &self.len())
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn both_sides_count_the_values_that_are_left() {
        let (sender, mut first) = broadcast(4);
        let mut second = first.clone();
        let counts = |first: &BroadcastReceiver<_>, second: &BroadcastReceiver<_>| {
            let is_empty = (sender.is_empty(), first.is_empty());
            let (all, left) = (sender.len(), first.len());
            assert_eq!(is_empty, (all == 0, left == 0));
            (all, left, second.len())
        };
        assert_eq!(counts(&first, &second), (0, 0, 0));
        sender.send("a").unwrap();
        sender.send("b").unwrap();
        assert_eq!(counts(&first, &second), (2, 2, 2));
        assert_eq!(first.recv_nowait(), Some(Ok("a")));
        assert_eq!(first.recv_nowait(), Some(Ok("b")));
        assert_eq!(counts(&first, &second), (2, 0, 2));
        assert_eq!(second.recv_nowait(), Some(Ok("a")));
        assert_eq!(second.recv_nowait(), Some(Ok("b")));
        assert_eq!(counts(&first, &second), (0, 0, 0));
    }

    #[test]
    fn a_receiver_that_lost_values_counts_those_that_are_left() {
        let (sender, receiver) = broadcast(2);
        (0..5).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
        assert_eq!((sender.len(), receiver.len()), (2, 2));
    }

    #[test]
    fn the_last_sender_closes_the_channel() {
        let (sender, mut receiver) = broadcast(1);
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        assert!(!receiver.is_closed());
        drop(other);
        assert!(receiver.is_closed() && !receiver.is_empty());
        assert_eq!(receiver.recv_nowait(), Some(Ok(1)));
        assert_eq!(receiver.recv_nowait(), Some(Err(BroadcastError::Closed)));
    }

    #[test]
    fn receivers_stand_where_they_take_next() {
        let (sender, mut first) = broadcast(2);
        let mut second = first.clone();
        let places = || {
            let ring = sender.shared.ring.borrow();
            let here: Vec<_> = ring.values.iter().map(|slot| slot.here).collect();
            (here, ring.at_end)
        };
        assert_eq!(places(), (vec![], 2));
        sender.send("a").unwrap();
        assert_eq!(places(), (vec![2], 0));
        assert_eq!(first.recv_nowait(), Some(Ok("a")));
        assert_eq!(places(), (vec![1], 1));
        sender.send("b").unwrap();
        let third = second.clone();
        assert_eq!(places(), (vec![2, 1], 0));
        sender.send("c").unwrap(); // "a" is lost
        assert_eq!(places(), (vec![3, 0], 0));
        let fourth = sender.subscribe();
        assert_eq!(second.recv_nowait(), Some(Err(BroadcastError::Lagged(1))));
        assert_eq!(second.recv_nowait(), Some(Ok("b")));
        assert_eq!(places(), (vec![2, 1], 1));
        drop((first, third));
        assert_eq!(places(), (vec![1], 1), "nobody stands at b");
        drop(second);
        assert_eq!((places(), fourth.len()), ((vec![], 1), 0));
    }

    #[test]
    fn receivers_that_are_far_behind_come_and_go_at_once() {
        const MANY: usize = 16_000; // each as far behind: 512 million steps if each costs that
        let (sender, receiver) = broadcast(MANY);
        let before: Vec<_> = (0..MANY).map(|_| receiver.clone()).collect();
        (0..MANY).for_each(|n| assert_eq!(sender.send(n), Ok(MANY + 1)));
        let start = std::time::Instant::now();
        let after: Vec<_> = (0..MANY).map(|_| receiver.clone()).collect();
        drop((before, after));
        assert_eq!((sender.receivers(), sender.len()), (1, MANY));
        drop(receiver);
        assert_eq!((sender.receivers(), sender.len()), (0, 0));
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn a_burst_of_values_frees_its_memory() {
        let capacity = |sender: &BroadcastSender<_>| sender.shared.ring.borrow().values.capacity();
        let (sender, mut receiver) = broadcast(1 << 20);
        (0..100_000).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
        while receiver.recv_nowait().is_some() {}
        assert!(capacity(&sender) < 10_000, "received by all");

        (0..100_000).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
        let other = sender.subscribe();
        drop(receiver);
        assert!(capacity(&sender) < 10_000, "its receiver is gone");
        drop(other);
    }

    #[test]
    fn a_cancelled_receive_leaves_no_waiter() {
        let (sender, mut receiver) = broadcast::<u32>(1);
        {
            let mut recv = pin!(receiver.recv());
            assert!(
                recv.as_mut()
                    .poll(&mut Context::from_waker(std::task::Waker::noop()))
                    .is_pending()
            );
            assert_eq!(sender.shared.waiters.len(), 1);
        }
        assert_eq!(sender.shared.waiters.len(), 0);
    }
}
