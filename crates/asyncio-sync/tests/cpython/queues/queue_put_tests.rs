//! `QueuePutTests`.

use std::rc::Rc;

use asyncio_sync::{PutNowaitError, Queue};

use crate::shared::{TestLoop, yield_now};

/// A put into a queue without a limit does not wait.
#[test]
fn blocking_put() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    let putter = Rc::clone(&queue);
    let putter = of.spawn(async move { putter.put(1).await });
    of.tick();
    assert_eq!(putter.result(), Ok(()));
    assert_eq!(queue.get_nowait(), Ok(1));
}

/// A getter that was woken by a put is cancelled: the item is not lost. The next get takes it
/// before the item that was put later.
#[test]
fn get_cancel_drop_one_pending_reader() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    let get = || {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.get().await })
    };
    let first = get();
    of.tick();
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    first.cancel();

    let second = get();
    of.tick();
    assert_eq!(second.result(), Ok(1));
    assert_eq!(queue.get_nowait(), Ok(2));
}

/// `put_nowait` into a full queue is an error, which contains the item.
#[test]
fn nonblocking_put_exception() {
    let queue = Queue::new(1);
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.put_nowait(2), Err(PutNowaitError::QueueFull(2)));
}

/// The item of a put reaches the waiting getter, and the put ends.
#[test]
fn put_cancelled() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    let getter = Rc::clone(&queue);
    let getter = of.spawn(async move { getter.get().await });
    let putter = of.spawn(async move { queue.put(1).await });
    of.run();
    assert_eq!(getter.result(), Ok(1));
    assert_eq!(putter.result(), Ok(()));
}

/// A put completes a waiting get.
#[test]
fn put_with_waiting_getters() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    let getter = Rc::clone(&queue);
    let getter = of.spawn(async move { getter.get().await });
    of.tick();
    queue.put_nowait("a").unwrap();
    of.tick();
    assert_eq!(getter.result(), Ok("a"));
}

/// Four tasks put into a queue for two items, and one task takes two items. All tasks end, because
/// each free slot wakes a waiting putter.
#[test]
fn why_are_putters_waiting() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(2));
    let getter = Rc::clone(&queue);
    let getter = of.spawn(async move {
        yield_now().await;
        for _ in 0..getter.qsize() {
            getter.get_nowait().unwrap();
        }
    });
    let putters = [0, 1, 2, 3].map(|item| {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.put(item).await })
    });
    of.run();
    assert!(getter.done());
    assert!(putters.iter().all(|putter| putter.done()));
    assert_eq!([queue.get_nowait(), queue.get_nowait()], [Ok(2), Ok(3)]);
}

/// A putter with a reserved slot is cancelled: the slot is free.
#[test]
fn cancelled_put_silence_value_error_exception() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    queue.put_nowait(1).unwrap();
    let putter = Rc::clone(&queue);
    let putter = of.spawn(async move { putter.put(2).await });
    of.tick();
    assert_eq!(queue.get_nowait(), Ok(1));
    putter.cancel();
    of.run();
    assert!(!putter.done());
    assert!(queue.empty() && !queue.full());
    assert_eq!(queue.putters(), 0);
}
