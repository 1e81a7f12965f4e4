//! Guarantees of queues that CPython's tests do not observe.

#[path = "shared/mod.rs"]
mod shared;

use std::rc::Rc;

use asyncio_sync::{GetNowaitError, PutError, PutNowaitError, Queue, QueueShutDown, TooManyDone};
use futures::StreamExt;

use shared::{Task, TestLoop, Trace};

fn getter(of: &TestLoop, queue: &Rc<Queue<u32>>) -> Task<Result<u32, QueueShutDown>> {
    let queue = Rc::clone(queue);
    of.spawn(async move { queue.get().await })
}

/// The getter with a reservation for the last item is cancelled after a shutdown: the next waiting
/// getter takes the item.
#[test]
fn a_reserved_item_at_a_shutdown_goes_to_the_next_getter() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    let [first, second, third] = [(); 3].map(|()| getter(&of, &queue));
    of.tick();
    queue.put_nowait(1).unwrap();
    queue.shutdown(false);
    first.cancel();
    of.tick();
    assert_eq!(second.result(), Ok(1));
    assert_eq!(third.result(), Err(QueueShutDown));
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueShutDown));
}

/// An immediate shutdown cancels the reservations of getters and putters. The putters get their
/// items back.
#[test]
fn an_immediate_shutdown_cancels_reservations() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    let put = |item| {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.put(item).await })
    };
    let reserved = getter(&of, &queue);
    of.tick();
    queue.put_nowait(1).unwrap();
    let putters = [2, 3].map(put);
    of.tick();
    assert_eq!(reserved.result(), Ok(1));
    // The slot was reserved for the first putter, which has put its item. The second waits.
    of.tick();
    assert_eq!(putters[0].result(), Ok(()));
    assert_eq!(queue.get_nowait(), Ok(2));
    assert!(!putters[1].done());
    queue.shutdown(true);
    of.tick();
    assert_eq!(putters[1].result(), Err(PutError(3)));
    assert_eq!((queue.qsize(), queue.unfinished_tasks()), (0, 2));

    let queue = Rc::new(Queue::new(0));
    let reserved = getter(&of, &queue);
    of.tick();
    queue.put_nowait(4).unwrap();
    queue.shutdown(true);
    of.tick();
    assert_eq!(reserved.result(), Err(QueueShutDown));
    assert_eq!(queue.unfinished_tasks(), 0);
}

/// A `join` of a queue that is shut down waits for the items that were taken.
#[test]
fn joining_outlives_a_shutdown() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(0));
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    let item = futures::executor::block_on(queue.get_item()).unwrap();
    let join = |queue: &Rc<Queue<u32>>| {
        let queue = Rc::clone(queue);
        of.spawn(async move { queue.join().await })
    };
    let (joins, cancelled) = (join(&queue), join(&queue));
    of.tick();
    cancelled.cancel();
    queue.shutdown(false);
    of.tick();
    assert!(!joins.done());
    queue.shutdown(true);
    of.tick();
    assert!(!joins.done(), "one item was taken and is not done");
    drop(item);
    of.tick();
    assert!(joins.done());
    assert_eq!(queue.task_done(), Err(TooManyDone));
}

/// Several streams share the items. A stream that is dropped while it waits takes no item.
#[test]
fn streams_share_the_items() {
    let of = TestLoop::new();
    let (queue, trace) = (Rc::new(Queue::new(0)), Trace::new());
    let streams = ["ada", "bob", "cleo"].map(|name| {
        let (queue, trace) = (Rc::clone(&queue), trace.clone());
        of.spawn(async move {
            let mut items = std::pin::pin!(queue.items());
            while let Some(item) = items.next().await {
                trace.note(format!("{name} has {item}"));
            }
            // The stream has ended, and stays ended.
            assert_eq!(items.next().await, None);
            trace.note(format!("{name} ends"));
        })
    });
    of.tick();
    for item in 1..=3 {
        queue.put_nowait(item).unwrap();
    }
    // Ada's reservation went to no other stream, so Bob takes that item after his own.
    streams[0].cancel();
    of.tick();
    assert_eq!(trace.take(), ["bob has 1", "bob has 2", "cleo has 3"]);
    queue.shutdown(false);
    of.tick();
    assert_eq!(trace.take(), ["bob ends", "cleo ends"]);
}

/// The error of a put contains the item, of any type, and its text says what to do.
#[test]
fn errors_contain_the_item_and_say_what_to_do() {
    struct Plain;
    let queue = Queue::new(1);
    assert_eq!(
        queue.get_nowait().err().unwrap().to_string(),
        "the queue is empty; use `get` to wait for an item"
    );
    queue.put_nowait(Plain).ok().unwrap();
    let full = queue.put_nowait(Plain).unwrap_err();
    assert_eq!(
        full.to_string(),
        "the queue is full; use `put` to wait for a free slot"
    );
    let Plain = full.into_inner();

    queue.shutdown(true);
    let refused = queue.put_nowait(Plain).unwrap_err();
    let text = "the queue is shut down and accepts no items";
    assert_eq!(refused.to_string(), text);
    assert!(matches!(refused, PutNowaitError::QueueShutDown(Plain)));
    let refused: Box<dyn std::error::Error> =
        Box::new(futures::executor::block_on(queue.put(Plain)).unwrap_err());
    assert_eq!(refused.to_string(), text);
    let error = futures::executor::block_on(queue.get()).err().unwrap();
    let text = "the queue is shut down and empty";
    assert_eq!(error.to_string(), text);
}
