//! Something that one says once and another waits for, within a task: that it is ready.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// For a child that [`TaskGroup::start`](crate::TaskGroup::start) has started: to say that it is ready.
#[must_use = "whoever started the child waits until this is set, and fails when it is dropped"]
pub struct Ready<V> {
    slot: Rc<RefCell<Slot<V>>>,
}

/// The child ended, or gave up, without saying that it was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the child never said that it was ready")]
pub struct NeverReady;

struct Slot<V> {
    value: Option<V>,
    /// Nothing comes any more.
    closed: bool,
    waker: Option<Waker>,
}

/// What a [`Ready`] is set to; `None` if it was dropped.
pub(crate) struct Said<V> {
    slot: Rc<RefCell<Slot<V>>>,
}

pub(crate) fn ready<V>() -> (Ready<V>, Said<V>) {
    let slot = Rc::new(RefCell::new(Slot {
        value: None,
        closed: false,
        waker: None,
    }));
    (Ready { slot: slot.clone() }, Said { slot })
}

impl<V> Ready<V> {
    /// Says that the child is ready, with what those who start it want to know. They go on in their next step.
    #[doc(alias = "task_status.started")]
    pub fn set(self, value: V) {
        // What was there before is nothing, so no destructor runs.
        self.slot.borrow_mut().value = Some(value);
    }
}

impl<V> Drop for Ready<V> {
    fn drop(&mut self) {
        let mut slot = self.slot.borrow_mut();
        slot.closed = true;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
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
