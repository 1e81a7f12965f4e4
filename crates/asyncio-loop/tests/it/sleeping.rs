//! Sleeps: never too short, in order of deadlines, reset and removed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::{ms, run_virtual, secs, virtual_loop};
use asyncio_loop::{EventLoop, run, sleep, sleep_until, spawn, time, yield_now};

#[test]
fn a_sleep_is_never_too_short() {
    run(async {
        for micros in [1, 50, 200, 999, 1_000, 1_001, 2_500] {
            let asked = Duration::from_micros(micros);
            let start = Instant::now();
            sleep(asked).await;
            let slept = start.elapsed();
            assert!(slept >= asked, "{slept:?} for {asked:?}");
        }
    });
}

#[test]
fn many_sleeps_in_one_millisecond_are_never_too_short() {
    run(async {
        let tasks: Vec<_> = (0..200_u64)
            .map(|n| {
                spawn(async move {
                    let asked = Duration::from_micros(n * 13);
                    let start = Instant::now();
                    sleep(asked).await;
                    start.elapsed() >= asked
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap());
        }
    });
}

#[test]
fn on_real_time_sleeps_end_in_order_of_deadlines() {
    let woken = Rc::new(RefCell::new(Vec::new()));
    run(async {
        let start = time();
        let tasks: Vec<_> = (0..100_u64)
            .map(|n| {
                let woken = woken.clone();
                let micros = n * 7919 % 5_000;
                spawn(async move {
                    sleep_until(start + Duration::from_micros(micros)).await;
                    woken.borrow_mut().push(micros);
                })
            })
            .collect();
        // All deadlines are known before the first one expires.
        std::thread::sleep(ms(6));
        for task in tasks {
            task.await.unwrap();
        }
    });
    let woken = woken.take();
    assert!(woken.is_sorted(), "{woken:?}");
}

#[test]
fn a_dropped_sleep_removes_its_timer() {
    let mut event_loop = virtual_loop();
    event_loop
        .run_until_complete(async {
            let task = spawn(sleep(secs(1000)));
            yield_now().await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        })
        .unwrap();
    let shown = format!("{event_loop:?}");
    assert!(shown.contains("timers: 0"), "{shown}");
}

#[test]
fn a_sleep_can_be_put_off_while_a_task_waits() {
    run_virtual(async |_| {
        let start = time();
        let mut asleep = Box::pin(sleep(secs(5)));
        assert!(futures::poll!(&mut asleep).is_pending());
        asleep.as_mut().get_mut().reset(start + secs(8));
        assert_eq!(asleep.deadline(), start + secs(8));
        asleep.await;
        assert_eq!(time() - start, secs(8));
    });
}

#[test]
fn a_sleep_can_be_brought_forward_and_used_again() {
    run_virtual(async |_| {
        let start = time();
        let mut asleep = sleep(secs(500));
        assert!(futures::poll!(&mut asleep).is_pending());
        asleep.reset(start + secs(1));
        (&mut asleep).await;
        assert_eq!(time() - start, secs(1));
        assert!(asleep.is_elapsed());
        asleep.reset(start + secs(3));
        assert!(!asleep.is_elapsed());
        asleep.await;
        assert_eq!(time() - start, secs(3));
    });
}

#[test]
fn a_due_sleep_that_is_put_off_before_its_poll_waits_again() {
    run_virtual(async |_| {
        let start = time();
        let mut asleep = Box::pin(sleep(secs(1)));
        assert!(futures::poll!(&mut asleep).is_pending());
        sleep(secs(2)).await;
        assert!(asleep.is_elapsed());
        asleep.as_mut().get_mut().reset(start + secs(4));
        asleep.await;
        assert_eq!(time() - start, secs(4));
    });
}

#[test]
fn a_sleep_counts_from_the_call() {
    run_virtual(async |_| {
        let start = time();
        let early = sleep(secs(3));
        sleep(secs(2)).await;
        early.await;
        assert_eq!(time() - start, secs(3));
    });
}

#[test]
fn a_deadline_that_has_passed_lets_others_run() {
    let trace = run_virtual(async |trace| {
        sleep(secs(2)).await;
        let other = trace.clone();
        let other = spawn(async move { other.note("other") });
        sleep_until(time() - secs(1)).await;
        trace.note("sleeper");
        other.await.unwrap();
    });
    assert_eq!(trace, ["other", "sleeper"]);
}

#[test]
fn the_last_poller_is_woken() {
    run_virtual(async |_| {
        let mut asleep = Box::pin(sleep(secs(1)));
        assert!(futures::poll!(&mut asleep).is_pending()); // main
        spawn(asleep).await.unwrap(); // then another task
    });
}

#[test]
fn a_sleep_of_no_length_is_due_now() {
    run_virtual(async |_| {
        sleep(secs(5)).await;
        assert_eq!(sleep(ms(0)).deadline(), time());
        assert!(format!("{:?}", sleep(ms(0))).starts_with("Sleep { deadline: "));
    });
}

#[test]
fn a_lone_short_sleep_is_not_a_millisecond() {
    if !cfg!(target_os = "linux") {
        return; // the timer resolution is a millisecond there
    }
    let mut event_loop = EventLoop::new().unwrap();
    let mut late: Vec<Duration> = event_loop
        .run_until_complete(async {
            let mut late = Vec::new();
            for _ in 0..51 {
                let start = Instant::now();
                sleep(Duration::from_micros(200)).await;
                late.push(start.elapsed() - Duration::from_micros(200));
            }
            late
        })
        .unwrap();
    late.sort();
    // The median is about 15 µs on an idle machine; a busy machine needs a tolerance.
    assert!(late[25] < Duration::from_micros(700), "{late:?}");
}
