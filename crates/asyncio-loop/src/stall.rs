//! The stall detector: reports code that keeps an event loop from its other work, while it does.
//!
//! - A loop counts its turns, and its tasks note each step. These are plain stores, at a cost too small to measure.
//! - One thread of the process looks at all loops that run, four times in each limit. A loop whose turn has not ended
//!   since the last look is late.
//! - While all loops wait, that thread sleeps without a timeout. A loop that begins to work again wakes it, at most
//!   once for each of its looks.
//!
//! The report has the task, the place that spawned it, and on Linux whether the thread computes or waits, and where in
//! the kernel. It has no stack of the thread: a signal handler would have to unwind it, which is not safe in the middle
//! of an allocation.

use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_task::{PanicPayload, Pulse, TaskId};

use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, fence};
use crate::thread_state::ThreadNumber;

/// The limit of a stall unless set otherwise.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);

/// A look that comes later than this was held up itself.
const HELD_UP: Duration = Duration::from_secs(1);

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(5);

/// Code that keeps an event loop from its other tasks, timers and sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The name of the loop's thread.
    pub thread: String,
    /// The number of the task or callback whose step is under way, and the place that spawned it. `None` if it is no
    /// step, but a destructor or a waker.
    pub task: Option<(TaskId, &'static Location<'static>)>,
    /// The state of the loop's thread, while the stall lasts: `it computes`, or
    /// `it waits in the kernel's futex_do_wait`, for a lock for example. `None` where the system does not tell: Linux
    /// does, unless it is hardened.
    pub doing: Option<String>,
    /// How long it has lasted, or did. It is measured from outside and may be a quarter of the limit short.
    pub lasted: Duration,
    /// Whether the loop goes on again.
    pub is_over: bool,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_over { "was" } else { "is" };
        write!(f, "the event loop of thread `{}` {verb} kept", self.thread)?;
        let lasted = Duration::from_millis(self.lasted.as_millis() as u64);
        match self.task {
            None => write!(f, " outside of tasks for {lasted:?}")?,
            Some((id, place)) => write!(
                f,
                " by a step of task {id}, spawned at {place}, for {lasted:?}"
            )?,
        }
        match &self.doing {
            Some(doing) => write!(f, ": {doing}"),
            None => Ok(()),
        }
    }
}

/// Receives reports of stalls.
#[derive(Clone)]
pub(crate) struct OnStall(Arc<dyn Fn(&Stall) + Send + Sync>);

impl OnStall {
    pub(crate) fn new(handler: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handler))
    }
}

impl Default for OnStall {
    fn default() -> Self {
        Self::new(|stall| {
            // A program whose standard error is closed continues.
            let _ = writeln!(std::io::stderr(), "asyncio: {stall}");
        })
    }
}

impl fmt::Debug for OnStall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStall(..)")
    }
}

/// A loop, as the watching thread sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    pulse: Arc<Pulse>,
    /// The number of the turn.
    turn: AtomicU64,
    /// Whether the loop does not run, or waits for something to do.
    is_waiting: AtomicBool,
    limit: Duration,
    on_stall: OnStall,
    thread: String,
    number: ThreadNumber,
}

impl Watched {
    /// Adds the loop of this thread, which does not run.
    pub(crate) fn begin(pulse: Arc<Pulse>, limit: Duration, on_stall: OnStall) -> Arc<Self> {
        let watched = Arc::new(Self {
            pulse,
            turn: AtomicU64::new(0),
            is_waiting: AtomicBool::new(true),
            limit,
            on_stall,
            thread: thread::current()
                .name()
                .unwrap_or("without a name")
                .to_owned(),
            number: ThreadNumber::here(),
        });
        let mut watch = WATCH.lock();
        watch.loops.push(watched.clone());
        if !watch.has_thread {
            let thread = thread::Builder::new().name("asyncio-stalls".to_owned());
            // Without a thread nothing is detected, and nothing else is different.
            watch.has_thread = thread.stack_size(128 * 1024).spawn(|| WATCH.run()).is_ok();
        } else if !WATCH.is_asleep.load(Ordering::Relaxed) {
            // It may wait for longer than the limit of this loop.
            WATCH.woken.notify_one();
        }
        watched
    }

    /// Removes it.
    pub(crate) fn end(self: &Arc<Self>) {
        WATCH.lock().loops.retain(|other| !Arc::ptr_eq(other, self));
    }

    #[inline]
    pub(crate) fn begin_turn(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn + 1, Ordering::Relaxed);
    }

    /// Notes that the loop waits.
    #[inline]
    pub(crate) fn rest(&self) {
        self.is_waiting.store(true, Ordering::Relaxed);
    }

    /// Notes that the loop works.
    #[inline]
    pub(crate) fn work(&self) {
        WATCH.works(&self.is_waiting);
    }

    fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Relaxed)
    }
}

/// The thread that looks at the loops, and the loops.
#[cfg_attr(loom, derive(Default))]
struct Watch {
    state: Mutex<WatchState>,
    woken: Condvar,
    /// Set while the thread sleeps until a loop works.
    is_asleep: AtomicBool,
}

#[cfg_attr(loom, derive(Default))]
struct WatchState {
    loops: Vec<Arc<Watched>>,
    has_thread: bool,
}

#[cfg(not(loom))]
static WATCH: Watch = Watch {
    state: Mutex::new(WatchState {
        loops: Vec::new(),
        has_thread: false,
    }),
    woken: Condvar::new(),
    is_asleep: AtomicBool::new(false),
};

// The types of loom have no constants. No loop runs in a model.
#[cfg(loom)]
static WATCH: std::sync::LazyLock<Watch> = std::sync::LazyLock::new(Watch::default);

/// A turn that has not ended between two looks.
struct Late {
    watched: Arc<Watched>,
    turn: u64,
    /// The first look at the turn.
    since: Instant,
    /// How long it lasts until the next report.
    next_report: Duration,
    /// The last look at which it was under way, and its step then.
    last: (Duration, Option<(TaskId, &'static Location<'static>)>),
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, WatchState> {
        // Nothing that can panic runs under this lock.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes that the loop of this word works.
    #[inline]
    fn works(&self, is_waiting: &AtomicBool) {
        is_waiting.store(false, Ordering::Relaxed);
        // With the fence in `sleep`: this sees that the thread sleeps, or the thread sees that the loop works.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Under the lock: the thread is asleep, or has not looked whether it may.
        let _state = self.lock();
        self.is_asleep.store(false, Ordering::Relaxed);
        self.woken.notify_one();
    }

    /// The thread: looks, waits, and sleeps while all loops wait.
    fn run(&self) {
        let mut late: Vec<Late> = Vec::new();
        let mut looked = Instant::now();
        let mut was_idle = false;
        loop {
            let state = self.lock();
            let is_idle = state.loops.iter().all(|watched| watched.is_waiting());
            let period = state.loops.iter().map(|watched| watched.limit / 4).min();
            let period = period.unwrap_or(LIMIT).max(SHORTEST);
            // Not at the first sight: a loop that waits between two requests would wake this each time.
            if is_idle && was_idle {
                self.sleep(state);
                was_idle = false;
            } else {
                was_idle = is_idle;
                drop(self.woken.wait_timeout(state, period));
            }
            let now = Instant::now();
            if now - looked > period + HELD_UP {
                // It slept, or the whole process or machine was held up: none of the loops is to blame.
                late.clear();
            }
            looked = now;
            let loops = self.lock().loops.clone();
            self.look(&loops, &mut late, now);
        }
    }

    /// Sleeps until a loop works.
    fn sleep(&self, mut state: MutexGuard<'_, WatchState>) {
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.is_asleep.load(Ordering::Relaxed)
            && state.loops.iter().all(|watched| watched.is_waiting())
        {
            state = self.woken.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Compares the turns of all loops with those of the last look.
    fn look(&self, loops: &[Arc<Watched>], late: &mut Vec<Late>, now: Instant) {
        late.retain(|late| {
            let is_same = late.turn == late.watched.turn.load(Ordering::Relaxed);
            let goes_on = is_same && !late.watched.is_waiting();
            if !goes_on && late.next_report > late.watched.limit {
                late.report(true);
            }
            goes_on
        });
        for watched in loops {
            if watched.is_waiting() {
                continue;
            }
            let known = late
                .iter_mut()
                .find(|late| Arc::ptr_eq(&late.watched, watched));
            let Some(known) = known else {
                late.push(Late {
                    turn: watched.turn.load(Ordering::Relaxed),
                    since: now,
                    next_report: watched.limit,
                    last: (Duration::ZERO, None),
                    watched: watched.clone(),
                });
                continue;
            };
            known.last = (now - known.since, watched.pulse.step());
            if known.last.0 >= known.next_report {
                known.next_report = known.last.0 * 2;
                known.report(false);
            }
        }
    }
}

impl Late {
    fn report(&self, is_over: bool) {
        let (lasted, task) = self.last;
        let number = self.watched.number;
        let stall = Stall {
            thread: self.watched.thread.clone(),
            task,
            doing: (!is_over).then(|| number.doing()).flatten(),
            lasted,
            is_over,
        };
        let handler = &self.watched.on_stall.0;
        // A handler that panics ends the report, not the detector.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(&stall))) {
            drop(PanicPayload::new(payload));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_has_worked_for_a_moment_wakes_the_detector() {
        let watch = Watch {
            state: Mutex::new(WatchState {
                loops: Vec::new(),
                has_thread: false,
            }),
            woken: Condvar::new(),
            is_asleep: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let detector = scope.spawn(|| watch.sleep(watch.lock()));
            while !watch.is_asleep.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            // All loops wait when the detector looks.
            watch.works(&AtomicBool::new(true));
            detector.join().expect("a lost wake-up would be a hang");
        });
        assert!(!watch.is_asleep.load(Ordering::Relaxed));
    }

    #[test]
    fn reports_come_at_the_limit_when_it_has_doubled_and_at_the_end() {
        const NONE: [(u64, bool); 0] = [];
        let seen: Arc<Mutex<Vec<(u64, bool)>>> = Arc::default();
        let noted = seen.clone();
        let watched = Arc::new(Watched {
            pulse: Arc::default(),
            turn: AtomicU64::new(0),
            is_waiting: AtomicBool::new(false),
            limit: LIMIT,
            on_stall: OnStall::new(move |stall| {
                let report = (stall.lasted.as_millis() as u64, stall.is_over);
                noted.lock().unwrap().push(report);
            }),
            thread: String::new(),
            number: ThreadNumber::here(),
        });
        let (began, mut late) = (Instant::now(), Vec::new());
        let mut look = |millis| {
            let now = began + Duration::from_millis(millis);
            WATCH.look(std::slice::from_ref(&watched), &mut late, now);
            std::mem::take(&mut *seen.lock().unwrap())
        };
        assert_eq!([0, 900].map(&mut look), [NONE; 2]);
        assert_eq!(look(1_000), [(1_000, false)]);
        assert_eq!([1_500, 1_900].map(&mut look), [NONE; 2]);
        assert_eq!(look(2_000), [(2_000, false)]);
        watched.begin_turn();
        assert_eq!(look(2_100), [(2_000, true)]);
        // The next turn is short, and the loop waits after the one that follows.
        watched.begin_turn();
        assert_eq!(look(2_200), NONE);
        assert_eq!(look(3_100), NONE);
        watched.rest();
        assert_eq!(look(3_300), NONE);
    }

    #[test]
    fn a_loop_that_is_gone_is_not_watched() {
        let builder = crate::EventLoop::builder().stall_limit(LIMIT);
        let event_loop = builder.build_loop().unwrap();
        let watched = event_loop.core().watched.clone().unwrap();
        let is_watched = || {
            let state = WATCH.lock();
            state.loops.iter().any(|it| Arc::ptr_eq(it, &watched))
        };
        assert!(is_watched());
        drop(event_loop);
        assert!(!is_watched());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    fn with_one_loop() -> (Arc<Watch>, Arc<Watched>) {
        let watched = Arc::new(Watched {
            pulse: Arc::default(),
            turn: AtomicU64::new(0),
            is_waiting: AtomicBool::new(true),
            limit: LIMIT,
            on_stall: OnStall::default(),
            thread: String::new(),
            number: ThreadNumber::here(),
        });
        let watch = Watch::default();
        watch.lock().loops.push(watched.clone());
        (Arc::new(watch), watched)
    }

    /// Found: either fence left out.
    #[test]
    fn loom_a_loop_that_works_again_wakes_the_detector() {
        loom::model(|| {
            let (watch, watched) = with_one_loop();
            let sleeper = watch.clone();
            let detector = loom::thread::spawn(move || sleeper.sleep(sleeper.lock()));
            watch.works(&watched.is_waiting);
            // A lost wake-up is a deadlock here.
            detector.join().unwrap();
            assert!(!watch.is_asleep.load(Ordering::Relaxed));
        });
    }

    #[test]
    fn loom_a_loop_that_works_for_a_moment_wakes_it_as_well() {
        loom::model(|| {
            let (watch, watched) = with_one_loop();
            let other = with_one_loop().1;
            watch.lock().loops.push(other.clone());
            let sleeper = watch.clone();
            let detector = loom::thread::spawn(move || sleeper.sleep(sleeper.lock()));
            let (there, word) = (watch.clone(), other);
            let second = loom::thread::spawn(move || {
                there.works(&word.is_waiting);
                word.rest();
            });
            watch.works(&watched.is_waiting);
            second.join().unwrap();
            detector.join().unwrap();
        });
    }
}
