//! Putting, getting and waiting, for a queue whose state is in a `RefCell` or in a `Mutex`.
//!
//! Neither is held while foreign code runs: wakers are cloned, woken and dropped between the steps,
//! and what was decided before a waker was cloned is decided again afterwards. The items' own
//! comparisons run in [`find`](Access::find), before anything has changed.

use std::future::Future;
use std::mem;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::budget;
use crate::line::{Call, Line, Place};
use crate::queue::discipline::Discipline;
use crate::queue::error::{GetNowaitError, PutError, PutNowaitError, QueueShutDown};
use crate::queue::state::{Admission, Answer, QueueState};
use crate::wait_queue::until_none;

/// What a queue with this access holds.
pub(crate) type ItemOf<Q> = <<Q as Access>::Discipline as Discipline>::Item;

/// A place where the state of a queue is kept.
pub(crate) trait Access {
    type Discipline: Discipline;

    /// Whether to keep wakers for the next wait: not if that takes a lock once more.
    const KEEPS_WAKERS: bool;

    type Guard<'a>: DerefMut<Target = QueueState<Self::Discipline>>
    where
        Self: 'a;

    /// Whether operations draw on the budget of this thread.
    const DRAWS: bool;

    /// Whether a future at that place has to step back.
    #[inline]
    fn steps_back(&self, place: Place) -> bool {
        Self::DRAWS && place == Place::Outside && !budget::draw()
    }

    /// The state, to be changed by code that is ours alone.
    fn change(&self) -> Self::Guard<'_>;

    /// Finds a position among the items, which may ask them.
    fn find<'a, R>(
        &'a self,
        state: Self::Guard<'a>,
        find: impl FnOnce(&Self::Discipline) -> R,
    ) -> (Self::Guard<'a>, R);

    #[inline]
    fn put_at_once(&self, item: ItemOf<Self>) -> Result<(), PutNowaitError<ItemOf<Self>>> {
        let state = self.change();
        match state.may_put(Place::Outside) {
            Admission::Granted => {}
            Admission::Refused => return Err(PutNowaitError::QueueShutDown(item)),
            Admission::Wait => return Err(PutNowaitError::QueueFull(item)),
        }
        let (mut state, position) = self.find(state, |items| items.position_for(&item));
        let getter = state.put(&mut Place::Outside, item, position, &mut None);
        drop(state);
        self.wake_getter(getter);
        Ok(())
    }

    #[inline]
    fn get_at_once(&self) -> Result<ItemOf<Self>, GetNowaitError> {
        let state = self.change();
        match state.may_get(Place::Outside) {
            Admission::Granted => {}
            Admission::Refused => return Err(GetNowaitError::QueueShutDown),
            Admission::Wait => return Err(GetNowaitError::QueueEmpty),
        }
        let (mut state, position) = self.find(state, Discipline::position_of_next);
        let (item, putter) = state.get(&mut Place::Outside, position, &mut None);
        drop(state);
        self.wake_putter(putter);
        Ok(item)
    }

    /// Steps back before it puts an item, with its place in line; not if the queue is shut down.
    #[cold]
    fn step_back_to_put(&self, place: &mut Place, cx: &mut Context<'_>) -> bool {
        let mut fresh = Some(cx.waker().clone());
        let mut state = self.change();
        if state.may_put(*place) == Admission::Refused {
            return false;
        }
        let putter = state.put_in_line(place, cx.waker(), &mut fresh);
        drop(state);
        self.wake_putter(putter);
        true
    }

    /// Steps back before it takes an item, with its place in line; not if nothing comes any more.
    #[cold]
    fn step_back_to_get(&self, place: &mut Place, cx: &mut Context<'_>) -> bool {
        let mut fresh = Some(cx.waker().clone());
        let mut state = self.change();
        if state.may_get(*place) == Admission::Refused {
            return false;
        }
        let getter = state.get_in_line(place, cx.waker(), &mut fresh);
        drop(state);
        self.wake_getter(getter);
        true
    }

    /// `item` is `Some` until this is ready.
    fn poll_put(
        &self,
        place: &mut Place,
        item: &mut Option<ItemOf<Self>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PutError<ItemOf<Self>>>> {
        if self.steps_back(*place) && self.step_back_to_put(place, cx) {
            return Poll::Pending;
        }
        let mut fresh = None;
        loop {
            let mut state = self.change();
            match state.may_put(*place) {
                // It was cloned in vain. To drop it is foreign code, too.
                Admission::Granted if fresh.is_some() => {
                    drop(state);
                    drop(fresh.take());
                    continue;
                }
                Admission::Granted => {
                    let carried = item.as_ref().expect(CARRIED);
                    let (mut state, position) =
                        self.find(state, |items| items.position_for(carried));
                    let item = item.take().expect(CARRIED);
                    let getter = state.put(place, item, position, &mut fresh);
                    drop(state);
                    self.wake_getter(getter);
                    return Poll::Ready(Ok(()));
                }
                Admission::Refused => {
                    drop(state);
                    self.putter_leaves(place);
                    return Poll::Ready(Err(PutError(item.take().expect(CARRIED))));
                }
                Admission::Wait => {
                    let line = &mut state.putters;
                    if line.wait(place, cx.waker(), &mut fresh, Answer::Promised) {
                        return Poll::Pending;
                    }
                }
            }
            drop(state);
            // Foreign code, after which all may be different.
            fresh = Some(cx.waker().clone());
        }
    }

    fn poll_get(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ItemOf<Self>, QueueShutDown>> {
        if self.steps_back(*place) && self.step_back_to_get(place, cx) {
            return Poll::Pending;
        }
        let mut fresh = None;
        loop {
            let mut state = self.change();
            match state.may_get(*place) {
                // It was cloned in vain. To drop it is foreign code, too.
                Admission::Granted if fresh.is_some() => {
                    drop(state);
                    drop(fresh.take());
                    continue;
                }
                Admission::Granted => {
                    let (mut state, position) = self.find(state, Discipline::position_of_next);
                    let (item, putter) = state.get(place, position, &mut fresh);
                    drop(state);
                    self.wake_putter(putter);
                    return Poll::Ready(Ok(item));
                }
                Admission::Refused => {
                    drop(state);
                    self.getter_leaves(place);
                    return Poll::Ready(Err(QueueShutDown));
                }
                Admission::Wait => {
                    let line = &mut state.getters;
                    if line.wait(place, cx.waker(), &mut fresh, Answer::Promised) {
                        return Poll::Pending;
                    }
                }
            }
            drop(state);
            // Foreign code, after which all may be different.
            fresh = Some(cx.waker().clone());
        }
    }

    /// A putter gives up or was refused; what it was promised goes to the next.
    fn putter_leaves(&self, place: &mut Place) {
        if let Place::InLine(key) = mem::replace(place, Place::Left) {
            let (_departed, next) = self.change().putter_leaves(key);
            self.wake_putter(next);
        }
    }

    /// A getter gives up or was refused; what it was promised goes to the next.
    fn getter_leaves(&self, place: &mut Place) {
        if let Place::InLine(key) = mem::replace(place, Place::Left) {
            let (_departed, next) = self.change().getter_leaves(key);
            self.wake_getter(next);
        }
    }

    fn shut_down(&self, immediate: bool) {
        let _thrown_away = {
            let mut state = self.change();
            state.shut_down();
            immediate.then(|| state.throw_away())
        };
        // The items are dropped last: that is the caller's code, and may panic.
        until_none(|| {
            let call = self.change().next_refused();
            call.map(|call| call.waker.wake())
        });
        self.wake_joiners();
    }

    fn wake_joiners(&self) {
        until_none(|| {
            let call = self.change().joiners.next_called();
            call.map(|call| call.waker.wake())
        });
    }

    #[inline]
    fn wake_getter(&self, getter: Option<Call>) {
        self.wake(getter, |state| &mut state.getters);
    }

    #[inline]
    fn wake_putter(&self, putter: Option<Call>) {
        self.wake(putter, |state| &mut state.putters);
    }

    #[inline]
    fn wake(
        &self,
        call: Option<Call>,
        line: impl FnOnce(&mut QueueState<Self::Discipline>) -> &mut Line<Answer>,
    ) {
        let Some(call) = call else {
            return;
        };
        if Self::KEEPS_WAKERS {
            call.waker.wake_by_ref();
            // What is not kept is dropped here, where nothing is borrowed.
            let _not_kept = line(&mut self.change()).keep(call);
        } else {
            call.waker.wake();
        }
    }
}

const CARRIED: &str = "who has not put its item carries it";

/// Puts an item, once there is room.
pub(crate) struct Put<'a, Q: Access> {
    queue: &'a Q,
    place: Place,
    /// `Some` until the future is ready.
    item: Option<ItemOf<Q>>,
}

impl<'a, Q: Access> Put<'a, Q> {
    pub(crate) fn new(queue: &'a Q, item: ItemOf<Q>) -> Self {
        Self {
            queue,
            place: Place::Outside,
            item: Some(item),
        }
    }

    /// Gives up. The item is here if it was not put.
    pub(crate) fn give_up(mut self) -> Option<ItemOf<Q>> {
        self.item.take()
    }
}

/// The item is never pinned, only carried.
impl<Q: Access> Unpin for Put<'_, Q> {}

impl<Q: Access> Future for Put<'_, Q> {
    type Output = Result<(), PutError<ItemOf<Q>>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, place, item } = &mut *self;
        queue.poll_put(place, item, cx)
    }
}

impl<Q: Access> Drop for Put<'_, Q> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(_) = self.place {
            self.queue.putter_leaves(&mut self.place);
        }
    }
}

/// Takes an item, once there is one.
pub(crate) struct Get<'a, Q: Access> {
    queue: &'a Q,
    place: Place,
}

impl<'a, Q: Access> Get<'a, Q> {
    pub(crate) fn new(queue: &'a Q) -> Self {
        let place = Place::Outside;
        Self { queue, place }
    }
}

impl<Q: Access> Future for Get<'_, Q> {
    type Output = Result<ItemOf<Q>, QueueShutDown>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, place } = &mut *self;
        queue.poll_get(place, cx)
    }
}

impl<Q: Access> Drop for Get<'_, Q> {
    #[inline]
    fn drop(&mut self) {
        if let Place::InLine(_) = self.place {
            self.queue.getter_leaves(&mut self.place);
        }
    }
}

/// The items of a queue, one [`Get`] after the other, until one fails.
pub(crate) struct Items<'a, Q: Access>(Get<'a, Q>);

impl<'a, Q: Access> Items<'a, Q> {
    pub(crate) fn new(queue: &'a Q) -> Self {
        Self(Get::new(queue))
    }
}

impl<Q: Access> Stream for Items<'_, Q> {
    type Item = ItemOf<Q>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Get { queue, place } = &mut self.0;
        let polled = queue.poll_get(place, cx);
        if polled.is_ready() {
            // For the next item; after the last one, the queue refuses at once.
            *place = Place::Outside;
        }
        polled.map(Result::ok)
    }
}
