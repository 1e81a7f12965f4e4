//! `QueueShutdownTestMixin`, for each of the three kinds of queue.

use std::rc::Rc;

use asyncio_sync::{
    BaseQueue, Discipline, Fifo, GetNowaitError, Lifo, PutError, PutNowaitError, QueueShutDown,
    Smallest, TooManyDone,
};

use crate::shared::{Task, TestLoop};

fn new<D: Kind>(maxsize: usize) -> (TestLoop, Rc<BaseQueue<D>>) {
    (TestLoop::new(), Rc::new(BaseQueue::new(maxsize)))
}

fn getter<D: Kind>(of: &TestLoop, queue: &Rc<BaseQueue<D>>) -> Task<Result<u32, QueueShutDown>> {
    let queue = Rc::clone(queue);
    of.spawn(async move { queue.get().await })
}

fn putter<D: Kind>(
    of: &TestLoop,
    queue: &Rc<BaseQueue<D>>,
    item: u32,
) -> Task<Result<(), PutError<u32>>> {
    let queue = Rc::clone(queue);
    of.spawn(async move { queue.put(item).await })
}

fn joiner<D: Kind>(of: &TestLoop, queue: &Rc<BaseQueue<D>>) -> Task<()> {
    let queue = Rc::clone(queue);
    of.spawn(async move { queue.join().await })
}

/// Asserts that no item can be put or taken.
#[track_caller]
fn assert_all_refused<D: Kind>(of: &TestLoop, queue: &Rc<BaseQueue<D>>) {
    let (get, put) = (getter(of, queue), putter(of, queue, 9));
    of.tick();
    assert_eq!(get.result(), Err(QueueShutDown));
    assert_eq!(put.result(), Err(PutError(9)));
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::QueueShutDown));
    assert_eq!(queue.put_nowait(9), Err(PutNowaitError::QueueShutDown(9)));
}

/// Runs a check with each kind of queue.
macro_rules! each_kind {
    ($check:ident) => {
        $check::<Fifo<u32>>();
        $check::<Lifo<u32>>();
        $check::<Smallest<u32>>();
    };
}

/// A discipline of a queue of numbers.
trait Kind: Discipline<Item = u32> + 'static {}

impl<D: Discipline<Item = u32> + 'static> Kind for D {}

/// The `Debug` of a queue shows that it is shut down.
#[test]
fn format() {
    fn check<D: Kind>() {
        let (_, queue) = new::<D>(0);
        queue.shutdown(false);
        assert!(queue.is_shutdown());
        assert!(format!("{queue:?}").contains("shut_down: true"));
    }
    each_kind!(check);
}

/// An empty queue is shut down: a waiting get fails within one turn, later operations fail, and
/// `join` returns.
#[test]
fn shutdown_empty() {
    fn check<D: Kind>() {
        let (of, queue) = new::<D>(0);
        let waiting = getter(&of, &queue);
        of.tick();
        assert!(!waiting.done());

        queue.shutdown(false);
        let join = joiner(&of, &queue);
        of.tick();
        assert_eq!(waiting.result(), Err(QueueShutDown));
        assert!(join.done());
        assert_all_refused(&of, &queue);
    }
    each_kind!(check);
}

/// A queue with one item is shut down: a waiting put fails, the item can be taken, and `join` waits
/// until it is marked done. Then all operations fail, and another `task_done` is an error.
#[test]
fn shutdown_nonempty() {
    fn check<D: Kind>() {
        let (of, queue) = new::<D>(1);
        queue.put_nowait(1).unwrap();
        let (put, join) = (putter(&of, &queue, 2), joiner(&of, &queue));
        of.tick();

        queue.shutdown(false);
        of.tick();
        assert_eq!(put.result(), Err(PutError(2)));
        assert!(!join.done());
        assert_eq!(queue.put_nowait(3), Err(PutNowaitError::QueueShutDown(3)));

        let get = getter(&of, &queue);
        of.tick();
        assert_eq!(get.result(), Ok(1));
        assert!(!join.done());
        assert_all_refused(&of, &queue);

        queue.task_done().unwrap();
        of.tick();
        assert!(join.done());
        assert_eq!(queue.task_done(), Err(TooManyDone));
        assert_all_refused(&of, &queue);
    }
    each_kind!(check);
}

/// An immediate shutdown drops the items and marks them done: `join` returns, and all operations
/// fail.
#[test]
fn shutdown_immediate() {
    fn check<D: Kind>() {
        let (of, queue) = new::<D>(2);
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let (put, join) = (putter(&of, &queue, 3), joiner(&of, &queue));
        of.tick();
        assert!(!join.done());

        queue.shutdown(true);
        of.tick();
        assert_eq!(put.result(), Err(PutError(3)));
        assert!(join.done());
        assert!(queue.empty());
        assert_all_refused(&of, &queue);
        assert_eq!(queue.task_done(), Err(TooManyDone));
    }
    each_kind!(check);
}

/// An immediate shutdown while one item was taken and is not done. Only the items in the queue are
/// marked done, so `join` waits for the taken item.
#[test]
fn shutdown_immediate_with_unfinished() {
    fn check<D: Kind>() {
        let (of, queue) = new::<D>(2);
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        assert!(queue.get_nowait().is_ok());
        let join = joiner(&of, &queue);
        of.tick();

        queue.shutdown(true);
        of.tick();
        assert!(!join.done());
        assert_all_refused(&of, &queue);

        queue.task_done().unwrap();
        of.tick();
        assert!(join.done());
        assert_eq!(queue.task_done(), Err(TooManyDone));
    }
    each_kind!(check);
}
