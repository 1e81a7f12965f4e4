//! Locks, events, queues and replies: with one task, and with many.

use std::cell::{Cell, RefCell};
use std::future::{Future, ready};
use std::rc::Rc;

use super::Work;
use super::yields::yield_now;
use crate::effort::Effort;
use crate::figures::Figures;
use crate::meter::measure;
use crate::primitives::{BoundedQueue, Flag, ForAll, Hold, Latest, Primitives, Reply, SortedQueue};
use crate::runtime::Runtime;
use crate::signal::Signal;
use crate::workload::{Column, Countable, Rows, Workload};

const TASKS: u64 = 100;
const TIMES: u64 = 1_000;

type Lock<R> = <<R as Runtime>::Primitives as Primitives>::Lock;
type Semaphore<R> = <<R as Runtime>::Primitives as Primitives>::Semaphore;
type Event<R> = <<R as Runtime>::Primitives as Primitives>::Event;
type Queue<R> = <<R as Runtime>::Primitives as Primitives>::Queue;
type Sorted<R> = <<R as Runtime>::Primitives as Primitives>::Sorted;
type ReplyOf<R> = <<R as Runtime>::Primitives as Primitives>::Reply;

type LatestOf<R> = <<R as Runtime>::Primitives as Primitives>::Latest;
type ForAllOf<R> = <<R as Runtime>::Primitives as Primitives>::ForAll;

/// A batch of [`TIMES`] operations, run again and again by one task.
const BATCH: Workload = Workload {
    name: "",
    what: "",
    columns: &[Column::CPU],
    countable: Countable::Worker(20, 120),
    traffic: None,
};

/// A lock without other users, locked and released.
#[derive(Debug)]
pub(crate) struct LockAlone;

impl Work for LockAlone {
    const WORKLOAD: Workload = Workload {
        name: "lock-alone",
        what: "lock and unlock, uncontended",
        ..BATCH
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        hold_alone::<R, Lock<R>>(effort)
    }
}

/// A semaphore without other users, acquired and released.
#[derive(Debug)]
pub(crate) struct SemaphoreAlone;

impl Work for SemaphoreAlone {
    const WORKLOAD: Workload = Workload {
        name: "semaphore-alone",
        what: "acquire and release a semaphore, uncontended",
        ..BATCH
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        hold_alone::<R, Semaphore<R>>(effort)
    }
}

fn hold_alone<R: Runtime, H: Hold>(effort: Effort) -> Option<Figures> {
    H::HERE.then(|| {
        in_task::<R, _>(async move {
            let held = H::new();
            measure(effort, TIMES, async || {
                for _ in 0..TIMES {
                    held.hold(ready(())).await;
                }
                yield_now().await;
            })
            .await
        })
    })
}

/// A lock that a hundred tasks want, each yielding once while it holds it.
#[derive(Debug)]
pub(crate) struct LockAmongTasks;

impl Work for LockAmongTasks {
    const WORKLOAD: Workload = Workload {
        name: "lock-100",
        what: "a lock that 100 tasks want, held over one yield",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        hold_among_tasks::<R, Lock<R>>(effort)
    }
}

/// A semaphore of one permit that a hundred tasks want, each yielding once while it holds it.
#[derive(Debug)]
pub(crate) struct SemaphoreAmongTasks;

impl Work for SemaphoreAmongTasks {
    const WORKLOAD: Workload = Workload {
        name: "semaphore-100",
        what: "a permit that 100 tasks want, held over one yield",
        ..LockAmongTasks::WORKLOAD
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        hold_among_tasks::<R, Semaphore<R>>(effort)
    }
}

fn hold_among_tasks<R: Runtime, H: Hold>(effort: Effort) -> Option<Figures> {
    H::HERE.then(|| {
        in_task::<R, _>(async move {
            let held = Rc::new(H::new());
            let mut tasks = Vec::with_capacity(TASKS as usize);
            measure(effort, TASKS * TIMES, async || {
                for _ in 0..TASKS {
                    let held = Rc::clone(&held);
                    tasks.push(R::spawn(async move {
                        for _ in 0..TIMES {
                            held.hold(yield_now()).await;
                        }
                    }));
                }
                for task in tasks.drain(..) {
                    R::join(task).await;
                }
            })
            .await
        })
    })
}

/// An event that is set, waited for and cleared by one task.
#[derive(Debug)]
pub(crate) struct EventAlone;

impl Work for EventAlone {
    const WORKLOAD: Workload = Workload {
        name: "event-alone",
        what: "set an event, wait for it and clear it",
        ..BATCH
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Event::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let event = Event::<R>::new();
                measure(effort, TIMES, async || {
                    for _ in 0..TIMES {
                        event.set();
                        event.taken().await;
                    }
                    yield_now().await;
                })
                .await
            })
        })
    }
}

/// Two tasks wake each other by two events.
#[derive(Debug)]
pub(crate) struct EventPingPong;

impl Work for EventPingPong {
    const WORKLOAD: Workload = Workload {
        name: "event-ping-pong",
        what: "ping-pong round trip over two events",
        ..BATCH
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        Event::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let ping = Rc::new(Event::<R>::new());
                let pong = Rc::new(Event::<R>::new());
                let over = Rc::new(Cell::new(false));
                let answering = {
                    let (ping, pong, over) = (Rc::clone(&ping), Rc::clone(&pong), Rc::clone(&over));
                    R::spawn(async move {
                        loop {
                            ping.taken().await;
                            if over.get() {
                                break;
                            }
                            pong.set();
                        }
                    })
                };
                let figures = measure(effort, TIMES, async || {
                    for _ in 0..TIMES {
                        ping.set();
                        pong.taken().await;
                    }
                })
                .await;
                over.set(true);
                ping.set();
                R::join(answering).await;
                figures
            })
        })
    }
}

/// Several producers and one consumer, over a bounded queue of numbers.
#[derive(Debug)]
pub(crate) struct Queues<const PRODUCERS: u64, const ROOM: usize>;

impl<const PRODUCERS: u64, const ROOM: usize> Work for Queues<PRODUCERS, ROOM> {
    const WORKLOAD: Workload = Workload {
        name: match (PRODUCERS, ROOM) {
            (1, 1) => "queue-1-room-1",
            (1, 16) => "queue-1-room-16",
            (1, _) => "queue-1-room-1024",
            _ => "queue-100-room-16",
        },
        what: match (PRODUCERS, ROOM) {
            (1, 1) => "queue with room for 1, 1 producer, 1 consumer, per item",
            (1, 16) => "queue with room for 16, 1 producer, 1 consumer, per item",
            (1, _) => "queue with room for 1024, 1 producer, 1 consumer, per item",
            _ => "queue with room for 16, 100 producers, 1 consumer, per item",
        },
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const ITEMS: u64 = 100_000;
        Queue::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let (sender, mut receiver) = Queue::<R>::new(ROOM);
                let mut tasks = Vec::with_capacity(PRODUCERS as usize);
                measure(effort, ITEMS, async || {
                    for _ in 0..PRODUCERS {
                        let mut sender = sender.clone();
                        tasks.push(R::spawn(async move {
                            for item in 0..ITEMS / PRODUCERS {
                                Queue::<R>::put(&mut sender, item).await;
                            }
                        }));
                    }
                    for _ in 0..ITEMS {
                        Queue::<R>::get(&mut receiver).await;
                    }
                    for task in tasks.drain(..) {
                        R::join(task).await;
                    }
                })
                .await
            })
        })
    }
}

/// A hundred thousand numbers into a priority queue and out again.
#[derive(Debug)]
pub(crate) struct SortedMany;

impl Work for SortedMany {
    const WORKLOAD: Workload = Workload {
        name: "priority-queue",
        what: "100,000 numbers into a priority queue and out again, per number",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const ITEMS: u64 = 100_000;
        Sorted::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let queue = Sorted::<R>::new();
                measure(effort, ITEMS, async || {
                    let mut number = 1_u64;
                    for _ in 0..ITEMS {
                        number = number
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        queue.put(number >> 16).await;
                    }
                    let mut last = 0;
                    for _ in 0..ITEMS {
                        let next = queue.get().await;
                        assert!(last <= next);
                        last = next;
                    }
                    yield_now().await;
                })
                .await
            })
        })
    }
}

/// A task asks, and another answers through a oneshot made for the request. The request itself goes through a cell and
/// a flag, the same for all.
#[derive(Debug)]
pub(crate) struct RequestAnswer;

impl Work for RequestAnswer {
    const WORKLOAD: Workload = Workload {
        name: "request-answer",
        what: "a request answered by another task over a oneshot",
        ..BATCH
    };

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        ReplyOf::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let asked = Rc::new(Signal::default());
                let request = Rc::new(RefCell::new(None));
                let answering = {
                    let (asked, request) = (Rc::clone(&asked), Rc::clone(&request));
                    R::spawn(async move {
                        loop {
                            asked.taken().await;
                            let Some((setter, number)) = request.take() else {
                                break;
                            };
                            ReplyOf::<R>::set(setter, number);
                        }
                    })
                };
                let figures = measure(effort, TIMES, async || {
                    for number in 0..TIMES {
                        let (setter, waiter) = ReplyOf::<R>::new();
                        request.replace(Some((setter, number)));
                        asked.set();
                        assert_eq!(ReplyOf::<R>::wait(waiter).await, number);
                    }
                })
                .await;
                asked.set();
                R::join(answering).await;
                figures
            })
        })
    }
}

/// A task sets a number and yields, again and again. Others wait for each change.
#[derive(Debug)]
pub(crate) struct Watches<const RECEIVERS: u64>;

/// The workloads of [`Watches`].
const WATCHES: &Rows = &[
    (1, "watch-1", "a watched value, 1 receiver, per change seen"),
    (
        100,
        "watch-100",
        "a watched value, 100 receivers, per change seen",
    ),
];

impl<const RECEIVERS: u64> Work for Watches<RECEIVERS> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    }
    .in_row(WATCHES, RECEIVERS);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const SEEN: u64 = 100_000;
        LatestOf::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                let (sender, first) = LatestOf::<R>::new();
                let mut tasks = Vec::with_capacity(RECEIVERS as usize);
                let mut last = 0;
                measure(effort, SEEN, async || {
                    let end = last + SEEN / RECEIVERS;
                    for _ in 0..RECEIVERS {
                        let mut receiver = first.clone();
                        tasks.push(R::spawn(async move {
                            while LatestOf::<R>::changed(&mut receiver).await != end {}
                        }));
                    }
                    yield_now().await;
                    while last < end {
                        last += 1;
                        LatestOf::<R>::set(&sender, last);
                        yield_now().await;
                    }
                    for task in tasks.drain(..) {
                        R::join(task).await;
                    }
                })
                .await
            })
        })
    }
}

/// A task sends sixteen numbers and yields, again and again. Others receive all of them.
#[derive(Debug)]
pub(crate) struct Broadcasts<const RECEIVERS: u64>;

/// The workloads of [`Broadcasts`].
const BROADCASTS: &Rows = &[
    (
        1,
        "broadcast-1",
        "a broadcast to 1 receiver, 16 at a time, per number received",
    ),
    (
        100,
        "broadcast-100",
        "a broadcast to 100 receivers, 16 at a time, per number received",
    ),
];

impl<const RECEIVERS: u64> Work for Broadcasts<RECEIVERS> {
    const WORKLOAD: Workload = Workload {
        name: "",
        what: "",
        columns: &[Column::CPU],
        countable: Countable::Worker(1, 3),
        traffic: None,
    }
    .in_row(BROADCASTS, RECEIVERS);

    fn run<R: Runtime>(effort: Effort) -> Option<Figures> {
        const RECEIVED: u64 = 160_000;
        const BURST: u64 = 16;
        ForAllOf::<R>::HERE.then(|| {
            in_task::<R, _>(async move {
                measure(effort, RECEIVED, async || {
                    // More room than a burst needs, since a receiver may be a burst behind.
                    let (sender, receivers) = ForAllOf::<R>::new(64, RECEIVERS as usize);
                    let numbers = RECEIVED / RECEIVERS;
                    let mut tasks = Vec::with_capacity(RECEIVERS as usize);
                    for mut receiver in receivers {
                        tasks.push(R::spawn(async move {
                            for number in 0..numbers {
                                assert_eq!(ForAllOf::<R>::recv(&mut receiver).await, number);
                            }
                        }));
                    }
                    for number in 0..numbers {
                        ForAllOf::<R>::send(&sender, number).await;
                        if number % BURST == BURST - 1 {
                            yield_now().await;
                        }
                    }
                    for task in tasks {
                        R::join(task).await;
                    }
                })
                .await
            })
        })
    }
}

/// Runs the workload in a task, because some runtimes treat the main future differently.
fn in_task<R: Runtime, T: 'static>(work: impl Future<Output = T> + 'static) -> T {
    R::block_on(async move { R::join(R::spawn(work)).await })
}
