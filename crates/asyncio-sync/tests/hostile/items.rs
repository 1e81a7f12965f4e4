//! Items whose comparisons and destructors come back to the queue, or panic.

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

/// Calls the hook whenever it is compared.
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

/// Panics at the comparison after so many.
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

/// Wherever a comparison panics, a put has not happened.
#[test]
fn a_put_that_panics_has_not_happened() {
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
    assert!(panicked > 1, "there are several places to panic at");
}

/// Wherever a comparison panics, a get has not happened.
#[test]
fn a_get_that_panics_has_not_happened() {
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
    assert!(panicked > 2, "there are several places to panic at");
}

/// A getter that was promised an item panics while it takes it: the promise goes to the next.
#[test]
fn a_promise_survives_a_panic() {
    let queue = Rc::new(PriorityQueue::new(0));
    let mut getters = [(); 3].map(|()| {
        let queue = Rc::clone(&queue);
        boxed(async move { queue.get().await })
    });
    for getter in &mut getters {
        assert!(poll(getter, Waker::noop()).is_pending());
    }
    // All three are promised one, and then there is a choice to make.
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

/// A comparison looks at the queue: it may.
#[test]
fn a_comparison_may_look() {
    let queue = Rc::new(filled());
    let inside = Rc::clone(&queue);
    let look = move || assert!(inside.qsize() == 10 && !inside.empty() && !inside.full());
    let item = with_hook(look, || queue.get_nowait());
    assert_eq!(item, Ok(Watched(1)));
}

/// A comparison changes the queue: it panics, and nothing has changed.
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
                // Not again in the comparisons of the one inside.
                let hook = ON_COMPARE.take();
                change(&inside);
                ON_COMPARE.set(hook);
            },
            || panics(|| drop(queue.get_nowait())),
        );
        let message = outcome.expect("it panics");
        assert!(message.contains("by a comparison"), "{message}");
        assert_eq!(queue.unfinished_tasks(), 10);
        assert_eq!(drain(&queue), [1, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
    }
}

/// Puts itself into the queue again, once, when it is dropped.
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

/// Items that put others when they are dropped.
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

/// Panics when it is dropped, if it is to.
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

/// An item panics while the queue throws it away: the others are dropped, who waits is told, and the
/// queue is shut down.
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

/// An item that marks itself done does so although its value panics.
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
