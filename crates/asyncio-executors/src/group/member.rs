//! The future of a child of a group.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::group::shared::Shared;
use crate::places::Place;

pin_project! {
    /// A child's future, which waits for a place, and leaves its error with the group.
    pub(crate) struct Member<'env, F, E> {
        #[pin]
        future: F,
        // Dropped after the future.
        seat: Seat<'env, E>,
    }
}

impl<'env, F, E> Member<'env, F, E> {
    /// The future of a new child, which has a place or waits for one.
    #[inline]
    pub(crate) fn new(mut place: Place, future: F, shared: Rc<Shared<'env, E>>) -> Self {
        shared.places.expect(&mut place);
        Self {
            future,
            seat: Seat { place, shared },
        }
    }
}

/// A child's part of its group.
struct Seat<'env, E> {
    place: Place,
    shared: Rc<Shared<'env, E>>,
}

impl<E> Drop for Seat<'_, E> {
    #[inline]
    fn drop(&mut self) {
        if !self.place.has_returned() {
            self.shared.goes_on();
        }
        self.shared.places.leave(&mut self.place);
    }
}

impl<U, E, F: Future<Output = Result<U, E>>> Future for Member<'_, F, E> {
    /// `None`: the group has the error.
    type Output = Option<U>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<U>> {
        let this = self.project();
        let Seat { place, shared } = this.seat;
        if shared.places.poll_enter(place, cx).is_pending() {
            return Poll::Pending;
        }
        let result = ready!(this.future.poll(cx));
        place.note_return();
        shared.has_returned();
        match result {
            Ok(value) => Poll::Ready(Some(value)),
            Err(error) => {
                shared.failed(error);
                Poll::Ready(None)
            }
        }
    }
}
