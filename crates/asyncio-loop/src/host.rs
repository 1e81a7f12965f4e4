//! The host interface: turns and closing of a loop that another loop turns.
//!
//! A host is a program that waits for itself: a GUI, a game, another runtime. It calls [`EventLoop::turn`] in place of
//! `run`, and waits for what [`Next`] says. Closing is turned as well, so a cleanup may wait for the host.

use std::mem;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::closing::{CLOSE_PASSES, ClosePass};
use crate::core::Core;
use crate::event_loop::EventLoop;
use crate::exceptions;
use crate::hosted::{Closing, Hosted, Next};

/// The longest pause between two questions whether the attachments of a closed loop have closed.
const LONGEST_PAUSE: Duration = Duration::from_millis(32);

/// How long a host waits for the attachments of a closed loop, as in asyncio.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(300);

impl EventLoop {
    /// Runs one turn, for a host: a program that owns the thread and waits by itself. Never waits.
    ///
    /// A turn takes the messages of other threads, fires the timers that are due, and runs ready tasks. It ends after
    /// 128 steps ([`Builder::task_budget`](crate::Builder::task_budget)), or when `enough`, which is asked before each
    /// step, returns true. The result says when the host must come back.
    ///
    /// `look` says that the loop's descriptor was readable, so that the turn asks the system for events. A host that
    /// does not know passes true, which costs a system call. The descriptor is [`AsFd`](#impl-AsFd-for-EventLoop).
    /// There is none on Windows: there the host is asked to come back every 10 ms while a source is registered.
    ///
    /// Between two turns the loop is not the running one. Code of the host uses [`EventLoop::spawn`], a
    /// [`LoopHandle`](crate::LoopHandle), or [`Task::cancel`](crate::Task::cancel). Such a call makes the descriptor
    /// readable, or calls [`Builder::unpark`](crate::Builder::unpark).
    ///
    /// A host closes the loop by [`close_turn`](Self::close_turn). If it drops a loop that it has turned, the remaining
    /// tasks are dropped and reported. The loop does not wait for them, because they may wait for the host.
    /// [`Guest`](crate::Guest) is a main task with all of this around it.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, Next, sleep};
    /// use std::time::{Duration, Instant};
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {
    ///     sleep(Duration::from_millis(20)).await;
    ///     "awake"
    /// });
    /// // The loop of a game, in which ours has a part of each frame.
    /// let mut frames = 0;
    /// while !task.is_finished() {
    ///     frames += 1;
    ///     let frame_end = Instant::now() + Duration::from_millis(5);
    ///     while event_loop.turn(true, || Instant::now() >= frame_end) == Next::Now {}
    ///     std::thread::sleep(frame_end.saturating_duration_since(Instant::now()));
    /// }
    /// assert!(frames >= 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already, if this loop is closed, or if the system cannot wait for events any more.
    #[track_caller]
    pub fn turn(&mut self, look: bool, enough: impl Fn() -> bool) -> Next {
        self.turn_until(look, enough, || false)
    }

    /// Runs one turn for a host, which ends after the batch in which `is_over` became true.
    #[track_caller]
    pub(crate) fn turn_until(
        &mut self,
        look: bool,
        enough: impl Fn() -> bool,
        is_over: impl Fn() -> bool,
    ) -> Next {
        let (core, hosted) = self.parts();
        if !mem::replace(&mut hosted.is_on, true) {
            core.begin_run();
        }
        core.host(|| hosted.turn(core, look, enough, is_over))
    }

    /// Tells the host that the loop has something to do, since its last turn said otherwise.
    pub(crate) fn wake_host(&self) {
        if !self.hosted.is_parked {
            return;
        }
        match (&self.hosted.unpark, &self.core) {
            (Some(unpark), _) => unpark.unpark(),
            (None, Some(core)) => core.reactor.unparker().unpark(),
            (None, None) => {}
        }
    }

    /// Whether the loop was [stopped](crate::LoopHandle::stop) since the last call. A hosted loop goes on nevertheless,
    /// so its host must ask.
    pub fn take_stopped(&mut self) -> bool {
        mem::take(&mut self.hosted.has_stopped)
    }

    /// Runs one turn of closing, for a host. `None`: the loop is closed. It takes the steps of [`close`](Self::close),
    /// and waits for the same things. The host waits between its turns as it does for [`turn`](Self::turn), so cleanups
    /// may use the host.
    ///
    /// A host that cannot wait any longer calls [`close_within`](Self::close_within) with a time of zero.
    ///
    /// ```
    /// # mod asyncio { pub use asyncio_loop::*; }
    /// use asyncio::{EventLoop, Next, sleep};
    /// use std::time::{Duration, Instant};
    ///
    /// let mut event_loop = EventLoop::new()?;
    /// event_loop.spawn(async { sleep(Duration::from_secs(3600)).await }).detach();
    /// let _ = event_loop.turn(true, || false);
    /// while let Some(next) = event_loop.close_turn(true, || false) {
    ///     if let Next::At(time) = next {
    ///         std::thread::sleep(time.saturating_duration_since(Instant::now()));
    ///     }
    /// }
    /// assert!(event_loop.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a loop runs on this thread already.
    #[track_caller]
    pub fn close_turn(&mut self, look: bool, enough: impl Fn() -> bool) -> Option<Next> {
        if self.core.is_some() {
            if let Some(next) = self.end_tasks_by_turns(look, enough) {
                return Some(next);
            }
            self.close_core_for_host();
        }
        self.wait_for_attachments()
    }

    /// Runs one turn of the passes that cancel all tasks. `None`: they are over.
    #[track_caller]
    fn end_tasks_by_turns(&mut self, look: bool, enough: impl Fn() -> bool) -> Option<Next> {
        let (core, hosted) = self.parts();
        hosted.is_on = true;
        core.host(|| {
            let (mut pass, mut left) = match hosted.closing.take() {
                Some(Closing::Tasks { pass, left }) => (pass, left),
                _ => {
                    hosted.failure = core.take_failure();
                    core.start_limits();
                    (ClosePass::begin(core, None), CLOSE_PASSES - 1)
                }
            };
            while pass.is_over(core) {
                left = left.checked_sub(1)?;
                pass = ClosePass::begin(core, None);
            }
            core.stopping.set(false);
            let next = hosted.turn(core, look, enough, || false);
            // Otherwise the host would wait, and the next pass with it.
            let is_over = pass.is_over(core);
            hosted.closing = Some(Closing::Tasks { pass, left });
            Some(if is_over { Next::Now } else { next })
        })
    }

    /// Drops what is left of the loop, and begins to close the attachments.
    fn close_core_for_host(&mut self) {
        let Some(mut core) = self.core.take() else {
            return;
        };
        core.host(|| core.close());
        let failure = core.take_failure();
        self.hosted.failure = self.hosted.failure.take().or(failure);
        let attachments = mem::take(&mut core.attachments);
        let reactor = core.reactor.clone();
        // Dropped first, so that other threads that wait for the loop see that it is closed.
        drop(core);
        let now = Instant::now();
        self.hosted.closing = Some(Closing::Attachments {
            left: attachments.begin_close(),
            until: now.checked_add(CLOSE_TIMEOUT).unwrap_or(now),
            pause: Duration::from_millis(1),
            reactor,
        });
    }

    /// When to ask again whether the attachments have closed. `None`: they have.
    fn wait_for_attachments(&mut self) -> Option<Next> {
        let Some(Closing::Attachments {
            left,
            until,
            pause,
            reactor,
        }) = &mut self.hosted.closing
        else {
            return None;
        };
        let now = Instant::now();
        if now < *until && !left.have_closed(exceptions::attachment_panicked) {
            reactor.drain();
            let at = now + *pause;
            *pause = (2 * *pause).min(LONGEST_PAUSE);
            return Some(Next::At(at));
        }
        self.hosted.abandon_closing();
        None
    }

    /// The loop of a host, and what it keeps between turns.
    #[track_caller]
    fn parts(&mut self) -> (&Core, &mut Hosted) {
        let core = self.core.as_deref().expect("the event loop is closed");
        (core, &mut self.hosted)
    }

    /// The reason why a test has failed, once the loop is closed.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.hosted.failure.take()
    }
}

/// The descriptor of the loop, for the host of [`EventLoop::turn`]: an `epoll` or a `kqueue`. It is readable when the
/// loop has events, or a message if [`Builder::unpark`](crate::Builder::unpark) is not set. A host that watches for
/// edges and not for levels loses none.
///
/// The descriptor belongs to the loop. It is for waiting only, and stays the same until the loop has closed.
///
/// ```
/// # #[cfg(not(unix))] fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// # mod asyncio { pub use asyncio_loop::*; }
/// use asyncio::{EventLoop, Next, sleep};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use std::time::{Duration, Instant};
///
/// let mut event_loop = EventLoop::new()?;
/// let task = event_loop.spawn(async {
///     sleep(Duration::from_millis(5)).await;
///     7
/// });
/// let mut look = false;
/// loop {
///     let next = event_loop.turn(look, || false);
///     if task.is_finished() {
///         break;
///     }
///     let wait = match next {
///         Next::Now => Some(Duration::ZERO),
///         Next::At(time) => Some(time.saturating_duration_since(Instant::now())),
///         Next::Event => None,
///     };
///     let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
///     // The program's own descriptors come here.
///     let mut descriptors = [PollFd::new(&event_loop, PollFlags::IN)];
///     poll(&mut descriptors, wait.as_ref())?;
///     look = !descriptors[0].revents().is_empty();
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// If the loop is closed.
#[cfg(unix)]
impl AsFd for EventLoop {
    #[track_caller]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match (&self.core, &self.hosted.closing) {
            (Some(core), _) => core.reactor.as_fd(),
            (None, Some(Closing::Attachments { reactor, .. })) => reactor.as_fd(),
            (None, _) => panic!("the event loop is closed"),
        }
    }
}
