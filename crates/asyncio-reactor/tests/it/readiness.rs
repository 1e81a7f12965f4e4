//! The readiness of real pipes and sockets, and how often their operations are tried.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use asyncio_reactor::{Direction, Interest, Reactor, ReactorRests};
use mio::unix::pipe;

use crate::support::{CountingWaker, LONG, NOW, Stream, tcp_pair};

fn read(stream: &Stream, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    stream.poll_read_with(cx, buf.len(), |mut stream| stream.read(buf))
}

fn ready(poll: Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(result) => result.unwrap(),
        Poll::Pending => panic!("the source must be ready"),
    }
}

#[test]
fn a_new_source_is_tried_before_it_is_waited_for() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, receiver) = pipe::new().unwrap();
    sender.write_all(b"early").unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    let mut buf = [0; 16];
    let read = receiver.try_io(Direction::Read, |mut pipe| pipe.read(&mut buf));
    assert_eq!(read.unwrap(), 5);
}

#[test]
fn a_task_that_waits_is_woken_once_by_an_event() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 16];
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    theirs.write_all(b"hello").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
    assert_eq!(count.get(), 1);
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 5);
    // No task waits: the next event sets a bit and wakes nothing.
    theirs.write_all(b"again").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
    assert_eq!(count.get(), 1);
}

#[test]
fn a_short_read_saves_the_call_that_would_find_nothing() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let mut cx = Context::from_waker(Waker::noop());
    let calls = Cell::new(0);
    let mut buf = [0; 16];
    let mut read = || {
        ours.poll_read_with(&mut cx, 16, |mut stream| {
            calls.set(calls.get() + 1);
            stream.read(&mut buf)
        })
    };
    assert!(read().is_pending());
    for _ in 0..3 {
        calls.set(0);
        theirs.write_all(b"hello").unwrap();
        reactor.turn(LONG).unwrap();
        assert_eq!(ready(read()), 5);
        assert!(read().is_pending());
        assert_eq!(calls.get(), 1, "the second read needs no call");
    }
    // After a read that filled its buffer there may be more to read.
    calls.set(0);
    theirs.write_all(&[7; 16]).unwrap();
    reactor.turn(LONG).unwrap();
    assert_eq!(ready(read()), 16);
    assert!(read().is_pending());
    assert_eq!(calls.get(), 2);
}

#[test]
fn a_close_that_came_with_the_data_survives_the_short_read() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let mut cx = Context::from_waker(Waker::noop());
    let mut buf = [0; 16];
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    theirs.write_all(b"bye").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    while !ours.readiness().unwrap().is_read_closed() {
        reactor.turn(LONG).unwrap();
    }
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 3);
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 0);
}

#[test]
fn a_close_that_comes_after_the_short_read_wakes() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 16];
    theirs.write_all(b"bye").unwrap();
    reactor.turn(LONG).unwrap();
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 3);
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    drop(theirs);
    reactor.turn(LONG).unwrap();
    assert_eq!(count.get(), 1);
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 0);
}

#[test]
fn a_reset_is_told_to_both_directions() {
    let reactor = Reactor::new().unwrap();
    let (ours, theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 16];
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    let full = fill(&ours, &mut cx);
    assert!(full > 0);
    // Closing a socket with unread data sends RST.
    drop(theirs);
    while count.get() < 2 {
        reactor.turn(LONG).unwrap();
    }
    let Poll::Ready(Err(error)) = read(&ours, &mut cx, &mut buf) else {
        panic!("the read should fail");
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let write = ours.poll_write_with(&mut cx, 1, |mut stream| stream.write(b"x"));
    assert!(matches!(write, Poll::Ready(Err(_))));
    // The error is used up, and no task spins: the next read returns the end.
    assert_eq!(ready(read(&ours, &mut cx, &mut buf)), 0);
}

/// An error is reported to the reader too, but other code may take it from the socket before the
/// reader runs.
#[test]
fn an_error_that_other_code_took_causes_no_spin() {
    let reactor = Reactor::new().unwrap();
    let unused = mio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let ours = mio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    ours.connect(address).unwrap();
    let ours = reactor.register(ours, Interest::READABLE).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = 0;
    let mut receive = || {
        ours.poll_io(&mut cx, Direction::Read, |socket| {
            calls += 1;
            assert!(calls < 10, "it spins");
            socket.recv(&mut [0; 8])
        })
    };
    assert!(receive().is_pending());
    ours.get_ref().send(b"hello").unwrap();
    while !ours.readiness().unwrap().is_error() {
        assert!(reactor.turn(LONG).unwrap() > 0);
    }
    let error = ours.get_ref().take_error().unwrap().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(receive().is_pending());
    assert!(!ours.readiness().unwrap().is_readable());
}

/// Writes until the buffer is full. Returns the number of written bytes.
fn fill(stream: &Stream, cx: &mut Context<'_>) -> usize {
    let chunk = [0; 65536];
    let mut all = 0;
    loop {
        match stream.poll_write_with(cx, chunk.len(), |mut stream| stream.write(&chunk)) {
            Poll::Ready(written) => all += written.unwrap(),
            Poll::Pending => return all,
        }
    }
}

/// The operation reports as many bytes as if its buffers had gigabytes.
#[test]
fn a_transfer_capped_by_the_system_does_not_count_as_short() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    let mut cx = Context::from_waker(Waker::noop());
    let capped = |_: &mio::net::TcpStream| Ok(0x7fff_f000);
    let wanted = usize::MAX;
    for _ in 0..2 {
        let moved = ours.poll_write_with(&mut cx, wanted, capped);
        assert_eq!(ready(moved), 0x7fff_f000);
        let moved = ours.try_transfer(Direction::Write, wanted, capped);
        assert_eq!(moved.unwrap(), 0x7fff_f000);
    }
    let short = ours.poll_write_with(&mut cx, wanted, |_| Ok(1 << 20));
    assert_eq!(ready(short), 1 << 20);
    assert!(!ours.readiness().unwrap().is_writable());
}

#[test]
fn a_short_write_waits_for_room_and_gets_it() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let written = fill(&ours, &mut cx);
    assert!(!ours.readiness().unwrap().is_writable());
    let mut sink = vec![0; written];
    theirs.read_exact(&mut sink).unwrap();
    while count.get() == 0 {
        reactor.turn(LONG).unwrap();
    }
    assert!(fill(&ours, &mut cx) > 0);
}

#[test]
fn reader_and_writer_of_one_source_are_woken_in_this_order() {
    use std::sync::Mutex;
    struct Name(&'static str, Arc<Mutex<Vec<&'static str>>>);
    impl Wake for Name {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let reader = Waker::from(Arc::new(Name("reader", Arc::clone(&order))));
    let writer = Waker::from(Arc::new(Name("writer", Arc::clone(&order))));
    let reactor = Reactor::new().unwrap();
    let (ours, theirs) = tcp_pair(&reactor);
    fill(&ours, &mut Context::from_waker(&writer));
    let mut reader = Context::from_waker(&reader);
    assert!(read(&ours, &mut reader, &mut [0; 1]).is_pending());
    drop(theirs);
    while order.lock().unwrap().len() < 2 {
        reactor.turn(LONG).unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["reader", "writer"]);
}

#[test]
fn several_tasks_wait_for_one_source() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let tasks: Vec<_> = (0..5).map(|_| CountingWaker::new()).collect();
    let mut waits: Vec<_> = tasks
        .iter()
        .map(|_| Box::pin(ours.io(Direction::Read, peek)))
        .collect();
    for (wait, (_, waker)) in waits.iter_mut().zip(&tasks) {
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
    }
    let (poller, poller_waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&poller_waker);
    assert!(ours.poll_read_ready(&mut cx).is_pending());
    // Two futures are dropped: one in the middle, and the first.
    drop(waits.remove(2));
    drop(waits.remove(0));
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    let woken: Vec<_> = tasks.iter().map(|(count, _)| count.get()).collect();
    assert_eq!(woken, [0, 1, 0, 1, 1]);
    assert_eq!(poller.get(), 1);
    for wait in &mut waits {
        let wait = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(wait, Poll::Ready(Ok(1))));
    }
}

fn peek(stream: &mio::net::TcpStream) -> io::Result<usize> {
    stream.peek(&mut [0; 8])
}

#[test]
fn two_pollers_do_not_starve_each_other() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (first, first_waker) = CountingWaker::new();
    let (second, second_waker) = CountingWaker::new();
    let mut buf = [0; 8];
    assert!(read(&ours, &mut Context::from_waker(&first_waker), &mut buf).is_pending());
    assert!(read(&ours, &mut Context::from_waker(&second_waker), &mut buf).is_pending());
    assert_eq!((first.get(), second.get()), (0, 0));
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    assert_eq!((first.get(), second.get()), (1, 1));
}

#[test]
fn a_source_that_always_has_more_lets_others_run() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(&[7; 1000]).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut in_a_row = 0;
    while read(&ours, &mut cx, &mut [0]).is_ready() {
        in_a_row += 1;
    }
    assert_eq!(in_a_row, 64);
    // Its task is woken after others, by a turn that does not wait for an event.
    assert_eq!(woken.get(), 0);
    reactor.turn(LONG).unwrap();
    assert_eq!(woken.get(), 1);
    let mut rest = 1000 - in_a_row;
    while rest > 0 {
        match read(&ours, &mut cx, &mut [0]) {
            Poll::Ready(moved) => rest -= moved.unwrap(),
            Poll::Pending => assert_eq!(reactor.turn(LONG).unwrap(), 0),
        }
    }
}

#[test]
fn closing_drops_the_wakers_of_tasks_that_yielded() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(&[7; 100]).unwrap();
    let (woken, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    while read(&ours, &mut cx, &mut [0]).is_ready() {}
    assert_eq!(Arc::strong_count(&woken), 3);
    reactor.close();
    assert_eq!((woken.get(), Arc::strong_count(&woken)), (0, 2));
    assert!(matches!(
        read(&ours, &mut cx, &mut [0]),
        Poll::Ready(Err(_))
    ));
}

#[test]
fn no_poller_is_forgotten_however_many_there_are() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let mut buf = [0; 8];
    let tasks: Vec<_> = (0..100).map(|_| CountingWaker::new()).collect();
    // A woken task polls again, and still waits.
    let mut polled = vec![usize::MAX; tasks.len()];
    let mut settle = || {
        for rounds in 0.. {
            let mut woken = false;
            for ((count, waker), polled) in tasks.iter().zip(&mut polled) {
                if *polled != count.get() {
                    *polled = count.get();
                    woken = true;
                    assert!(read(&ours, &mut Context::from_waker(waker), &mut buf).is_pending());
                }
            }
            if !woken {
                return rounds;
            }
            reactor.turn(NOW).unwrap();
        }
        unreachable!()
    };
    let rounds = settle();
    assert!(
        rounds < 10,
        "the pollers kept each other busy for {rounds} rounds"
    );
    let before: Vec<_> = tasks.iter().map(|(count, _)| count.get()).collect();
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    for (task, before) in tasks.iter().zip(before) {
        assert_eq!(task.0.get(), before + 1);
    }
}

#[test]
fn a_task_with_a_new_waker_each_time_neither_spins_nor_piles_up() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    let mut buf = [0; 8];
    let mut woken = 0;
    let polls: Vec<_> = (0..10_000)
        .map(|_| {
            let (count, waker) = CountingWaker::new();
            assert!(read(&ours, &mut Context::from_waker(&waker), &mut buf).is_pending());
            reactor.turn(NOW).unwrap();
            woken += usize::from(count.get() > 0);
            count
        })
        .collect();
    assert_eq!(woken, 0, "a poll woke its own task");
    let kept = polls.iter().filter(|count| Arc::strong_count(count) > 1);
    assert!(kept.count() <= 256);
    assert!(
        Arc::strong_count(&polls[9_999]) > 1,
        "the last waker is kept"
    );
}

#[test]
fn a_resting_reactor_refuses_waits_and_keeps_its_waiters() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (waits, waker) = CountingWaker::new();
    let (tries, other_waker) = CountingWaker::new();
    let mut future = pin!(ours.readable());
    let mut buf = [0; 8];
    let mut cx = Context::from_waker(&waker);
    assert!(read(&ours, &mut cx, &mut buf).is_pending());
    assert!(future.as_mut().poll(&mut cx).is_pending());

    reactor.rest();
    for waker in [&other_waker, &waker] {
        let outcome = read(&ours, &mut Context::from_waker(waker), &mut buf);
        let Poll::Ready(Err(error)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(error.get_ref().unwrap().is::<ReactorRests>(), "{error}");
    }
    assert!(matches!(
        ours.poll_write_ready(&mut cx),
        Poll::Ready(Ok(()))
    ));
    assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Err(_))));

    reactor.resume();
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    // The poller is woken. The future is not, because it has ended.
    assert_eq!((waits.get(), tries.get()), (1, 0));
    reactor.close();
    reactor.resume();
    assert!(reactor.turn(NOW).is_err());
    assert!(matches!(
        read(&ours, &mut cx, &mut buf),
        Poll::Ready(Err(_))
    ));
}

#[test]
fn a_future_with_a_new_waker_replaces_its_own() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (first, first_waker) = CountingWaker::new();
    let (second, second_waker) = CountingWaker::new();
    let mut buf = [0; 8];
    assert!(read(&ours, &mut Context::from_waker(Waker::noop()), &mut buf).is_pending());
    let mut wait = pin!(ours.readable());
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&first_waker))
            .is_pending()
    );
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&second_waker))
            .is_pending()
    );
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    assert_eq!((first.get(), second.get()), (0, 1));
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(&second_waker))
            .is_ready()
    );
}

#[test]
fn a_cancelled_wait_leaves_no_waker_behind() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    {
        let mut buf = [0; 8];
        let mut reading = pin!(ours.read_with(8, |mut stream| stream.read(&mut buf)));
        assert!(
            reading
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1);
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    assert_eq!(count.get(), 0);
}

#[test]
fn waiting_for_an_unregistered_direction_is_an_error() {
    let reactor = Reactor::new().unwrap();
    let (_sender, receiver) = pipe::new().unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let none: Poll<io::Result<()>> = receiver.poll_io(&mut cx, Direction::Write, |_| {
        Err(io::ErrorKind::WouldBlock.into())
    });
    let Poll::Ready(Err(error)) = none else {
        panic!("the wait must fail");
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn try_io_tries_only_a_source_that_may_be_ready() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    let mut buf = [0; 8];
    let nothing = ours.try_io(Direction::Read, |mut stream| stream.read(&mut buf));
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let asked: io::Result<()> = ours.try_io(Direction::Read, |_| {
        panic!("the source is known to be empty")
    });
    assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    let one = ours.try_io(Direction::Read, |mut stream| stream.read(&mut buf));
    assert_eq!(one.unwrap(), 1);
}

#[test]
fn a_short_try_is_not_followed_by_a_futile_one() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair(&reactor);
    theirs.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    let mut buf = [0; 8];
    let one = ours.try_transfer(Direction::Read, 8, |mut stream| stream.read(&mut buf));
    assert_eq!(one.unwrap(), 1);
    let none = ours.try_transfer(Direction::Read, 8, |_| {
        panic!("the source is known to be empty")
    });
    assert_eq!(none.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn an_interrupted_call_is_made_again() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    let mut cx = Context::from_waker(Waker::noop());
    let mut answers = vec![Ok(3), Err(io::ErrorKind::Interrupted.into())];
    let answer = ours.poll_io(&mut cx, Direction::Write, |_| answers.pop().unwrap());
    assert!(matches!(answer, Poll::Ready(Ok(3))));
}

#[test]
fn a_turn_without_events_returns_zero() {
    let reactor = Reactor::new().unwrap();
    let (_ours, _theirs) = tcp_pair(&reactor);
    assert_eq!(reactor.turn(NOW).unwrap(), 0);
}
