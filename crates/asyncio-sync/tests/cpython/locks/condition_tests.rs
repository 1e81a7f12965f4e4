//! `ConditionTests`. In asyncio a cancelled wait takes the lock again before it ends. Here it ends
//! at once: the wait owns the guard, so its caller has none.

use std::rc::Rc;

use asyncio_sync::{Condition, Lock, LockGuard};

use crate::shared::{Task, TestLoop, Trace, yield_now};

type Cond = &'static Condition<Lock<u32>>;

/// A leaked condition, so that tasks can end with the lock held.
fn condition() -> Cond {
    Box::leak(Box::new(Condition::new(Lock::new(0))))
}

/// A task that waits once, notes its name, and ends with the lock held.
fn waiter(
    of: &TestLoop,
    condition: Cond,
    trace: &Trace,
    name: u32,
) -> Task<LockGuard<'static, u32>> {
    let trace = trace.clone();
    of.spawn(async move {
        let guard = condition.wait(condition.lock().await).await;
        trace.note(name);
        guard
    })
}

#[track_caller]
fn held(condition: Cond) -> LockGuard<'static, u32> {
    condition.try_lock().expect("the lock is free")
}

/// Three tasks wait. One notification lets one task continue, after the lock is released. Notifying
/// two lets two tasks continue in order, one for each release.
#[test]
fn wait() {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let tasks = [1, 2, 3].map(|name| waiter(&of, condition, &trace, name));
    // The three tasks take the lock and release it, one after the other.
    of.run();
    assert!(!condition.locked());
    assert_eq!(condition.waiters(), 3);

    let main = held(condition);
    condition.notify(&main, 1);
    of.tick();
    assert_eq!(trace.take(), [""; 0]);
    assert!(condition.locked());

    drop(main);
    of.tick();
    assert_eq!(trace.take(), ["1"]);
    assert!(condition.locked());

    let first = tasks[0].result();
    condition.notify(&first, 2);
    of.tick();
    assert_eq!(trace.take(), [""; 0]);
    drop(first);
    of.tick();
    assert_eq!(trace.take(), ["2"]);
    of.tick();
    assert_eq!(trace.take(), [""; 0]);
    drop(tasks[1].result());
    of.tick();
    assert_eq!(trace.take(), ["3"]);
}

/// A notified task is cancelled while it waits for the lock: it ends, and does not hold the lock.
#[test]
fn wait_cancel_after_notify() {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let task = waiter(&of, condition, &trace, 1);
    of.run();
    let main = held(condition);
    condition.notify(&main, 1);
    of.tick();
    task.cancel();
    drop(main);
    of.run();
    assert!(!task.done());
    assert!(!condition.locked());
    assert_eq!(condition.waiters(), 0);
}

/// `wait_for` calls the predicate after each notification, waits again while it is `false`, and
/// returns the guard with which it was `true`.
#[test]
fn wait_for() {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let trace_of_task = trace.clone();
    let task = of.spawn(async move {
        let guard = condition.lock().await;
        let guard = condition.wait_for(guard, |value| {
            trace_of_task.note(format!("asked at {value}"));
            *value == 2
        });
        *guard.await
    });
    of.tick();
    assert_eq!(trace.take(), ["asked at 0"]);

    for value in [1, 2] {
        let mut main = held(condition);
        *main = value;
        condition.notify(&main, 1);
        of.tick();
        assert_eq!(trace.take(), [""; 0], "the lock is held");
        drop(main);
        of.tick();
        assert_eq!(trace.take(), [format!("asked at {value}")]);
        assert_eq!(task.done(), value == 2);
    }
    assert_eq!(task.result(), 2);
    assert!(!condition.locked());
}

/// Notifying without the lock does not compile. With the guard of another lock it panics.
#[test]
#[should_panic = "the guard belongs to another lock"]
fn notify_all_unacquired() {
    let other = Lock::new(0);
    let guard = other.try_lock().unwrap();
    condition().notify_all(&guard);
}

/// The `Debug` of a condition shows whether the lock is held, and the number of waiters.
#[test]
fn repr() {
    let of = TestLoop::new();
    let condition = condition();
    assert_eq!(
        format!("{condition:?}"),
        "Condition { locked: false, waiters: 0 }"
    );
    let main = held(condition);
    assert_eq!(
        format!("{condition:?}"),
        "Condition { locked: true, waiters: 0 }"
    );
    drop(main);
    waiter(&of, condition, &Trace::new(), 1);
    of.tick();
    assert_eq!(
        format!("{condition:?}"),
        "Condition { locked: false, waiters: 1 }"
    );
}

/// A condition over a shared lock has the state of that lock, and vice versa.
#[test]
fn explicit_lock() {
    let lock = Rc::new(Lock::new(0));
    let by_rc = Condition::new(Rc::clone(&lock));
    let by_reference = Condition::new(&*lock);

    let guard = lock.try_lock().unwrap();
    assert!(by_rc.locked() && by_reference.locked());
    by_rc.notify_all(&guard);
    drop(guard);
    assert!(!by_rc.locked());

    let guard = by_rc.try_lock().unwrap();
    assert!(lock.locked() && by_reference.locked());
    by_reference.notify_all(&guard);
}

/// A primitive belongs to no loop, so two loops of one thread can share it. Sharing it between
/// threads does not compile (see the crate's page).
#[test]
fn ambiguous_loops() {
    let (one, other) = (TestLoop::new(), TestLoop::new());
    let (condition, trace) = (condition(), Trace::new());
    let task = waiter(&one, condition, &trace, 1);
    one.tick();
    let notifier = other.spawn(async move {
        condition.notify_all(&condition.lock().await);
    });
    other.run();
    assert!(notifier.done() && !task.done());
    one.run();
    assert!(task.done());
}

/// A wait with the lock times out: the timeout is reported, and the lock is free from the timeout
/// on.
#[test]
fn timeout_in_block() {
    let of = TestLoop::new();
    let condition = condition();
    let task = of.spawn(async move {
        let guard = condition.lock().await;
        let mut wait = Box::pin(condition.wait(guard));
        assert!(futures::poll!(&mut wait).is_pending());
        assert!(!condition.locked());
        drop(wait); // the timeout
        "timed out"
    });
    of.run();
    assert_eq!(task.result(), "timed out");
    assert!(!condition.locked());
}

/// A cancellation during the wait for the notification takes effect without another await.
#[test]
fn cancelled_error_wakeup() {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let task = waiter(&of, condition, &trace, 1);
    of.tick();
    let _main = held(condition);
    // The lock is held, so asyncio's wait would have to wait for it.
    assert!(task.cancel());
    assert_eq!(condition.waiters(), 0);
}

/// The same for a cancellation while the wait takes the lock again.
#[test]
fn cancelled_error_re_aquire() {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let task = waiter(&of, condition, &trace, 1);
    of.tick();
    let main = held(condition);
    condition.notify(&main, 1);
    of.tick();
    assert!(task.cancel());
    drop(main);
    assert!(!condition.locked());
}

/// A task is notified and cancelled in one turn: the notification goes to another task.
#[test]
fn cancelled_wakeup() {
    passes_on(|_| {});
}

/// The same when the notified task already waits for the lock.
#[test]
fn cancelled_wakeup_relock() {
    passes_on(|of| {
        of.tick();
    });
}

/// Checks that an item is consumed although the notified consumer is cancelled after `meanwhile`.
fn passes_on(meanwhile: impl Fn(&TestLoop)) {
    let of = TestLoop::new();
    let (condition, trace) = (condition(), Trace::new());
    let consumers = [1, 2, 3].map(|name| {
        let trace = trace.clone();
        of.spawn(async move {
            let guard = condition.lock().await;
            let mut guard = condition.wait_for(guard, |items| *items > 0).await;
            *guard -= 1;
            trace.note(format!("{name} has an item"));
            yield_now().await;
        })
    });
    of.run();
    let mut main = held(condition);
    *main = 1;
    condition.notify(&main, 1);
    meanwhile(&of);
    consumers[0].cancel();
    drop(main);
    of.run();
    assert_eq!(trace.take(), ["2 has an item"]);
    assert_eq!(*held(condition), 0);
    assert_eq!(condition.waiters(), 1);
}
