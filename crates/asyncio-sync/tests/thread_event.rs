//! Events that threads set and wait for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use asyncio_sync::ThreadEvent;
use futures::executor::block_on;
use futures::future::join3;

/// A waker that counts its wake-ups.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("this waker panics as part of the test");
    }
}

#[test]
fn tasks_and_threads_wait_until_a_thread_sets_it() {
    let event = ThreadEvent::new();
    let setter = event.clone();
    let blocked = event.clone();
    let thread = thread::spawn(move || blocked.wait_blocking());
    let setting = thread::spawn(move || setter.set());
    block_on(join3(event.wait(), event.wait(), event.wait()));
    thread.join().unwrap();
    setting.join().unwrap();
    assert!(event.is_set());
    block_on(event.wait()); // does not wait
    assert!(event.wait_timeout(Duration::ZERO));
}

#[test]
fn a_wait_can_time_out() {
    let event = ThreadEvent::new();
    assert!(!event.wait_timeout(Duration::from_millis(1)));
    assert_eq!(
        format!("{event:?}"),
        "ThreadEvent { set: false, waiting: 0 }"
    );
}

#[test]
fn set_and_clear_at_once_release_all_waiters() {
    let event = ThreadEvent::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let (mut one, mut two) = (pin!(event.wait()), pin!(event.wait()));
    assert!(one.as_mut().poll(&mut cx).is_pending());
    assert!(two.as_mut().poll(&mut cx).is_pending());
    assert!(two.as_mut().poll(&mut cx).is_pending(), "polled again");
    event.set();
    event.set();
    event.clear();
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
    let mut late = pin!(event.wait());
    assert!(late.as_mut().poll(&mut cx).is_pending());
    assert_eq!(one.as_mut().poll(&mut cx), Poll::Ready(()));
    assert_eq!(two.as_mut().poll(&mut cx), Poll::Ready(()));
    assert!(late.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn a_dropped_wait_leaves_the_list() {
    let event = ThreadEvent::new();
    {
        let mut wait = pin!(event.wait());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        assert_eq!(
            format!("{event:?}"),
            "ThreadEvent { set: false, waiting: 1 }"
        );
    }
    assert_eq!(
        format!("{event:?}"),
        "ThreadEvent { set: false, waiting: 0 }"
    );
}

#[test]
fn if_a_waker_panics_the_others_are_woken() {
    let event = ThreadEvent::new();
    let count = Arc::new(Count::default());
    let (panics, counts) = (Waker::from(Arc::new(Panics)), Waker::from(count.clone()));
    let (mut one, mut two) = (pin!(event.wait()), pin!(event.wait()));
    assert!(
        one.as_mut()
            .poll(&mut Context::from_waker(&panics))
            .is_pending()
    );
    assert!(
        two.as_mut()
            .poll(&mut Context::from_waker(&counts))
            .is_pending()
    );
    let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| event.set()));
    assert!(set.is_err());
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(event.is_set());
}

#[test]
fn no_release_is_lost_between_many_threads() {
    for _ in 0..200 {
        let event = ThreadEvent::new();
        thread::scope(|scope| {
            for n in 0..3 {
                let event = &event;
                scope.spawn(move || match n {
                    0 => event.wait_blocking(),
                    _ => block_on(event.wait()),
                });
            }
            scope.spawn(|| event.set());
        });
    }
}
