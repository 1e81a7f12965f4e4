//! An item that was taken from a queue and marks itself done.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::queue::BaseQueue;
use crate::queue::discipline::Discipline;

/// An item from [`get_item`](BaseQueue::get_item), which is marked done when this is dropped,
/// also by a panic or a cancellation.
///
/// ```
/// use asyncio_sync::Queue;
///
/// # futures::executor::block_on(async {
/// let letters = Queue::new(0);
/// letters.put("Dear Ada").await.unwrap();
/// {
///     let letter = letters.get_item().await.unwrap();
///     assert_eq!(letter.len(), 8);
///     assert_eq!(letters.unfinished_tasks(), 1);
/// }
/// letters.join().await; // all letters were dealt with
/// # });
/// ```
#[must_use = "an item that is dropped at once is lost, and counts as done"]
pub struct Item<'a, D: Discipline> {
    // In this order: it is done once the value is gone, even if its destructor panics.
    value: D::Item,
    done: Done<'a, D>,
}

/// Marks one item done.
struct Done<'a, D: Discipline>(Option<&'a BaseQueue<D>>);

impl<D: Discipline> Drop for Done<'_, D> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            // An error is that of somebody who marked too many, and is told to whoever marks next.
            let _ = queue.task_done();
        }
    }
}

impl<'a, D: Discipline> Item<'a, D> {
    pub(super) fn new(value: D::Item, queue: &'a BaseQueue<D>) -> Self {
        Self {
            value,
            done: Done(Some(queue)),
        }
    }

    /// The value alone: to mark it done is up to the caller.
    pub fn into_inner(item: Self) -> D::Item {
        let Self { value, mut done } = item;
        done.0 = None;
        value
    }
}

impl<D: Discipline> Deref for Item<'_, D> {
    type Target = D::Item;

    fn deref(&self) -> &D::Item {
        &self.value
    }
}

impl<D: Discipline> DerefMut for Item<'_, D> {
    fn deref_mut(&mut self) -> &mut D::Item {
        &mut self.value
    }
}

impl<D: Discipline<Item: fmt::Debug>> fmt::Debug for Item<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.value, f)
    }
}
