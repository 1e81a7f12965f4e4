//! What the wheel's operations cost on this machine, in nanoseconds; medians of several rounds.
//!
//! ```text
//! taskset -c 0 cargo run --release -p asyncio-timer --example measure
//! ```

use std::hint::black_box;
use std::time::Instant;

use asyncio_timer::TimerWheel;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const MILLION: usize = 1_000_000;

/// What a runtime would keep: as large as a `Waker`.
type Value = [u64; 2];
const VALUE: Value = [1, 2];

fn main() {
    println!(
        "values of {} bytes; nanoseconds for each operation",
        size_of::<Value>()
    );

    for others in [0, 100_000, MILLION] {
        let mut wheel = with_timers(others);
        report(
            &format!("insert + cancel, 10 s ahead, beside {others} others"),
            MILLION,
            || {
                for _ in 0..MILLION {
                    let key = wheel.insert(black_box(10 * SECOND), VALUE);
                    black_box(wheel.cancel(key));
                }
            },
        );
    }

    let mut wheel = with_timers(100_000);
    let mut keys: Vec<_> = (0..1_000)
        .map(|_| wheel.insert(10 * SECOND, VALUE))
        .collect();
    report("re-arm, 1,000 timers in turn, 10 s ahead", MILLION, || {
        for round in 0..1_000 {
            for &key in &keys {
                assert!(wheel.rearm(key, black_box(10 * SECOND + round)));
            }
        }
    });
    let mut random = Random::new();
    report("cancel at random + insert, among 100,000", MILLION, || {
        for _ in 0..MILLION {
            let key = &mut keys[random.below(1_000) as usize];
            black_box(wheel.cancel(*key));
            *key = wheel.insert(10 * SECOND, VALUE);
        }
    });

    for count in [10_000, 100_000, MILLION] {
        report_filling(
            &format!("insert + expire, {count} at random over 1 s"),
            count,
            |random, _| random.below(SECOND),
        );
        report_heap(&format!("  the same in a BinaryHeap, {count}"), count);
        report_fresh(
            &format!("  the same, fresh wheel, {count}"),
            count,
            |random, _| random.below(SECOND),
        );
        report_filling(
            &format!("insert + expire, {count} evenly over 1 s"),
            count,
            |_, index| index as u64 * SECOND / count as u64,
        );
        report_fresh(
            &format!("  the same, fresh wheel, {count}"),
            count,
            |_, index| index as u64 * SECOND / count as u64,
        );
        report_filling(
            &format!("insert + expire, {count} at one time"),
            count,
            |_, _| SECOND / 2,
        );
    }
    for count in [1, 100, 1_000, 10_000, 100_000] {
        report_steady(
            &format!("insert + expire, {count} sleeping 1 s over and over"),
            count,
        );
    }

    let mut wheel = with_timers(100_000);
    let mut now = 0;
    let mut expired = Vec::new();
    report("expire with nothing due, each 10 µs", MILLION / 10, || {
        for _ in 0..MILLION / 10 {
            now += 10_000;
            wheel.expire(now, &mut expired);
        }
        assert!(expired.is_empty());
    });
    report("next_deadline", MILLION, || {
        for _ in 0..MILLION {
            black_box(black_box(&wheel).next_deadline());
        }
    });
    let first = wheel.next_deadline().unwrap_or(0);
    report(
        "due_by within a millisecond of the next, limit 4",
        MILLION,
        || {
            for _ in 0..MILLION {
                black_box(wheel.due_by(black_box(first + MILLISECOND), 4));
            }
        },
    );
}

/// A wheel with so many timers, an hour to two hours ahead.
fn with_timers(count: usize) -> TimerWheel<Value> {
    let mut wheel = TimerWheel::new(0);
    let mut random = Random::new();
    for _ in 0..count {
        wheel.insert(3_600 * SECOND + random.below(3_600 * SECOND), VALUE);
    }
    wheel
}

/// Fills a wheel with timers and lets all expire, a millisecond at a time. Memory is warm
/// from the second round on.
fn report_filling(what: &str, count: usize, deadline: impl Fn(&mut Random, usize) -> u64) {
    let mut random = Random::new();
    let mut wheel = TimerWheel::new(0);
    report(what, count, || {
        fill(&mut wheel, count, &mut random, &deadline)
    });
}

fn report_fresh(what: &str, count: usize, deadline: impl Fn(&mut Random, usize) -> u64) {
    let mut random = Random::new();
    report(what, count, || {
        fill(&mut TimerWheel::new(0), count, &mut random, &deadline)
    });
}

fn fill(
    wheel: &mut TimerWheel<Value>,
    count: usize,
    random: &mut Random,
    deadline: &impl Fn(&mut Random, usize) -> u64,
) {
    let mut expired = Vec::new();
    let start = wheel.now();
    for index in 0..count {
        wheel.insert(start + deadline(random, index), VALUE);
    }
    let mut done = 0;
    for now in (start..=start + SECOND).step_by(MILLISECOND as usize) {
        wheel.expire(now, &mut expired);
        done += expired.len();
        expired.clear();
    }
    assert_eq!(done, count);
}

fn report_heap(what: &str, count: usize) {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    let mut random = Random::new();
    let mut heap = BinaryHeap::new();
    let mut start = 0;
    let mut expired = Vec::new();
    report(what, count, || {
        for index in 0..count {
            heap.push(Reverse((start + random.below(SECOND), index, VALUE)));
        }
        let mut done = 0;
        for now in (start..=start + SECOND).step_by(MILLISECOND as usize) {
            while heap.peek().is_some_and(|e| e.0.0 <= now) {
                let Some(Reverse((_, _, value))) = heap.pop() else {
                    break;
                };
                expired.push(value);
            }
            done += expired.len();
            expired.clear();
        }
        assert_eq!(done, count);
        start += SECOND;
    });
}

/// Keeps so many timers going, each inserted again for a second later when it has expired.
fn report_steady(what: &str, count: usize) {
    let mut random = Random::new();
    let mut wheel = TimerWheel::new(0);
    for _ in 0..count {
        wheel.insert(random.below(SECOND), VALUE);
    }
    let mut expired = Vec::new();
    report(what, MILLION, || {
        let mut done = 0;
        while done < MILLION {
            let now = wheel
                .next_deadline()
                .unwrap_or(0)
                .max(wheel.now() + MILLISECOND);
            wheel.expire(now, &mut expired);
            done += expired.len();
            for value in expired.drain(..) {
                wheel.insert(now + SECOND, value);
            }
        }
    });
}

/// Prints the median time that one of `operations` takes, over nine rounds after one to warm up.
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
        "{what:<56} {:8.1}   ({:.1} to {:.1})",
        times[4], times[0], times[8]
    );
}

/// A small generator of random numbers (xorshift), the same ones in each run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
