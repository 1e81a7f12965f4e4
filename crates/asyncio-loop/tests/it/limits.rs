//! The ends of a test: a standstill, and its limits of real and of virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::{Trace, forever, ms, panic_of, secs};
use asyncio_loop::testing::{Limits, Orders, run_test_within};
use asyncio_loop::{
    Builder, SpawnOptions, running_loop, sleep, spawn, spawn_with, time, yield_now,
};

const SHORT: Limits = Limits::DEFAULT.real(Some(ms(50)));

fn on_virtual_time() -> Builder {
    Builder::default().virtual_time(true)
}

/// The message with which a test fails.
fn failure_of<F: Future<Output = ()>>(
    builder: Builder,
    limits: Limits,
    test: impl Fn() -> F,
) -> String {
    panic_of(|| run_test_within(limits, || builder.clone(), Orders::AsQueued, test))
}

/// The lines of a failure, without the locations.
fn lines(failure: &str) -> Vec<String> {
    let without_place = |line: &str| match (line.find(" (spawned at "), line.find(')')) {
        (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to + 1..]),
        _ => line.to_owned(),
    };
    failure.lines().map(without_place).collect()
}

mod a_standstill {
    use super::*;

    #[test]
    fn fails_and_says_what_each_task_waits_for() {
        let failure = failure_of(on_virtual_time(), Limits::DEFAULT, || async {
            let reader = spawn_with(SpawnOptions::new().name("reader"), forever());
            let logger = async { reader.await.unwrap() };
            let logger = spawn_with(SpawnOptions::new().name("logger"), logger);
            logger.await.unwrap();
        });
        assert_eq!(
            lines(&failure),
            [
                "no task can run, no timer is set, and nothing outside is pending",
                "  Task-1 waits for logger",
                "  reader waits for something that is neither a task nor a timer",
                "  logger waits for reader",
                "registered sources: 0, work under way outside of the loop: 0",
            ]
        );
        // The lines name this file.
        assert_eq!(
            failure.matches("tests/it/limits.rs:").count(),
            3,
            "{failure}"
        );
    }

    #[test]
    fn lists_fifty_tasks_and_counts_the_others() {
        for (others, rest) in [(49, None), (50, Some("  and 1 more tasks"))] {
            let failure = failure_of(on_virtual_time(), Limits::DEFAULT, async || {
                let _others: Vec<_> = (0..others).map(|_| spawn(forever())).collect();
                forever().await;
            });
            let lines = lines(&failure);
            let listed = lines.iter().filter(|line| line.contains(" waits for "));
            assert_eq!(listed.count(), 50);
            let found = lines.iter().find(|line| line.contains("more tasks"));
            assert_eq!(found.map(String::as_str), rest);
        }
    }

    #[test]
    fn fails_under_a_seed_too() {
        let failure = panic_of(|| {
            run_test_within(
                Limits::DEFAULT,
                on_virtual_time,
                Orders::Seeds(&[7]),
                forever,
            );
        });
        assert!(failure.starts_with("no task can run"), "{failure}");
        assert!(failure.contains("tests/it/limits.rs:"), "{failure}");
    }

    #[test]
    fn includes_tasks_that_sleep_forever() {
        let failure = failure_of(on_virtual_time(), Limits::DEFAULT, || {
            sleep_in(Duration::MAX)
        });
        assert!(failure.starts_with("no task can run"), "{failure}");
    }

    #[test]
    fn is_none_while_outside_work_is_pending() {
        run_test_within(
            Limits::DEFAULT,
            on_virtual_time,
            Orders::AsQueued,
            || async {
                let (sender, receiver) = futures::channel::oneshot::channel();
                let work = running_loop().outside_work();
                let thread = std::thread::spawn(move || {
                    std::thread::sleep(ms(1200));
                    sender.send(()).unwrap();
                    drop(work);
                });
                receiver.await.unwrap();
                thread.join().unwrap();
            },
        );
    }
}

async fn sleep_in(duration: Duration) {
    sleep(duration).await;
}

mod a_limit {
    use super::*;

    #[test]
    fn of_real_time_ends_a_test_that_waits() {
        let began = Instant::now();
        let failure = failure_of(Builder::default(), SHORT, || sleep_in(secs(3600)));
        assert!(began.elapsed() >= ms(50));
        let lines = lines(&failure);
        assert_eq!(lines[0], "the test is not over after 50ms");
        assert!(
            lines[1].starts_with("  Task-1 waits for a timer in 3599."),
            "{failure}"
        );
    }

    #[test]
    fn of_real_time_ends_a_test_that_is_busy() {
        for builder in [Builder::default(), on_virtual_time()] {
            let failure = failure_of(builder, SHORT, || async {
                loop {
                    yield_now().await;
                }
            });
            assert!(
                failure.starts_with("the test is not over after 50ms\n"),
                "{failure}"
            );
        }
    }

    #[test]
    fn of_real_time_ends_a_test_in_endless_virtual_time() {
        let failure = failure_of(on_virtual_time(), SHORT.virtual_time(None), || async {
            loop {
                sleep(ms(1)).await;
            }
        });
        assert!(
            failure.starts_with("the test is not over after 50ms\n"),
            "{failure}"
        );
    }

    #[test]
    fn of_virtual_time_is_not_jumped_over() {
        let limits = Limits::DEFAULT.virtual_time(Some(secs(60)));
        let passed = Rc::new(Cell::new(Duration::ZERO));
        let put = passed.clone();
        let failure = failure_of(on_virtual_time(), limits, || {
            let put = put.clone();
            async move {
                let start = time();
                loop {
                    sleep(secs(7)).await;
                    put.set(time() - start);
                }
            }
        });
        let lines = lines(&failure);
        assert_eq!(lines[0], "the test is not over after 60s of virtual time");
        assert_eq!(lines[1], "  Task-1 waits for a timer in 7s");
        assert_eq!(passed.get(), secs(56));
    }

    #[test]
    fn that_is_kept_is_none() {
        let limits = SHORT.virtual_time(Some(secs(60)));
        run_test_within(limits, on_virtual_time, Orders::AsQueued, || {
            sleep_in(secs(60))
        });
        let limits = limits.virtual_time(None);
        run_test_within(limits, on_virtual_time, Orders::AsQueued, || {
            sleep_in(secs(1 << 30))
        });
        let years = secs(9 * 365 * 24 * 3600);
        run_test_within(Limits::DEFAULT, on_virtual_time, Orders::AsQueued, || {
            sleep_in(years)
        });
    }

    #[test]
    fn lets_the_tasks_that_are_left_end_in_order() {
        let trace = Trace::default();
        let failure = failure_of(
            on_virtual_time(),
            Limits::DEFAULT.virtual_time(Some(secs(1))),
            || {
                let dropped = trace.on_drop("dropped");
                async move {
                    let _task = spawn(async move {
                        let _dropped = dropped;
                        forever().await;
                    });
                    sleep(secs(3600)).await;
                }
            },
        );
        assert!(failure.contains("of virtual time"), "{failure}");
        assert_eq!(trace.take(), ["dropped"]);
    }

    #[test]
    fn does_not_hide_the_panic_of_the_test() {
        let failure = failure_of(on_virtual_time(), SHORT, || async {
            panic!("the test's own")
        });
        assert_eq!(failure, "the test's own");
    }
}

#[test]
#[cfg(unix)]
fn real_pace_because_of_a_source_is_reported_once() {
    let trace = Trace::default();
    let mut event_loop = on_virtual_time().build_loop().unwrap();
    crate::support::note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async {
            let (_sender, receiver) = mio::unix::pipe::new().unwrap();
            let source = asyncio_loop::reactor()
                .register(receiver, asyncio_reactor::Interest::READABLE)
                .unwrap();
            let start = time();
            for _ in 0..4 {
                sleep(ms(300)).await; // in real time
            }
            assert_eq!(time() - start, ms(1200));
            drop(source);
            sleep(secs(3600)).await;
        })
        .unwrap();
    let reports = trace.take();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].starts_with("virtual time passes as real time does"),
        "{reports:?}"
    );
}

#[test]
fn a_failure_says_which_tasks_are_ready() {
    let failure = failure_of(Builder::default(), SHORT, async || {
        loop {
            yield_now().await;
        }
    });
    let task = "  Task-1, is ready to run".to_owned();
    assert!(lines(&failure).contains(&task), "{failure}");
}
