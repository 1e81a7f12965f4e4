//! A one-shot signal, within a task: a child says that it is ready, and the code that started it waits for that.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The ready signal of a child that [`TaskGroup::start`](crate::TaskGroup::start) has started.
#[must_use = "the code that started the child waits until this is set, and fails when it is dropped"]
pub struct Ready<V> {
    slot: Rc<RefCell<Slot<V>>>,
}

/// The child ended, or dropped its [`Ready`], before it was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the child ended before it was ready")]
pub struct NeverReady;

struct Slot<V> {
    value: Option<V>,
    /// Nothing comes any more.
    closed: bool,
    waker: Option<Waker>,
}

/// A future of the value that a [`Ready`] is set to; `None` if it was dropped.
pub(crate) struct Said<V> {
    slot: Rc<RefCell<Slot<V>>>,
}

/// A guard that the child holds. Its drop says that the child has ended, so no value comes, wherever its [`Ready`] is.
pub(crate) struct Ended<V> {
    slot: Rc<RefCell<Slot<V>>>,
}

pub(crate) fn ready<V>() -> (Ready<V>, Ended<V>, Said<V>) {
    let slot = Rc::new(RefCell::new(Slot {
        value: None,
        closed: false,
        waker: None,
    }));
    let ended = Ended { slot: slot.clone() };
    (Ready { slot: slot.clone() }, ended, Said { slot })
}

impl<V> Ready<V> {
    /// Reports that the child is ready, with a value for the code that started it. That code goes on in its next step.
    /// After the end of the child the value is dropped.
    #[doc(alias = "task_status.started")]
    pub fn set(self, value: V) {
        let mut slot = self.slot.borrow_mut();
        if slot.closed {
            drop(slot);
            return drop(value);
        }
        slot.value = Some(value); // there was none, so no destructor runs
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        close(&self.slot);
    }
}

impl<V> Drop for Ended<V> {
    fn drop(&mut self) {
        close(&self.slot);
    }
}

/// Nothing comes any more.
fn close<V>(slot: &RefCell<Slot<V>>) {
    let mut slot = slot.borrow_mut();
    slot.closed = true;
    let waker = slot.waker.take();
    drop(slot);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<V> Future for Said<V> {
    type Output = Option<V>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<V>> {
        // Code of others, before anything is borrowed.
        let waker = cx.waker().clone();
        let mut slot = self.slot.borrow_mut();
        if slot.closed {
            return Poll::Ready(slot.value.take());
        }
        let old = slot.waker.replace(waker);
        drop(slot);
        drop(old);
        Poll::Pending
    }
}

impl<V> fmt::Debug for Ready<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("set", &self.slot.borrow().value.is_some())
            .finish()
    }
}
