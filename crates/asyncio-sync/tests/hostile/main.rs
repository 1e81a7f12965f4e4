//! Hostile foreign code.
//!
//! - Wakers that use the primitive, or panic, when they are cloned, woken or dropped.
//! - Items that use the queue, or panic, when they are compared or dropped.
//! - Predicates, hooks and outcomes that use the primitive, or panic.
//! - Futures that are leaked, or polled after completion.

mod callbacks;
mod hooked_waker;
mod items;
mod leaked;
mod wakers;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

fn boxed<T>(future: impl Future<Output = T> + 'static) -> Boxed<T> {
    Box::pin(future)
}

fn poll<T>(future: &mut Boxed<T>, waker: &Waker) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// A waker that records whether it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Flag {
    fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::<Self>::default();
        (Arc::clone(&flag), Waker::from(flag))
    }

    fn was_woken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The panic message of `call`, or `None` if it does not panic.
fn panics(call: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(call)).err()?;
    let text = payload.downcast::<String>().map(|text| *text);
    Some(text.unwrap_or_else(|payload| payload.downcast::<&str>().map_or("", |text| *text).into()))
}
