//! Intervals: a steady pace, and three policies for missed ticks.

use std::time::Duration;

use crate::support::{ms, panic_of, run_virtual, secs};
use asyncio_loop::{MissedTicks, interval, interval_at, sleep, time};
use futures::StreamExt;
use futures::future::FusedFuture;

/// Ticks every second with a pause of 3.5 s, and returns when each tick was due and when it came.
fn after_being_away(missed: MissedTicks) -> Vec<String> {
    run_virtual(async move |trace| {
        let start = time();
        let mut ticks = interval(secs(1)).missed_ticks(missed);
        ticks.tick().await;
        sleep(ms(3500)).await;
        for _ in 0..5 {
            let due = ticks.tick().await - start;
            trace.note(format!("{due:?} at {:?}", time() - start));
        }
    })
}

#[test]
fn burst_delivers_all_missed_ticks() {
    assert_eq!(
        after_being_away(MissedTicks::Burst),
        [
            "1s at 3.5s",
            "2s at 3.5s",
            "3s at 3.5s",
            "4s at 4s",
            "5s at 5s"
        ]
    );
}

#[test]
fn skip_keeps_the_schedule() {
    assert_eq!(
        after_being_away(MissedTicks::Skip),
        ["1s at 3.5s", "4s at 4s", "5s at 5s", "6s at 6s", "7s at 7s"]
    );
}

#[test]
fn delay_counts_from_the_late_tick() {
    assert_eq!(
        after_being_away(MissedTicks::Delay),
        [
            "1s at 3.5s",
            "4.5s at 4.5s",
            "5.5s at 5.5s",
            "6.5s at 6.5s",
            "7.5s at 7.5s"
        ]
    );
}

#[test]
fn without_missed_ticks_all_policies_agree() {
    for missed in [MissedTicks::Burst, MissedTicks::Skip, MissedTicks::Delay] {
        run_virtual(async |_| {
            let start = time();
            let mut ticks = interval(secs(2)).missed_ticks(missed);
            for n in 0..5 {
                assert_eq!(ticks.tick().await - start, secs(2 * n));
                assert_eq!(time() - start, secs(2 * n));
            }
            assert_eq!(ticks.period(), secs(2));
        });
    }
}

#[test]
fn a_tick_that_is_exactly_a_period_late_is_missed_once() {
    run_virtual(async |_| {
        let start = time();
        let mut ticks = interval(secs(1)).missed_ticks(MissedTicks::Skip);
        ticks.tick().await;
        sleep(secs(3)).await;
        assert_eq!(ticks.tick().await - start, secs(1));
        assert_eq!(ticks.tick().await - start, secs(4));
    });
}

#[test]
fn an_interval_may_start_later_and_start_over() {
    run_virtual(async |_| {
        let start = time();
        let mut ticks = interval_at(start + secs(10), secs(1));
        assert_eq!(ticks.tick().await - start, secs(10));
        sleep(ms(500)).await;
        ticks.reset();
        assert_eq!(ticks.tick().await - start, ms(11_500));
    });
}

#[test]
fn a_cancelled_tick_is_not_lost() {
    run_virtual(async |_| {
        let start = time();
        let mut ticks = interval(secs(1));
        ticks.tick().await;
        assert!(futures::poll!(Box::pin(ticks.tick())).is_pending());
        assert_eq!(ticks.tick().await - start, secs(1));
    });
}

#[test]
fn a_tick_is_over_when_it_has_come() {
    run_virtual(async |_| {
        let mut ticks = interval(secs(1));
        let mut tick = std::pin::pin!(ticks.tick());
        assert!(!tick.is_terminated());
        tick.as_mut().await;
        assert!(tick.is_terminated());
    });
}

#[test]
fn an_interval_is_a_stream() {
    run_virtual(async |_| {
        let start = time();
        let dues: Vec<_> = interval(secs(1)).take(3).collect().await;
        assert_eq!(dues.last(), Some(&(start + secs(2))));
    });
}

#[test]
fn a_zero_period_panics_and_an_endless_one_never_ticks() {
    run_virtual(async |_| {
        assert_eq!(
            panic_of(|| interval(Duration::ZERO)),
            "`period` of an interval must be above zero"
        );
        for missed in [MissedTicks::Burst, MissedTicks::Skip, MissedTicks::Delay] {
            let mut ticks = interval(Duration::MAX).missed_ticks(missed);
            ticks.tick().await;
            assert!(futures::poll!(Box::pin(ticks.tick())).is_pending());
        }
    });
}

#[test]
fn a_tiny_period_missed_for_long_keeps_the_schedule() {
    // Once, the number of missed ticks overflowed, and the next tick was in the past.
    run_virtual(async |_| {
        let start = time();
        let mut ticks = interval(Duration::from_nanos(3)).missed_ticks(MissedTicks::Skip);
        ticks.tick().await;
        sleep(secs(100)).await;
        ticks.tick().await;
        let next = ticks.tick().await - start;
        assert!(
            next > secs(100) && next <= secs(100) + Duration::from_nanos(6),
            "{next:?}"
        );
    });
}
