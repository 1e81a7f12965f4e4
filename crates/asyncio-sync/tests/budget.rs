//! The budget: operations that need not wait yield after many in one step, and lose nothing.

#[path = "shared/mod.rs"]
mod shared;

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_sync::{
    Barrier, Event, Lazy, LifoQueue, Lock, OnceCell, PriorityQueue, Queue, RwLock, Semaphore,
    broadcast, promise, set_step_hook, thread_promise, watch,
};
use futures::StreamExt;
use shared::{TestLoop, Trace};

thread_local! {
    static STEP: Cell<u64> = const { Cell::new(0) };
}

/// Installs a step hook that returns `STEP`, until it is dropped.
struct Stepped;

impl Stepped {
    fn new() -> Self {
        set_step_hook(Some(|| Some(STEP.get())));
        Self
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        set_step_hook(None);
    }
}

/// Polls a future in a new step.
fn step<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    STEP.set(STEP.get() + 1);
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The number of steps in which a future does a thousand operations that need not wait.
fn steps_of_a_thousand(operation: impl AsyncFn()) -> usize {
    let mut thousand = pin!(async {
        for _ in 0..1000 {
            operation().await;
        }
    });
    let mut steps = 1;
    while step(thousand.as_mut()).is_pending() {
        steps += 1;
    }
    steps
}

/// Calls `check` with each kind of operation that is always ready, and its name.
async fn each(mut check: impl AsyncFnMut(&str, &dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>)) {
    macro_rules! kind {
        ($name:literal, $shared:expr, |$one:ident| $operation:expr) => {{
            let shared = Rc::new($shared);
            let operation = || -> Pin<Box<dyn Future<Output = ()>>> {
                let $one = Rc::clone(&shared);
                Box::pin(async move {
                    $operation;
                })
            };
            check($name, &operation).await;
        }};
    }
    let set = Event::new();
    set.set();
    kind!("an event", set, |event| event.wait().await);
    kind!("a lock", Lock::new(1), |lock| drop(lock.lock().await));
    kind!("an owned lock", Lock::new(1), |lock| drop(
        lock.lock_owned().await
    ));
    kind!("a reader", RwLock::new(1), |lock| drop(lock.read().await));
    kind!("a writer", RwLock::new(1), |lock| drop(lock.write().await));
    kind!("a permit", Semaphore::new(1), |semaphore| drop(
        semaphore.acquire().await
    ));
    kind!("two permits", Semaphore::new(2), |semaphore| drop(
        semaphore.acquire_many_owned(2).await
    ));
    kind!("put", Queue::new(0), |queue| queue.put(1).await.unwrap());
    kind!("put and get", Queue::new(1), |queue| {
        queue.put(1).await.unwrap();
        assert_eq!(queue.get().await, Ok(1));
    });
    kind!("the last item", LifoQueue::new(1), |queue| {
        queue.put(1).await.unwrap();
        assert_eq!(queue.items().next().await, Some(1));
    });
    kind!("the least item", PriorityQueue::new(1), |queue| {
        queue.put(1).await.unwrap();
        drop(queue.get_item().await.unwrap());
    });
    kind!("join", Queue::<u32>::new(0), |queue| queue.join().await);
    kind!("a barrier for one", Barrier::new(1), |barrier| barrier
        .wait()
        .await
        .unwrap());
    kind!("a promise", (), |_nothing| {
        let (promise, answer) = promise::<u32>();
        promise.set_result(1).unwrap();
        assert_eq!(answer.await.unwrap(), 1);
    });
    let (promise, answer) = promise::<u32>();
    promise.set_result(1).unwrap();
    kind!("a shared promise", answer.shared(), |answer| {
        assert_eq!((*answer).clone().await.unwrap(), 1)
    });
    kind!("a promise of a thread", (), |_nothing| {
        let (promise, answer) = thread_promise();
        promise.set_result(1).unwrap();
        assert_eq!(answer.await, Ok(1));
    });
    kind!("a broadcast", broadcast(1).0, |sender| {
        let mut receiver = sender.subscribe();
        sender.send(1).unwrap();
        assert_eq!(receiver.recv().await, Ok(1));
    });
    kind!("a watch", watch(0).0, |sender| {
        let mut receiver = sender.subscribe();
        sender.set(1);
        assert_eq!(receiver.changed().await, Ok(1));
    });
    kind!("a cell", OnceCell::new(), |cell| cell
        .get_or_init(async || 1)
        .await);
    kind!("a lazy value", Lazy::new(async || 1), |lazy| lazy
        .get()
        .await);
}

#[test]
fn a_loop_of_ready_operations_lets_others_run() {
    let _stepped = Stepped::new();
    futures::executor::block_on(each(async |name, operation| {
        let steps = steps_of_a_thousand(async || operation().await);
        assert!((4..=16).contains(&steps), "{name}: {steps} steps");
    }));
}

#[test]
fn without_a_hook_no_operation_yields() {
    futures::executor::block_on(each(async |name, operation| {
        let steps = steps_of_a_thousand(async || operation().await);
        assert_eq!(steps, 1, "{name}");
    }));
}

#[test]
fn a_task_with_few_operations_in_each_step_never_yields() {
    let _stepped = Stepped::new();
    futures::executor::block_on(each(async |name, operation| {
        // An operation that yields would add a turn.
        let turns = 1000;
        let mut few = pin!(async {
            for _ in 0..turns {
                for _ in 0..20 {
                    operation().await;
                }
                shared::yield_now().await;
            }
        });
        let mut steps = 0;
        while step(few.as_mut()).is_pending() {
            steps += 1;
        }
        assert_eq!(steps, turns, "{name}");
    }));
}

/// Spends the budget, so that the next operation of this step yields.
fn spend() {
    let event = Event::new();
    event.set();
    let mut wait = pin!(async {
        loop {
            event.wait().await;
        }
    });
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    // The budget was refilled when the wait yielded.
    for _ in 0..128 {
        let mut wait = pin!(event.wait());
        assert!(
            wait.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
    }
}

/// Polls a future whose operation yields although it need not wait.
fn yielded<F: Future>(future: F) -> Pin<Box<F>> {
    spend();
    let mut future = Box::pin(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
    future
}

#[test]
fn an_operation_that_yields_keeps_its_grant_and_passes_it_on() {
    let _stepped = Stepped::new();
    STEP.set(STEP.get() + 1);
    let lock = Lock::new(1);
    let first = yielded(lock.lock());
    assert!(
        lock.locked() && lock.try_lock().is_none(),
        "no task overtakes it"
    );
    drop(first);
    assert!(!lock.locked(), "its permit is released");

    let queue = Queue::new(2);
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    let mut first = yielded(queue.get());
    assert_eq!((queue.qsize(), queue.getters()), (1, 1));
    let dropped = yielded(queue.get());
    assert_eq!(queue.qsize(), 0);
    drop(dropped);
    assert_eq!(queue.qsize(), 1, "no item is lost");
    assert_eq!(step(first.as_mut()), Poll::Ready(Ok(1)));
    drop(yielded(queue.put(3)));
    assert_eq!((queue.qsize(), queue.putters()), (1, 0), "it was not put");
    let mut put = yielded(queue.put(3));
    assert!(queue.full(), "a slot is reserved for it");
    assert_eq!(step(put.as_mut()), Poll::Ready(Ok(())));

    // The wait is released although the event is cleared before it runs.
    let event = Event::new();
    event.set();
    let mut wait = yielded(event.wait());
    event.clear();
    assert!(step(wait.as_mut()).is_ready());

    let mut join = {
        let queue = &Queue::<u32>::new(0);
        let mut join = yielded(queue.join());
        queue.put_nowait(1).unwrap();
        assert!(step(join.as_mut()).is_ready());
        queue.getters()
    };
    join += 1;
    assert_eq!(join, 1);

    // An operation that must fail yields as well: a loop of such operations lets other tasks run.
    queue.shutdown(true);
    let mut get = yielded(queue.get());
    assert_eq!(queue.getters(), 0, "it waits for nothing");
    assert!(matches!(step(get.as_mut()), Poll::Ready(Err(_))));
    let mut put = yielded(queue.put(4));
    assert_eq!(queue.putters(), 0, "it waits for nothing");
    assert!(matches!(step(put.as_mut()), Poll::Ready(Err(_))));
}

/// If a loop numbers its steps, two tasks that never wait take turns.
#[test]
fn tasks_that_never_wait_take_turns() {
    let _stepped = Stepped::new();
    let (test_loop, trace) = (TestLoop::new(), Trace::new());
    let lock = Rc::new(Lock::new(0));
    for name in ["a", "b"] {
        let (lock, trace) = (lock.clone(), trace.clone());
        test_loop.spawn(async move {
            for n in 0..600 {
                if n % 200 == 0 {
                    trace.note(format_args!("{name} {n}"));
                }
                *lock.lock().await += 1;
            }
        });
    }
    while test_loop.tick() > 0 {
        STEP.set(STEP.get() + 1);
    }
    let trace = trace.take();
    assert_eq!(trace.len(), 6);
    let first_of_b = trace.iter().position(|word| word == "b 0").unwrap();
    assert!(first_of_b < 3, "{trace:?}");
}
