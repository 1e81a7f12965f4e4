//! Wake-ups from another thread, which runs on another core.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::Work;
use crate::cores::{Role, pin};
use crate::effort::Effort;
use crate::figures::{Figures, median};
use crate::runtime::Runtime;
use crate::signal::Signal;
use crate::workload::{Column, Countable, Workload};

/// The other thread's view of a task that counts its polls.
#[derive(Debug, Default)]
struct Target {
    polls: AtomicU64,
    waker: Mutex<Option<Waker>>,
    over: AtomicBool,
}

impl Target {
    /// Stores its waker, then counts its polls until the end.
    async fn be_woken(self: Arc<Self>) {
        poll_fn(|context| {
            let polls = self.polls.fetch_add(1, Ordering::AcqRel);
            if polls == 0 {
                *self.waker.lock().unwrap() = Some(context.waker().clone());
            }
            if self.over.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits for the task's first poll and takes its waker.
    fn waker(&self) -> Waker {
        loop {
            if let Some(waker) = self.waker.lock().unwrap().take() {
                return waker;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs `wake` on a thread of its own on another core, while `tasks` tasks wait to be woken and,
/// if `busy`, one more keeps the loop from ever going to sleep.
fn from_another_thread<R: Runtime>(
    tasks: usize,
    busy: bool,
    wake: impl FnOnce(&[Arc<Target>], Vec<Waker>) -> Figures + Send + 'static,
) -> Figures {
    R::block_on(async move {
        let targets: Vec<Arc<Target>> = (0..tasks).map(|_| Arc::default()).collect();
        let waiting: Vec<_> = targets
            .iter()
            .map(|target| R::spawn(Arc::clone(target).be_woken()))
            .collect();

        let over = Arc::new(AtomicBool::new(false));
        let elsewhere = Arc::new(Barrier::new(2));
        let waker_thread = {
            let (over, elsewhere) = (Arc::clone(&over), Arc::clone(&elsewhere));
            thread::spawn(move || {
                pin(Role::Driver).expect("a thread can choose its core");
                elsewhere.wait();
                let wakers: Vec<Waker> = targets.iter().map(|target| target.waker()).collect();
                let figures = wake(&targets, wakers.clone());
                over.store(true, Ordering::Release);
                for (target, waker) in targets.iter().zip(wakers) {
                    target.over.store(true, Ordering::Release);
                    waker.wake();
                }
                figures
            })
        };
        // The thread begins on this core, and should not compete with a busy loop for it.
        elsewhere.wait();
        if busy {
            keep_busy::<R>(over).await;
        }
        for task in waiting {
            R::join(task).await;
        }
        waker_thread.join().expect("the waking thread ends well")
    })
}

/// Two tasks wake each other until the end. (On monoio, a task that wakes itself would be the only one to run.)
async fn keep_busy<R: Runtime>(over: Arc<AtomicBool>) {
    let signals = [(); 2].map(|()| Rc::new(Signal::default()));
    signals[0].set();
    let tasks = [0, 1].map(|own| {
        let (mine, theirs) = (Rc::clone(&signals[own]), Rc::clone(&signals[1 - own]));
        let over = Arc::clone(&over);
        R::spawn(async move {
            while !over.load(Ordering::Acquire) {
                mine.taken().await;
                theirs.set();
            }
            theirs.set();
        })
    });
    for task in tasks {
        R::join(task).await;
    }
}

const BURST: u32 = 1_000;

/// One task is woken a thousand times in a row while the loop is busy.
#[derive(Debug)]
pub(crate) struct BurstOne;

impl Work for BurstOne {
    const WORKLOAD: Workload = Workload {
        name: "foreign-burst",
        what: "1000 wakes of one task by another thread, loop busy",
        columns: &[Column::less("wake", "ns a wake")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.foreign_wakes.then(|| {
            from_another_thread::<R>(1, true, move |_, wakers| {
                bursts(effort, || {
                    for _ in 0..BURST {
                        wakers[0].wake_by_ref();
                    }
                })
            })
        })
    }
}

/// A thousand tasks are woken once each while the loop is busy.
#[derive(Debug)]
pub(crate) struct BurstMany;

impl Work for BurstMany {
    const WORKLOAD: Workload = Workload {
        name: "foreign-burst-1000",
        what: "a wake each of 1000 tasks by another thread, loop busy",
        columns: &[Column::less("wake", "ns a wake")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.foreign_wakes.then(|| {
            from_another_thread::<R>(BURST as usize, true, move |_, wakers| {
                bursts(effort, || wakers.iter().for_each(Waker::wake_by_ref))
            })
        })
    }
}

/// The cost of one wake of a burst for the waking thread.
fn bursts(effort: Effort, mut burst: impl FnMut()) -> Figures {
    let mut per_wake = Vec::new();
    let started = Instant::now();
    while started.elapsed() < effort.measured() {
        let before = Instant::now();
        burst();
        per_wake.push(before.elapsed().as_nanos() as f64 / f64::from(BURST));
        // Long enough for the loop to run all of the burst.
        thread::sleep(Duration::from_micros(500));
    }
    Figures::default().with("wake", median(&per_wake))
}

/// One task is woken while the loop sleeps, and the other thread waits until it has run.
#[derive(Debug)]
pub(crate) struct RoundTrip;

impl Work for RoundTrip {
    const WORKLOAD: Workload = Workload {
        name: "foreign-parked",
        what: "a wake by another thread, loop asleep",
        columns: &[
            Column::less("round_trip", "µs until the task has run"),
            Column::less("wake", "µs in the wake"),
        ],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.foreign_wakes.then(|| {
            from_another_thread::<R>(1, false, move |targets, wakers| {
                let target = &targets[0];
                let (mut in_wake, mut round_trip) = (Vec::new(), Vec::new());
                let started = Instant::now();
                while started.elapsed() < effort.measured() {
                    // Long enough for the loop to fall asleep.
                    thread::sleep(Duration::from_micros(500));
                    let polls = target.polls.load(Ordering::Acquire);
                    let before = Instant::now();
                    wakers[0].wake_by_ref();
                    in_wake.push(before.elapsed().as_nanos() as f64 / 1e3);
                    while target.polls.load(Ordering::Acquire) == polls {
                        std::hint::spin_loop();
                    }
                    round_trip.push(before.elapsed().as_nanos() as f64 / 1e3);
                }
                Figures::default()
                    .with("wake", median(&in_wake))
                    .with("round_trip", median(&round_trip))
            })
        })
    }
}

/// One task is woken again as soon as it has run, when the loop is about to fall asleep.
#[derive(Debug)]
pub(crate) struct Lockstep;

impl Work for Lockstep {
    const WORKLOAD: Workload = Workload {
        name: "foreign-lockstep",
        what: "a wake by another thread as soon as the task has run",
        columns: &[Column::less("round_trip", "µs until the task has run")],
        countable: Countable::No,
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        R::CAN.foreign_wakes.then(|| {
            from_another_thread::<R>(1, false, move |targets, wakers| {
                let polls = || targets[0].polls.load(Ordering::Acquire);
                let mut round_trip = Vec::new();
                let started = Instant::now();
                while started.elapsed() < effort.measured() {
                    let before = Instant::now();
                    for _ in 0..BURST {
                        let polls_before = polls();
                        wakers[0].wake_by_ref();
                        while polls() == polls_before {
                            std::hint::spin_loop();
                        }
                    }
                    let took = before.elapsed().as_nanos() as f64 / 1e3;
                    round_trip.push(took / f64::from(BURST));
                }
                Figures::default().with("round_trip", median(&round_trip))
            })
        })
    }
}
