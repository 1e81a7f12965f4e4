//! `QueueBasicTests`.

use std::rc::Rc;

use asyncio_sync::Queue;

use crate::shared::TestLoop;

/// The `Debug` of a queue shows its kind, its items, and the number of waiters on each side.
#[test]
fn repr() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::<u32>::new(1));
    assert_eq!(
        format!("{queue:?}"),
        "Queue { maxsize: 1, items: [], getters: 0, putters: 0, unfinished_tasks: 0, \
         shut_down: false }"
    );
    let getter = Rc::clone(&queue);
    let getter = of.spawn(async move { getter.get().await });
    of.tick();
    assert!(format!("{queue:?}").contains("getters: 1"));
    getter.cancel();

    queue.put_nowait(7).unwrap();
    let putter = Rc::clone(&queue);
    of.spawn(async move { putter.put(8).await });
    of.tick();
    let text = format!("{queue:?}");
    assert!(
        text.contains("items: [7]") && text.contains("putters: 1"),
        "{text}"
    );
}

/// `empty` returns whether there is no item.
#[test]
fn empty() {
    let queue = Queue::new(0);
    assert!(queue.empty());
    queue.put_nowait(1).unwrap();
    assert!(!queue.empty());
    assert_eq!(queue.get_nowait(), Ok(1));
    assert!(queue.empty());
}

/// A queue without a limit is never full. A queue with a limit is full at the limit.
#[test]
fn full() {
    let unbounded = Queue::new(0);
    let bounded = Queue::new(1);
    assert!(!unbounded.full() && !bounded.full());
    unbounded.put_nowait(1).unwrap();
    bounded.put_nowait(1).unwrap();
    assert!(!unbounded.full() && bounded.full());
}

/// First in, first out.
#[test]
fn order() {
    let queue = Queue::new(0);
    for item in [1, 3, 2] {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait().unwrap()), [1, 3, 2]);
}

/// A put waits while the queue is full, and continues one turn after an item was taken.
#[test]
fn maxsize() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(2));
    assert_eq!(queue.maxsize(), 2);
    let putter = Rc::clone(&queue);
    let putter = of.spawn(async move {
        for item in [1, 2, 3] {
            putter.put(item).await.unwrap();
        }
    });
    of.tick();
    of.tick();
    assert!(!putter.done());
    assert_eq!(queue.qsize(), 2);

    assert_eq!(queue.get_nowait(), Ok(1));
    of.tick();
    assert!(putter.done());
    assert_eq!([queue.get_nowait(), queue.get_nowait()], [Ok(2), Ok(3)]);
}
