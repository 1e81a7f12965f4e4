//! Tests of tests: reports to the exception handler, control of virtual time, instants of the wrong clock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use asyncio::testing::{advance, take_reports};
use asyncio::{
    call_at, interval_at, set_exception_handler, sleep, sleep_until, spawn, time, timeout,
    timeout_at, yield_now,
};
use asyncio_tests::{ms, secs};

mod reports {
    use super::*;

    #[asyncio::test]
    async fn are_taken_and_name_task_and_place() {
        let options = asyncio::SpawnOptions::new().name("mailer");
        asyncio::spawn_with(options, async { Err::<(), _>("no route") }).detach();
        yield_now().await;
        let reports = take_reports();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].contains("no route"), "{reports:?}");
        assert!(reports[0].contains("mailer, spawned at"), "{reports:?}");
        assert!(reports[0].contains("testing.rs"), "{reports:?}");
        assert!(take_reports().is_empty());
    }

    #[asyncio::test]
    #[should_panic(expected = "the exception handler was called in this test")]
    async fn that_are_left_fail_the_test() {
        spawn(async { Err::<(), _>("no route") }).detach();
        yield_now().await;
    }

    #[asyncio::test]
    #[should_panic(expected = "no route")]
    async fn that_come_while_the_loop_closes_fail_the_test() {
        spawn(asyncio::on_cancel(std::future::pending::<()>(), async {
            spawn(async { Err::<(), _>("no route") }).detach();
            yield_now().await;
        }))
        .detach();
        yield_now().await;
    }

    #[asyncio::test]
    async fn go_to_a_handler_of_the_test() {
        let count = Rc::new(Cell::new(0));
        let counted = count.clone();
        set_exception_handler(move |_| counted.set(counted.get() + 1));
        spawn(async { Err::<(), _>("no route") }).detach();
        yield_now().await;
        assert_eq!(count.get(), 1);
        assert!(take_reports().is_empty());
    }
}

mod virtual_time {
    use super::*;

    #[asyncio::test]
    async fn advances_at_once_and_timers_come_late_in_order() {
        let (start, seen) = (time(), Rc::new(RefCell::new(Vec::new())));
        for n in [3, 1, 2] {
            let seen = seen.clone();
            spawn(async move {
                sleep(secs(n)).await;
                seen.borrow_mut().push((n, (time() - start).as_secs()));
            })
            .detach();
        }
        yield_now().await;
        advance(secs(10)).await;
        assert_eq!(*seen.borrow(), [(1, 10), (2, 10), (3, 10)]);
        assert_eq!(time() - start, secs(10));
    }

    #[asyncio::test]
    #[should_panic(expected = "virtual time has no")]
    async fn has_an_end() {
        advance(std::time::Duration::MAX).await;
    }

    #[asyncio::test(clock = "real")]
    #[should_panic(expected = "only virtual time can be advanced")]
    async fn is_no_real_time() {
        advance(secs(1)).await;
    }
}

mod wrong_clock {
    use super::*;

    #[asyncio::test]
    async fn is_reported_with_the_task() {
        type Use = fn(Instant);
        let uses: [(&str, Use); 4] = [
            ("a limit", |when| drop(timeout_at(when, async {}))),
            ("a sleep", |when| drop(sleep_until(when))),
            ("a callback", |when| drop(call_at(when, || ()))),
            ("an interval", |when| drop(interval_at(when, secs(1)))),
        ];
        for (what, give) in uses {
            let options = asyncio::SpawnOptions::new().name(what);
            let task = asyncio::spawn_with(options, async move { give(Instant::now() + secs(5)) });
            task.await.unwrap();
            sleep(ms(1)).await;
            let reports = take_reports();
            assert_eq!(reports.len(), 1, "{what}: {reports:?}");
            assert!(
                reports[0].contains("count from `asyncio::time()`"),
                "{reports:?}"
            );
            assert!(reports[0].contains(what), "{reports:?}");
        }
    }

    #[asyncio::test]
    #[should_panic(expected = "count from `asyncio::time()`")]
    async fn fails_a_test_that_ends_at_once() {
        let late = timeout_at(Instant::now() + secs(5), std::future::pending::<()>());
        assert!(late.await.is_err());
    }

    #[asyncio::test]
    async fn is_not_the_past_of_the_loop() {
        let start = time();
        sleep(secs(1_000_000)).await;
        assert!(
            timeout_at(start, std::future::pending::<()>())
                .await
                .is_err()
        );
        sleep_until(start - secs(3600)).await;
        assert!(
            timeout(secs(1), sleep_until(time() + secs(2)))
                .await
                .is_err()
        );
    }

    #[asyncio::test(clock = "real")]
    async fn is_right_on_real_time() {
        assert!(
            timeout_at(Instant::now() + ms(1), std::future::pending::<()>())
                .await
                .is_err()
        );
        sleep_until(Instant::now()).await;
    }
}
