//! The number of allocations of each operation.

#![expect(unsafe_code, reason = "a global allocator needs unsafe code")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use asyncio_sync::{
    Barrier, Condition, Event, LifoQueue, Lock, OnceCell, PriorityQueue, Queue, RwLock, Semaphore,
    promise,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: what our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: what our caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of allocations in `call`.
fn allocations(call: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    call();
    ALLOCATIONS.get() - before
}

fn now<T>(future: impl Future<Output = T>) -> T {
    use std::task::Poll::{Pending, Ready};
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Ready(output) => output,
        Pending => panic!("the operation waits"),
    }
}

fn waits<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1);
}

/// Creating, using without contention and dropping a primitive allocates nothing.
#[test]
fn uncontended_operations_do_not_allocate() {
    let count = allocations(|| {
        let lock = Lock::new(1);
        *now(lock.lock()) += 1;
        drop(lock.try_lock());

        let rwlock = RwLock::new(1);
        *now(rwlock.write()) += 1;
        let (first, second) = (now(rwlock.read()), now(rwlock.read()));
        drop((first, second));

        let semaphore = Semaphore::new(3);
        let one = now(semaphore.acquire());
        let two = now(semaphore.acquire_many(2));
        drop((one, two));

        let event = Event::new();
        event.set();
        now(event.wait());
        event.clear();

        let condition = Condition::new(Lock::new(1));
        let guard = now(condition.wait_for(now(condition.lock()), |value| *value == 1));
        condition.notify_all(&guard);
        drop(guard);

        let barrier = Barrier::new(1);
        assert_eq!(now(barrier.wait()), Ok(0));

        let cell = OnceCell::new();
        assert_eq!(*now(cell.get_or_init(async || 1)), 1);
        assert_eq!(*now(cell.get_or_init(async || 2)), 1);

        let queue = Queue::<u32>::new(1);
        now(queue.join());
    });
    assert_eq!(count, 0);
}

/// A guard without a lifetime allocates nothing beyond the existing `Rc`.
#[test]
fn owned_guards_do_not_allocate() {
    let lock = Rc::new(Lock::new(1));
    let semaphore = Rc::new(Semaphore::new(1));
    let count = allocations(|| {
        *now(Rc::clone(&lock).lock_owned()) += 1;
        drop(now(Rc::clone(&semaphore).acquire_owned()));
    });
    assert_eq!(count, 0);
}

/// A queue allocates only for its items, and keeps that memory.
#[test]
fn a_warm_queue_does_not_allocate() {
    fn check(put_and_get: impl Fn()) {
        put_and_get();
        assert_eq!(allocations(put_and_get), 0);
    }
    let (queue, lifo, priority) = (Queue::new(4), LifoQueue::new(4), PriorityQueue::new(4));
    check(|| {
        for item in 0..4 {
            now(queue.put(item)).unwrap();
            lifo.put_nowait(item).unwrap();
            priority.put_nowait(item).unwrap();
        }
        for _ in 0..4 {
            drop(now(queue.get_item()));
            assert!(lifo.get_nowait().is_ok() && priority.get_nowait().is_ok());
        }
        now(queue.join());
    });
}

/// A wait allocates only if more tasks wait at a time than before.
#[test]
fn a_warm_wait_list_does_not_allocate() {
    let lock = Lock::new(1);
    let event = Event::new();
    let queue = Queue::<u32>::new(1);
    let wait = || {
        let _guard = lock.try_lock();
        waits(lock.lock());
        waits(event.wait());
        waits(queue.get());
    };
    assert!(allocations(wait) > 0);
    assert_eq!(allocations(wait), 0);
}

/// A promise and its future make one allocation, for their shared state.
#[test]
fn a_promise_is_one_allocation() {
    let count = allocations(|| {
        let (promise, mut answer) = promise::<u32>();
        waits(&mut answer);
        promise.set_result(1).unwrap();
        assert!(matches!(now(answer), Ok(1)));
    });
    assert_eq!(count, 1);
}
