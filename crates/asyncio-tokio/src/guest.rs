//! A guest of tokio: a future that turns the loop at each poll.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncio_loop::{Builder, EventLoop, JoinError, LoopHandle, Next, TaskRef};
use tokio::runtime::{Handle, Id};
use tokio::task::coop::has_budget_remaining;

use crate::descriptor::Descriptor;
use crate::host_waker::{HostTask, HostWaker};
use crate::timer::Timer;

/// How long one poll may take, before tokio's driver gets its turn.
const SLICE: Duration = Duration::from_micros(50);

/// The step of a poll from which its time is taken. A poll of few steps does not read the clock.
const TIMED_STEP: u32 = 4;

/// A main task of ours in a tokio runtime, as a future: [`run`](crate::run) for a program that has a runtime.
///
/// The future resolves when the loop has closed: the tasks that `main` has left are cancelled, and their cleanups come
/// to their end.
///
/// Spawn it with `spawn_local`, in a `LocalRuntime` or a `LocalSet`, as in the example. It also works as the future of
/// `block_on`, but there tokio asks the system for events after each wake-up. The runtime should be one of a single
/// thread. In a `LocalSet` of a multi-thread runtime, a message to a worker takes two switches of threads.
///
/// ```
/// # mod asyncio { pub use asyncio_loop::*; pub use asyncio_tokio as tokio; }
/// use tokio::runtime::LocalRuntime;
/// use tokio::sync::mpsc;
///
/// let runtime = LocalRuntime::new()?;
/// let greeting = runtime.block_on(async {
///     let (sender, mut receiver) = mpsc::channel(1);
///     tokio::spawn(async move { sender.send("hello").await });
///     let guest = asyncio::tokio::Guest::new(async move {
///         // Here `asyncio::spawn`, groups and time limits work.
///         asyncio::spawn(async move { receiver.recv().await }).await.unwrap()
///     })?;
///     let outcome = tokio::task::spawn_local(guest).await?;
///     Ok::<_, Box<dyn std::error::Error>>(outcome?)
/// })?;
/// assert_eq!(greeting, Some("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The guest's clock is tokio's. While that is paused (`tokio::time::pause`, `start_paused`), sleeps and limits of ours
/// and tokio timers end in one order, and at once.
///
/// # Cancellation
///
/// A guest that is dropped before its end closes its loop without waiting, since its tasks may wait for the host. Its
/// futures are dropped, and cleanups that await are lost. The exception handler receives a report of each task. To end
/// a guest in order, cancel [`main`](Self::main) and await the guest.
///
/// # Errors
///
/// [`JoinError`] if `main` was cancelled or panicked, or if the loop was stopped.
///
/// # Panics
///
/// If a loop of ours runs on this thread already. If the runtime has no time driver and the loop has a deadline. The
/// loop has deadlines of its own, for example while it closes. If the runtime has ended, or another runtime than that
/// of [`new`](Self::new) polls it.
#[must_use = "a guest does nothing unless it is awaited"]
pub struct Guest<T> {
    guest: asyncio_loop::Guest<T>,
    descriptor: Descriptor,
    timer: Timer,
    host: HostTask,
    /// Where the descriptor is registered.
    runtime: Id,
}

impl<T: 'static> Guest<T> {
    /// Creates a guest with the default settings, in the tokio runtime that runs here. Ctrl-C does not cancel `main`:
    /// the host handles it, by `tokio::signal`.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector or no descriptor.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, or if the runtime has no I/O driver.
    #[track_caller]
    pub fn new<F>(main: F) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        Self::with(EventLoop::builder().ctrl_c(false), main)
    }

    /// Creates a guest on a loop with the settings of `builder`. Its [`unpark`](Builder::unpark) is replaced. Unless
    /// [`Builder::ctrl_c`] is switched off, Ctrl-C cancels `main`, and [`interrupted_by`](Self::interrupted_by) has its
    /// number.
    ///
    /// # Errors
    ///
    /// The system's error, if it provides no selector or no descriptor.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, or if the runtime has no I/O driver.
    #[track_caller]
    pub fn with<F>(builder: Builder, main: F) -> io::Result<Self>
    where
        F: Future<Output = T> + 'static,
    {
        let waker = HostWaker::default();
        let guest = asyncio_loop::Guest::with(unparks(builder, &waker), main)?;
        Self::of(guest, waker)
    }

    /// A guest whose loop was built by a builder of [`unparks`], with this waker.
    pub(crate) fn of(guest: asyncio_loop::Guest<T>, waker: HostWaker) -> io::Result<Self> {
        Ok(Self {
            descriptor: Descriptor::new(&guest, &waker)?,
            guest,
            timer: Timer::new(&waker),
            host: HostTask::new(waker),
            runtime: Handle::current().id(),
        })
    }
}

/// The settings of a loop that wakes `waker`.
pub(crate) fn unparks(builder: Builder, waker: &HostWaker) -> Builder {
    let waker = waker.clone();
    let builder = builder.host_clock(|| tokio::time::Instant::now().into_std());
    builder.unpark(move || waker.wake())
}

impl<T> Guest<T> {
    /// A guest waits for its runtime's events and timers. In another runtime it would wait forever.
    fn assert_at_home(&self) {
        let here = Handle::try_current().map(|here| here.id());
        assert!(
            here.is_ok_and(|here| here == self.runtime),
            "a guest belongs to the tokio runtime in which it was created: await it there"
        );
    }

    /// The main task, to cancel it or to ask for its state.
    #[must_use]
    pub fn main(&self) -> &TaskRef {
        self.guest.main()
    }

    /// The loop, for code of the host: [`EventLoop::spawn`] wakes the guest.
    #[must_use]
    pub fn event_loop(&self) -> &EventLoop {
        self.guest.event_loop()
    }

    /// Returns a handle of the loop, for any thread and any tokio task.
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        self.guest.handle()
    }

    /// The number of the signal that cancelled `main`, if nothing else did before.
    #[must_use]
    pub fn interrupted_by(&self) -> Option<i32> {
        self.guest.interrupted_by()
    }
}

/// The value of `main` is kept and moved, and never pinned.
impl<T> Unpin for Guest<T> {}

impl<T: 'static> Future for Guest<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.host.polls(cx.waker()) {
            this.assert_at_home();
        }
        let mut look = this.descriptor.was_readable();
        let (steps, slice) = (Cell::new(0), Slice::default());
        loop {
            let enough = || {
                let step = steps.get() + 1;
                steps.set(step);
                if step == TIMED_STEP {
                    slice.begin();
                }
                // At least one step, in case another future of the same task spends the budget each time.
                step > 1 && !has_budget_remaining()
            };
            match this.guest.turn(look, enough) {
                ControlFlow::Break(outcome) => return Poll::Ready(outcome),
                ControlFlow::Continue(Next::Now) => {}
                ControlFlow::Continue(Next::At(time)) => {
                    if this.timer.poll(time).is_pending() {
                        return Poll::Pending;
                    }
                }
                ControlFlow::Continue(Next::Event) => return Poll::Pending,
            }
            if !has_budget_remaining() || slice.is_over() {
                yield_to_driver(cx);
                return Poll::Pending;
            }
            look = cfg!(not(unix));
        }
    }
}

/// The time of one poll, from its first look at the clock.
#[derive(Default)]
struct Slice(Cell<Option<Instant>>);

impl Slice {
    fn begin(&self) {
        self.0.set(Some(Instant::now()));
    }

    /// Whether the time is over. It begins now at the latest.
    fn is_over(&self) -> bool {
        match self.0.get() {
            Some(begun) => begun.elapsed() >= SLICE,
            None => {
                self.begin();
                false
            }
        }
    }
}

/// Wakes the task after the driver of tokio has looked for events. A plain wake-up would come before that, and futures
/// of tokio would find their budget spent again.
fn yield_to_driver(cx: &mut Context<'_>) {
    let yielding = pin!(tokio::task::yield_now());
    let _pending = yielding.poll(cx);
}

impl<T> fmt::Debug for Guest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest")
            .field("main", self.main())
            .field("timer", &self.timer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_begins_at_its_first_look_and_ends() {
        let slice = Slice::default();
        assert!(!slice.is_over(), "it begins here");
        assert!(slice.0.get().is_some());
        slice
            .0
            .set(Instant::now().checked_add(Duration::from_secs(60)));
        assert!(!slice.is_over(), "no time has passed since then");
        slice.0.set(Instant::now().checked_sub(SLICE));
        assert!(slice.is_over());
        slice.begin();
        assert!(
            slice
                .0
                .get()
                .is_some_and(|begun| begun.elapsed() < Duration::from_secs(60))
        );
    }
}
