//! A reserved slot: room for one item, so that the item is made only when there is room.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedFuture;

use crate::queue::BaseQueue;
use crate::queue::access::{Access, PUT};
use crate::queue::discipline::Discipline;
use crate::queue::error::PutError;
use crate::wait_list::WaiterState;

/// Room for one item in a queue, from [`reserve`](BaseQueue::reserve).
///
/// Until it is used or dropped, no other task can take its slot. Dropping it gives the slot to the next task that
/// waits.
#[must_use = "a slot that is dropped is given to the next task"]
pub struct QueueSlot<'a, D: Discipline> {
    /// `None` once it is used.
    queue: Option<&'a BaseQueue<D>>,
}

impl<D: Discipline> QueueSlot<'_, D> {
    /// Puts the item, without waiting.
    ///
    /// # Errors
    ///
    /// If the queue was shut down meanwhile. The error contains the item.
    pub fn put(mut self, item: D::Item) -> Result<(), PutError<D::Item>> {
        let queue = self.queue.expect("it is used once");
        // If the comparison of items panics, the slot is given back by the drop.
        let (mut state, position) =
            queue.find_position(queue.state_mut(), |items| items.position_for(&item));
        self.queue = None;
        if state.is_shut_down() {
            drop(state);
            return Err(PutError(item));
        }
        let getter = state.put_into_slot(item, position);
        drop(state);
        queue.wake_getter(getter);
        Ok(())
    }
}

impl<D: Discipline> Drop for QueueSlot<'_, D> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue {
            let putter = queue.state_mut().release_slot();
            queue.wake_putter(putter);
        }
    }
}

impl<D: Discipline> fmt::Debug for QueueSlot<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueSlot").finish_non_exhaustive()
    }
}

/// The future of a reservation.
pub(crate) struct Reserve<'a, D: Discipline> {
    queue: &'a BaseQueue<D>,
    waiter: WaiterState,
}

impl<'a, D: Discipline> Reserve<'a, D> {
    pub(crate) fn new(queue: &'a BaseQueue<D>) -> Self {
        Self {
            queue,
            waiter: WaiterState::New,
        }
    }
}

impl<'a, D: Discipline> Future for Reserve<'a, D> {
    type Output = Result<QueueSlot<'a, D>, PutError<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, waiter } = &mut *self;
        let reserved = queue.watch(PUT, waiter, |waiter| queue.poll_reserve(waiter, cx));
        let reserved = std::task::ready!(reserved);
        let queue = Some(*queue);
        Poll::Ready(reserved.map(|()| QueueSlot { queue }))
    }
}

impl<D: Discipline> FusedFuture for Reserve<'_, D> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<D: Discipline> Drop for Reserve<'_, D> {
    fn drop(&mut self) {
        if let WaiterState::Listed(_) = self.waiter {
            self.queue.remove_putter(&mut self.waiter);
        }
    }
}
