//! A task whose sources are always ready lets other code run now and then, whichever method it
//! uses.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_reactor::{Direction, Reactor};

use crate::support::{CountingWaker, LONG, Stream, tcp_pair};

/// One operation: a ready result, or `Pending`.
type Way = fn(&Stream, &mut Context<'_>) -> Poll<io::Result<()>>;

fn read_byte(mut stream: &mio::net::TcpStream) -> io::Result<usize> {
    stream.read(&mut [0])
}

fn write_byte(mut stream: &mio::net::TcpStream) -> io::Result<usize> {
    stream.write(&[7])
}

fn peek(stream: &mio::net::TcpStream) -> io::Result<usize> {
    stream.peek(&mut [0])
}

fn poll<T>(
    future: impl Future<Output = io::Result<T>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    pin!(future).poll(cx).map_ok(drop)
}

/// Tries an operation after a wait that has ended.
fn then<T>(
    waited: Poll<io::Result<()>>,
    try_it: impl FnOnce() -> io::Result<T>,
) -> Poll<io::Result<()>> {
    waited.map(|waited| waited.and_then(|()| try_it()).map(drop))
}

const WAYS: &[(&str, Way)] = &[
    ("readable", |s, cx| poll(s.readable(), cx)),
    ("writable", |s, cx| poll(s.writable(), cx)),
    ("poll_read_ready", |s, cx| s.poll_read_ready(cx)),
    ("poll_write_ready", |s, cx| s.poll_write_ready(cx)),
    ("readable, try_transfer", |s, cx| {
        let way = || s.try_transfer(Direction::Read, 1, read_byte);
        then(poll(s.readable(), cx), way)
    }),
    ("readable, try_io", |s, cx| {
        let way = || s.try_io(Direction::Read, read_byte);
        then(poll(s.readable(), cx), way)
    }),
    ("poll_read_ready, try_io", |s, cx| {
        let way = || s.try_io(Direction::Read, read_byte);
        then(s.poll_read_ready(cx), way)
    }),
    ("writable, try_transfer", |s, cx| {
        let way = || s.try_transfer(Direction::Write, 1, write_byte);
        then(poll(s.writable(), cx), way)
    }),
    ("io", |s, cx| poll(s.io(Direction::Read, read_byte), cx)),
    ("io that peeks", |s, cx| {
        poll(s.io(Direction::Read, peek), cx)
    }),
    ("io that fails", |s, cx| {
        let failing = s.io::<(), _>(Direction::Read, |_| Err(io::ErrorKind::Other.into()));
        poll(failing, cx).map(|_| Ok(()))
    }),
    ("poll_io", |s, cx| {
        s.poll_io(cx, Direction::Read, read_byte).map_ok(drop)
    }),
    ("read_with", |s, cx| poll(s.read_with(1, read_byte), cx)),
    ("write_with", |s, cx| poll(s.write_with(1, write_byte), cx)),
    ("poll_read_with", |s, cx| {
        s.poll_read_with(cx, 1, read_byte).map_ok(drop)
    }),
    ("poll_write_with", |s, cx| {
        s.poll_write_with(cx, 1, write_byte).map_ok(drop)
    }),
    ("by turns", |s, cx| {
        let read = s.poll_read_with(cx, 1, read_byte).map_ok(drop);
        let write = s.poll_write_with(cx, 1, write_byte).map_ok(drop);
        if read.is_ready() { read } else { write }
    }),
];

/// Counts the ready results before the first `Pending`.
fn in_a_row(mut next: impl FnMut() -> Poll<io::Result<()>>) -> usize {
    let mut in_a_row = 0;
    while let Poll::Ready(result) = next() {
        result.unwrap();
        in_a_row += 1;
        assert!(in_a_row < 10_000, "the operation never yields");
    }
    in_a_row
}

#[test]
fn every_method_yields_and_continues_after_a_turn() {
    for (name, way) in WAYS {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = tcp_pair(&reactor);
        theirs.write_all(&[7; 1000]).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut cx = Context::from_waker(&waker);
        for turns in 1..4 {
            let ready = in_a_row(|| way(&ours, &mut cx));
            assert!((16..=64).contains(&ready), "{name}: {ready}");
            assert_eq!(woken.get(), turns - 1, "{name}");
            // The turn does not wait for an event, although none would come.
            reactor.turn(LONG).unwrap();
            assert_eq!(woken.get(), turns, "{name}");
        }
    }
}

#[test]
fn all_sources_of_a_task_share_its_budget() {
    for (name, way) in WAYS {
        let reactor = Reactor::new().unwrap();
        let mut sources: Vec<_> = (0..100).map(|_| tcp_pair(&reactor)).collect();
        for (_, theirs) in &mut sources {
            theirs.write_all(&[7; 100]).unwrap();
        }
        reactor.turn(LONG).unwrap();
        let (_, waker) = CountingWaker::new();
        let mut cx = Context::from_waker(&waker);
        let mut next = 0;
        let ready = in_a_row(|| {
            next += 1;
            way(&sources[next % 100].0, &mut cx)
        });
        assert!(ready <= 64, "{name}: {ready}");
        // The other sources must wait for the turn as well. Otherwise a loop over several sources
        // would never end.
        for (ours, _) in &sources {
            assert!(way(ours, &mut cx).is_pending(), "{name}");
        }
    }
}

/// A task may poll futures that have wakers of their own.
#[test]
fn many_wakers_do_not_extend_the_budget_forever() {
    for (name, way) in WAYS {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs) = tcp_pair(&reactor);
        theirs.write_all(&[7; 10_000]).unwrap();
        let (_, a) = CountingWaker::new();
        let (_, b) = CountingWaker::new();
        let mut is_a = false;
        in_a_row(|| {
            is_a = !is_a;
            way(&ours, &mut Context::from_waker(if is_a { &a } else { &b }))
        });
        let _ = name;
    }
}

#[test]
fn one_task_does_not_spend_the_budget_of_another() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(&[7; 1000]).unwrap();
    for _ in 0..10 {
        let (_, waker) = CountingWaker::new();
        let mut cx = Context::from_waker(&waker);
        let ready = in_a_row(|| ours.poll_read_with(&mut cx, 1, read_byte).map_ok(drop));
        assert_eq!(ready, 64);
    }
}

#[test]
fn draining_a_source_that_always_has_more_ends() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let always = |_: &_| Ok(1);
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    for turns in 1..4 {
        assert!(ours.poll_read_ready(&mut cx).is_ready());
        let mut reads = 0;
        while ours.try_transfer(Direction::Read, 1, always).is_ok() {
            reads += 1;
            assert!(reads < 10_000, "the reads never end");
        }
        assert!(reads > 1000, "few tries are all granted");
        assert!(ours.readiness().unwrap().is_readable());
        assert!(ours.poll_read_ready(&mut cx).is_pending());
        reactor.turn(LONG).unwrap();
        assert_eq!(woken.get(), turns);
    }
}

/// The program decides how much it writes, and the system returns `WouldBlock` when its buffer is
/// full.
#[test]
fn only_the_system_refuses_a_write() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    for _ in 0..10_000 {
        let written = ours.try_transfer(Direction::Write, 1, |_| Ok(1));
        assert_eq!(written.unwrap(), 1);
    }
}

#[test]
fn nothing_is_refused_while_the_reactor_is_not_turned() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(&[7; 10_000]).unwrap();
    reactor.rest();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..2_000 {
        assert!(ours.poll_read_with(&mut cx, 1, read_byte).is_ready());
        assert!(ours.try_transfer(Direction::Read, 1, read_byte).is_ok());
    }
}

#[test]
fn a_caller_that_ignores_pending_piles_up_no_wakers() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(&[7; 1000]).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    in_a_row(|| ours.poll_read_ready(&mut cx));
    for _ in 0..1000 {
        assert!(ours.poll_read_ready(&mut cx).is_pending());
    }
    assert_eq!(Arc::strong_count(&woken), 3);
    reactor.turn(LONG).unwrap();
    assert_eq!(woken.get(), 1);
}
