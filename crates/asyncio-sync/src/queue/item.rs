//! The item guard: an item taken from a queue that marks itself done when dropped.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::queue::BaseQueue;
use crate::queue::discipline::Discipline;

/// An item from [`get_item`](BaseQueue::get_item) that marks itself done when it is dropped.
///
/// A panic or a cancellation drops it as well.
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::Queue;
///
/// # futures::executor::block_on(async {
/// let letters = Queue::new(0);
/// letters.put("Dear Ada").await.unwrap();
/// {
///     let letter = letters.get_item().await.unwrap();
///     assert_eq!(letter.len(), 8);
///     assert_eq!(letters.unfinished_tasks(), 1);
/// }
/// letters.join().await; // all letters are done
/// # });
/// ```
#[must_use = "an item that is dropped at once is lost, and counts as done"]
pub struct Item<'a, D: Discipline> {
    // In this order: the item is done after its value is dropped, even if its destructor panics.
    value: D::Item,
    done: Done<'a, D>,
}

/// Marks one item done when dropped.
struct Done<'a, D: Discipline>(Option<&'a BaseQueue<D>>);

impl<D: Discipline> Drop for Done<'_, D> {
    fn drop(&mut self) {
        if let Some(queue) = self.0 {
            // An error means that other code called `task_done` too often. A destructor cannot
            // return it.
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

    /// Returns the value without marking it done. The caller must call `task_done`.
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
