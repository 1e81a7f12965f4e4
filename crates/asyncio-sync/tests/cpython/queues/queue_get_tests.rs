//! `QueueGetTests`.

use std::rc::Rc;

use asyncio_sync::{GetNowaitError, Queue};

use crate::shared::{TestLoop, Trace};

/// A get from a queue with an item does not wait.
#[test]
fn blocking_get() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    queue.put_nowait(1).unwrap();
    let getter = of.spawn({
        let queue = Rc::clone(&queue);
        async move { queue.get().await }
    });
    of.tick();
    assert_eq!(getter.result(), Ok(1));
}

/// Taking an item wakes one waiting putter.
#[test]
fn get_with_putters() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    queue.put_nowait(1).unwrap();
    let putters = [2, 3].map(|item| {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.put(item).await })
    });
    of.tick();
    assert_eq!(queue.putters(), 2);
    assert_eq!(queue.get_nowait(), Ok(1));
    of.tick();
    assert!(putters[0].done() && !putters[1].done());
}

/// `get_nowait` takes an item, without any loop.
#[test]
fn nonblocking_get() {
    let queue = Queue::new(0);
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.get_nowait(), Ok(1));
}

/// `get_nowait` from an empty queue is an error.
#[test]
fn nonblocking_get_exception() {
    let queue = Queue::<u32>::new(0);
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueEmpty));
}

/// Two tasks put into a queue for one item: the items come out in the order of the puts.
#[test]
fn get_with_waiting_putters() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    for item in ["a", "b"] {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.put(item).await });
    }
    of.tick();
    let both = of.run_until_complete(async move { [queue.get().await, queue.get().await] });
    assert_eq!(both, [Ok("a"), Ok("b")]);
}

/// A producer and a consumer with a queue for one item both end.
#[test]
fn why_are_getters_waiting() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    let consumer = Rc::clone(&queue);
    let consumer = of.spawn(async move {
        for expected in 0..5 {
            assert_eq!(consumer.get().await, Ok(expected));
        }
    });
    let producer = of.spawn(async move {
        for item in 0..5 {
            queue.put(item).await.unwrap();
        }
    });
    of.run();
    assert!(producer.done() && consumer.done());
}

/// A get that times out leaves no getter in the wait list.
#[test]
fn cancelled_getters_not_being_held_in_self_getters() {
    let of = TestLoop::new();
    let (queue, trace) = (Rc::new(Queue::<u32>::new(5)), Trace::new());
    let getter = Rc::clone(&queue);
    let getter = of.spawn(async move {
        trace.note("waits");
        getter.get().await
    });
    of.tick();
    assert_eq!(queue.getters(), 1);
    getter.cancel();
    assert_eq!(queue.getters(), 0);
}
