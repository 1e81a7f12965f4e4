//! An alarm clock: a wheel, a clock and a thread that sleeps.
//!
//! ```text
//! cargo run -p asyncio-timer --example alarm_clock
//! ```

use std::thread;
use std::time::{Duration, Instant};

use asyncio_timer::TimerWheel;

fn main() {
    let started = Instant::now();
    // Times of this wheel are nanoseconds since the program started.
    let now = || started.elapsed().as_nanos() as u64;
    let in_ms = |ms: u64| now() + ms * 1_000_000;

    let mut alarms = TimerWheel::new(now());
    alarms.insert(in_ms(400), "the eggs are hard");
    alarms.insert(in_ms(250), "the eggs are soft");
    alarms.insert(in_ms(100), "the toast is ready");
    let doorbell = alarms.insert(in_ms(150), "the doorbell rings");
    let tea = alarms.insert(in_ms(200), "the tea is ready");

    alarms.cancel(doorbell);
    let is_still_brewing = alarms.rearm(tea, in_ms(300));
    assert!(
        is_still_brewing,
        "no timer expires before `expire` is called"
    );

    let mut rung = Vec::new();
    while let Some(next) = alarms.next_deadline() {
        thread::sleep(Duration::from_nanos(next.saturating_sub(now())));
        alarms.expire(now(), &mut rung);
        for alarm in rung.drain(..) {
            println!("{:>4} ms  {alarm}", started.elapsed().as_millis());
        }
    }
}
