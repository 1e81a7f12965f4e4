//! `BarrierTests`, for five parties unless a test says otherwise.

use std::cell::Cell;
use std::rc::Rc;

use asyncio_sync::{Barrier, BrokenBarrier};
use asyncio_testkit::poll_once;

use crate::shared::{Task, TestLoop, Trace, yield_now};

const N: usize = 5;

fn barrier() -> Rc<Barrier> {
    Rc::new(Barrier::new(N))
}

fn waiter(of: &TestLoop, barrier: &Rc<Barrier>) -> Task<Result<usize, BrokenBarrier>> {
    let barrier = Rc::clone(barrier);
    of.spawn(async move { barrier.wait().await })
}

fn waiters<const COUNT: usize>(
    of: &TestLoop,
    barrier: &Rc<Barrier>,
) -> [Task<Result<usize, BrokenBarrier>>; COUNT] {
    [(); COUNT].map(|()| waiter(of, barrier))
}

/// Asserts that no task waits and that the barrier is not broken.
#[track_caller]
fn assert_idle(barrier: &Barrier) {
    assert_eq!(barrier.n_waiting(), 0);
    assert!(!barrier.broken());
}

/// Each waiting task gets a unique index from 0 to 4. Afterwards no task waits.
#[test]
fn context_manager() {
    let of = TestLoop::new();
    let barrier = barrier();
    let tasks = waiters::<N>(&of, &barrier);
    of.run();
    let mut indices = tasks.map(|task| task.result().unwrap());
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_idle(&barrier);
}

/// A barrier for one party can be used again at once.
#[test]
fn filling_one_task_twice() {
    let of = TestLoop::new();
    let barrier = Rc::new(Barrier::new(1));
    let first = waiter(&of, &barrier);
    of.tick();
    assert_eq!(first.result(), Ok(0));
    assert_eq!(barrier.n_waiting(), 0);
    let second = waiter(&of, &barrier);
    of.tick();
    assert_eq!(second.result(), Ok(0));
    assert_idle(&barrier);
}

/// The number of waiting tasks grows one by one. The last task to arrive releases all, and it is 0.
#[test]
fn filling_task_by_task() {
    let of = TestLoop::new();
    let barrier = barrier();
    let mut tasks = Vec::new();
    for waiting in 1..N {
        tasks.push(waiter(&of, &barrier));
        of.tick();
        assert_eq!(barrier.n_waiting(), waiting);
    }
    tasks.push(waiter(&of, &barrier));
    of.tick();
    assert_eq!(barrier.n_waiting(), 0);
    of.tick();
    assert!(tasks.iter().all(Task::done));
    assert_idle(&barrier);
}

/// Tasks that arrive while others are still leaving wait until these have left, and belong to the
/// next round.
#[test]
fn blocking_tasks_while_draining() {
    let of = TestLoop::new();
    let (barrier, trace) = (barrier(), Trace::new());
    for name in 0..N {
        let (barrier, trace) = (Rc::clone(&barrier), trace.clone());
        of.spawn(async move {
            for round in 1..=2 {
                barrier.wait().await.unwrap();
                trace.note(format!("round {round}"));
                if name < 2 {
                    continue; // wait again at once
                }
                yield_now().await;
            }
        });
    }
    // All arrive, and the last task leaves.
    of.tick();
    assert_eq!(trace.take(), ["round 1"]);
    // The first two tasks leave and arrive again while the others leave.
    of.tick();
    assert_eq!(trace.take(), ["round 1"; 4]);
    of.run();
    assert_eq!(trace.take(), ["round 2"; 5]);
    assert_idle(&barrier);
}

/// Cancelling a waiting task while the round fills makes the count one less and does not break the
/// barrier: two more tasks complete the round.
#[test]
fn filling_tasks_cancel_one() {
    let of = TestLoop::new();
    let barrier = Rc::new(Barrier::new(3));
    let first = waiter(&of, &barrier);
    of.tick();
    let second = waiter(&of, &barrier);
    of.tick();
    assert_eq!(barrier.n_waiting(), 2);

    second.cancel();
    assert_eq!(barrier.n_waiting(), 1);
    assert!(!barrier.broken());

    let third = waiter(&of, &barrier);
    of.tick();
    assert_eq!(barrier.n_waiting(), 2);
    let fourth = waiter(&of, &barrier);
    of.tick();
    of.tick();
    // Another task gets the index of the cancelled task.
    assert_eq!(
        [first, third, fourth].map(|task| task.result()),
        [Ok(0), Ok(1), Ok(2)]
    );
    assert_idle(&barrier);
}

/// Resetting a barrier without waiting tasks has no effect.
#[test]
fn reset_barrier() {
    let barrier = Barrier::new(1);
    barrier.reset();
    assert_idle(&barrier);
}

/// A reset while tasks of a complete round have not left and others wait for the next round. The
/// former get an error, and the latter continue. With tasks that arrive again, they fill the next
/// round.
#[test]
fn reset_barrier_when_tasks_half_draining_half_blocking() {
    let of = TestLoop::new();
    let (barrier, trace, passed) = (barrier(), Trace::new(), Rc::new(Cell::new(0)));
    for _ in 0..N {
        let (barrier, trace, passed) = (Rc::clone(&barrier), trace.clone(), Rc::clone(&passed));
        of.spawn(async move {
            if barrier.wait().await.is_err() {
                trace.note("broken");
                return trace.note(format!("next round: {}", barrier.wait().await.is_ok()));
            }
            passed.set(passed.get() + 1);
            if passed.get() == 3 {
                barrier.reset();
                trace.note("reset");
            } else {
                trace.note("passed");
            }
            trace.note(format!("next round: {}", barrier.wait().await.is_ok()));
        });
    }
    of.run();
    let mut notes = trace.take();
    let next_round = notes.split_off(5);
    assert_eq!(notes, ["passed", "passed", "reset", "broken", "broken"]);
    assert_eq!(next_round, ["next round: true"; 5]);
    assert_idle(&barrier);
}

/// Tasks that got an error from a reset can wait again at once, and another task completes the new
/// round.
#[test]
fn reset_barrier_while_tasks_waiting_and_waiting_again() {
    let of = TestLoop::new();
    let barrier = barrier();
    let tasks = [(); N - 1].map(|()| {
        let barrier = Rc::clone(&barrier);
        of.spawn(async move {
            assert_eq!(barrier.wait().await, Err(BrokenBarrier));
            barrier.wait().await
        })
    });
    of.tick();
    assert_eq!(barrier.n_waiting(), N - 1);
    barrier.reset();
    of.run();
    assert_eq!(barrier.n_waiting(), N - 1);
    let last = waiter(&of, &barrier);
    of.run();
    assert_eq!(last.result(), Ok(N - 1));
    assert!(tasks.iter().all(|task| task.result().is_ok()));
    assert_idle(&barrier);
}

/// A reset by the last task to leave affects no task, and later rounds work.
#[test]
fn reset_barrier_while_tasks_draining() {
    let of = TestLoop::new();
    let (barrier, left) = (barrier(), Rc::new(Cell::new(0)));
    let tasks = [(); N].map(|()| {
        let (barrier, left) = (Rc::clone(&barrier), Rc::clone(&left));
        of.spawn(async move {
            barrier.wait().await.unwrap();
            left.set(left.get() + 1);
            if left.get() == N {
                barrier.reset();
            }
            barrier.wait().await
        })
    });
    of.run();
    assert!(tasks.iter().all(|task| task.result().is_ok()));
    assert_idle(&barrier);
}

/// An abort while some tasks of a complete round have not left and others wait for the next round:
/// all of them get an error.
#[test]
fn abort_barrier_when_tasks_half_draining_half_blocking() {
    let of = TestLoop::new();
    let (barrier, trace, passed) = (barrier(), Trace::new(), Rc::new(Cell::new(0)));
    for _ in 0..N {
        let (barrier, trace, passed) = (Rc::clone(&barrier), trace.clone(), Rc::clone(&passed));
        of.spawn(async move {
            if barrier.wait().await.is_err() {
                return trace.note("broken inside");
            }
            passed.set(passed.get() + 1);
            if passed.get() == 3 {
                return barrier.abort();
            }
            if barrier.wait().await.is_err() {
                trace.note("broken outside");
            }
        });
    }
    of.run();
    let mut notes = trace.take();
    notes.sort_unstable();
    let expected = [
        "broken inside",
        "broken inside",
        "broken outside",
        "broken outside",
    ];
    assert_eq!(notes, expected);
    assert!(barrier.broken());
    assert_eq!(barrier.n_waiting(), 0);
}

/// A task that fails before it has arrived aborts the barrier: the others get an error.
#[test]
fn abort_barrier_when_exception() {
    let of = TestLoop::new();
    let barrier = barrier();
    let tasks = waiters::<{ N - 1 }>(&of, &barrier);
    let failing = Rc::clone(&barrier);
    of.spawn(async move {
        yield_now().await;
        failing.abort();
    });
    of.run();
    assert_eq!(tasks.map(|task| task.result()), [Err(BrokenBarrier); N - 1]);
    assert!(barrier.broken());
    assert_eq!(barrier.n_waiting(), 0);
}

/// An aborted barrier can be used again after a reset.
#[test]
fn abort_barrier_when_exception_then_resetting() {
    let of = TestLoop::new();
    let barrier = barrier();
    let broken = waiters::<{ N - 1 }>(&of, &barrier);
    of.tick();
    barrier.abort();
    of.run();
    assert!(broken.iter().all(|task| task.result().is_err()));
    let refused = waiter(&of, &barrier);
    of.tick();
    assert_eq!(refused.result(), Err(BrokenBarrier));

    barrier.reset();
    let tasks = waiters::<N>(&of, &barrier);
    of.run();
    assert!(tasks.iter().all(|task| task.result().is_ok()));
    assert_idle(&barrier);
}

/// An aborted round leaves before the next one begins, also if the barrier is reset meanwhile.
#[test]
fn reset_barrier_before_the_aborted_tasks_have_left() {
    let of = TestLoop::new();
    let barrier = barrier();
    assert_eq!(barrier.parties(), N);
    let broken = waiters::<{ N - 1 }>(&of, &barrier);
    of.tick();
    barrier.abort();
    barrier.reset();
    let mut early = Box::pin(barrier.wait());
    assert!(poll_once(early.as_mut()).is_pending());
    assert_eq!(barrier.n_waiting(), 0, "the broken round has not left");
    of.run();
    assert!(broken.iter().all(|task| task.result().is_err()));
    assert!(poll_once(early.as_mut()).is_pending());
    assert_eq!(barrier.n_waiting(), 1);
    let tasks = waiters::<{ N - 1 }>(&of, &barrier);
    of.run();
    assert!(tasks.iter().all(|task| task.result().is_ok()));
    assert!(poll_once(early.as_mut()).is_ready());
    drop(early);
    assert_idle(&barrier);
}
