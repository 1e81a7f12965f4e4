//! `QueueJoinTestMixin`, for each of the three kinds of queue.

use std::cell::Cell;
use std::fmt::Debug;
use std::rc::Rc;

use asyncio_sync::{BaseQueue, Discipline, Fifo, Lifo, Smallest, TooManyDone};

use crate::shared::{TestLoop, yield_now};

/// Marking more items done than were put is an error.
#[test]
fn task_done_underflow() {
    fn check<D: Discipline<Item = u32>>() {
        let queue = BaseQueue::<D>::new(0);
        assert_eq!(queue.task_done(), Err(TooManyDone));
        queue.put_nowait(1).unwrap();
        assert_eq!(queue.task_done(), Ok(()));
        assert_eq!(queue.task_done(), Err(TooManyDone));
    }
    check::<Fifo<u32>>();
    check::<Lifo<u32>>();
    check::<Smallest<u32>>();
}

/// A hundred items and two workers: `join` returns after every item was marked done.
#[test]
fn task_done() {
    fn check<D: Discipline<Item = u32> + 'static>() {
        let of = TestLoop::new();
        let queue = Rc::new(BaseQueue::<D>::new(0));
        for item in 0..100 {
            queue.put_nowait(item).unwrap();
        }
        let sum = Rc::new(Cell::new(0));
        for _ in 0..2 {
            let (queue, sum) = (Rc::clone(&queue), Rc::clone(&sum));
            of.spawn(async move {
                while let Ok(item) = queue.get().await {
                    sum.set(sum.get() + item);
                    yield_now().await;
                    queue.task_done().unwrap();
                }
            });
        }
        let (joined, seen) = (Rc::clone(&queue), Rc::clone(&sum));
        let joined = of.run_until_complete(async move {
            joined.join().await;
            (seen.get(), joined.unfinished_tasks())
        });
        assert_eq!(joined, (4950, 0));
    }
    check::<Fifo<u32>>();
    check::<Lifo<u32>>();
    check::<Smallest<u32>>();
}

/// Joining a queue that was never used returns at once, each time.
#[test]
fn join_empty_queue() {
    fn check<D: Discipline<Item = u32> + 'static>() {
        let of = TestLoop::new();
        let queue = BaseQueue::<D>::new(0);
        let task = of.spawn(async move {
            queue.join().await;
            queue.join().await;
        });
        of.tick();
        assert!(task.done());
    }
    check::<Fifo<u32>>();
    check::<Lifo<u32>>();
    check::<Smallest<u32>>();
}

/// The `Debug` of a queue shows the number of items that are not done.
#[test]
fn format() {
    fn check<D: Discipline<Item: Debug>>(item: D::Item, name: &str) {
        let queue = BaseQueue::<D>::new(0);
        queue.put_nowait(item).unwrap();
        assert!(queue.get_nowait().is_ok());
        let text = format!("{queue:?}");
        assert!(text.starts_with(&format!("{name} {{")), "{text}");
        assert!(text.contains("items: []"), "{text}");
        assert!(text.contains("unfinished_tasks: 1"), "{text}");
    }
    check::<Fifo<u32>>(1, "Queue");
    check::<Lifo<u32>>(1, "LifoQueue");
    check::<Smallest<u32>>(1, "PriorityQueue");
}
