//! Items whose comparisons and destructors use the queue, or panic.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_sync::{PriorityQueue, Queue, QueueShutDown};

use crate::{boxed, panics, poll};

thread_local! {
    static ON_COMPARE: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

/// An item that calls the hook at each comparison.
#[derive(Debug)]
struct Watched(u32);

impl Ord for Watched {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARISONS.set(COMPARISONS.get() + 1);
        let hook = ON_COMPARE.with_borrow(Option::clone);
        if let Some(hook) = hook {
            hook();
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Watched {}

fn with_hook<R>(hook: impl Fn() + 'static, call: impl FnOnce() -> R) -> R {
    ON_COMPARE.set(Some(Rc::new(hook)));
    let result = call();
    ON_COMPARE.set(None);
    result
}

/// A hook that panics after `count` comparisons.
fn panic_after(count: usize) -> impl Fn() {
    let start = COMPARISONS.get();
    move || assert!(COMPARISONS.get() - start <= count, "compared too often")
}

fn filled() -> PriorityQueue<Watched> {
    let queue = PriorityQueue::new(0);
    for key in [5, 3, 8, 1, 9, 2, 7, 3, 6, 4] {
        queue.put_nowait(Watched(key)).unwrap();
    }
    queue
}

fn drain(queue: &PriorityQueue<Watched>) -> Vec<u32> {
    std::iter::from_fn(|| queue.get_nowait().ok())
        .map(|item| item.0)
        .collect()
}

/// If any comparison panics, a put has no effect.
#[test]
fn a_put_that_panics_has_no_effect() {
    let mut panicked = 0;
    for after in 0..4 {
        let queue = filled();
        let put = || drop(queue.put_nowait(Watched(0)));
        let outcome = with_hook(panic_after(after), || panics(put));
        panicked += usize::from(outcome.is_some());
        let mut expected = vec![1, 2, 3, 3, 4, 5, 6, 7, 8, 9];
        if outcome.is_none() {
            expected.insert(0, 0);
        }
        assert_eq!(queue.unfinished_tasks(), expected.len());
        assert_eq!(queue.qsize(), expected.len());
        assert_eq!(drain(&queue), expected, "after {after} comparisons");
    }
    assert!(panicked > 1, "a put compares several times");
}

/// If any comparison panics, a get has no effect.
#[test]
fn a_get_that_panics_has_no_effect() {
    let mut panicked = 0;
    for after in 0..8 {
        let queue = filled();
        let get = || drop(queue.get_nowait());
        let outcome = with_hook(panic_after(after), || panics(get));
        panicked += usize::from(outcome.is_some());
        let mut expected = vec![1, 2, 3, 3, 4, 5, 6, 7, 8, 9];
        if outcome.is_none() {
            expected.remove(0);
        }
        assert_eq!(queue.qsize(), expected.len());
        assert_eq!(drain(&queue), expected, "after {after} comparisons");
    }
    assert!(panicked > 2, "a get compares several times");
}

/// A getter with a reservation panics while it takes the item: the reservation goes to the next
/// getter.
#[test]
fn a_reservation_survives_a_panic() {
    let queue = Rc::new(PriorityQueue::new(0));
    let mut getters = [(); 3].map(|()| {
        let queue = Rc::clone(&queue);
        boxed(async move { queue.get().await })
    });
    for getter in &mut getters {
        assert!(poll(getter, Waker::noop()).is_pending());
    }
    // All three getters have reservations. Taking the first item compares the others.
    for key in [2, 1, 3] {
        queue.put_nowait(Watched(key)).unwrap();
    }
    let [mut first, mut second, third] = getters;
    let outcome = with_hook(panic_after(0), || {
        panics(|| drop(poll(&mut first, Waker::noop())))
    });
    assert!(outcome.is_some());
    drop((first, third));
    assert_eq!(
        poll(&mut second, Waker::noop()),
        Poll::Ready(Ok(Watched(1)))
    );
    assert_eq!(drain(&queue), [2, 3]);
}

/// A comparison may read the queue.
#[test]
fn a_comparison_may_read_the_queue() {
    let queue = Rc::new(filled());
    let inside = Rc::clone(&queue);
    let look = move || assert!(inside.qsize() == 10 && !inside.empty() && !inside.full());
    let item = with_hook(look, || queue.get_nowait());
    assert_eq!(item, Ok(Watched(1)));
}

/// A comparison that changes the queue panics, and the queue is unchanged.
#[test]
fn a_comparison_that_changes_the_queue_panics() {
    let change: [fn(&PriorityQueue<Watched>); 4] = [
        |queue| drop(queue.get_nowait()),
        |queue| queue.put_nowait(Watched(0)).unwrap(),
        |queue| queue.task_done().unwrap(),
        |queue| queue.shutdown(true),
    ];
    for change in change {
        let queue = Rc::new(filled());
        let inside = Rc::clone(&queue);
        let outcome = with_hook(
            move || {
                // Without the hook for the comparisons of the inner change.
                let hook = ON_COMPARE.take();
                change(&inside);
                ON_COMPARE.set(hook);
            },
            || panics(|| drop(queue.get_nowait())),
        );
        let message = outcome.expect("it panics");
        assert!(message.contains("changed by the `Ord`"), "{message}");
        assert_eq!(queue.unfinished_tasks(), 10);
        assert_eq!(drain(&queue), [1, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
    }
}

/// An item that puts another item into the queue, once, when it is dropped.
struct Again {
    queue: Rc<Queue<Again>>,
    again: bool,
}

impl Drop for Again {
    fn drop(&mut self) {
        if self.again {
            let queue = Rc::clone(&self.queue);
            let refused = self.queue.put_nowait(Again {
                queue,
                again: false,
            });
            assert_eq!(refused.is_err(), self.queue.is_shutdown());
        }
    }
}

/// The destructor of an item may put another item.
#[test]
fn a_destructor_may_use_the_queue() {
    let queue = Rc::new(Queue::new(0));
    let again = || Again {
        queue: Rc::clone(&queue),
        again: true,
    };
    queue.put_nowait(again()).ok().unwrap();
    drop(queue.get_nowait());
    assert_eq!(queue.qsize(), 1);
    queue.put_nowait(again()).ok().unwrap();
    queue.shutdown(true);
    assert_eq!((queue.qsize(), queue.unfinished_tasks()), (0, 1));
}

/// An item that counts its drop, and panics if it is `live`.
struct Bomb<'a> {
    live: bool,
    dropped: &'a Cell<u32>,
}

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        if self.live {
            panic!("dropped");
        }
    }
}

/// An item panics while a shutdown drops it: the other items are dropped, all waiters get their
/// answer, and the queue is shut down.
#[test]
fn a_destructor_may_panic() {
    let dropped: &Cell<u32> = Box::leak(Box::default());
    let queue = Rc::new(Queue::new(3));
    for live in [false, true, false] {
        queue.put_nowait(Bomb { live, dropped }).ok().unwrap();
    }
    let (putter, joiner) = (Rc::clone(&queue), Rc::clone(&queue));
    let live = false;
    let mut put = boxed(async move { putter.put(Bomb { live, dropped }).await });
    let mut join = boxed(async move { joiner.join().await });
    assert!(poll(&mut put, Waker::noop()).is_pending());
    assert!(poll(&mut join, Waker::noop()).is_pending());

    assert_eq!(panics(|| queue.shutdown(true)).as_deref(), Some("dropped"));
    assert_eq!(dropped.get(), 3);
    assert!(matches!(poll(&mut put, Waker::noop()), Poll::Ready(Err(_))));
    assert!(poll(&mut join, Waker::noop()).is_ready());

    let getter = Rc::clone(&queue);
    let mut get = boxed(async move { getter.get().await.map(drop) });
    assert_eq!(
        poll(&mut get, Waker::noop()),
        Poll::Ready(Err(QueueShutDown))
    );
}

/// An `Item` marks itself done even if its value panics when dropped.
#[test]
fn an_item_that_panics_is_done() {
    let dropped = Cell::new(0);
    let queue = Queue::new(0);
    queue
        .put_nowait(Bomb {
            live: true,
            dropped: &dropped,
        })
        .ok()
        .unwrap();
    let item = futures::executor::block_on(queue.get_item()).unwrap();
    assert_eq!(panics(|| drop(item)).as_deref(), Some("dropped"));
    assert_eq!(queue.unfinished_tasks(), 0);
}
