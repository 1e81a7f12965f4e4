//! What the primitives cost, in nanoseconds of one thread, beside what an executor alone costs and
//! beside tokio's and futures' primitives on the very same executor.
//!
//! ```text
//! taskset -c 1 cargo run --release -p asyncio-sync --example measure
//! ```
//!
//! Each line is the median of 21 rounds, and the fastest of them. *Floor* is the same work with the
//! cheapest thing that could do it, for one thread and without any promise: a cell, and a waker put
//! aside by hand. It pays for the executor here, which wakes with an atomic flag as any that is
//! reached from other threads must.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use asyncio_sync::{Condition, Event, Lock, PriorityQueue, Promise, Queue, Semaphore, promise};

fn main() {
    println!("{:<44}{:>8}{:>8}", "ns for each", "median", "best");

    section("lock and release, alone");
    report(
        "floor: a flag",
        alone(async |n| {
            let flag = Cell::new(false);
            for _ in 0..n {
                assert!(!black_box(&flag).replace(true));
                black_box(&flag).set(false);
            }
        }),
    );
    report(
        "Lock",
        alone(async |n| {
            let lock = Lock::new(0u64);
            for _ in 0..n {
                *black_box(&lock).lock().await += 1;
            }
        }),
    );
    report(
        "Lock, owned guard",
        alone(async |n| {
            let lock = Rc::new(Lock::new(0u64));
            for _ in 0..n {
                *Rc::clone(black_box(&lock)).lock_owned().await += 1;
            }
        }),
    );
    report(
        "tokio::sync::Mutex",
        alone(async |n| {
            let lock = tokio::sync::Mutex::new(0u64);
            for _ in 0..n {
                *black_box(&lock).lock().await += 1;
            }
        }),
    );
    report(
        "futures::lock::Mutex",
        alone(async |n| {
            let lock = futures::lock::Mutex::new(0u64);
            for _ in 0..n {
                *black_box(&lock).lock().await += 1;
            }
        }),
    );

    section("acquire and release a permit, alone");
    report(
        "Semaphore",
        alone(async |n| {
            let semaphore = Semaphore::new(3);
            for _ in 0..n {
                drop(black_box(&semaphore).acquire().await);
            }
        }),
    );
    report(
        "tokio::sync::Semaphore",
        alone(async |n| {
            let semaphore = tokio::sync::Semaphore::new(3);
            for _ in 0..n {
                drop(black_box(&semaphore).acquire().await);
            }
        }),
    );

    section("event: set, wait, clear, alone");
    report(
        "Event",
        alone(async |n| {
            let event = Event::new();
            for _ in 0..n {
                black_box(&event).set();
                event.wait().await;
                event.clear();
            }
        }),
    );

    section("put and get, alone");
    report(
        "Queue",
        alone(async |n| {
            let queue = Queue::new(16);
            for i in 0..n {
                black_box(&queue).put(i).await.unwrap();
                queue.get().await.unwrap();
            }
        }),
    );
    report(
        "tokio::sync::mpsc",
        alone(async |n| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
            for i in 0..n {
                sender.send(i).await.unwrap();
                receiver.recv().await.unwrap();
            }
        }),
    );

    section("lock held over a yield, 100 tasks");
    report(
        "floor: no lock",
        crowd(|spawn, n| {
            for _ in 0..100 {
                spawn(Box::pin(async move {
                    for _ in 0..n / 100 {
                        pass_on().await;
                    }
                }));
            }
        }),
    );
    report(
        "Lock",
        crowd(|spawn, n| {
            let lock = Rc::new(Lock::new(0u64));
            for _ in 0..100 {
                let lock = Rc::clone(&lock);
                spawn(Box::pin(async move {
                    for _ in 0..n / 100 {
                        let mut count = lock.lock().await;
                        pass_on().await;
                        *count += 1;
                    }
                }));
            }
        }),
    );
    report(
        "tokio::sync::Mutex",
        crowd(|spawn, n| {
            let lock = Rc::new(tokio::sync::Mutex::new(0u64));
            for _ in 0..100 {
                let lock = Rc::clone(&lock);
                spawn(Box::pin(async move {
                    for _ in 0..n / 100 {
                        let mut count = lock.lock().await;
                        pass_on().await;
                        *count += 1;
                    }
                }));
            }
        }),
    );
    section("lock handed from task to task, 100 tasks, no yield inside");
    report(
        "floor: woken in a ring",
        crowd(|spawn, n| {
            let wakers = Rc::new(RefCell::new(VecDeque::<Waker>::new()));
            for _ in 0..100 {
                let wakers = Rc::clone(&wakers);
                spawn(Box::pin(async move {
                    for _ in 0..n / 100 {
                        in_a_ring(&wakers).await;
                    }
                }));
            }
        }),
    );
    report(
        "Lock",
        crowd(|spawn, n| {
            let lock = Rc::new(Lock::new(0u64));
            for _ in 0..100 {
                let lock = Rc::clone(&lock);
                spawn(Box::pin(async move {
                    let mut guard = lock.lock().await;
                    for _ in 0..n / 100 {
                        *guard += 1;
                        // Others wait from the second round on: the lock goes round.
                        let next = lock.lock();
                        let mut next = pin!(next);
                        let waits =
                            poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
                        assert!(waits);
                        drop(guard);
                        guard = next.await;
                    }
                }));
            }
        }),
    );
    report(
        "tokio::sync::Mutex",
        crowd(|spawn, n| {
            let lock = Rc::new(tokio::sync::Mutex::new(0u64));
            for _ in 0..100 {
                let lock = Rc::clone(&lock);
                spawn(Box::pin(async move {
                    let mut guard = lock.lock().await;
                    for _ in 0..n / 100 {
                        *guard += 1;
                        let next = lock.lock();
                        let mut next = pin!(next);
                        let waits =
                            poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
                        assert!(waits);
                        drop(guard);
                        guard = next.await;
                    }
                }));
            }
        }),
    );

    section("ping-pong between two tasks, a round trip");
    report(
        "floor: two cells",
        crowd(|spawn, n| {
            let (there, back) = (Rc::new(Slot::default()), Rc::new(Slot::default()));
            let (there2, back2) = (Rc::clone(&there), Rc::clone(&back));
            spawn(Box::pin(async move {
                for i in 0..n {
                    there.put(i);
                    assert_eq!(back.get().await, i);
                }
            }));
            spawn(Box::pin(async move {
                for _ in 0..n {
                    let i = there2.get().await;
                    back2.put(i);
                }
            }));
        }),
    );
    report(
        "Queue",
        crowd(|spawn, n| {
            let (there, back) = (Rc::new(Queue::new(1)), Rc::new(Queue::new(1)));
            let (there2, back2) = (Rc::clone(&there), Rc::clone(&back));
            spawn(Box::pin(async move {
                for i in 0..n {
                    there.put(i).await.unwrap();
                    assert_eq!(back.get().await, Ok(i));
                }
            }));
            spawn(Box::pin(async move {
                for _ in 0..n {
                    let i = there2.get().await.unwrap();
                    back2.put(i).await.unwrap();
                }
            }));
        }),
    );
    report(
        "tokio::sync::mpsc",
        crowd(|spawn, n| {
            let (there, mut there2) = tokio::sync::mpsc::channel(1);
            let (back2, mut back) = tokio::sync::mpsc::channel(1);
            spawn(Box::pin(async move {
                for i in 0..n {
                    there.send(i).await.unwrap();
                    assert_eq!(back.recv().await, Some(i));
                }
            }));
            spawn(Box::pin(async move {
                for _ in 0..n {
                    let i = there2.recv().await.unwrap();
                    back2.send(i).await.unwrap();
                }
            }));
        }),
    );

    section("request and answer between two tasks");
    report(
        "promise",
        crowd(|spawn, n| {
            let requests = Rc::new(Queue::<Promise<usize>>::new(1));
            let requests2 = Rc::clone(&requests);
            spawn(Box::pin(async move {
                for i in 0..n {
                    let (promise, answer) = promise();
                    requests.put(promise).await.unwrap();
                    assert!(matches!(answer.await, Ok(answer) if answer == i));
                }
            }));
            spawn(Box::pin(async move {
                for i in 0..n {
                    let promise = requests2.get().await.unwrap();
                    promise.set_result(i).unwrap();
                }
            }));
        }),
    );
    report(
        "tokio::sync::oneshot",
        crowd(|spawn, n| {
            let requests = Rc::new(Queue::new(1));
            let requests2 = Rc::clone(&requests);
            spawn(Box::pin(async move {
                for i in 0..n {
                    let (promise, answer) = tokio::sync::oneshot::channel();
                    assert!(requests.put(promise).await.is_ok());
                    assert_eq!(answer.await, Ok(i));
                }
            }));
            spawn(Box::pin(async move {
                for i in 0..n {
                    let promise = requests2.get().await.unwrap();
                    promise.send(i).unwrap();
                }
            }));
        }),
    );
    report(
        "futures::channel::oneshot",
        crowd(|spawn, n| {
            let requests = Rc::new(Queue::new(1));
            let requests2 = Rc::clone(&requests);
            spawn(Box::pin(async move {
                for i in 0..n {
                    let (promise, answer) = futures::channel::oneshot::channel();
                    assert!(requests.put(promise).await.is_ok());
                    assert_eq!(answer.await, Ok(i));
                }
            }));
            spawn(Box::pin(async move {
                for i in 0..n {
                    let promise = requests2.get().await.unwrap();
                    promise.send(i).unwrap();
                }
            }));
        }),
    );

    section("a promise alone: made, set, awaited");
    report(
        "promise",
        alone(async |n| {
            for i in 0..n {
                let (promise, answer) = promise::<usize>();
                black_box(&promise).set_result(i).unwrap();
                assert!(matches!(answer.await, Ok(answer) if answer == i));
            }
        }),
    );
    report(
        "tokio::sync::oneshot",
        alone(async |n| {
            for i in 0..n {
                let (promise, answer) = tokio::sync::oneshot::channel();
                black_box(promise).send(i).unwrap();
                assert_eq!(answer.await, Ok(i));
            }
        }),
    );

    for maxsize in [1, 16, 1024] {
        section(&format!(
            "one producer, one consumer, bounded at {maxsize}, an item"
        ));
        report(
            "Queue",
            crowd(|spawn, n| {
                let queue = Rc::new(Queue::new(maxsize));
                let queue2 = Rc::clone(&queue);
                spawn(Box::pin(async move {
                    for i in 0..n {
                        queue.put(i).await.unwrap();
                    }
                }));
                spawn(Box::pin(async move {
                    for i in 0..n {
                        assert_eq!(queue2.get().await, Ok(i));
                    }
                }));
            }),
        );
        report(
            "tokio::sync::mpsc",
            crowd(|spawn, n| {
                let (sender, mut receiver) = tokio::sync::mpsc::channel(maxsize);
                spawn(Box::pin(async move {
                    for i in 0..n {
                        sender.send(i).await.unwrap();
                    }
                }));
                spawn(Box::pin(async move {
                    for i in 0..n {
                        assert_eq!(receiver.recv().await, Some(i));
                    }
                }));
            }),
        );
    }

    section("100 producers, one consumer, bounded at 16, an item");
    report(
        "Queue",
        crowd(|spawn, n| {
            let queue = Rc::new(Queue::new(16));
            for _ in 0..100 {
                let queue = Rc::clone(&queue);
                spawn(Box::pin(async move {
                    for i in 0..n / 100 {
                        queue.put(i).await.unwrap();
                    }
                }));
            }
            spawn(Box::pin(async move {
                for _ in 0..n / 100 * 100 {
                    queue.get().await.unwrap();
                }
            }));
        }),
    );
    report(
        "tokio::sync::mpsc",
        crowd(|spawn, n| {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
            for _ in 0..100 {
                let sender = sender.clone();
                spawn(Box::pin(async move {
                    for i in 0..n / 100 {
                        sender.send(i).await.unwrap();
                    }
                }));
            }
            spawn(Box::pin(async move {
                for _ in 0..n / 100 * 100 {
                    receiver.recv().await.unwrap();
                }
            }));
        }),
    );

    section("condition: two tasks take turns, a turn");
    report(
        "Condition",
        crowd(|spawn, n| {
            let turn = Rc::new(Condition::new(Lock::new(0)));
            for me in 0..2 {
                let turn = Rc::clone(&turn);
                spawn(Box::pin(async move {
                    for _ in 0..n / 2 {
                        let mut whose =
                            turn.wait_for(turn.lock().await, |&mut who| who == me).await;
                        *whose = 1 - me;
                        turn.notify(&whose, 1);
                    }
                }));
            }
        }),
    );

    section("priority queue of 100,000: put and get, an item");
    let shuffled = |i: usize| (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    report(
        "floor: BinaryHeap, kept stable by hand",
        alone(async |_| {
            let mut heap = std::collections::BinaryHeap::new();
            for i in 0..ROUND {
                heap.push(std::cmp::Reverse((shuffled(i), i)));
            }
            while heap.pop().is_some() {}
        }),
    );
    report(
        "PriorityQueue",
        alone(async |_| {
            let queue = PriorityQueue::new(0);
            for i in 0..ROUND {
                queue.put_nowait(shuffled(i)).unwrap();
            }
            while queue.get_nowait().is_ok() {}
        }),
    );
}

/// How often a round does its thing.
const ROUND: usize = 100_000;
const ROUNDS: usize = 21;

fn wanted(name: &str) -> bool {
    // A part of the name, to measure only what has it.
    std::env::args()
        .nth(1)
        .is_none_or(|part| name.contains(&part))
}

fn section(name: &str) {
    println!("\n{name}");
}

fn report(name: &str, measure: impl FnOnce() -> Vec<f64>) {
    if !wanted(name) {
        return;
    }
    let mut times = measure();
    times.sort_by(f64::total_cmp);
    println!(
        "  {name:<42}{:>8.1}{:>8.1}",
        times[times.len() / 2],
        times[0]
    );
}

/// Measures `round`, once it is asked to.
fn timed(mut round: impl FnMut()) -> impl FnOnce() -> Vec<f64> {
    move || {
        round();
        let once = |_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64() * 1e9 / ROUND as f64
        };
        (0..ROUNDS).map(once).collect()
    }
}

/// One future that never waits.
fn alone(work: impl AsyncFn(usize)) -> impl FnOnce() -> Vec<f64> {
    timed(move || {
        let mut future = pin!(work(ROUND));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_ready());
    })
}

type Spawn<'a> = &'a mut dyn FnMut(Pin<Box<dyn Future<Output = ()>>>);

/// Tasks on an executor.
fn crowd(set_up: impl Fn(Spawn<'_>, usize)) -> impl FnOnce() -> Vec<f64> {
    timed(move || {
        let mut tasks = Vec::new();
        set_up(&mut |task| tasks.push(task), ROUND);
        run(tasks);
    })
}

thread_local! {
    static READY: RefCell<VecDeque<Arc<Flag>>> = const { RefCell::new(VecDeque::new()) };
}

/// Marks a task as ready.
struct Flag {
    task: usize,
    ready: AtomicBool,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if !self.ready.swap(true, Ordering::AcqRel) {
            READY.with_borrow_mut(|ready| ready.push_back(self));
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Arc::clone(self).wake();
    }
}

fn run(mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>>) {
    let wakers: Vec<Waker> = (0..tasks.len())
        .map(|task| {
            let flag = Arc::new(Flag {
                task,
                ready: AtomicBool::new(false),
            });
            Waker::from(flag)
        })
        .collect();
    // Some may have been woken once more after their end.
    READY.with_borrow_mut(VecDeque::clear);
    wakers.iter().for_each(Waker::wake_by_ref);
    let mut left = tasks.len();
    while left > 0 {
        let flag = READY
            .with_borrow_mut(VecDeque::pop_front)
            .expect("nobody is ready");
        flag.ready.store(false, Ordering::Release);
        let mut cx = Context::from_waker(&wakers[flag.task]);
        if tasks[flag.task].as_mut().poll(&mut cx).is_ready() {
            left -= 1;
        }
    }
}

/// Lets all others run once.
async fn pass_on() {
    let mut passed = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Wakes the one who waits longest, and waits.
async fn in_a_ring(wakers: &RefCell<VecDeque<Waker>>) {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        wakers.borrow_mut().push_back(cx.waker().clone());
        let first = wakers.borrow_mut().pop_front();
        if let Some(first) = first {
            first.wake();
        }
        Poll::Pending
    })
    .await;
}

/// What one task leaves for another.
#[derive(Default)]
struct Slot {
    value: Cell<Option<usize>>,
    waker: Cell<Option<Waker>>,
}

impl Slot {
    fn put(&self, value: usize) {
        self.value.set(Some(value));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn get(&self) -> usize {
        poll_fn(|cx| match self.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}
