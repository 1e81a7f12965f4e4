//! Code that is not ours, at its worst: wakers that come back when they are cloned, woken or dropped,
//! or panic; items that come back or panic when they are compared or dropped; predicates and hooks that
//! do; futures that are leaked, or polled too often.

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

/// A waker that says whether it was woken.
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

/// Whether `call` panics, and with what.
fn panics(call: impl FnOnce()) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(call)).err()?;
    let text = payload.downcast::<String>().map(|text| *text);
    Some(text.unwrap_or_else(|payload| payload.downcast::<&str>().map_or("", |text| *text).into()))
}
