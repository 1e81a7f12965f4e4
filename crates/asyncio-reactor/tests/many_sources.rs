//! More sources than one system call reports events for. In a binary of its own, because it needs
//! most of the descriptors that a process may have.
#![cfg(unix)]

use std::io::Write;

use asyncio_reactor::{Interest, Reactor};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod support;
use support::LONG;

#[test]
fn more_events_than_one_call_brings_come_with_the_next_turn() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });

    let reactor = Reactor::new().unwrap();
    let mut pairs: Vec<_> = (0..1500)
        .map_while(|_| {
            // A low limit of descriptors leaves fewer sources.
            let (sender, receiver) = mio::unix::pipe::new().ok()?;
            let receiver = reactor.register(receiver, Interest::READABLE).ok()?;
            Some((sender, receiver))
        })
        .collect();
    assert!(!pairs.is_empty());
    for (sender, _) in &mut pairs {
        sender.write_all(b"x").unwrap();
    }
    let mut seen = 0;
    while seen < pairs.len() {
        let now = reactor.turn(LONG).unwrap();
        assert!(now > 0);
        seen += now;
    }
    assert_eq!(reactor.len(), pairs.len());
    for (_, receiver) in &pairs {
        assert!(receiver.readiness().unwrap().is_readable());
    }
    drop(pairs);
    assert!(reactor.is_empty());
}
