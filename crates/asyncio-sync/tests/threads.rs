//! The queue between tasks and threads.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_sync::{
    GetNowaitError, GetTimeoutError, PutError, PutNowaitError, PutTimeoutError, QueueShutDown,
    ThreadHooks, ThreadQueue, set_thread_hooks, thread_queue,
};
use futures::StreamExt;
use futures::executor::block_on;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

/// Runs `test` on a thread, and panics if it takes longer than [`LONG`].
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (end, ended) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _end = end; // dropped at the end, also by a panic
        test();
    });
    if ended.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("the test hangs");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Several threads and tasks put and get: every item arrives exactly once.
#[test]
fn every_item_arrives_once() {
    for maxsize in [1, 7, 0] {
        in_time(move || carry_items(maxsize));
    }
}

fn carry_items(maxsize: usize) {
    const EACH: usize = 2000;
    let (on_loop, on_threads) = thread_queue(maxsize);
    let (out_loop, out_threads) = thread_queue::<(usize, usize)>(maxsize);
    let producers: Vec<_> = (0..3)
        .map(|name| {
            let queue = on_threads.clone();
            thread::spawn(move || {
                for item in 0..EACH {
                    queue.put((name, item)).unwrap();
                }
            })
        })
        .collect();
    drop(on_threads);
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let queue = out_threads.clone();
            thread::spawn(move || queue.iter().collect::<Vec<_>>())
        })
        .collect();
    drop(out_threads);

    block_on(async {
        // Two tasks move the items to the second queue. The first queue ends with its producers.
        let carry = async || {
            while let Ok(item) = on_loop.get().await {
                out_loop.put(item).await.unwrap();
            }
        };
        futures::join!(carry(), carry());
    });
    drop(out_loop);

    producers
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let mut seen = BTreeSet::new();
    for consumer in consumers {
        for item in consumer.join().unwrap() {
            assert!(seen.insert(item), "{item:?} came twice");
        }
    }
    assert_eq!(seen.len(), 3 * EACH);
}

#[test]
fn a_blocked_put_ends_when_a_slot_is_free() {
    let (on_loop, on_threads) = thread_queue(1);
    on_threads.put(1).unwrap();
    let thread = thread::spawn(move || on_threads.put(2));
    while format!("{on_loop:?}").contains("putters: 0") {
        thread::yield_now();
    }
    assert_eq!(block_on(on_loop.get()), Ok(1));
    assert_eq!(thread.join().unwrap(), Ok(()));
    assert_eq!(block_on(on_loop.get()), Ok(2));
}

#[test]
fn a_timed_out_wait_leaves_the_list() {
    let (on_loop, on_threads) = thread_queue(1);
    let start = Instant::now();
    assert_eq!(
        on_threads.get_timeout(SHORT),
        Err(GetTimeoutError::TimedOut)
    );
    assert!(start.elapsed() >= SHORT);
    on_threads.put_timeout(1, SHORT).unwrap();
    assert_eq!(
        on_threads.put_timeout(2, SHORT),
        Err(PutTimeoutError::TimedOut(2))
    );
    assert_eq!(
        format!("{on_loop:?}"),
        "LoopSide(ThreadQueue { maxsize: 1, qsize: 1, getters: 0, putters: 0, \
         shut_down: false, .. })"
    );
    assert_eq!(on_threads.get_timeout(Duration::ZERO), Ok(1));
    assert_eq!(on_threads.put_timeout(3, Duration::MAX), Ok(()));
}

/// A task with a reservation is dropped: the item goes to the thread behind it.
#[test]
fn a_dropped_task_passes_its_reservation_to_a_thread() {
    use std::task::{Context, Waker};

    let (on_loop, on_threads) = thread_queue(0);
    let mut get = Box::pin(on_loop.get());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(get.as_mut().poll(&mut cx).is_pending());
    let behind = on_threads.clone();
    let thread = thread::spawn(move || behind.get_timeout(LONG));
    while format!("{on_loop:?}").contains("getters: 1") {
        thread::yield_now();
    }
    on_threads.put(1).unwrap();
    // The item is reserved for the task, and no thread overtakes it.
    assert_eq!(on_threads.get_nowait(), Err(GetNowaitError::QueueEmpty));
    drop(get);
    assert_eq!(thread.join().unwrap(), Ok(1));
}

#[test]
fn a_shutdown_ends_both_sides() {
    let (on_loop, on_threads) = thread_queue(2);
    let thread = {
        let on_threads = on_threads.clone();
        thread::spawn(move || {
            on_threads.put(1).unwrap();
            on_threads.put(2).unwrap();
            on_threads.put(3)
        })
    };
    while format!("{on_loop:?}").contains("putters: 0") {
        thread::yield_now();
    }
    on_loop.shutdown(false);
    assert_eq!(thread.join().unwrap(), Err(PutError(3)));
    assert!(on_threads.is_shutdown());
    assert_eq!(
        on_threads.put_nowait(4),
        Err(PutNowaitError::QueueShutDown(4))
    );
    assert_eq!(
        on_threads.put_timeout(4, LONG),
        Err(PutTimeoutError::QueueShutDown(4))
    );
    assert_eq!(block_on(on_loop.items().collect::<Vec<_>>()), [1, 2]);
    assert_eq!(on_threads.get(), Err(QueueShutDown));
    assert_eq!(
        on_threads.get_timeout(LONG),
        Err(GetTimeoutError::QueueShutDown)
    );
}

/// When one side is dropped, the other side takes the remaining items, and then gets an error.
#[test]
fn dropping_one_side_shuts_down() {
    let (on_loop, on_threads) = thread_queue(0);
    on_threads.put(1).unwrap();
    drop(on_threads.clone());
    assert!(!on_loop.is_shutdown());
    drop(on_threads);
    assert_eq!(block_on(on_loop.put(2)), Err(PutError(2)));
    assert_eq!(block_on(on_loop.get()), Ok(1));
    assert_eq!(block_on(on_loop.get()), Err(QueueShutDown));

    let (on_loop, on_threads) = thread_queue::<u32>(0);
    let thread = thread::spawn(move || on_threads.get());
    drop(on_loop);
    assert_eq!(thread.join().unwrap(), Err(QueueShutDown));
}

/// A waiting thread uses no processor time.
#[cfg(target_os = "linux")]
#[test]
fn waiting_does_not_spin() {
    fn switches(kind: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split_whitespace()
            .next_back()
            .unwrap()
            .parse()
            .unwrap()
    }
    let (_on_loop, on_threads) = thread_queue::<u32>(0);
    let before = switches("voluntary");
    assert!(on_threads.get_timeout(5 * SHORT).is_err());
    // One sleep, and perhaps a spurious wake-up. Polling would be thousands.
    assert!(switches("voluntary") - before < 10);
    let cpu = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        let user: u64 = after_name
            .split_whitespace()
            .nth(11)
            .unwrap()
            .parse()
            .unwrap();
        user
    };
    let before = cpu();
    assert!(on_threads.get_timeout(10 * SHORT).is_err());
    // In ticks of 10 ms. Spinning would be 20 ticks.
    assert!(cpu() - before < 5);
}

/// Both sides and their futures are `Send` and `Sync`.
#[test]
fn send_and_sync() {
    fn crosses<T: Send + Sync>(_: &T) {}
    let (on_loop, on_threads) = thread_queue::<u32>(0);
    crosses(&on_loop);
    crosses(&on_threads);
    crosses(&on_loop.get());
}

/// The last handle of a side shuts the queue down, also if no task or thread waits.
#[test]
fn the_last_handle_of_a_side_shuts_down() {
    let (on_loop, on_threads) = thread_queue::<u32>(0);
    let also_on_loop = on_loop.clone();
    drop(on_loop);
    assert!(!on_threads.is_shutdown());
    drop(also_on_loop);
    assert!(on_threads.is_shutdown());
    assert_eq!(on_threads.put(1), Err(PutError(1)));

    let (on_loop, on_threads) = thread_queue::<u32>(0);
    drop(on_threads);
    assert!(on_loop.is_shutdown());
    assert_eq!(on_loop.get_nowait(), Err(GetNowaitError::QueueShutDown));
}

#[test]
fn each_side_sees_the_state_of_the_queue() {
    let (tasks, threads) = thread_queue(2);
    for n in 0..=2 {
        let (q, of): (&ThreadQueue<i32>, &ThreadQueue<i32>) = (&tasks, &threads);
        for side in [q, of] {
            assert_eq!((side.qsize(), side.maxsize()), (n, 2));
            assert_eq!((side.empty(), side.full()), (n == 0, n == 2));
        }
        if n < 2 {
            threads.put_nowait(1).unwrap();
        }
    }
}

#[test]
fn a_loop_learns_that_its_tasks_yield() {
    thread_local!(static YIELDS: Cell<u32> = const { Cell::new(0) });
    let mut hooks = ThreadHooks::none();
    hooks.step_back = || YIELDS.set(YIELDS.get() + 1);
    let before = set_thread_hooks(hooks);
    let (tasks, threads) = thread_queue(0);
    (0..1000).for_each(|n| threads.put_nowait(n).unwrap());
    block_on(async {
        for n in 0..1000 {
            assert_eq!(tasks.get().await, Ok(n));
        }
    });
    set_thread_hooks(before);
    assert!((10..=20).contains(&YIELDS.get()), "{}", YIELDS.get());
}
