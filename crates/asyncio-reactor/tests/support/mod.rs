//! Shared by the tests of the reactor.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use asyncio_reactor::{Interest, Reactor, Registered};

/// Longer than any expected event takes.
pub(crate) const LONG: Option<Duration> = Some(Duration::from_secs(10));
pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

/// A waker that counts how often it is woken.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn counting() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (Arc::clone(&count), Waker::from(count))
}

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
