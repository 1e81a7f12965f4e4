//! Measures the cost of the wheel's operations in nanoseconds: medians of several rounds.
//!
//! ```text
//! taskset -c 1 cargo run --release -p asyncio-timer --example measure_wheel
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Instant;

use asyncio_timer::TimerWheel;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const MILLION: usize = 1_000_000;

/// A value as large as a `Waker`, which a runtime would keep.
type Value = [u64; 2];
const VALUE: Value = [1, 2];

fn main() {
    println!("nanoseconds for each timer or call: median (least to most)");
    one_timer_among_others();
    many_at_once();
    many_over_and_over();
    nothing_to_do();
}

fn one_timer_among_others() {
    for others in [0, 100_000, MILLION] {
        let mut wheel = with_timers(others);
        let what = format!("insert and cancel, 10 s ahead, beside {others} others");
        report(&what, MILLION, || {
            for _ in 0..MILLION {
                let key = wheel.insert(black_box(10 * SECOND), VALUE);
                black_box(wheel.cancel(key));
            }
        });
    }

    let mut wheel = with_timers(100_000);
    let mut keys: Vec<_> = (0..1_000)
        .map(|_| wheel.insert(10 * SECOND, VALUE))
        .collect();
    report(
        "re-arm each of 1,000, beside 100000 others",
        MILLION,
        || {
            for later in 0..1_000 {
                for &key in &keys {
                    assert!(wheel.rearm(key, black_box(10 * SECOND + later)));
                }
            }
        },
    );
    let random = Random::new();
    report("cancel any of 1,000 and insert another", MILLION, || {
        for _ in 0..MILLION {
            let key = &mut keys[random.below(1_000) as usize];
            black_box(wheel.cancel(*key));
            *key = wheel.insert(10 * SECOND, VALUE);
        }
    });
}

fn many_at_once() {
    for count in [10_000, 100_000, MILLION] {
        let evenly = |index: usize| index as u64 * SECOND / count as u64;
        let random = Random::new();
        let at_random = |_| random.below(SECOND);

        for (ahead, interval) in [("evenly", MILLISECOND), ("evenly", 10_000)] {
            let mut wheel = TimerWheel::new(0);
            let what = format!("insert and expire {count}, {ahead} over 1 s, every {interval} ns");
            report(&what, count, || {
                fill_and_expire(&mut wheel, count, evenly, interval)
            });
        }
        report(
            &format!("  in a new wheel, every {MILLISECOND} ns"),
            count,
            || {
                fill_and_expire(&mut TimerWheel::new(0), count, evenly, MILLISECOND);
            },
        );

        let mut wheel = TimerWheel::new(0);
        let what = format!("insert and expire {count}, at random over 1 s");
        report(&what, count, || {
            fill_and_expire(&mut wheel, count, at_random, MILLISECOND);
        });
        report("  in a new wheel", count, || {
            fill_and_expire(&mut TimerWheel::new(0), count, at_random, MILLISECOND);
        });
        let mut heap = BinaryHeap::new();
        report("  in a BinaryHeap", count, || {
            fill_and_expire_heap(&mut heap, count, at_random)
        });

        let mut wheel = TimerWheel::new(0);
        let what = format!("insert and expire {count}, all at one time");
        report(&what, count, || {
            fill_and_expire(&mut wheel, count, |_| SECOND / 2, MILLISECOND);
        });
    }
}

/// Measures timers that are inserted again, a second later, when they have expired.
fn many_over_and_over() {
    for count in [1, 100, 10_000, 100_000, MILLION] {
        let random = Random::new();
        let mut wheel = TimerWheel::new(0);
        for _ in 0..count {
            wheel.insert(random.below(SECOND), VALUE);
        }
        let mut expired = Vec::new();
        let what = format!("expire and insert again, {count} of 1 s each");
        report(&what, MILLION, || {
            let mut done = 0;
            while done < MILLION {
                let next = wheel
                    .next_deadline()
                    .expect("every expired timer is inserted again");
                let now = next.max(wheel.now() + MILLISECOND);
                wheel.expire(now, &mut expired);
                done += expired.len();
                for value in expired.drain(..) {
                    wheel.insert(now + SECOND, value);
                }
            }
        });
    }
}

fn nothing_to_do() {
    let mut wheel = with_timers(100_000);
    let mut now = 0;
    let mut expired = Vec::new();
    report(
        "expire with nothing due, every 10 µs",
        MILLION / 10,
        || {
            for _ in 0..MILLION / 10 {
                now += 10_000;
                wheel.expire(now, &mut expired);
            }
            assert!(expired.is_empty());
        },
    );
    report("next_deadline", MILLION, || {
        for _ in 0..MILLION {
            black_box(black_box(&wheel).next_deadline());
        }
    });
    let first = wheel.next_deadline().expect("none has expired yet");
    report(
        "due_by, a millisecond after the first, up to 4",
        MILLION,
        || {
            for _ in 0..MILLION {
                black_box(wheel.due_by(black_box(first + MILLISECOND), 4));
            }
        },
    );
}

/// A wheel with `count` timers, one to two hours ahead.
fn with_timers(count: usize) -> TimerWheel<Value> {
    let mut wheel = TimerWheel::new(0);
    let random = Random::new();
    for _ in 0..count {
        wheel.insert(3_600 * SECOND + random.below(3_600 * SECOND), VALUE);
    }
    wheel
}

/// Inserts timers for the coming second and calls `expire` every `interval` ns until all have
/// expired.
fn fill_and_expire(
    wheel: &mut TimerWheel<Value>,
    count: usize,
    ahead: impl Fn(usize) -> u64,
    interval: u64,
) {
    let start = wheel.now();
    for index in 0..count {
        wheel.insert(start + ahead(index), VALUE);
    }
    let mut done = 0;
    let mut expired = Vec::new();
    for now in (start..=start + SECOND).step_by(interval as usize) {
        wheel.expire(now, &mut expired);
        done += expired.len();
        expired.clear();
    }
    assert_eq!(done, count);
}

/// The same with a binary heap, which cannot cancel.
fn fill_and_expire_heap(
    heap: &mut BinaryHeap<Reverse<(u64, usize, Value)>>,
    count: usize,
    ahead: impl Fn(usize) -> u64,
) {
    for index in 0..count {
        heap.push(Reverse((ahead(index), index, VALUE)));
    }
    let mut done = 0;
    let mut expired = Vec::new();
    for now in (0..=SECOND).step_by(MILLISECOND as usize) {
        while heap.peek().is_some_and(|first| first.0.0 <= now) {
            expired.extend(heap.pop().map(|Reverse((_, _, value))| value));
        }
        done += expired.len();
        expired.clear();
    }
    assert_eq!(done, count);
}

/// Prints the median time of one of `operations`, over nine rounds after a warm-up round.
fn report(what: &str, operations: usize, mut round: impl FnMut()) {
    round();
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<60} {:7.1} ({:.1} to {:.1})",
        times[4], times[0], times[8]
    );
}

/// A small random number generator (xorshift) with a fixed seed.
struct Random(std::cell::Cell<u64>);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15.into())
    }

    fn below(&self, bound: u64) -> u64 {
        let mut bits = self.0.get();
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.0.set(bits);
        bits % bound
    }
}
