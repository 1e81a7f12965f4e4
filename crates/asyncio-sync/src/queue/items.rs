//! The items of a queue as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::line::Place;
use crate::queue::BaseQueue;
use crate::queue::discipline::Discipline;

/// The items of a queue, until it is shut down and nothing is left: from
/// [`items`](BaseQueue::items).
///
/// Several streams, and `get` besides, share the items among them.
///
/// ```
/// use asyncio_sync::Queue;
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// let words = Queue::new(0);
/// for word in ["one", "queue", "as", "a", "stream"] {
///     words.put_nowait(word).unwrap();
/// }
/// words.shutdown(false);
///
/// let lengths: Vec<usize> = words.items().map(str::len).collect().await;
/// assert_eq!(lengths, [3, 5, 2, 1, 6]);
/// # });
/// ```
///
/// # Cancellation
///
/// Dropping it takes nothing out of the queue.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Items<'a, D: Discipline> {
    queue: &'a BaseQueue<D>,
    place: Place,
}

impl<'a, D: Discipline> Items<'a, D> {
    pub(super) fn new(queue: &'a BaseQueue<D>) -> Self {
        let place = Place::Outside;
        Self { queue, place }
    }
}

impl<D: Discipline> Stream for Items<'_, D> {
    type Item = D::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<D::Item>> {
        let Self { queue, place } = &mut *self;
        let polled = queue.poll_get(place, cx);
        if polled.is_ready() {
            // For the next item. After the last one, the queue refuses at once.
            *place = Place::Outside;
        }
        polled.map(Result::ok)
    }
}

impl<D: Discipline> Drop for Items<'_, D> {
    fn drop(&mut self) {
        if let Place::InLine(_) = self.place {
            self.queue.getter_leaves(&mut self.place);
        }
    }
}

impl<D: Discipline> fmt::Debug for Items<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = matches!(self.place, Place::InLine(_));
        f.debug_struct("Items")
            .field("waits", &waits)
            .finish_non_exhaustive()
    }
}
