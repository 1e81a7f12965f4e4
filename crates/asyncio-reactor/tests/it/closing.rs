//! Sources and wakers when a source is dropped, and when the reactor closes.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_reactor::{Direction, Fd, Interest, Reactor, ReactorClosed, Source};
use mio::unix::pipe;
use mio::{Registry, Token};

use crate::support::{CountingWaker, LONG, NOW, tcp_pair};

fn is_closed<T>(result: io::Result<T>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => error
            .get_ref()
            .is_some_and(|inner| inner.is::<ReactorClosed>()),
    }
}

#[test]
fn closing_drops_the_wakers_and_wakes_none() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 8];
    assert!(
        ours.poll_read_with(&mut cx, 8, |mut stream| stream.read(&mut buf))
            .is_pending()
    );
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 2);
    reactor.close();
    assert_eq!(Arc::strong_count(&count), 1);
    assert_eq!(count.get(), 0);
    reactor.close();
}

#[test]
fn dropping_the_last_reactor_closes_it() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair(&reactor);
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    assert!(
        ours.poll_io(&mut cx, Direction::Read, |mut stream| stream
            .read(&mut [0; 8]))
            .is_pending()
    );
    drop(waker);
    let clone = reactor.clone();
    drop(reactor);
    assert_eq!(Arc::strong_count(&count), 2);
    drop(clone);
    assert_eq!(Arc::strong_count(&count), 1);
    assert!(is_closed(ours.readiness()));
    // A handle made from a source does not reopen the reactor.
    assert!(ours.reactor().is_closed());
}

#[test]
fn every_operation_after_closing_is_a_clear_error() {
    let reactor = Reactor::new().unwrap();
    let (ours, theirs) = tcp_pair(&reactor);
    reactor.close();
    let mut cx = Context::from_waker(Waker::noop());
    let now = |poll: Poll<io::Result<()>>| match poll {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the operation would wait forever"),
    };
    assert!(is_closed(now(ours.poll_read_ready(&mut cx))));
    assert!(is_closed(now(ours.poll_write_ready(&mut cx))));
    assert!(is_closed(now(ours.poll_io(
        &mut cx,
        Direction::Read,
        |_| panic!()
    ))));
    assert!(is_closed::<()>(ours.try_io(Direction::Write, |_| panic!())));
    assert!(is_closed(ours.readiness()));
    assert!(is_closed(reactor.turn(NOW)));
    let refused = reactor
        .register(Fd::new(theirs), Interest::READABLE)
        .unwrap_err();
    assert!(is_closed::<()>(Err(refused.into())));
    assert!(reactor.is_empty());
    assert_eq!(
        ours.readiness().unwrap_err().to_string(),
        "the reactor (event loop) this source was registered with is closed"
    );
    // The source can be taken out and registered with another reactor.
    let ours = ours.into_inner();
    Reactor::new()
        .unwrap()
        .register(ours, Interest::READABLE)
        .unwrap();
}

#[test]
fn a_source_that_cannot_be_registered_comes_back() {
    let reactor = Reactor::new().unwrap();
    let file = File::open("/proc/self/exe")
        .or_else(|_| File::open("/bin/sh"))
        .unwrap();
    if let Err(failed) = reactor.register(Fd::new(file), Interest::READABLE) {
        assert_eq!(failed.error().kind(), io::ErrorKind::PermissionDenied);
        let (file, _) = failed.into_parts();
        file.into_inner().metadata().unwrap();
    }
    assert!(reactor.is_empty());
}

#[test]
fn into_inner_returns_the_source_and_frees_its_slot_once() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, receiver) = pipe::new().unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    let receiver = receiver.into_inner();
    assert!(reactor.is_empty());
    sender.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(NOW).unwrap(), 0);
    let _again = reactor.register(receiver, Interest::READABLE).unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
}

/// The descriptor is replaced without the reactor's knowledge. So the system continues to watch one
/// whose slot belongs to another source by now.
#[test]
fn an_event_for_an_earlier_user_of_a_slot_is_dropped() {
    let reactor = Reactor::new().unwrap();
    let (mut old_sender, old) = pipe::new().unwrap();
    let (_unused_sender, unused) = pipe::new().unwrap();
    let old = Fd::new(OwnedFd::from(old));
    let mut registered = reactor.register(old, Interest::READABLE).unwrap();
    let still_watched = std::mem::replace(registered.get_mut().get_mut(), OwnedFd::from(unused));
    drop(registered);

    let (mut new_sender, new) = pipe::new().unwrap();
    let new = reactor.register(new, Interest::READABLE).unwrap();
    let (count, waker) = CountingWaker::new();
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 8];
    let mut read = || new.poll_read_with(&mut cx, 8, |mut pipe| pipe.read(&mut buf));
    assert!(read().is_pending());

    old_sender.write_all(b"stale").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 0);
    assert_eq!(count.get(), 0);
    assert!(!new.readiness().unwrap().is_readable());
    new_sender.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
    assert_eq!(count.get(), 1);
    drop(still_watched);
}

/// A source that records its calls.
struct RecordsCalls {
    inner: pipe::Receiver,
    trace: Rc<RefCell<Vec<&'static str>>>,
    waker_alive: std::sync::Weak<crate::support::CountingWaker>,
}

impl Source for RecordsCalls {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.trace.borrow_mut().push("registered");
        self.inner.register(registry, token, interest)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.inner.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.trace.borrow_mut().push("deregistered");
        assert!(self.waker_alive.upgrade().is_some());
        self.inner.deregister(registry)
    }
}

impl Drop for RecordsCalls {
    fn drop(&mut self) {
        assert!(
            self.waker_alive.upgrade().is_none(),
            "the waker is dropped before its source"
        );
        self.trace.borrow_mut().push("closed");
    }
}

#[test]
fn a_source_is_deregistered_before_it_is_closed() {
    let reactor = Reactor::new().unwrap();
    let trace = Rc::default();
    let (count, waker) = CountingWaker::new();
    let (_sender, inner) = pipe::new().unwrap();
    let source = RecordsCalls {
        inner,
        trace: Rc::clone(&trace),
        waker_alive: Arc::downgrade(&count),
    };
    drop(count);
    let source = reactor.register(source, Interest::READABLE).unwrap();
    let mut buf = [0; 8];
    let read = source.poll_io(
        &mut Context::from_waker(&waker),
        Direction::Read,
        |source| (&source.inner).read(&mut buf),
    );
    assert!(read.is_pending());
    drop(waker);
    drop(source);
    assert_eq!(*trace.borrow(), ["registered", "deregistered", "closed"]);
}

#[test]
fn reactors_can_be_told_apart() {
    let one = Reactor::new().unwrap();
    let other = Reactor::new().unwrap();
    let (source, _theirs) = tcp_pair(&one);
    assert!(one.same(&one.clone()));
    assert!(source.reactor().same(&one));
    assert!(!source.reactor().same(&other));
    assert!(source.belongs_to(&one));
    assert!(!source.belongs_to(&other));
}
