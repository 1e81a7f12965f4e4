//! Locks, queues and promises on the loop: what is handed over and cancelled, or timed out, in one instant,
//! and threads.
//!
//! How they behave by themselves is tested in `asyncio-sync`, which knows of no loop: there, to cancel is
//! to drop. Here a request comes between a wake-up and the step that it leads to.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio::sync::{
    Barrier, BrokenBarrier, Condition, Lock, OwnedLockGuard, OwnedSemaphorePermit, PutError, Queue,
    QueueShutDown, Semaphore, thread_queue,
};
use asyncio::{Task, call_later, gather, spawn, timeout, yield_now};
use asyncio_tests::{Trace, forever, ms, run_virtual};

/// A primitive that two tasks want: its wait gives a value that is kept for a while, and another call brings it.
trait Wanted: 'static {
    type Kept: 'static;

    /// Whether its taker uses it up, so that the next one needs another.
    const USED_UP: bool;

    fn new() -> Self;

    async fn take(&self) -> Self::Kept;

    fn bring(&self);
}

struct ALock {
    lock: Rc<Lock<()>>,
    held: Cell<Option<OwnedLockGuard<()>>>,
}

impl Wanted for ALock {
    type Kept = OwnedLockGuard<()>;
    const USED_UP: bool = false;

    fn new() -> Self {
        let lock = Rc::new(Lock::new(()));
        let held = Cell::new(Rc::clone(&lock).try_lock_owned());
        Self { lock, held }
    }

    async fn take(&self) -> Self::Kept {
        Rc::clone(&self.lock).lock_owned().await
    }

    fn bring(&self) {
        drop(self.held.take());
    }
}

impl Wanted for Rc<Semaphore> {
    type Kept = OwnedSemaphorePermit;
    const USED_UP: bool = false;

    fn new() -> Self {
        Rc::new(Semaphore::new(0))
    }

    async fn take(&self) -> Self::Kept {
        Rc::clone(self).acquire_owned().await
    }

    fn bring(&self) {
        self.add_permits(1);
    }
}

impl Wanted for Queue<u32> {
    type Kept = u32;
    const USED_UP: bool = true;

    fn new() -> Self {
        Self::new(0)
    }

    async fn take(&self) -> u32 {
        self.get().await.unwrap()
    }

    fn bring(&self) {
        self.put_nowait(1).unwrap();
    }
}

/// Room in a queue for one.
struct Room(Queue<u32>);

impl Wanted for Room {
    type Kept = ();
    const USED_UP: bool = true;

    fn new() -> Self {
        let full = Queue::new(1);
        full.put_nowait(0).unwrap();
        Self(full)
    }

    async fn take(&self) {
        self.0.put(1).await.unwrap();
    }

    fn bring(&self) {
        self.0.get_nowait().unwrap();
    }
}

impl Wanted for Condition<Lock<()>> {
    type Kept = ();
    const USED_UP: bool = true;

    fn new() -> Self {
        Self::new(Lock::new(()))
    }

    async fn take(&self) {
        drop(self.wait(self.lock().await).await);
    }

    fn bring(&self) {
        self.notify(&self.try_lock().unwrap(), 1);
    }
}

/// Runs a check on a loop, of all that can be wanted.
macro_rules! of_each {
    ($check:ident) => {
        run_virtual(async |trace| {
            $check::<ALock>(trace).await;
            $check::<Rc<Semaphore>>(trace).await;
            $check::<Queue<u32>>(trace).await;
            $check::<Room>(trace).await;
            $check::<Condition<Lock<()>>>(trace).await;
        })
    };
}

/// Two tasks that wait for it.
async fn two_wait<W: Wanted>(trace: &Trace) -> (Rc<W>, Task<()>, Task<()>) {
    let wanted = Rc::new(W::new());
    let task = |name: &'static str| {
        let (wanted, trace) = (Rc::clone(&wanted), trace.clone());
        spawn(async move {
            let _kept = wanted.take().await;
            trace.note(format!("{name} has it"));
            yield_now().await;
            trace.note(format!("{name} is through"));
        })
    };
    let (first, second) = (task("first"), task("second"));
    yield_now().await;
    (wanted, first, second)
}

/// First handed over, then cancelled: the task has the item, and the request takes the next await. The item then goes
/// to the next task.
#[test]
fn handed_over_and_then_cancelled_in_the_same_instant() {
    async fn check<W: Wanted>(trace: &Trace) {
        let (wanted, first, second) = two_wait::<W>(trace).await;
        wanted.bring();
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        if W::USED_UP {
            wanted.bring();
        }
        second.await.unwrap();
        let turns = ["first has it", "second has it", "second is through"];
        assert_eq!(trace.take(), turns);
    }
    of_each!(check);
}

/// First cancelled, then handed over: it goes to the next in line, nothing is lost.
#[test]
fn cancelled_and_then_handed_over_in_the_same_instant() {
    async fn check<W: Wanted>(trace: &Trace) {
        let (wanted, first, second) = two_wait::<W>(trace).await;
        first.cancel();
        wanted.bring();
        assert!(first.await.unwrap_err().is_cancelled());
        second.await.unwrap();
        assert_eq!(trace.take(), ["second has it", "second is through"]);
    }
    of_each!(check);
}

/// A wait whose time is up in the instant in which it is handed over: the deadline was seen first, so it
/// goes to the next in line.
#[test]
fn handed_over_when_the_time_is_up() {
    async fn check<W: Wanted>(trace: &Trace) {
        let wanted = Rc::new(W::new());
        let bring = Rc::clone(&wanted);
        call_later(ms(10), move || bring.bring());
        let first = async {
            assert!(timeout(ms(10), wanted.take()).await.is_err());
            trace.note("too late");
        };
        let second = async {
            drop(wanted.take().await);
            trace.note("second has it");
        };
        gather((first, second)).await;
        assert_eq!(trace.take(), ["too late", "second has it"]);
    }
    of_each!(check);
}

/// A task at a barrier is cancelled in the instant in which the last task comes: the round is complete, and the others
/// pass; it passes too, since it was on its way.
#[test]
fn cancelled_when_a_round_is_complete() {
    run_virtual(async |trace| {
        let barrier = Rc::new(Barrier::new(3));
        let tasks = ["first", "second"].map(|name| {
            let (barrier, trace) = (Rc::clone(&barrier), trace.clone());
            spawn(async move {
                let index = barrier.wait().await?;
                trace.note(format!("{name} is number {index}"));
                yield_now().await;
                Ok::<_, BrokenBarrier>(())
            })
        });
        yield_now().await;
        assert_eq!(barrier.wait().await, Ok(2));
        tasks[0].cancel();
        let [first, second] = tasks;
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(second.await.unwrap(), Ok(()));
        assert_eq!(trace.take(), ["first is number 0", "second is number 1"]);
        assert_eq!(barrier.n_waiting(), 0);
    });
}

const LONG: Duration = Duration::from_secs(30);

/// Runs `test` on a thread of its own, so that a test that waits forever fails.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (over, at_last) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _over = over; // dropped at the end, also by a panic
        test();
    });
    if at_last.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("it waits for ever");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A loop that has nothing else to do is woken by what a thread puts or takes, each time.
#[test]
fn a_thread_wakes_a_loop_that_waits() {
    in_time(|| {
        let (numbers, to_double) = thread_queue(1);
        let (doubled, results) = thread_queue(1);
        let worker = thread::spawn(move || {
            for n in to_double.iter() {
                results.put(2 * n).unwrap();
            }
        });
        asyncio::run(async {
            for n in 0..500 {
                numbers.put(n).await.unwrap();
                assert_eq!(doubled.get().await, Ok(2 * n));
            }
            // An item that comes too late is not taken.
            assert!(timeout(ms(1), doubled.get()).await.is_err());
            numbers.put(500).await.unwrap();
            assert_eq!(doubled.get().await, Ok(1000));
        });
        drop(numbers);
        worker.join().unwrap();
        asyncio::run(async { assert_eq!(doubled.get().await, Err(QueueShutDown)) });
    });
}

/// A loop closes while threads block on both ends: the tasks that held its side are gone, and the threads
/// are told so.
#[test]
fn threads_that_block_hear_of_a_loop_that_is_gone() {
    in_time(|| {
        let (on_loop, getting) = thread_queue::<u32>(1);
        let (full, putting) = thread_queue::<u32>(1);
        putting.put(1).unwrap();
        let getter = thread::spawn(move || getting.get());
        let putter = thread::spawn(move || putting.put(2));
        asyncio::run(async move {
            while !format!("{on_loop:?}{full:?}").contains("getters: 1")
                || !format!("{full:?}").contains("putters: 1")
            {
                yield_now().await;
            }
            spawn(async move {
                let _sides = (on_loop, full);
                forever().await;
            })
            .detach();
            yield_now().await;
        });
        assert_eq!(getter.join().unwrap(), Err(QueueShutDown));
        assert_eq!(putter.join().unwrap(), Err(PutError(2)));
    });
}
