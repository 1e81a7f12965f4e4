//! Shared by the tests of the reactor.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its part of it"
)]

use std::net::Ipv4Addr;
use std::time::Duration;

use asyncio_reactor::{Interest, Reactor, Registered};

pub(crate) use asyncio_testkit::CountingWaker;

/// Longer than any expected event takes.
pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(10));
pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

pub(crate) type Stream = Registered<mio::net::TcpStream>;

/// A connected pair: one stream is registered, the peer's is blocking.
pub(crate) fn tcp_pair(reactor: &Reactor) -> (Stream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = mio::net::TcpStream::from_std(ours);
    let both = Interest::READABLE | Interest::WRITABLE;
    let ours = reactor.register(ours, both).unwrap();
    // The first event: the stream is writable.
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
    (ours, theirs)
}
