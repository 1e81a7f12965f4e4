//! `SemaphoreTests`. A task that ends with a permit returns it.

use std::rc::Rc;

use asyncio_sync::{OwnedSemaphorePermit, Semaphore};

use crate::shared::{Task, TestLoop, Trace, yield_now};

fn semaphore(permits: usize) -> Rc<Semaphore> {
    Rc::new(Semaphore::new(permits))
}

fn acquirer(of: &TestLoop, semaphore: &Rc<Semaphore>) -> Task<OwnedSemaphorePermit> {
    of.spawn(Rc::clone(semaphore).acquire_owned())
}

/// Acquires a permit without a guard, as asyncio's tests do. A later `add_permits` releases it.
fn take(semaphore: &Semaphore) {
    semaphore.try_acquire().expect("a permit is free").forget();
}

/// A semaphore without permits is locked at once.
#[test]
fn initial_value_zero() {
    assert!(semaphore(0).locked());
}

/// The `Debug` of a semaphore shows whether it is locked, its permits and the number of waiters.
#[test]
fn repr() {
    let of = TestLoop::new();
    let semaphore = semaphore(1);
    let text = |semaphore: &Semaphore| format!("{semaphore:?}");
    assert_eq!(
        text(&semaphore),
        "Semaphore { locked: false, available_permits: 1, waiters: 0 }"
    );
    take(&semaphore);
    assert_eq!(
        text(&semaphore),
        "Semaphore { locked: true, available_permits: 0, waiters: 0 }"
    );
    acquirer(&of, &semaphore);
    acquirer(&of, &semaphore);
    of.tick();
    assert_eq!(
        text(&semaphore),
        "Semaphore { locked: true, available_permits: 0, waiters: 2 }"
    );
}

/// Two of three permits are taken, the third goes to the first task, and the others wait. Two
/// releases admit exactly two of the three, and no permit is free before they run.
#[test]
fn acquire() {
    let of = TestLoop::new();
    let semaphore = semaphore(3);
    take(&semaphore);
    take(&semaphore);
    assert!(!semaphore.locked());

    let tasks = [1, 2, 3, 4].map(|_| acquirer(&of, &semaphore));
    of.tick();
    let done = || tasks.each_ref().map(Task::done);
    assert_eq!(done(), [true, false, false, false]);
    assert!(semaphore.locked());
    assert_eq!(semaphore.waiters(), 3);

    semaphore.add_permits(2);
    assert_eq!(semaphore.available_permits(), 0);
    of.tick();
    assert_eq!(semaphore.available_permits(), 0);
    assert_eq!(done(), [true, true, true, false]);

    semaphore.add_permits(1);
    of.tick();
    assert_eq!(done(), [true; 4]);
    assert_eq!(semaphore.available_permits(), 0);
}

/// Cancelling the waiting task leaves the wait list empty.
#[test]
fn acquire_cancel() {
    let of = TestLoop::new();
    let semaphore = semaphore(1);
    take(&semaphore);
    let task = acquirer(&of, &semaphore);
    of.tick();
    task.cancel();
    assert_eq!(semaphore.waiters(), 0);
}

/// Two of four waiters are cancelled, and one permit is released in the same turn: the third task
/// is admitted.
#[test]
fn acquire_cancel_before_awoken() {
    let of = TestLoop::new();
    let semaphore = semaphore(0);
    let tasks = [1, 2, 3, 4].map(|_| acquirer(&of, &semaphore));
    of.tick();
    tasks[0].cancel();
    tasks[1].cancel();
    semaphore.add_permits(1);
    of.tick();
    assert_eq!(
        tasks.each_ref().map(Task::done),
        [false, false, true, false]
    );
    tasks[3].cancel();
}

/// The first waiter is cancelled and a permit is released in the same turn: the second task gets
/// it.
#[test]
fn acquire_hang() {
    let of = TestLoop::new();
    let semaphore = semaphore(0);
    let tasks = [1, 2].map(|_| acquirer(&of, &semaphore));
    of.tick();
    tasks[0].cancel();
    semaphore.add_permits(1);
    of.tick();
    assert!(semaphore.locked());
    assert!(tasks[1].done());
}

/// A task is granted a permit and cancelled before it runs: another task gets the permit.
#[test]
fn acquire_no_hang() {
    let of = TestLoop::new();
    let semaphore = semaphore(1);
    let first = of.spawn({
        let semaphore = Rc::clone(&semaphore);
        async move {
            let _permit = semaphore.acquire().await;
            yield_now().await;
        }
    });
    let second = acquirer(&of, &semaphore);
    of.tick();
    of.tick();
    assert!(first.done() && !second.done());
    // The task has been granted the permit, and has not run.
    second.cancel();
    assert_eq!(semaphore.available_permits(), 1);
    let third = acquirer(&of, &semaphore);
    of.tick();
    assert!(third.done());
}

/// Releasing more permits than were acquired does not compile: a permit is moved when it is
/// dropped.
///
/// The crate's page has a `compile_fail` example.
#[test]
fn release_not_acquired() {
    let semaphore = semaphore(2);
    drop((semaphore.try_acquire(), semaphore.try_acquire()));
    drop(semaphore.try_acquire());
    assert_eq!(semaphore.available_permits(), 2);
}

/// A release without waiters frees a permit.
#[test]
fn release_no_waiters() {
    let semaphore = semaphore(1);
    let permit = semaphore.try_acquire();
    assert!(semaphore.locked());
    drop(permit);
    assert!(!semaphore.locked());
}

/// Three tasks acquire the one permit twice each: they take turns, because a task that releases and
/// acquires again is behind the others.
#[test]
fn acquire_fifo_order() {
    let of = TestLoop::new();
    let (semaphore, trace) = (semaphore(1), Trace::new());
    for name in ["first", "second", "third"] {
        let (semaphore, trace) = (Rc::clone(&semaphore), trace.clone());
        of.spawn(async move {
            for round in 1..=2 {
                let _permit = semaphore.acquire().await;
                trace.note(format!("{name} {round}"));
                yield_now().await;
            }
        });
    }
    of.run();
    assert_eq!(
        trace.take(),
        [
            "first 1", "second 1", "third 1", "first 2", "second 2", "third 2"
        ]
    );
}

/// Several permits are released before the first waiter has run. They go to as many waiters as
/// possible, in order. A task that the first waiter spawns comes after them.
#[test]
fn acquire_fifo_order_4() {
    let of = TestLoop::new();
    let (semaphore, trace) = (semaphore(0), Trace::new());
    let acquire = |name: &'static str| {
        let (semaphore, trace) = (Rc::clone(&semaphore), trace.clone());
        async move {
            semaphore.acquire().await.forget();
            trace.note(name);
        }
    };
    let (late, inner) = (acquire("late"), of.clone());
    let first = acquire("first");
    of.spawn(async move {
        first.await;
        inner.spawn(late);
    });
    of.spawn(acquire("second"));
    of.spawn(acquire("third"));
    of.tick();
    assert_eq!(semaphore.waiters(), 3);

    for _ in 0..4 {
        semaphore.add_permits(1);
    }
    // All three tasks have their permits, and one permit is left.
    assert_eq!(semaphore.available_permits(), 1);
    assert_eq!(semaphore.waiters(), 3);
    of.run();
    assert_eq!(trace.take(), ["first", "second", "third", "late"]);
    assert!(semaphore.locked());
}
