//! How long a turn waits, and which events end it.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_reactor::Reactor;

use crate::support::{LONG, NOW, tcp_pair};

#[test]
fn an_unpark_before_the_turn_ends_it_at_once_and_only_it() {
    let reactor = Reactor::new().unwrap();
    let unparker = reactor.unparker();
    unparker.unpark();
    unparker.unpark();
    let begin = Instant::now();
    assert_eq!(reactor.turn(LONG).unwrap(), 0);
    assert!(begin.elapsed() < LONG.unwrap());
    let begin = Instant::now();
    assert_eq!(reactor.turn(Some(Duration::from_millis(20))).unwrap(), 0);
    assert!(begin.elapsed() >= Duration::from_millis(20));
}

#[test]
fn an_unpark_from_another_thread_ends_each_turn() {
    let reactor = Reactor::new().unwrap();
    for _ in 0..100 {
        let unparker = reactor.unparker();
        let begin = Instant::now();
        let other = thread::spawn(move || unparker.unpark());
        assert_eq!(reactor.turn(LONG).unwrap(), 0);
        assert!(begin.elapsed() < LONG.unwrap());
        other.join().unwrap();
    }
}

#[test]
fn an_unparker_may_outlive_its_reactor() {
    let reactor = Reactor::new().unwrap();
    let unparker = reactor.unparker();
    drop(reactor);
    unparker.unpark();
    thread::spawn(move || unparker.unpark()).join().unwrap();
}

#[test]
fn zero_only_polls() {
    let reactor = Reactor::new().unwrap();
    let (_ours, mut theirs) = tcp_pair(&reactor);
    assert_eq!(reactor.turn(NOW).unwrap(), 0);
    theirs.write_all(b"x").unwrap();
    // The loopback device delivers within the write.
    assert_eq!(reactor.turn(NOW).unwrap(), 1);
}

#[test]
fn a_long_wait_is_cut_to_whole_milliseconds() {
    let reactor = Reactor::new().unwrap();
    let waits = (0..20).map(|_| {
        let begin = Instant::now();
        reactor.turn(Some(Duration::from_micros(1_900))).unwrap();
        begin.elapsed()
    });
    let waits: Vec<_> = waits.collect();
    assert!(waits.iter().all(|wait| *wait >= Duration::from_millis(1)));
    // If a wait were rounded up, no turn would return so soon. A busy machine may delay some waits,
    // not all.
    let soon = |wait: &&Duration| **wait < Duration::from_micros(1_900);
    assert!(waits.iter().filter(soon).count() > 0, "{waits:?}");
}

#[test]
fn an_endless_timeout_is_no_error() {
    let reactor = Reactor::new().unwrap();
    reactor.unparker().unpark();
    reactor.turn(Some(Duration::MAX)).unwrap();
    reactor.unparker().unpark();
    reactor.turn(None).unwrap();
}

/// Every wait sets the same timer descriptor, which is never read. If setting it again caused no
/// new edge, the millisecond limit would end all later waits.
#[cfg(target_os = "linux")]
#[test]
fn waits_below_a_millisecond_are_exact_again_and_again() {
    let reactor = Reactor::new().unwrap();
    let wanted = Duration::from_micros(200);
    let waits: Vec<_> = (0..50)
        .map(|_| {
            let begin = Instant::now();
            assert_eq!(reactor.turn(Some(wanted)).unwrap(), 0);
            begin.elapsed()
        })
        .collect();
    assert!(waits.iter().all(|wait| *wait >= wanted), "{waits:?}");
    // A busy machine may delay some waits, but not nearly all.
    let late = waits[25..].iter();
    let exact = late.filter(|wait| **wait < Duration::from_millis(1));
    assert!(exact.count() >= 5, "{waits:?}");
}

/// A short wait that ended early leaves its timer set. The timer may end one later turn early.
#[cfg(target_os = "linux")]
#[test]
fn a_short_wait_that_ended_early_leaves_at_most_one_early_return() {
    let reactor = Reactor::new().unwrap();
    reactor.unparker().unpark();
    reactor.turn(Some(Duration::from_micros(900))).unwrap();
    let wait = Duration::from_millis(30);
    let begin = Instant::now();
    reactor.turn(Some(wait)).unwrap();
    reactor.turn(Some(wait)).unwrap();
    assert!(begin.elapsed() >= wait);
}
