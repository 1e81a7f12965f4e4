//! `wait` and `as_completed`.

use std::time::Duration;

use asyncio::{
    JoinError, ReturnWhen, Task, as_completed, sleep, spawn, time, timeout, wait,
    wait_with_timeout, yield_now,
};
use asyncio_tests::{forever, ms, panic_of, run_virtual};
use futures::StreamExt;

type Outcome = Result<u64, &'static str>;

/// A task that returns after so many milliseconds.
fn after(n: u64) -> Task<Outcome> {
    spawn(async move {
        sleep(ms(n)).await;
        Ok(n)
    })
}

/// A task that fails after so many milliseconds.
fn fails_after(n: u64) -> Task<Outcome> {
    spawn(async move {
        sleep(ms(n)).await;
        Err("failed")
    })
}

async fn values(done: Vec<Task<Outcome>>) -> Vec<Outcome> {
    let mut values = Vec::new();
    for task in done {
        values.push(task.await.unwrap());
    }
    values
}

/// `wait` returns when all are done, with all of them; for tasks that are done it takes no time.
#[test]
fn wait_() {
    run_virtual(async |_| {
        let start = time();
        let mut tasks = vec![after(100), after(150)];
        let mut done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        assert!(tasks.is_empty());
        assert_eq!(time() - start, ms(150));
        let again = wait(&mut done, ReturnWhen::AllCompleted).await;
        assert!(done.is_empty());
        assert_eq!(time() - start, ms(150));
        assert_eq!(values(again).await, [Ok(100), Ok(150)]);
    });
}

/// No tasks to wait for are an error. (The mode is an enum.)
#[test]
fn wait_errors() {
    let refused = panic_of(|| {
        run_virtual(async |_| {
            wait(&mut Vec::<Task<()>>::new(), ReturnWhen::AllCompleted).await;
        })
    });
    assert_eq!(refused, "`wait` needs at least one task");
}

/// The first completion is enough; the others stay, and go on.
#[test]
fn wait_first_completed() {
    run_virtual(async |_| {
        let start = time();
        let mut tasks = vec![after(10_000), after(100)];
        let done = wait(&mut tasks, ReturnWhen::FirstCompleted).await;
        assert_eq!(time() - start, ms(100));
        assert_eq!(values(done).await, [Ok(100)]);
        assert!(!tasks[0].is_finished());
        let rest = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        assert_eq!(time() - start, ms(10_000));
        assert_eq!(values(rest).await, [Ok(10_000)]);
    });
}

/// Tasks that ended before the waiting task has its turn are done as well.
#[test]
fn wait_really_done() {
    run_virtual(async |_| {
        // All three end in the batch in which the first of them wakes the waiting task.
        let mut tasks: Vec<Task<Outcome>> = (0..3).map(|n| spawn(async move { Ok(n) })).collect();
        let done = wait(&mut tasks, ReturnWhen::FirstCompleted).await;
        assert_eq!((done.len(), tasks.len()), (3, 0));
        assert_eq!(values(done).await, [Ok(0), Ok(1), Ok(2)]);
    });
}

/// A task that has failed already ends the wait for the first failure at once. A task that fails ends it then, and a
/// cancelled task does not.
#[test]
fn wait_first_exception() {
    run_virtual(async |_| {
        let mut tasks = vec![after(10_000), fails_after(0)];
        yield_now().await;
        yield_now().await;
        let start = time();
        let done = wait(&mut tasks, ReturnWhen::FirstError).await;
        assert_eq!(time(), start);
        assert_eq!(values(done).await, [Err("failed")]);

        let mut tasks = vec![after(10_000), after(10), fails_after(100)];
        let done = wait(&mut tasks, ReturnWhen::FirstError).await;
        assert_eq!(time() - start, ms(100));
        assert_eq!(values(done).await, [Ok(10), Err("failed")]);

        let mut tasks = vec![after(10_000), after(10)];
        tasks[0].cancel();
        let done = wait(&mut tasks, ReturnWhen::FirstError).await;
        assert_eq!(time() - start, ms(110));
        assert_eq!(done.len(), 2);
    });
}

/// Waiting for all raises nothing: the ones that failed are among those that are done.
#[test]
fn wait_with_exception() {
    run_virtual(async |_| {
        let start = time();
        let mut tasks = vec![after(100), fails_after(150)];
        let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        assert_eq!(time() - start, ms(150));
        assert_eq!(values(done).await, [Ok(100), Err("failed")]);
    });
}

/// A task that completes at the very time of the timeout is done.
#[test]
fn wait_concurrent_complete() {
    run_virtual(async |_| {
        let start = time();
        let mut tasks = vec![after(150), after(100)];
        yield_now().await; // they sleep, before the limit is set
        let done = wait_with_timeout(&mut tasks, ReturnWhen::AllCompleted, ms(100)).await;
        assert_eq!(time() - start, ms(100));
        assert_eq!(values(done).await, [Ok(100)]);
        assert_eq!(tasks.len(), 1);
    });
}

/// The tasks of an iterator are collected, and waited for.
#[test]
fn wait_with_iterator_of_tasks() {
    run_virtual(async |_| {
        let mut tasks = [after(1), after(2)].into_iter().collect();
        let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        assert_eq!(values(done).await, [Ok(1), Ok(2)]);
        let given: Vec<_> = as_completed([after(2), after(1)]).collect().await;
        assert_eq!(values(given).await, [Ok(1), Ok(2)]);
    });
}

/// So are tasks that a lazy iterator spawns.
#[test]
fn wait_generator() {
    run_virtual(async |_| {
        let mut tasks: Vec<_> = (0..10).map(after).collect();
        let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        assert_eq!(values(done).await, (0..10).map(Ok).collect::<Vec<_>>());
        let given: Vec<_> = as_completed((0..10).rev().map(after)).collect().await;
        assert_eq!(values(given).await, (0..10).map(Ok).collect::<Vec<_>>());
    });
}

/// Those that are in time are given first, then the limit is over.
#[test]
fn as_completed_with_timeout() {
    let seen = run_virtual(async |trace| {
        let start = time();
        let mut stream = as_completed([after(100), after(150)]);
        let limited = timeout(ms(120), async {
            while let Some(task) = stream.next().await {
                trace.note(format!("{:?}", task.await.unwrap()));
            }
        });
        assert!(limited.await.is_err());
        assert_eq!(time() - start, ms(120));
        let late: Vec<_> = stream.into_remaining();
        assert_eq!(values(late).await, [Ok(150)], "it goes on");
    });
    assert_eq!(seen, ["Ok(100)"]);
}

/// A limit that is not reached is disarmed.
#[test]
fn as_completed_with_unused_timeout() {
    let mut event_loop = asyncio::EventLoop::builder()
        .virtual_time(true)
        .build_loop()
        .unwrap();
    event_loop
        .run_until_complete(async {
            let all = as_completed([after(10)]).collect::<Vec<_>>();
            let done = timeout(Duration::from_secs(1), all).await.unwrap();
            assert_eq!(values(done).await, [Ok(10)]);
        })
        .unwrap();
    let shown = format!("{event_loop:?}");
    assert!(shown.contains("timers: 0"), "{shown}");
}

/// Outside of a loop it is an error.
#[test]
fn as_completed_coroutine_without_loop() {
    let refused = panic_of(|| spawn(forever()));
    assert!(refused.starts_with("no event loop runs on this thread"));
    let mut event_loop = asyncio::EventLoop::new().unwrap();
    let task = event_loop.spawn(forever());
    let refused = panic_of(|| futures::executor::block_on(as_completed([task]).next()));
    assert!(refused.starts_with("no event loop runs on this thread"));
    event_loop.close();
}

/// Cancelling a task that is being waited for is seen at once, as its outcome.
#[test]
fn a_cancelled_one_is_done() {
    run_virtual(async |_| {
        let mut tasks = vec![after(10_000)];
        tasks[0].cancel();
        let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
        for task in done {
            assert!(matches!(task.await, Err(JoinError::Cancelled(..))));
        }
    });
}
