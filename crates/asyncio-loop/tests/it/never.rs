//! A deadline beyond the clock's range never expires, on virtual time either. Deadlines from before
//! the loop was created keep their order.

use std::pin::{Pin, pin};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Trace, ms, poll_once, run_virtual, secs, virtual_loop};
use asyncio_loop::{
    EventLoop, call_at, call_later, interval, interval_at, sleep, sleep_until, time,
};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Durations beyond the scale of loop time, by a nanosecond and by much.
const NEVER: [Duration; 4] = [
    Duration::from_nanos(u64::MAX),
    Duration::from_secs(600 * 365 * 24 * 3600),
    Duration::from_secs(u64::MAX >> 1),
    Duration::MAX,
];

fn in_600_years() -> Instant {
    time() + 600 * YEAR
}

/// Waits for a thread, which alone wakes main. Virtual time stands still meanwhile.
async fn wait_for_a_thread() {
    let (sender, receiver) = futures::channel::oneshot::channel();
    let thread = thread::spawn(move || sender.send(()).unwrap());
    receiver.await.unwrap();
    thread.join().unwrap();
}

mod virtual_time {
    use super::*;

    #[test]
    fn an_endless_sleep_never_ends_and_time_does_not_jump() {
        run_virtual(async |_| {
            let start = time();
            let mut sleeps: Vec<_> = NEVER
                .into_iter()
                .map(|never| Box::pin(sleep(never)))
                .collect();
            sleeps.push(Box::pin(sleep_until(in_600_years())));
            sleeps
                .iter_mut()
                .for_each(|sleep| assert!(poll_once(sleep.as_mut()).is_pending()));
            wait_for_a_thread().await;
            assert_eq!(time(), start);
            sleep(500 * YEAR).await;
            assert_eq!(time() - start, 500 * YEAR, "virtual time is exact");
            for sleep in &mut sleeps {
                assert!(!sleep.is_elapsed() && poll_once(sleep.as_mut()).is_pending());
            }
        });
    }

    #[test]
    fn an_endless_sleep_can_be_reset() {
        run_virtual(async |_| {
            let start = time();
            let mut sleep = pin!(sleep(Duration::MAX));
            assert!(poll_once(sleep.as_mut()).is_pending());
            sleep.reset(start + secs(1));
            sleep.as_mut().await;
            assert_eq!(time() - start, secs(1));
            sleep.reset(in_600_years());
            assert!(poll_once(sleep.as_mut()).is_pending());
            asyncio_loop::sleep(YEAR).await;
            assert!(poll_once(sleep.as_mut()).is_pending());
        });
    }

    #[test]
    fn an_endless_callback_is_not_called_and_can_be_cancelled() {
        let trace = run_virtual(async |trace| {
            let start = time();
            let owned = trace.on_drop("dropped");
            let called_off = call_later(Duration::MAX, move || drop(owned));
            for never in NEVER {
                let trace = trace.clone();
                call_later(never, move || trace.note("called"));
            }
            let noted = trace.clone();
            call_at(in_600_years(), move || noted.note("called"));
            wait_for_a_thread().await;
            assert_eq!(time(), start);
            sleep(YEAR).await;
            called_off.cancel();
            assert!(called_off.is_cancelled());
            assert!(called_off.when() > start + 500 * YEAR);
        });
        assert_eq!(trace, ["dropped"]);
    }

    #[test]
    fn an_endless_interval_ticks_only_once() {
        run_virtual(async |_| {
            let start = time();
            let mut ticks = interval(Duration::MAX);
            assert_eq!(ticks.tick().await, start);
            assert!(poll_once(pin!(ticks.tick())).is_pending());
            sleep(500 * YEAR).await;
            assert!(poll_once(pin!(ticks.tick())).is_pending());
            ticks.reset();
            assert!(poll_once(pin!(ticks.tick())).is_pending());
            let mut late = interval_at(start + 600 * YEAR, secs(1));
            assert!(poll_once(pin!(late.tick())).is_pending());
            wait_for_a_thread().await;
            assert_eq!(time() - start, 500 * YEAR);
        });
    }
}

#[test]
fn on_real_time_an_endless_sleep_never_ends_either() {
    let mut event_loop = EventLoop::new().unwrap();
    let outcome = event_loop.run_until_complete(async {
        let mut sleeps: Vec<Pin<Box<_>>> = NEVER
            .into_iter()
            .map(|never| Box::pin(sleep(never)))
            .collect();
        sleeps.push(Box::pin(sleep_until(in_600_years())));
        call_later(Duration::MAX, || unreachable!());
        sleeps
            .iter_mut()
            .for_each(|sleep| assert!(poll_once(sleep.as_mut()).is_pending()));
        wait_for_a_thread().await;
        sleep(ms(1)).await;
        sleeps.iter().all(|sleep| !sleep.is_elapsed())
    });
    assert!(outcome.unwrap());
}

mod before_the_loop_was_made {
    use super::*;

    #[test]
    fn callbacks_keep_the_order_of_their_deadlines() {
        for mut event_loop in [virtual_loop(), EventLoop::new().unwrap()] {
            let trace = Trace::default();
            let start = event_loop.time();
            for seconds in [1_u64, 3, 2, 3600, 0] {
                let trace = trace.clone();
                let when = start - secs(seconds);
                let handle = event_loop.call_at(when, move || trace.note(seconds.to_string()));
                assert_eq!(handle.when(), when);
            }
            event_loop
                .run_until_complete(async { sleep(ms(1)).await })
                .unwrap();
            assert_eq!(trace.take(), ["3600", "3", "2", "1", "0"]);
        }
    }

    #[test]
    fn a_deadline_reads_back_as_it_was_given() {
        run_virtual(async |_| {
            let start = time();
            for before in [secs(1), YEAR, 30 * YEAR] {
                let mut sleep = pin!(sleep_until(start - before));
                assert_eq!(sleep.deadline(), start - before);
                sleep.as_mut().await;
                sleep.reset(start - before);
                assert_eq!(sleep.deadline(), start - before);
                sleep.await;
                assert_eq!(time(), start);
            }
            let mut ticks = interval_at(start - secs(3), secs(2));
            assert_eq!(ticks.tick().await, start - secs(3));
            assert_eq!(ticks.tick().await, start - secs(1));
            assert_eq!(ticks.tick().await, start + secs(1));
        });
    }
}
