//! The attributes with tokio as host, through the facade.

use std::time::{Duration, Instant};

use asyncio::__private::tokio::run_test_within;
use asyncio::__private::{Limits, Orders};
use asyncio::{TaskGroup, on_cancel, sleep, spawn, task_group, timeout};
use asyncio_tests::{forever, ms, panic_of};

#[asyncio::main(host = "tokio")]
async fn program() -> Result<u32, std::num::ParseIntError> {
    let theirs = tokio::spawn(async { "7" });
    theirs.await.unwrap().parse()
}

#[test]
fn a_program() {
    assert_eq!(program(), Ok(7));
}

/// The workers of a pool are processes of their own, and their sockets sources of our loop.
#[cfg(unix)]
#[asyncio::test(host = "tokio")]
async fn a_pool_of_processes_answers_in_a_guest() {
    let pool = asyncio::ProcessPool::builder().start_timeout(Duration::from_secs(30));
    let pool = pool
        .workers(1)
        .program(env!("CARGO_BIN_EXE_asyncio-test-worker"));
    let pool = pool.build();
    let (ours, theirs) = asyncio::gather((
        pool.run(asyncio_tests::remote::double, 4),
        tokio::spawn(async { 8 }),
    ))
    .await;
    assert_eq!((ours.unwrap(), theirs.unwrap()), (8, 8));
}

#[asyncio::test(host = "tokio")]
async fn a_test_has_the_real_clock() {
    let start = Instant::now();
    sleep(ms(5)).await;
    assert!(start.elapsed() >= ms(5));
}

#[asyncio::test(host = "tokio", clock = "virtual")]
async fn a_virtual_clock_moves_when_it_is_asked_for() {
    sleep(Duration::from_secs(3600)).await;
}

#[asyncio::test(host = "tokio", order = 3)]
async fn a_test_runs_in_several_orders() {
    let tasks = [1, 2, 3].map(|n| {
        spawn(async move {
            tokio::task::yield_now().await;
            n
        })
    });
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    assert_eq!(sum, 6);
}

/// Runs a test body as the attribute does, and returns the message of its failure.
fn failure<F: Future<Output = ()> + 'static>(body: impl Fn() -> F) -> String {
    let limits = Limits::DEFAULT.real(Some(ms(50)));
    panic_of(|| run_test_within(limits, asyncio::Runner::builder, Orders::AsQueued, &body))
}

#[test]
fn a_test_that_takes_too_long_fails_with_its_tasks() {
    let failure = failure(async || {
        spawn(forever()).set_name("hung");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    });
    assert!(
        failure.starts_with("the test is not over after 50ms"),
        "{failure}"
    );
    assert!(failure.contains("tests/it/tokio.rs"), "{failure}");
}

#[test]
fn a_test_that_panics_fails_with_its_panic() {
    let failure = failure(async || {
        tokio::spawn(async {}).await.unwrap();
        panic!("the reason");
    });
    assert_eq!(failure, "the reason");
}

#[asyncio::test(host = "tokio")]
async fn groups_and_limits_hold_around_futures_of_tokio() -> Result<(), asyncio::BoxError> {
    let cleaned = std::cell::Cell::new(0);
    let group = task_group(async |tg: TaskGroup<'_>| {
        for _ in 0..3 {
            tg.spawn(async {
                on_cancel(tokio::time::sleep(Duration::from_secs(3600)), async {
                    tokio::time::sleep(ms(1)).await;
                    cleaned.set(cleaned.get() + 1);
                })
                .await;
                Ok(())
            });
        }
        Ok(())
    });
    assert!(timeout(ms(5), group).await.is_err());
    assert_eq!(cleaned.get(), 3);
    Ok(())
}
