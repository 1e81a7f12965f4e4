//! The primitives on other executors: they need only a waker.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, promise};
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;

/// A program with all primitives, whose tasks `spawn` runs on some executor.
///
/// Three workers wait for an event, take jobs from a queue, two at a time, write under a lock, and
/// meet at a barrier. The last worker sets a promise.
async fn scene(spawn: impl Fn(std::pin::Pin<Box<dyn Future<Output = ()>>>)) -> Vec<u32> {
    let start = Rc::new(Event::new());
    let jobs = Rc::new(Queue::new(2));
    let slots = Rc::new(Semaphore::new(2));
    let written = Rc::new(Condition::new(Lock::new(Vec::new())));
    let all_done = Rc::new(Barrier::new(3));
    let (promise, finished) = promise::<&str>();
    let promise = Rc::new(RefCell::new(Some(promise)));

    for _ in 0..3 {
        let (start, jobs, slots) = (Rc::clone(&start), Rc::clone(&jobs), Rc::clone(&slots));
        let (written, all_done) = (Rc::clone(&written), Rc::clone(&all_done));
        let promise = Rc::clone(&promise);
        spawn(Box::pin(async move {
            start.wait().await;
            while let Ok(job) = jobs.get_item().await {
                let _slot = slots.acquire().await;
                let mut numbers = written.lock().await;
                numbers.push(*job);
                written.notify_all(&numbers);
            }
            if all_done.wait().await == Ok(2) {
                let promise = promise.take().expect("one worker is the last");
                promise.set_result("all have met").unwrap();
            }
        }));
    }

    start.set();
    for job in 0..20 {
        jobs.put(job).await.unwrap();
    }
    jobs.join().await;
    let numbers = written.wait_for(written.lock().await, |numbers| numbers.len() == 20);
    let mut numbers = numbers.await.clone();
    jobs.shutdown(false);
    assert_eq!(finished.await.unwrap(), "all have met");
    numbers.sort_unstable();
    numbers
}

fn expected() -> Vec<u32> {
    (0..20).collect()
}

#[test]
fn on_a_local_pool() {
    let mut pool = LocalPool::new();
    let spawner = pool.spawner();
    let spawn = move |task| spawner.spawn_local(task).unwrap();
    assert_eq!(pool.run_until(scene(spawn)), expected());
}

#[test]
fn on_a_local_set() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let tasks = tokio::task::LocalSet::new();
    let spawn = |task| drop(tokio::task::spawn_local(task));
    assert_eq!(tasks.block_on(&runtime, scene(spawn)), expected());
}

/// A combinator with its own waker for each branch, in place of tasks.
#[test]
fn within_one_task() {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;

    let numbers = futures::executor::block_on(async {
        let tasks = RefCell::new(Vec::new());
        let queue = Queue::new(1);
        let producer = async {
            for number in 0..20 {
                queue.put(number).await.unwrap();
            }
            queue.shutdown(false);
        };
        let consumers: FuturesUnordered<_> = (0..3)
            .map(async |_| {
                while let Ok(number) = queue.get().await {
                    tasks.borrow_mut().push(number);
                }
            })
            .collect();
        futures::join!(producer, consumers.collect::<()>());
        tasks.into_inner()
    });
    assert_eq!(numbers, expected());
}
