//! The watch channel: the latest value, for tasks that need no older ones.
//!
//! The value has a number that grows with each change. A receiver has the number of the value that it has seen, so a
//! receiver that waits for nothing misses no change. A change wakes all receivers that wait.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_console::ResourceKind;
use futures_core::FusedFuture;

use crate::budget;
use crate::wait_list::WaiterState;
use crate::wait_queue::WaitQueue;

const KIND: &ResourceKind = &ResourceKind::sync("watch", "changed");

/// Creates a watch channel: its receivers see the latest value, and wait for changes.
///
/// Values in between may be missed. For receivers that need each value, there is [`broadcast`](crate::broadcast()).
///
/// ```
/// # mod asyncio { pub use asyncio_sync as sync; }
/// use asyncio::sync::watch;
///
/// # futures::executor::block_on(async {
/// let (limit, mut limits) = watch(10);
/// let worker = async {
///     let mut seen = vec![limits.get()];
///     while let Ok(limit) = limits.changed().await {
///         seen.push(limit);
///     }
///     seen
/// };
/// let control = async move {
///     limit.set(20);
///     limit.set(30); // the worker has not run meanwhile
/// };
/// let (seen, ()) = futures::join!(worker, control);
/// assert_eq!(seen, [10, 30]);
/// # });
/// ```
///
/// A value that is expensive to clone goes into an `Rc`.
#[track_caller]
pub fn watch<T>(value: T) -> (WatchSender<T>, WatchReceiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(value),
        version: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        waiters: WaitQueue::new(KIND),
    });
    let receiver = WatchReceiver {
        shared: Rc::clone(&shared),
        seen: 0,
    };
    (WatchSender { shared }, receiver)
}

/// The side of a [`watch`](watch()) channel that changes the value. When the last clone is gone, the channel is closed.
pub struct WatchSender<T> {
    shared: Rc<Shared<T>>,
}

/// The side of a [`watch`](watch()) channel that waits for changes. A clone has seen what the original has seen.
pub struct WatchReceiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the value that was seen last.
    seen: u64,
}

/// All senders of a [`watch`](watch()) channel are gone, and its last value has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the watch channel is closed")]
pub struct WatchClosed;

struct Shared<T> {
    value: RefCell<T>,
    /// The number of the value.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    waiters: WaitQueue,
}

/// The value is cloned, compared or looked at under a shared borrow, by code of the user.
const IN_USE: &str =
    "a value of a watch channel was changed by code that is looking at it, such as its `Clone`";

impl<T> Shared<T> {
    fn replace(&self, value: T) -> T {
        let mut slot = self.value.try_borrow_mut().expect(IN_USE);
        let old = mem::replace(&mut *slot, value);
        drop(slot);
        self.has_changed();
        old
    }

    /// Wakes the receivers after a change of the value.
    fn has_changed(&self) {
        self.version.set(self.version.get() + 1);
        self.wake_all();
    }

    fn wake_all(&self) {
        self.waiters.grant_and_wake(usize::MAX, |_| ());
    }

    fn is_closed(&self) -> bool {
        self.senders.get() == 0
    }
}

impl<T> WatchSender<T> {
    /// Changes the value, and wakes the receivers that wait. The old value is dropped.
    ///
    /// # Panics
    ///
    /// If the value is being looked at, as by its `Clone`.
    pub fn set(&self, value: T) {
        self.replace(value);
    }

    /// Changes the value like [`set`](Self::set), and returns the old one.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    pub fn replace(&self, value: T) -> T {
        self.shared.replace(value)
    }

    /// Changes the value in place, and wakes the receivers that wait.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_sync as sync; }
    /// use asyncio::sync::watch;
    ///
    /// let (done, mut seen) = watch(0);
    /// done.modify(|n| *n += 1);
    /// assert!(seen.has_changed());
    /// assert_eq!(seen.get(), 1);
    /// ```
    ///
    /// If `change` panics, the value counts as changed.
    ///
    /// # Panics
    ///
    /// If the value is being looked at, as by its `Clone`. The same holds inside of `change`, for each look at the
    /// value.
    pub fn modify(&self, change: impl FnOnce(&mut T)) {
        /// When the change is over, also by a panic.
        struct Changed<'a, T>(&'a Shared<T>);
        impl<T> Drop for Changed<'_, T> {
            fn drop(&mut self) {
                self.0.has_changed();
            }
        }
        let changed = Changed(&self.shared);
        change(&mut self.shared.value.try_borrow_mut().expect(IN_USE));
        drop(changed);
    }

    /// Changes the value like [`set`](Self::set) if it is another one. Whether it was.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    pub fn set_if_changed(&self, value: T) -> bool
    where
        T: PartialEq,
    {
        let differs = *self.shared.value.borrow() != value;
        if differs {
            self.replace(value);
        }
        differs
    }

    /// A clone of the value.
    #[must_use]
    pub fn get(&self) -> T
    where
        T: Clone,
    {
        self.shared.value.borrow().clone()
    }

    /// A new receiver, which has seen the present value.
    #[must_use]
    pub fn subscribe(&self) -> WatchReceiver<T> {
        let shared = Rc::clone(&self.shared);
        shared.receivers.set(shared.receivers.get() + 1);
        let seen = shared.version.get();
        WatchReceiver { shared, seen }
    }

    /// The number of receivers.
    #[must_use]
    pub fn receivers(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Clone for WatchSender<T> {
    fn clone(&self) -> Self {
        let shared = Rc::clone(&self.shared);
        shared.senders.set(shared.senders.get() + 1);
        Self { shared }
    }
}

impl<T> Drop for WatchSender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.wake_all();
        }
    }
}

impl<T> WatchReceiver<T> {
    /// A clone of the latest value, which counts as seen.
    pub fn get(&mut self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// Calls `look` with the latest value, which counts as seen when `look` returns. `look` must not change the value.
    pub fn with<R>(&mut self, look: impl FnOnce(&T) -> R) -> R {
        let version = self.shared.version.get();
        let found = look(&self.shared.value.borrow());
        self.seen = version;
        found
    }

    /// Whether the value has changed since it was seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// Whether all senders are gone, so that the value changes no more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Waits until the value has changed since it was seen, and returns a clone of the latest value. Does not yield if
    /// it has.
    ///
    /// # Errors
    ///
    /// The channel is closed, and the last value has been seen.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: a change that was not returned has not been seen.
    pub fn changed(&mut self) -> impl FusedFuture<Output = Result<T, WatchClosed>>
    where
        T: Clone,
    {
        Changed(Wait::new(self))
    }

    /// Waits until `condition` is true of the value, and returns a clone of it. Looks at the present value first.
    ///
    /// # Errors
    ///
    /// The channel is closed, and the condition is not true of the last value.
    ///
    /// # Cancellation
    ///
    /// The values that were looked at count as seen.
    pub async fn wait_for(
        &mut self,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<T, WatchClosed>
    where
        T: Clone,
    {
        budget::spend().await;
        loop {
            let found = self.with(|value| condition(value).then(|| value.clone()));
            if let Some(value) = found {
                return Ok(value);
            }
            let mut wait = Wait::new(self);
            poll_fn(|cx| wait.poll(cx)).await?;
        }
    }
}

impl<T> Clone for WatchReceiver<T> {
    fn clone(&self) -> Self {
        let shared = Rc::clone(&self.shared);
        shared.receivers.set(shared.receivers.get() + 1);
        let seen = self.seen;
        Self { shared, seen }
    }
}

impl<T> Drop for WatchReceiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.set(self.shared.receivers.get() - 1);
    }
}

/// The future of [`changed`](WatchReceiver::changed).
struct Changed<'a, T>(Wait<'a, T>);

impl<T: Clone> Future for Changed<'_, T> {
    type Output = Result<T, WatchClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        std::task::ready!(self.0.poll(cx))?;
        Poll::Ready(Ok(self.0.receiver.get()))
    }
}

impl<T: Clone> FusedFuture for Changed<'_, T> {
    fn is_terminated(&self) -> bool {
        self.0.waiter.is_done()
    }
}

/// The wait of a receiver for a value that it has not seen.
struct Wait<'a, T> {
    receiver: &'a mut WatchReceiver<T>,
    waiter: WaiterState,
    /// It has spent its unit of the budget.
    has_spent: bool,
}

impl<'a, T> Wait<'a, T> {
    fn new(receiver: &'a mut WatchReceiver<T>) -> Self {
        Self {
            receiver,
            waiter: WaiterState::New,
            has_spent: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WatchClosed>> {
        if !self.has_spent {
            if !budget::try_spend() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.has_spent = true;
        }
        let WatchReceiver { shared, seen } = &*self.receiver;
        let is_over = || *seen != shared.version.get() || shared.is_closed();
        // Each change and the closing grant all waiters, so a waiter without a grant has nothing to see.
        let over = shared.waiters.poll(&mut self.waiter, cx, (), is_over);
        std::task::ready!(over);
        Poll::Ready(match *seen == shared.version.get() {
            true => Err(WatchClosed),
            false => Ok(()),
        })
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if let WaiterState::Listed(key) = self.waiter {
            drop(self.receiver.shared.waiters.remove(key));
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSender")
            .field("value", &self.shared.value)
            .field("receivers", &self.receivers())
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for WatchReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchReceiver")
            .field("value", &self.shared.value)
            .field("has_changed", &self.has_changed())
            .field("closed", &self.is_closed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_value_whose_clone_panics_is_not_seen() {
        struct Once(std::cell::Cell<bool>);
        impl Clone for Once {
            fn clone(&self) -> Self {
                assert!(self.0.replace(true), "on purpose");
                Self(self.0.clone())
            }
        }
        let (sender, mut receiver) = watch(Once(true.into()));
        sender.set(Once(false.into()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut changed = |receiver: &mut WatchReceiver<Once>| {
            let changed = pin!(receiver.changed());
            changed.poll(&mut cx).is_ready()
        };
        let first = catch_unwind(AssertUnwindSafe(|| changed(&mut receiver)));
        assert!(first.is_err() && receiver.has_changed());
        assert!(changed(&mut receiver) && !receiver.has_changed());
    }

    #[test]
    fn each_way_to_change_the_value_shows_it_to_receivers() {
        let (sender, mut receiver) = watch(0);
        sender.set(1);
        assert!(receiver.has_changed());
        assert_eq!((receiver.get(), receiver.has_changed()), (1, false));
        assert_eq!(sender.replace(2), 1);
        assert_eq!((receiver.has_changed(), receiver.get()), (true, 2));
        sender.modify(|value| *value += 1);
        assert_eq!((receiver.has_changed(), receiver.get()), (true, 3));
        assert!(sender.set_if_changed(4) && receiver.has_changed());
        assert_eq!((receiver.get(), sender.get()), (4, 4));
        assert!(!sender.set_if_changed(4) && !receiver.has_changed());
    }

    #[test]
    fn a_change_in_place_that_panics_counts() {
        let (sender, mut receiver) = watch(0);
        let half = AssertUnwindSafe(|| {
            sender.modify(|value| {
                *value = 1;
                panic!("half done");
            });
        });
        assert!(catch_unwind(half).is_err());
        assert_eq!((receiver.has_changed(), receiver.get()), (true, 1));
    }

    #[test]
    fn a_cancelled_wait_leaves_no_waiter() {
        let (sender, mut receiver) = watch(0);
        {
            let mut changed = pin!(receiver.changed());
            assert!(
                changed
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            assert_eq!(sender.shared.waiters.len(), 1);
        }
        assert_eq!(sender.shared.waiters.len(), 0);
    }
}
