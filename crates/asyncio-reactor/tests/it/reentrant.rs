//! Wakers that call the reactor when they are cloned, woken or dropped.
#![allow(
    unsafe_code,
    reason = "only a hand-written vtable sees the clone of a waker"
)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::{Duration, Instant};

use asyncio_reactor::{Interest, Reactor, Registered};
use mio::unix::pipe::{self, Receiver, Sender};

use crate::support::{CountingWaker, LONG, NOW};

type Hook = Box<dyn Fn()>;
type Waiting = Registered<Receiver>;

thread_local! {
    /// The hooks of the wakers. A waker is `Send` and cannot own data of this thread, so it holds a
    /// key.
    static ON_WAKE: RefCell<HashMap<usize, Hook>> = RefCell::default();
    static ON_DROP: RefCell<HashMap<usize, Hook>> = RefCell::default();
    static ON_CLONE: RefCell<Option<Hook>> = RefCell::default();
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A waker that calls a hook when it is woken, and another when it is dropped.
struct Hooked(usize);

impl Wake for Hooked {
    fn wake(self: Arc<Self>) {
        let hook = ON_WAKE.with_borrow_mut(|hooks| hooks.remove(&self.0));
        if let Some(hook) = hook {
            hook();
        }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        let hook = ON_DROP.with_borrow_mut(|hooks| hooks.remove(&self.0));
        if let Some(hook) = hook {
            hook();
        }
    }
}

fn on_wake(hook: impl Fn() + 'static) -> Waker {
    let name = NEXT.fetch_add(1, Ordering::Relaxed);
    ON_WAKE.with_borrow_mut(|hooks| hooks.insert(name, Box::new(hook)));
    Waker::from(Arc::new(Hooked(name)))
}

fn on_drop(hook: impl Fn() + 'static) -> Waker {
    let name = NEXT.fetch_add(1, Ordering::Relaxed);
    ON_DROP.with_borrow_mut(|hooks| hooks.insert(name, Box::new(hook)));
    Waker::from(Arc::new(Hooked(name)))
}

/// A waker that only calls its hook when it is cloned.
fn on_clone(hook: impl Fn() + 'static) -> Waker {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(clone, ignore, ignore, ignore);
    fn clone(_: *const ()) -> RawWaker {
        let hook = ON_CLONE.with_borrow_mut(Option::take);
        if let Some(hook) = hook {
            hook();
        }
        RawWaker::new(std::ptr::null(), &VTABLE)
    }
    fn ignore(_: *const ()) {}
    ON_CLONE.set(Some(Box::new(hook)));
    // SAFETY: none of the functions reads the pointer, and all may run on any thread.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) }
}

/// Calls every method of a reactor.
fn use_everything(reactor: &Reactor) {
    let (mut sender, source) = source(reactor);
    wait(&source, Waker::noop());
    sender.write_all(b"x").unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(source.readiness().unwrap().is_readable());
    assert!(!reactor.is_empty());
    drop(source.into_inner());
}

fn source(reactor: &Reactor) -> (Sender, Waiting) {
    let (sender, receiver) = pipe::new().unwrap();
    let receiver = reactor.register(receiver, Interest::READABLE).unwrap();
    (sender, receiver)
}

fn wait(source: &Waiting, waker: &Waker) {
    let mut buf = [0; 8];
    let mut cx = Context::from_waker(waker);
    let read = source.poll_read_with(&mut cx, 8, |mut pipe| pipe.read(&mut buf));
    assert!(read.is_pending());
}

#[test]
fn a_waker_may_use_the_reactor_when_it_is_woken() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, waiting) = source(&reactor);
    let ran = std::rc::Rc::new(Cell::new(false));
    let waker = on_wake({
        let (reactor, ran) = (reactor.clone(), ran.clone());
        move || {
            use_everything(&reactor);
            ran.set(true);
        }
    });
    wait(&waiting, &waker);
    sender.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 1);
    assert!(ran.get());
}

#[test]
fn a_waker_may_use_the_reactor_when_it_is_cloned() {
    let reactor = Reactor::new().unwrap();
    let (_sender, waiting) = source(&reactor);
    let waker = on_clone({
        let reactor = reactor.clone();
        move || use_everything(&reactor)
    });
    wait(&waiting, &waker);
    assert!(ON_CLONE.take().is_none(), "the hook must have run");
}

#[test]
fn an_event_taken_while_the_waker_is_cloned_is_not_lost() {
    let reactor = Reactor::new().unwrap();
    let (sender, waiting) = source(&reactor);
    let waker = on_clone({
        let reactor = reactor.clone();
        let sender = RefCell::new(sender);
        move || {
            sender.borrow_mut().write_all(b"x").unwrap();
            assert_eq!(reactor.turn(LONG).unwrap(), 1);
        }
    });
    let mut buf = [0; 8];
    let mut cx = Context::from_waker(&waker);
    let read = waiting.poll_read_with(&mut cx, 8, |mut pipe| pipe.read(&mut buf));
    assert!(matches!(read, std::task::Poll::Ready(Ok(1))));
}

#[test]
fn closing_while_a_waiting_task_clones_its_waker_is_an_error() {
    let reactor = Reactor::new().unwrap();
    let (_sender, waiting) = source(&reactor);
    let waker = on_clone({
        let reactor = reactor.clone();
        move || reactor.close()
    });
    let mut cx = Context::from_waker(&waker);
    let mut buf = [0; 8];
    let read = waiting.poll_read_with(&mut cx, 8, |mut pipe| pipe.read(&mut buf));
    assert!(matches!(read, std::task::Poll::Ready(Err(_))));
}

#[test]
fn closing_while_a_yielding_task_clones_its_waker_is_an_error() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, always_ready) = source(&reactor);
    sender.write_all(&[7; 100]).unwrap();
    let waker = on_clone({
        let reactor = reactor.clone();
        move || reactor.close()
    });
    let mut cx = Context::from_waker(&waker);
    let mut read = || always_ready.poll_read_with(&mut cx, 1, |mut pipe| pipe.read(&mut [0]));
    for _ in 0..64 {
        assert!(matches!(read(), std::task::Poll::Ready(Ok(1))));
    }
    assert!(matches!(read(), std::task::Poll::Ready(Err(_))));
}

#[test]
fn a_waker_may_use_the_reactor_when_it_is_dropped() {
    let reactor = Reactor::new().unwrap();
    let hook = || {
        let reactor = reactor.clone();
        on_drop(move || use_everything(&reactor))
    };
    // Replaced, after as many wakers as are kept.
    let (mut sender, waiting) = source(&reactor);
    for _ in 0..10 {
        wait(&waiting, &hook());
    }
    // Woken.
    sender.write_all(b"x").unwrap();
    reactor.turn(LONG).unwrap();
    // Dropped with its source.
    let (_sender, waiting) = source(&reactor);
    wait(&waiting, &hook());
    drop(waiting);
    // Removed by a future.
    let (_sender, waiting) = source(&reactor);
    wait(&waiting, Waker::noop());
    let mut readable = Box::pin(waiting.readable());
    assert!(
        readable
            .as_mut()
            .poll(&mut Context::from_waker(&hook()))
            .is_pending()
    );
    drop(readable);
    ON_DROP.with_borrow(|hooks| assert!(hooks.is_empty()));
}

/// The cycle task → socket → slot → waker → task is broken only by closing.
#[test]
fn closing_breaks_the_cycle_of_a_task_and_its_socket() {
    thread_local! {
        static TASK: RefCell<Option<Waiting>> = const { RefCell::new(None) };
    }
    let reactor = Reactor::new().unwrap();
    let (sender, waiting) = source(&reactor);
    let waker = on_drop(|| drop(TASK.take()));
    wait(&waiting, &waker);
    TASK.set(Some(waiting));
    drop(waker);
    assert!(TASK.with_borrow(Option::is_some));
    reactor.close();
    assert!(TASK.with_borrow(Option::is_none));
    let broken = { sender }.write_all(b"x").unwrap_err();
    assert_eq!(
        broken.kind(),
        std::io::ErrorKind::BrokenPipe,
        "the other end is closed"
    );
}

#[test]
fn a_wake_may_drop_the_source_whose_event_comes_next() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, first) = source(&reactor);
    let (mut other_sender, other) = source(&reactor);
    let (count, counting) = CountingWaker::new();
    let others = std::rc::Rc::new(RefCell::new(vec![other]));
    wait(&others.borrow()[0], &counting);
    let waker = on_wake({
        let (others, reactor) = (others.clone(), reactor.clone());
        move || {
            // Its slot goes to a new source, while its event is already read.
            let gone = others.borrow_mut().pop();
            drop(gone);
            let (sender, new) = source(&reactor);
            wait(&new, Waker::noop());
            assert!(!new.readiness().unwrap().is_readable());
            std::mem::forget(sender);
            others.borrow_mut().push(new);
        }
    });
    wait(&first, &waker);
    sender.write_all(b"x").unwrap();
    other_sender.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 2);
    // The source was ready before it was dropped, so its task is woken, once.
    assert_eq!(count.get(), 1);
    assert!(!others.borrow()[0].readiness().unwrap().is_readable());
    assert_eq!(reactor.turn(NOW).unwrap(), 0);
}

#[test]
fn a_wake_may_close_the_reactor() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, first) = source(&reactor);
    let (mut other_sender, other) = source(&reactor);
    let (count, counting) = CountingWaker::new();
    wait(&other, &counting);
    drop(counting);
    let waker = on_wake({
        let reactor = reactor.clone();
        move || reactor.close()
    });
    wait(&first, &waker);
    sender.write_all(b"x").unwrap();
    other_sender.write_all(b"x").unwrap();
    assert_eq!(reactor.turn(LONG).unwrap(), 2);
    assert_eq!(count.get(), 0);
    assert_eq!(Arc::strong_count(&count), 1);
}

#[test]
fn when_a_waker_panics_the_next_turn_wakes_the_rest() {
    let reactor = Reactor::new().unwrap();
    let (mut sender, first) = source(&reactor);
    let (mut other_sender, other) = source(&reactor);
    let (count, counting) = CountingWaker::new();
    wait(&first, &on_wake(|| panic!("the waker panics")));
    wait(&other, &counting);
    sender.write_all(b"x").unwrap();
    other_sender.write_all(b"x").unwrap();
    let turn = catch_unwind(AssertUnwindSafe(|| reactor.turn(LONG)));
    assert!(turn.is_err());
    assert_eq!(count.get(), 0);
    // The turn does not wait, because wakers are pending.
    let begin = Instant::now();
    assert_eq!(reactor.turn(LONG).unwrap(), 0);
    assert_eq!(count.get(), 1);
    assert!(begin.elapsed() < LONG.unwrap());
}
