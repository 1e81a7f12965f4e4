//! Callbacks: functions that the loop calls soon, or later.
//!
//! A callback runs in a task's cell, hidden from lists of tasks, in a copy of the context in which
//! it was scheduled. So it is queued among the steps of the ready queue, first in, first out.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use asyncio_console::Place;
use asyncio_task::{Context, SpawnOptions, TaskRef};

use crate::core::Core;
use crate::current;
use crate::sleep::Sleep;

/// Schedules `callback` to be called once, after everything that is ready now.
///
/// # Panics
///
/// Without a running loop. A panic in the callback goes to the exception handler.
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> Handle {
    let location = Location::caller();
    current::with(|core| core.call_soon(callback, location))
}

/// Schedules `callback` to be called once, after `delay`. Callbacks and sleeps with the same
/// deadline run in the order in which they were scheduled.
///
/// # Panics
///
/// Without a running loop. A panic in the callback goes to the exception handler.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> TimerHandle {
    let location = Location::caller();
    current::with(|core| core.call_after(delay, callback, location))
}

/// Schedules `callback` to be called once, at `when`, in the time of the running loop.
///
/// # Panics
///
/// Without a running loop. A panic in the callback goes to the exception handler.
#[track_caller]
pub fn call_at(when: Instant, callback: impl FnOnce() + 'static) -> TimerHandle {
    let location = Location::caller();
    current::with(|core| core.call_at(when, callback, location))
}

/// A scheduled callback, which can be cancelled. Dropping the handle does not cancel it.
#[derive(Clone)]
pub struct Handle {
    callback: Rc<Callback>,
    step: TaskRef,
}

/// A scheduled callback with a deadline.
#[derive(Clone)]
pub struct TimerHandle {
    handle: Handle,
    when: Instant,
}

/// The callback, until it is called or cancelled.
struct Callback {
    call: Cell<Option<Box<dyn FnOnce()>>>,
    cancelled: Cell<bool>,
}

impl Core {
    pub(crate) fn call_soon(
        &self,
        callback: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> Handle {
        let callback = Callback::new(callback);
        let options = SpawnOptions::callback().location(location);
        let scheduled = Scheduled(callback.clone());
        let task = self.tasks.spawn_with(options, call(scheduled));
        let step = task.as_ref();
        task.detach();
        Handle { callback, step }
    }

    pub(crate) fn call_at(
        &self,
        when: Instant,
        callback: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> TimerHandle {
        let deadline = self.timers.clock.nanos_of(when);
        self.call_when(when, deadline, callback, location)
    }

    pub(crate) fn call_after(
        &self,
        delay: Duration,
        callback: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> TimerHandle {
        let clock = &self.timers.clock;
        let deadline = clock.after(delay);
        self.call_when(clock.instant_of(deadline), deadline, callback, location)
    }

    /// Schedules a callback at `deadline`, which is `when` in loop time.
    fn call_when(
        &self,
        when: Instant,
        deadline: u64,
        callback: impl FnOnce() + 'static,
        location: &'static Location<'static>,
    ) -> TimerHandle {
        let callback = Callback::new(callback);
        let timer = Rc::new(Cell::new(None));
        let later = CallAt {
            timer: timer.clone(),
            callback: Scheduled(callback.clone()),
        };
        let options = SpawnOptions::callback().dormant().location(location);
        let task = self.tasks.spawn_with(options, later);
        let step = task.as_ref();
        task.detach();
        // The timer starts now, not with the first step, so that deadlines keep the order of the
        // calls.
        let mut sleep = Sleep::at(&self.timers, deadline, Place::of(location));
        sleep.arm(&step.waker());
        timer.set(Some(sleep));
        TimerHandle {
            handle: Handle { callback, step },
            when,
        }
    }
}

async fn call(callback: Scheduled) {
    callback.0.run();
}

/// The loop's ownership of a callback. Dropping it drops the callback, even if handles are left.
struct Scheduled(Rc<Callback>);

impl Drop for Scheduled {
    fn drop(&mut self) {
        drop(self.0.call.take());
    }
}

/// The future of a timer's callback. Its timer wakes it for the first time.
struct CallAt {
    timer: Rc<Cell<Option<Sleep>>>,
    callback: Scheduled,
}

impl Future for CallAt {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        if let Some(mut timer) = self.timer.take()
            && Pin::new(&mut timer).poll(cx).is_pending()
        {
            self.timer.set(Some(timer));
            return Poll::Pending;
        }
        self.callback.0.run();
        Poll::Ready(())
    }
}

impl Callback {
    fn new(callback: impl FnOnce() + 'static) -> Rc<Self> {
        Rc::new(Self {
            call: Cell::new(Some(Box::new(callback))),
            cancelled: Cell::new(false),
        })
    }

    fn run(&self) {
        if let Some(call) = self.call.take() {
            call();
        }
    }
}

impl Handle {
    /// Cancels the callback, if it has not run. Its captured values are dropped now.
    pub fn cancel(&self) {
        if let Some(call) = self.callback.call.take() {
            self.callback.cancelled.set(true);
            self.step.cancel();
            drop(call);
        }
    }

    /// Whether the callback was cancelled before it ran.
    #[must_use]
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.callback.cancelled.get()
    }

    /// The context in which the callback is called.
    #[must_use]
    #[doc(alias = "get_context")]
    pub fn context(&self) -> Context {
        self.step.context()
    }
}

impl TimerHandle {
    /// Cancels the callback, if it has not run. Its captured values are dropped now.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Whether the callback was cancelled before it ran.
    #[must_use]
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.handle.is_cancelled()
    }

    /// The context in which the callback is called.
    #[must_use]
    #[doc(alias = "get_context")]
    pub fn context(&self) -> Context {
        self.handle.context()
    }

    /// When the callback is due, in the time of its loop.
    #[must_use]
    pub fn when(&self) -> Instant {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.step.info();
        let state = if self.is_cancelled() {
            "cancelled"
        } else if self.step.is_finished() {
            "done"
        } else {
            "waiting"
        };
        write!(f, "Handle({state}, made at {})", info.location)
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("handle", &self.handle)
            .finish()
    }
}
