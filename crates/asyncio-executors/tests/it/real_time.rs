//! Time limits on a real clock, where a timer is armed only once there is something to wait for.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_executors::{TimedOut, catch_cancel, timeout, timeout_at, wait_for};
use asyncio_loop::{Runner, run, sleep, spawn, time, yield_now};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn what_is_ready_is_over_at_once() {
    let outcome = run(async {
        let mut polls = 0;
        let mut limited = pin!(timeout(SHORT, ready(5)));
        let outcome = poll_fn(|cx| {
            polls += 1;
            limited.as_mut().poll(cx)
        })
        .await;
        (outcome, polls)
    });
    assert_eq!(outcome, (Ok(5), 1));
}

#[test]
fn what_takes_too_long_is_cancelled_and_waited_for() {
    let steps = run(async {
        let steps = Cell::new(0);
        let work = async {
            if let Err(cancelled) = catch_cancel(pending::<()>()).await {
                yield_now().await;
                steps.set(steps.get() + 1);
                cancelled.resume().await;
            }
        };
        assert_eq!(timeout(SHORT, work).await, Err(TimedOut));
        steps.get()
    });
    assert_eq!(steps, 1);
}

#[test]
fn what_is_done_in_time_leaves_no_timer_that_strikes_later() {
    let value = run(async {
        let value = timeout(SHORT * 10, sleep(SHORT)).await;
        assert_eq!(value, Ok(()));
        // Long enough for a timer that was left behind.
        catch_cancel(sleep(SHORT * 15)).await.is_ok()
    });
    assert!(value);
}

/// How often something is polled that never is ready.
async fn polls_under(limit: impl AsyncFnOnce(&dyn Fn()) -> Result<(), TimedOut>) -> u32 {
    let polls = Cell::new(0);
    let outcome = limit(&|| polls.set(polls.get() + 1)).await;
    assert_eq!(outcome, Err(TimedOut));
    polls.get()
}

#[test]
fn a_limit_that_is_past_allows_one_poll() {
    let polls = run(async {
        let at_once = polls_under(async |polled| {
            let never = poll_fn(|_| {
                polled();
                Poll::<()>::Pending
            });
            timeout(Duration::ZERO, never).await
        })
        .await;
        // In time when it is made, and past when it is first polled.
        let meanwhile = polls_under(async |polled| {
            let limited = timeout(
                SHORT,
                poll_fn(|_| {
                    polled();
                    Poll::<()>::Pending
                }),
            );
            std::thread::sleep(SHORT);
            sleep(SHORT).await;
            limited.await
        })
        .await;
        (at_once, meanwhile)
    });
    assert_eq!(polls, (1, 1));
}

#[test]
fn of_nested_limits_the_outermost_reports() {
    run(async {
        let nested = timeout(SHORT, timeout(SHORT, pending::<()>()));
        assert_eq!(nested.await, Err(TimedOut));
        let inner_first = timeout(LONG, timeout(SHORT, pending::<()>()));
        assert_eq!(inner_first.await, Ok(Err(TimedOut)));
        let at = time() + SHORT;
        let together = timeout_at(at, timeout_at(at, pending::<()>()));
        assert_eq!(together.await, Err(TimedOut));
    });
}

#[test]
fn of_a_limit_and_a_sleep_to_the_same_moment_the_limit_comes_first() {
    run(async {
        let at = time() + SHORT;
        let limited = timeout_at(at, asyncio_loop::sleep_until(at));
        assert_eq!(limited.await, Err(TimedOut));
    });
}

#[test]
fn a_request_from_outside_passes_through() {
    let outcome = run(async {
        let waits = spawn(async { wait_for(sleep(LONG), LONG).await });
        yield_now().await;
        assert!(waits.cancel());
        waits.await
    });
    assert!(outcome.unwrap_err().is_cancelled());
}

#[test]
fn a_limit_around_a_limit_that_was_ready_still_strikes() {
    run(async {
        let work = async {
            for _ in 0..100 {
                timeout(LONG, ready(())).await.unwrap();
            }
            pending::<()>().await;
        };
        assert_eq!(timeout(SHORT, work).await, Err(TimedOut));
    });
}

// Proves rule 12.
#[test]
#[should_panic(expected = "a time limit is polled by a task")]
fn outside_of_any_task_even_what_is_ready_is_refused() {
    let mut runner = Runner::new().unwrap();
    let made = poll_fn(|_| Poll::Ready(timeout(LONG, ready(5))));
    let limited = runner.run(made).unwrap();
    let _ = pin!(limited).poll(&mut Context::from_waker(Waker::noop()));
}

#[allow(
    clippy::async_yields_async,
    reason = "what outlives its run has to get out of it"
)]
#[test]
fn a_limit_of_another_loop_is_a_panic_and_not_a_hang() {
    let limits = [
        || timeout(LONG, pending::<()>()),
        || timeout_at(time() + LONG, pending::<()>()),
    ];
    for limit in limits {
        let made_elsewhere = run(async { limit() });
        let panic = catch_unwind(AssertUnwindSafe(|| run(made_elsewhere))).unwrap_err();
        let message = panic.downcast_ref::<String>().expect("a text");
        assert!(
            message.contains("belongs to another event loop"),
            "{message}"
        );
    }
    // A wait without a limit belongs to all of them.
    let unlimited = run(async { wait_for(yield_now(), None) });
    assert_eq!(run(unlimited), Ok(()));
}

/// Each limit is over before the first poll ends. After many of them, the first poll steps back and has not begun the
/// work.
#[test]
fn a_limit_that_is_over_at_once_leaves_the_work_one_poll() {
    const INSTANT: Duration = Duration::from_nanos(1);
    let late = run(async {
        for _ in 0..600 {
            assert_eq!(timeout(INSTANT, ready(7)).await, Ok(7));
        }
        let mut polls = 0;
        timeout(INSTANT, poll_fn(|_| late_at_the_second(&mut polls))).await
    });
    assert_eq!(late, Err(TimedOut));
}

/// Blocks beyond the limit, and would be ready at the second poll.
fn late_at_the_second(polls: &mut u32) -> Poll<()> {
    *polls += 1;
    std::thread::sleep(Duration::from_millis(1));
    match polls {
        1 => Poll::Pending,
        _ => Poll::Ready(()),
    }
}
