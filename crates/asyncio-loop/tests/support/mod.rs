//! What these tests share: a trace of words to compare, and a loop on virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "compiled once a test file, each of which uses a part"
)]

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_loop::{EventLoop, Unhandled};

/// What happened, in words.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Notes `what` when it is dropped.
    pub fn on_drop(&self, what: &'static str) -> NoteOnDrop {
        NoteOnDrop(self.clone(), what)
    }
}

/// See [`Trace::on_drop`].
#[derive(Debug)]
pub struct NoteOnDrop(Trace, &'static str);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// A loop on virtual time.
pub fn virtual_loop() -> EventLoop {
    let builder = EventLoop::builder().virtual_time(true);
    builder.build_loop().unwrap()
}

/// Runs `main` on virtual time, closes the loop, and gives what was noted.
pub fn run_virtual(main: impl AsyncFnOnce(&Trace)) -> Vec<String> {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    event_loop.run_until_complete(main(&trace)).unwrap();
    drop(event_loop);
    trace.take()
}

/// Has all reports of `event_loop` noted.
pub fn note_reports(event_loop: &EventLoop, trace: &Trace) {
    let trace = trace.clone();
    event_loop.set_exception_handler(move |unhandled: &Unhandled| {
        trace.note(unhandled.to_string());
    });
}

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Never ready; wakes nobody.
pub async fn for_ever() {
    std::future::pending::<()>().await;
}

/// Polls a future once, with a waker that does nothing.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A waker that panics when it is woken.
pub fn panicking_waker() -> Waker {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker of somebody else's");
        }
    }
    Arc::new(Panics).into()
}

/// The message of a panic.
pub fn message_of(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

/// What `f` panics with.
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    message_of(outcome.err().expect("it was to panic"))
}
