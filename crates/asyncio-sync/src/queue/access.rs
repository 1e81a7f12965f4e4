//! Put, get and wait, for a queue whose state is in a `RefCell` or in a `Mutex`.
//!
//! Neither is held while foreign code runs. Wakers are cloned, woken and dropped without it, and a
//! decision that was made before a waker was cloned is made again afterwards. The items'
//! comparisons run in [`find_position`](Access::find_position), before the state changes.

use std::future::Future;
use std::mem;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use asyncio_console::Resource;
use futures_core::{FusedFuture, FusedStream, Stream};

use crate::budget;
use crate::queue::discipline::Discipline;
use crate::queue::error::{GetNowaitError, PutError, PutNowaitError, QueueShutDown};
use crate::queue::state::{Admission, Answer, QueueState};
use crate::wait_list::{Key, WaitList, WaiterState, Wakeup};
use crate::wait_queue::until_none;

/// The item type of a queue.
pub(crate) type ItemOf<Q> = <<Q as Access>::Discipline as Discipline>::Item;

/// The operations, for a console.
const GET: &str = "get";
pub(crate) const PUT: &str = "put";

/// Access to the state of a queue.
pub(crate) trait Access {
    type Discipline: Discipline;

    /// Whether wakers are kept for the next wait. Not with a mutex, which would be locked once
    /// more.
    const KEEPS_WAKERS: bool;

    type Guard<'a>: DerefMut<Target = QueueState<Self::Discipline>>
    where
        Self: 'a;

    /// Whether operations spend the budget of this thread.
    const USES_BUDGET: bool;

    /// Whether a new waiter must yield because the budget is spent.
    #[inline]
    fn must_yield(&self, waiter: WaiterState) -> bool {
        Self::USES_BUDGET && waiter == WaiterState::New && !budget::try_spend()
    }

    /// How a console shows the queue, if it does.
    #[inline(always)]
    fn shown(&self) -> Option<&Resource> {
        None
    }

    /// Shows a poll of a wait to a console.
    #[inline(always)]
    fn watch<T>(
        &self,
        operation: &'static str,
        waiter: &mut WaiterState,
        poll: impl FnOnce(&mut WaiterState) -> Poll<T>,
    ) -> Poll<T> {
        let Some(shown) = self.shown() else {
            return poll(waiter);
        };
        let watch = shown.begin(operation, waiter.entry());
        let polled = poll(waiter);
        shown.end(watch, operation, waiter.entry());
        polled
    }

    /// Shows the end of a wait whose future was dropped or refused.
    #[inline]
    fn unwatch(&self, operation: &'static str, key: Key) {
        if let Some(shown) = self.shown() {
            shown.leave(operation, key.entry());
        }
    }

    /// The state, borrowed or locked. No foreign code may run before the guard is dropped.
    fn state_mut(&self) -> Self::Guard<'_>;

    /// Calls `find`, which may compare items, and so run foreign code.
    fn find_position<'a, R>(
        &'a self,
        state: Self::Guard<'a>,
        find: impl FnOnce(&Self::Discipline) -> R,
    ) -> (Self::Guard<'a>, R);

    #[inline]
    fn try_put(&self, item: ItemOf<Self>) -> Result<(), PutNowaitError<ItemOf<Self>>> {
        let state = self.state_mut();
        match state.may_put(WaiterState::New) {
            Admission::Granted => {}
            Admission::Refused => return Err(PutNowaitError::QueueShutDown(item)),
            Admission::Wait => return Err(PutNowaitError::QueueFull(item)),
        }
        let (mut state, position) = self.find_position(state, |items| items.position_for(&item));
        let getter = state.put(&mut WaiterState::New, item, position, &mut None);
        drop(state);
        self.wake_getter(getter);
        Ok(())
    }

    #[inline]
    fn try_get(&self) -> Result<ItemOf<Self>, GetNowaitError> {
        let state = self.state_mut();
        match state.may_get(WaiterState::New) {
            Admission::Granted => {}
            Admission::Refused => return Err(GetNowaitError::QueueShutDown),
            Admission::Wait => return Err(GetNowaitError::QueueEmpty),
        }
        let (mut state, position) = self.find_position(state, Discipline::position_of_next);
        let (item, putter) = state.get(&mut WaiterState::New, position, &mut None);
        drop(state);
        self.wake_putter(putter);
        Ok(item)
    }

    /// Yields before a put: as a waiter in the list, or outside of it if the queue is shut down.
    #[cold]
    fn yield_before_put(&self, waiter: &mut WaiterState, cx: &mut Context<'_>) {
        let mut new_waker = Some(cx.waker().clone());
        let mut state = self.state_mut();
        if state.may_put(*waiter) == Admission::Refused {
            drop(state);
            return cx.waker().wake_by_ref();
        }
        let putter = state.list_putter(waiter, cx.waker(), &mut new_waker);
        drop(state);
        self.wake_putter(putter);
    }

    /// Yields before a get: as a waiter in the list, or outside of it if the queue is shut down and empty.
    #[cold]
    fn yield_before_get(&self, waiter: &mut WaiterState, cx: &mut Context<'_>) {
        let mut new_waker = Some(cx.waker().clone());
        let mut state = self.state_mut();
        if state.may_get(*waiter) == Admission::Refused {
            drop(state);
            return cx.waker().wake_by_ref();
        }
        let getter = state.list_getter(waiter, cx.waker(), &mut new_waker);
        drop(state);
        self.wake_getter(getter);
    }

    /// Polls a put. `item` is `Some` until this is ready.
    fn poll_put(
        &self,
        waiter: &mut WaiterState,
        item: &mut Option<ItemOf<Self>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PutError<ItemOf<Self>>>> {
        let put = self.poll_room(waiter, cx, |state, waiter, old_waker| {
            let carried = item.as_ref().expect(CARRIED);
            let (mut state, position) =
                self.find_position(state, |items| items.position_for(carried));
            let item = item.take().expect(CARRIED);
            let getter = state.put(waiter, item, position, old_waker);
            drop(state);
            self.wake_getter(getter);
        });
        put.map_err(|PutError(())| PutError(item.take().expect(CARRIED)))
    }

    /// Polls the reservation of a slot.
    fn poll_reserve(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), PutError<()>>> {
        self.poll_room(waiter, cx, |mut state, waiter, old_waker| {
            state.hold_slot(waiter, old_waker);
        })
    }

    /// Polls a wait for room. `take` takes the room with the state that granted it, and the waker that is left over.
    #[inline]
    fn poll_room<'a>(
        &'a self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
        take: impl FnOnce(Self::Guard<'a>, &mut WaiterState, &mut Option<Waker>),
    ) -> Poll<Result<(), PutError<()>>> {
        if self.must_yield(*waiter) {
            self.yield_before_put(waiter, cx);
            return Poll::Pending;
        }
        let mut new_waker = None;
        loop {
            let mut state = self.state_mut();
            match state.may_put(*waiter) {
                // The clone is not needed. Dropping it runs foreign code, so check again
                // afterwards.
                Admission::Granted if new_waker.is_some() => {
                    drop(state);
                    drop(new_waker.take());
                    continue;
                }
                Admission::Granted => {
                    take(state, waiter, &mut new_waker);
                    return Poll::Ready(Ok(()));
                }
                Admission::Refused => {
                    drop(state);
                    self.remove_putter(waiter);
                    return Poll::Ready(Err(PutError(())));
                }
                Admission::Wait => {
                    let list = &mut state.putters;
                    if list.wait(waiter, cx.waker(), &mut new_waker, Answer::Reserved) {
                        return Poll::Pending;
                    }
                }
            }
            drop(state);
            // Cloning runs foreign code, so check again afterwards.
            new_waker = Some(cx.waker().clone());
        }
    }

    /// Polls a get.
    fn poll_get(
        &self,
        waiter: &mut WaiterState,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ItemOf<Self>, QueueShutDown>> {
        if self.must_yield(*waiter) {
            self.yield_before_get(waiter, cx);
            return Poll::Pending;
        }
        let mut new_waker = None;
        loop {
            let mut state = self.state_mut();
            match state.may_get(*waiter) {
                // The clone is not needed. Dropping it runs foreign code, so check again
                // afterwards.
                Admission::Granted if new_waker.is_some() => {
                    drop(state);
                    drop(new_waker.take());
                    continue;
                }
                Admission::Granted => {
                    let (mut state, position) =
                        self.find_position(state, Discipline::position_of_next);
                    let (item, putter) = state.get(waiter, position, &mut new_waker);
                    drop(state);
                    self.wake_putter(putter);
                    return Poll::Ready(Ok(item));
                }
                Admission::Refused => {
                    drop(state);
                    self.remove_getter(waiter);
                    return Poll::Ready(Err(QueueShutDown));
                }
                Admission::Wait => {
                    let list = &mut state.getters;
                    if list.wait(waiter, cx.waker(), &mut new_waker, Answer::Reserved) {
                        return Poll::Pending;
                    }
                }
            }
            drop(state);
            // Cloning runs foreign code, so check again afterwards.
            new_waker = Some(cx.waker().clone());
        }
    }

    /// Removes a putter that was dropped or refused. Its reservation goes to the next putter.
    fn remove_putter(&self, waiter: &mut WaiterState) {
        if let WaiterState::Listed(key) = mem::replace(waiter, WaiterState::Done) {
            let (_removed, next) = self.state_mut().remove_putter(key);
            self.wake_putter(next);
            self.unwatch(PUT, key);
        }
    }

    /// Removes a getter that was dropped or refused. Its reservation goes to the next getter.
    fn remove_getter(&self, waiter: &mut WaiterState) {
        if let WaiterState::Listed(key) = mem::replace(waiter, WaiterState::Done) {
            let (_removed, next) = self.state_mut().remove_getter(key);
            self.wake_getter(next);
            self.unwatch(GET, key);
        }
    }

    fn shut_down(&self, immediate: bool) {
        let _discarded = {
            let mut state = self.state_mut();
            state.shut_down();
            immediate.then(|| state.discard_items())
        };
        // The discarded items are dropped last: their destructors are foreign code and may panic.
        until_none(|| {
            let wakeup = self.state_mut().next_refused();
            wakeup.map(|wakeup| wakeup.waker.wake())
        });
        self.wake_joiners();
    }

    fn wake_joiners(&self) {
        until_none(|| {
            let wakeup = self.state_mut().joiners.next_unwoken();
            wakeup.map(|wakeup| wakeup.waker.wake())
        });
    }

    #[inline]
    fn wake_getter(&self, getter: Option<Wakeup>) {
        self.wake(getter, |state| &mut state.getters);
    }

    #[inline]
    fn wake_putter(&self, putter: Option<Wakeup>) {
        self.wake(putter, |state| &mut state.putters);
    }

    #[inline]
    fn wake(
        &self,
        wakeup: Option<Wakeup>,
        list: impl FnOnce(&mut QueueState<Self::Discipline>) -> &mut WaitList<Answer>,
    ) {
        let Some(wakeup) = wakeup else {
            return;
        };
        if Self::KEEPS_WAKERS {
            wakeup.waker.wake_by_ref();
            // A waker that is not kept is dropped here, where nothing is borrowed.
            let _not_kept = list(&mut self.state_mut()).keep_waker(wakeup);
        } else {
            wakeup.waker.wake();
        }
    }
}

const CARRIED: &str = "a put has its item until it is ready";

/// The future of a put.
pub(crate) struct Put<'a, Q: Access> {
    queue: &'a Q,
    waiter: WaiterState,
    /// `Some` until the future is ready.
    item: Option<ItemOf<Q>>,
}

impl<'a, Q: Access> Put<'a, Q> {
    pub(crate) fn new(queue: &'a Q, item: ItemOf<Q>) -> Self {
        Self {
            queue,
            waiter: WaiterState::New,
            item: Some(item),
        }
    }

    /// Cancels the put. Returns the item if it was not put.
    pub(crate) fn into_item(mut self) -> Option<ItemOf<Q>> {
        self.item.take()
    }
}

// The item is never pinned, only moved.
impl<Q: Access> Unpin for Put<'_, Q> {}

impl<Q: Access> Future for Put<'_, Q> {
    type Output = Result<(), PutError<ItemOf<Q>>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            queue,
            waiter,
            item,
        } = &mut *self;
        queue.watch(PUT, waiter, |waiter| queue.poll_put(waiter, item, cx))
    }
}

impl<Q: Access> FusedFuture for Put<'_, Q> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<Q: Access> Drop for Put<'_, Q> {
    #[inline]
    fn drop(&mut self) {
        if let WaiterState::Listed(_) = self.waiter {
            self.queue.remove_putter(&mut self.waiter);
        }
    }
}

/// The future of a get.
pub(crate) struct Get<'a, Q: Access> {
    queue: &'a Q,
    waiter: WaiterState,
}

impl<'a, Q: Access> Get<'a, Q> {
    pub(crate) fn new(queue: &'a Q) -> Self {
        let waiter = WaiterState::New;
        Self { queue, waiter }
    }
}

impl<Q: Access> Future for Get<'_, Q> {
    type Output = Result<ItemOf<Q>, QueueShutDown>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { queue, waiter } = &mut *self;
        queue.watch(GET, waiter, |waiter| queue.poll_get(waiter, cx))
    }
}

impl<Q: Access> FusedFuture for Get<'_, Q> {
    fn is_terminated(&self) -> bool {
        self.waiter.is_done()
    }
}

impl<Q: Access> Drop for Get<'_, Q> {
    #[inline]
    fn drop(&mut self) {
        if let WaiterState::Listed(_) = self.waiter {
            self.queue.remove_getter(&mut self.waiter);
        }
    }
}

/// The stream of the items of a queue: one [`Get`] after the other, until one fails.
pub(crate) struct Items<'a, Q: Access> {
    get: Get<'a, Q>,
    has_ended: bool,
}

impl<'a, Q: Access> Items<'a, Q> {
    pub(crate) fn new(queue: &'a Q) -> Self {
        Self {
            get: Get::new(queue),
            has_ended: false,
        }
    }
}

impl<Q: Access> Stream for Items<'_, Q> {
    type Item = ItemOf<Q>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Get { queue, waiter } = &mut self.get;
        let polled = queue.watch(GET, waiter, |waiter| queue.poll_get(waiter, cx));
        if let Poll::Ready(item) = &polled {
            // Begin the next get. After the last item it is refused at once.
            *waiter = WaiterState::New;
            self.has_ended = item.is_err();
        }
        polled.map(Result::ok)
    }
}

impl<Q: Access> FusedStream for Items<'_, Q> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
