//! What a queue promises beyond what CPython's tests observe.

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

/// The one to whom the last item was promised is cancelled after the queue was shut down: the item goes
/// to one who was waiting behind, for it is still there to be taken.
#[test]
fn what_is_left_at_a_shutdown_goes_to_one_who_waits_though_another_was_to_have_it() {
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

/// A full queue that is shut down immediately, while both sides wait: one of them has a slot in his hand,
/// one an item. Nobody keeps either, and all items of the putters come back.
#[test]
fn an_immediate_shutdown_takes_back_what_was_promised() {
    let of = TestLoop::new();
    let queue = Rc::new(Queue::new(1));
    let put = |item| {
        let queue = Rc::clone(&queue);
        of.spawn(async move { queue.put(item).await })
    };
    let promised = getter(&of, &queue);
    of.tick();
    queue.put_nowait(1).unwrap();
    let putters = [2, 3].map(put);
    of.tick();
    assert_eq!(promised.result(), Ok(1));
    // The first of them was promised the slot, and put; the second waits.
    of.tick();
    assert_eq!(putters[0].result(), Ok(()));
    assert_eq!(queue.get_nowait(), Ok(2));
    assert!(!putters[1].done());
    queue.shutdown(true);
    of.tick();
    assert_eq!(putters[1].result(), Err(PutError(3)));
    assert_eq!((queue.qsize(), queue.unfinished_tasks()), (0, 2));

    let queue = Rc::new(Queue::new(0));
    let promised = getter(&of, &queue);
    of.tick();
    queue.put_nowait(4).unwrap();
    queue.shutdown(true);
    of.tick();
    assert_eq!(promised.result(), Err(QueueShutDown));
    assert_eq!(queue.unfinished_tasks(), 0);
}

/// Who joins a queue that is shut down waits for what was taken, and is not told about it before.
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
    let (joins, gives_up) = (join(&queue), join(&queue));
    of.tick();
    gives_up.cancel();
    queue.shutdown(false);
    of.tick();
    assert!(!joins.done());
    queue.shutdown(true);
    of.tick();
    assert!(!joins.done(), "one was taken and is not done");
    drop(item);
    of.tick();
    assert!(joins.done());
    assert_eq!(queue.task_done(), Err(TooManyDone));
}

/// A stream that is dropped while it waits takes nothing along, and several share what comes.
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
            // It has ended, and says so again.
            assert_eq!(items.next().await, None);
            trace.note(format!("{name} is through"));
        })
    });
    of.tick();
    for item in 1..=3 {
        queue.put_nowait(item).unwrap();
    }
    // Ada's was promised to nobody else, so Bob finds it when he is through with his own.
    streams[0].cancel();
    of.tick();
    assert_eq!(trace.take(), ["bob has 1", "bob has 2", "cleo has 3"]);
    queue.shutdown(false);
    of.tick();
    assert_eq!(trace.take(), ["bob is through", "cleo is through"]);
}

/// What could not be put is in the error, whatever it is, and the text says what to do.
#[test]
fn errors_give_the_item_back_and_say_what_to_do() {
    struct Plain;
    let queue = Queue::new(1);
    assert_eq!(
        queue.get_nowait().err().unwrap().to_string(),
        "the queue is empty: `get` waits for an item"
    );
    queue.put_nowait(Plain).ok().unwrap();
    let full = queue.put_nowait(Plain).unwrap_err();
    assert_eq!(full.to_string(), "the queue is full: `put` waits for room");
    let Plain = full.into_inner();

    queue.shutdown(true);
    let refused = queue.put_nowait(Plain).unwrap_err();
    let text = "the queue is shut down and takes no more";
    assert_eq!(refused.to_string(), text);
    assert!(matches!(refused, PutNowaitError::QueueShutDown(Plain)));
    let refused: Box<dyn std::error::Error> =
        Box::new(futures::executor::block_on(queue.put(Plain)).unwrap_err());
    assert_eq!(refused.to_string(), text);
    let error = futures::executor::block_on(queue.get()).err().unwrap();
    let text = "the queue is shut down, and nothing is left in it";
    assert_eq!(error.to_string(), text);
}
