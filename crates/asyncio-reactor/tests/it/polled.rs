//! The descriptor of a reactor, for a program that waits by itself.

use std::io::Write;
use std::os::fd::AsFd;
use std::task::Context;
use std::time::Duration;

use asyncio_reactor::{Interest, Reactor};
use mio::unix::pipe;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{CountingWaker, NOW};

fn is_readable(host: &impl AsFd, timeout: Duration) -> bool {
    let mut descriptors = [PollFd::new(host, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).unwrap();
    poll(&mut descriptors, Some(&timeout)).unwrap() > 0
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn an_event_makes_it_readable_until_a_turn_takes_it() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, receiver) = pipe::new().unwrap();
    let _receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    assert!(!is_readable(&reactor, Duration::ZERO));
    sender.write_all(b"x").unwrap();
    assert!(is_readable(&reactor, LONG));
    assert_eq!(reactor.turn(NOW).unwrap(), 1);
    assert!(!is_readable(&reactor, Duration::ZERO));
}

#[test]
fn an_unparker_makes_it_readable() {
    let reactor = Reactor::new().unwrap();
    reactor.unparker().unpark();
    assert!(is_readable(&reactor, LONG));
    reactor.turn(NOW).unwrap();
    assert!(!is_readable(&reactor, Duration::ZERO));
}

#[test]
fn it_lives_as_long_as_a_clone() {
    let reactor = Reactor::new().unwrap();
    let kept = reactor.clone();
    reactor.unparker().unpark();
    reactor.close();
    drop(reactor);
    assert!(is_readable(&kept, LONG));
    kept.drain();
    assert!(!is_readable(&kept, Duration::ZERO));
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn an_alarm_makes_it_readable_in_time() {
    let reactor = Reactor::new().unwrap();
    for alarm in [0, 1, 300, 2_500, 12_000].map(Duration::from_micros) {
        let start = std::time::Instant::now();
        assert!(reactor.set_alarm(alarm));
        assert!(is_readable(&reactor, LONG));
        assert!(start.elapsed() >= alarm);
        assert_eq!(reactor.turn(NOW).unwrap(), 0);
        assert!(!is_readable(&reactor, Duration::ZERO));
    }
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn an_alarm_takes_the_place_of_the_last_one() {
    let reactor = Reactor::new().unwrap();
    assert!(reactor.set_alarm(Duration::from_secs(3600)));
    assert!(reactor.set_alarm(Duration::from_millis(1)));
    assert!(is_readable(&reactor, LONG));
}

#[test]
fn what_a_turn_leaves_for_the_next_one_is_announced() {
    let reactor = Reactor::new().unwrap();
    assert!(!reactor.has_soon());
    let (mut sender, receiver) = pipe::new().unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    sender.write_all(b"x").unwrap();
    reactor.turn(NOW).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    // Always ready: after some operations the task stands back.
    let mut polls = 0;
    while receiver.poll_read_ready(&mut cx).is_ready() {
        polls += 1;
        assert!(polls < 1000);
    }
    assert!(reactor.has_soon() && !is_readable(&reactor, Duration::ZERO));
    reactor.turn(NOW).unwrap();
    assert_eq!(woken.get(), 1);
    assert!(!reactor.has_soon());
}

#[test]
fn a_full_batch_of_events_is_announced() {
    let reactor = Reactor::new().unwrap();
    let mut pipes: Vec<_> = (0..1100)
        .map(|_| {
            let (sender, receiver) = pipe::new().unwrap();
            (
                sender,
                reactor.register(receiver, Interest::READABLE).unwrap(),
            )
        })
        .collect();
    for (sender, _) in &mut pipes {
        sender.write_all(b"x").unwrap();
    }
    let first = reactor.turn(NOW).unwrap();
    assert!(first < pipes.len() && reactor.has_soon());
    assert_eq!(reactor.turn(NOW).unwrap(), pipes.len() - first);
    assert!(!reactor.has_soon());
}
