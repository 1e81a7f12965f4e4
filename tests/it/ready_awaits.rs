//! Loops of awaits that are ready at once: others have turns, and a time limit ends them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::{Event, Lock, Queue, RwLock, Semaphore, promise};
use asyncio::{Runner, run_with, spawn, timeout, yield_now};

const LIMIT: Duration = Duration::from_millis(10);

/// Runs `work` for ever, on real time, until a limit ends it, beside a task that counts its turns.
fn ends(name: &str, work: impl AsyncFn()) {
    run_with(Runner::builder(), async {
        let turns = Rc::new(Cell::new(0));
        let counted = turns.clone();
        let _beside = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let endless = async {
            loop {
                work().await;
            }
        };
        assert!(timeout(LIMIT, endless).await.is_err());
        assert!(turns.get() > 1, "{name}: nobody else had a turn");
    });
}

#[test]
fn of_the_primitives() {
    let event = Event::new();
    event.set();
    ends("event", async || event.wait().await);
    let lock = Lock::new(());
    ends("lock", async || drop(lock.lock().await));
    let lock = RwLock::new(());
    ends("read", async || drop(lock.read().await));
    let semaphore = Semaphore::new(3);
    ends("acquire", async || drop(semaphore.acquire_many(2).await));
    let queue = Queue::new(1);
    ends("put and get", async || {
        queue.put(1).await.unwrap();
        queue.get().await.unwrap();
    });
    ends("promise", async || {
        let (promise, answer) = promise::<u32>();
        promise.set_result(1).unwrap();
        answer.await.unwrap();
    });
}

/// Nothing is lost when a limit cuts such a loop: all items that were put are seen or left.
#[test]
fn what_is_cut_loses_nothing() {
    run_with(Runner::builder(), async {
        let queue = Queue::new(0);
        let (mut put, mut got) = (0_u64, 0_u64);
        for _ in 0..20 {
            let endless = async {
                loop {
                    queue.put(()).await.unwrap();
                    put += 1;
                    queue.put(()).await.unwrap();
                    put += 1;
                    queue.get().await.unwrap();
                    got += 1;
                }
            };
            assert!(timeout(Duration::from_millis(1), endless).await.is_err());
            assert_eq!(queue.qsize() as u64, put - got);
            assert_eq!((queue.getters(), queue.putters()), (0, 0));
        }
    });
}
