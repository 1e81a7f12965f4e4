//! hyper's executor and timer on the loop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncio_loop::{sleep, sleep_until, spawn};
use hyper::rt::{Executor, Timer};

use crate::bound::LoopBound;

/// hyper's executor and timer, by tasks and sleeps of the running loop. Time may be virtual.
///
/// Futures need no `Send`. So with this executor nothing in hyper needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnLoop;

impl<F> Executor<F> for OnLoop
where
    F: Future + 'static,
    F::Output: 'static,
{
    /// Runs the future in a detached task. The loop's exception handler receives a panic.
    ///
    /// # Panics
    ///
    /// Without a running loop.
    fn execute(&self, future: F) {
        spawn(async move { drop(future.await) }).detach();
    }
}

impl Timer for OnLoop {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(BoundSleep(LoopBound::new(sleep(duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(BoundSleep(LoopBound::new(sleep_until(deadline))))
    }

    fn now(&self) -> Instant {
        asyncio_loop::time()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<BoundSleep>() {
            Some(mut ours) => ours.0.reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A sleep of the loop. hyper demands that it is `Send` and `Sync`.
struct BoundSleep(LoopBound<asyncio_loop::Sleep>);

impl Future for BoundSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for BoundSleep {}
