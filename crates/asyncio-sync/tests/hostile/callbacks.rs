//! Predicates, hooks and destructors of outcomes that use the primitive, or panic.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_sync::{
    Condition, Lock, OnceCell, Promise, SetError, promise_or, set_unretrieved_hook,
};

use crate::{boxed, panics, poll};

/// A predicate panics, at first or after a notification: the lock is released, the task no longer
/// waits, and other waiters can continue.
#[test]
fn a_predicate_that_panics_leaves_the_lock_free() {
    let condition: &Condition<Lock<u32>> = Box::leak(Box::new(Condition::new(Lock::new(0))));
    let wait_for = |panics_at: u32| {
        boxed(async move {
            let guard = condition.lock().await;
            let guard = condition.wait_for(guard, |&mut value| {
                assert_ne!(value, panics_at, "in the predicate");
                value == 9
            });
            *guard.await
        })
    };
    let mut at_once = wait_for(0);
    assert!(panics(|| _ = poll(&mut at_once, Waker::noop())).is_some());
    assert_eq!((condition.locked(), condition.waiters()), (false, 0));

    let (mut later, mut other) = (wait_for(1), wait_for(10));
    assert!(poll(&mut later, Waker::noop()).is_pending());
    assert!(poll(&mut other, Waker::noop()).is_pending());
    let mut guard = condition.try_lock().unwrap();
    *guard = 1;
    condition.notify_all(&guard);
    drop(guard);
    assert!(panics(|| _ = poll(&mut later, Waker::noop())).is_some());
    assert!(!condition.locked());
    assert!(poll(&mut other, Waker::noop()).is_pending());
    let mut guard = condition.try_lock().unwrap();
    *guard = 9;
    condition.notify(&guard, 1);
    drop(guard);
    assert_eq!(poll(&mut other, Waker::noop()), Poll::Ready(9));
}

/// A result that uses its promise, and tries to set it, when it is dropped.
struct UsesItsPromise {
    promise: Rc<Promise<UsesItsPromise, ()>>,
    seen: Rc<Cell<u32>>,
}

impl Drop for UsesItsPromise {
    fn drop(&mut self) {
        self.seen.set(self.seen.get() + 1);
        if self.seen.get() > 1 {
            return;
        }
        assert!(self.promise.done() && !self.promise.cancelled());
        assert!(format!("{:?}", self.promise).contains("taken"));
        let (promise, seen) = (Rc::clone(&self.promise), Rc::clone(&self.seen));
        let refused = self.promise.set_result(UsesItsPromise { promise, seen });
        assert!(matches!(refused, Err(SetError::AlreadySet(_))));
    }
}

/// A result that is not taken is dropped with the future, and its destructor uses the promise.
#[test]
fn a_result_may_use_its_promise_when_it_is_dropped() {
    for share in [false, true] {
        let (promise, answer) = promise_or();
        let (promise, seen) = (Rc::new(promise), Rc::new(Cell::new(0)));
        let result = UsesItsPromise {
            promise: Rc::clone(&promise),
            seen: Rc::clone(&seen),
        };
        assert!(promise.set_result(result).is_ok());
        if share {
            drop(answer.shared());
        } else {
            drop(answer);
        }
        // The result itself, and the result that it tried to set.
        assert_eq!(seen.get(), 2);
        assert_eq!(Rc::strong_count(&promise), 1);
    }
}

thread_local! {
    static REPORTS: Cell<u32> = const { Cell::new(0) };
}

/// The hook for unretrieved errors causes another such error, and then panics: each error is
/// reported once, and nothing leaks.
#[test]
fn the_hook_may_use_promises_and_panic() {
    let before = set_unretrieved_hook(|_error| {
        REPORTS.set(REPORTS.get() + 1);
        if REPORTS.get() == 1 {
            let (promise, answer) = promise_or::<(), Rc<()>>();
            promise.set_error(Rc::default()).unwrap();
            drop(answer);
            panic!("in the hook");
        }
    });
    let error = Rc::new(());
    let (promise, answer) = promise_or::<(), Rc<()>>();
    promise.set_error(Rc::clone(&error)).unwrap();
    assert_eq!(panics(|| drop(answer)).as_deref(), Some("in the hook"));
    assert_eq!(REPORTS.get(), 2);
    assert_eq!(Rc::strong_count(&error), 1);
    assert!(promise.done() && promise.set_error(error).is_err());
    set_unretrieved_hook(before);
}

/// The function that makes the value reads the cell and sets its value.
#[test]
fn a_value_may_be_set_by_the_function_that_makes_it() {
    let cell = Rc::new(OnceCell::new());
    let inside = Rc::clone(&cell);
    let mut made = boxed(async move {
        let make = async || {
            assert_eq!(
                format!("{inside:?}"),
                "OnceCell { value: None, waiters: 0 }"
            );
            inside.set(1).unwrap();
            2
        };
        *inside.get_or_init(make).await
    });
    assert_eq!(poll(&mut made, Waker::noop()), Poll::Ready(1));
    assert_eq!(cell.get(), Some(&1));
}
