//! A time limit that no clock reaches does not come; one from before the loop was made reads back as it was.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use asyncio_executors::{
    TimedOut, TimeoutHandle, move_on_after, staggered_race, timeout, timeout_at, timeout_scope,
    wait_for,
};
use asyncio_loop::{Builder, run_with, sleep, spawn, time};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn run_virtual(main: impl Future<Output = ()>) {
    run_with(Builder::default().virtual_time(true), main);
}

/// Work that takes longer than the scale of loop time has years for a limit.
async fn five_centuries() {
    sleep(500 * YEAR).await;
}

#[test]
fn work_under_a_limit_without_end_comes_to_its_own() {
    run_virtual(async {
        let start = time();
        assert_eq!(timeout(Duration::MAX, five_centuries()).await, Ok(()));
        assert_eq!(time() - start, 500 * YEAR);
    });
    run_virtual(async {
        let far = time() + 600 * YEAR;
        assert_eq!(timeout_at(far, five_centuries()).await, Ok(()));
    });
    run_virtual(async {
        assert_eq!(wait_for(five_centuries(), Duration::MAX).await, Ok(()));
    });
    run_virtual(async {
        assert_eq!(
            move_on_after(Duration::MAX, five_centuries()).await,
            Some(())
        );
    });
    run_virtual(async {
        let far = time() + 600 * YEAR;
        assert_eq!(timeout(Duration::MAX, pending::<()>()).when(), None);
        assert_eq!(timeout_at(far, pending::<()>()).when(), None);
        let limited = timeout_scope(Some(time() + YEAR), async |limit: TimeoutHandle| {
            limit.reschedule(Some(far)).unwrap();
            assert_eq!(limit.when(), None);
            five_centuries().await;
        });
        assert_eq!(limited.await, Ok(()));
    });
}

#[test]
fn with_a_delay_without_end_the_next_contender_starts_when_one_has_failed() {
    run_virtual(async {
        let start = time();
        let started = Cell::new(0);
        let contenders = (0..2).map(|n| {
            let started = &started;
            move || async move {
                started.set(started.get() + 1);
                five_years(n).await
            }
        });
        async fn five_years(n: u32) -> Result<u32, &'static str> {
            sleep(5 * YEAR).await;
            if n == 0 { Err("refused") } else { Ok(n) }
        }
        let race = staggered_race(contenders, Some(Duration::MAX)).await;
        assert_eq!((race.winner, started.get()), (Some((1, 1)), 2));
        assert_eq!(time() - start, 10 * YEAR);
    });
}

#[test]
fn a_limit_from_before_the_loop_was_made_reads_back_as_it_was_given() {
    run_virtual(async {
        let before = time() - Duration::from_secs(3);
        let limited = timeout_at(before, pending::<()>());
        assert_eq!(limited.when(), Some(before));
        assert_eq!(limited.await, Err(TimedOut));
        let limited = timeout_scope(Some(before), async |limit: TimeoutHandle| {
            assert_eq!(limit.when(), Some(before));
            pending::<()>().await;
        });
        assert_eq!(limited.await, Err(TimedOut));
    });
}

#[test]
fn a_limit_without_end_lets_its_work_be_cancelled() {
    run_virtual(async {
        let task = spawn(timeout(Duration::MAX, pending::<()>()));
        sleep(YEAR).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}
