//! The allocations of a task: one to spawn it, and none after that.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use asyncio_task::{Children, Listener, SpawnOptions, Task, Tasks, spawn};
use asyncio_testkit::yield_now;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, and two counts beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        HELD.with(|held| held.set(held.get().wrapping_add(layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get().wrapping_sub(layout.size())));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `f` allocates on this thread.
fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.with(Cell::get);
    f();
    COUNT.with(Cell::get) - before
}

/// How many bytes more than before this thread holds after `f`.
fn growth(f: impl FnOnce()) -> usize {
    let before = HELD.with(Cell::get);
    f();
    HELD.with(Cell::get).wrapping_sub(before)
}

/// How many allocations so many cells take, when as many have been freed before.
fn unless_pooled(cells: usize) -> usize {
    if cfg!(asyncio_no_pool) { cells } else { 0 }
}

fn settle(tasks: &Tasks) {
    while tasks.run_one() {}
}

/// Room for a thousand tasks in queue and registry.
fn warmed_up() -> Tasks {
    let tasks = Tasks::new(|| ());
    tasks.enter(&(), || {
        let all: Vec<Task<()>> = (0..1000).map(|_| spawn(async {})).collect();
        settle(&tasks);
        drop(all);
    });
    tasks
}

#[test]
fn a_spawn_is_one_allocation_or_none_if_a_task_of_that_size_has_ended() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        // Of a size that no task had before.
        let data = [7_u8; 300];
        let mut all: Vec<Task<u8>> = Vec::with_capacity(500);
        let spawned = allocations(|| all.extend((0..500).map(|_| spawn(async move { data[0] }))));
        assert_eq!(spawned, 500);
        assert_eq!(allocations(|| settle(&tasks)), 0);
        all.clear();
        let again = allocations(|| all.extend((0..500).map(|_| spawn(async move { data[0] }))));
        assert_eq!(again, unless_pooled(500));
        settle(&tasks);
    });
}

#[test]
fn to_wake_to_yield_and_to_end_allocates_nothing() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        let mut all: Vec<Task<()>> = Vec::with_capacity(500);
        all.extend((0..500).map(|n| {
            spawn(async move {
                for _ in 0..n % 7 {
                    yield_now().await;
                }
            })
        }));
        assert_eq!(allocations(|| settle(&tasks)), 0);
        assert_eq!(allocations(|| all.clear()), 0);
    });
}

#[test]
fn a_child_is_one_allocation_and_nothing_more_to_run_and_to_end() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        let data = [7_u8; 300];
        let children = Children::new();
        let mut cx = Context::from_waker(Waker::noop());
        let spawn_all = || {
            for _ in 0..500 {
                let child = async move {
                    yield_now().await;
                    data[0]
                };
                children.spawn(SpawnOptions::new(), child).leave();
            }
        };
        spawn_all(); // room for so many
        while !children.is_empty() {
            children.poll_woken(&mut cx);
        }
        let spawned = allocations(spawn_all);
        assert_eq!(spawned, unless_pooled(500));
        let run = allocations(|| {
            while !children.is_empty() {
                children.poll_woken(&mut cx);
            }
        });
        assert_eq!(run, 0);
    });
}

#[test]
fn to_clone_wake_and_drop_a_waker_allocates_nothing() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        let task = spawn(std::future::pending::<()>());
        settle(&tasks);
        let waker: Waker = task.as_ref().waker();
        let cost = allocations(|| {
            for _ in 0..100 {
                let clone = waker.clone();
                clone.wake();
                waker.wake_by_ref();
                settle(&tasks);
            }
        });
        assert_eq!(cost, 0);
    });
}

#[test]
fn to_join_and_to_detach_allocates_nothing_once_warm() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        let round = |tasks: &Tasks| {
            let early = spawn(async {
                yield_now().await;
                1
            });
            let late = spawn(early);
            let ended = spawn(async { 2 });
            spawn(async {}).detach();
            settle(tasks);
            (late, ended)
        };
        for _ in 0..10 {
            let _ = round(&tasks);
        }
        let cells = allocations(|| drop(round(&tasks)));
        assert_eq!(cells, unless_pooled(4), "nothing but the cells");
    });
}

#[test]
fn to_be_woken_from_elsewhere_allocates_nothing_on_either_side_once_warm() {
    let tasks = warmed_up();
    tasks.enter(&(), || {
        let all: Vec<Task<()>> = (0..100).map(|_| spawn(std::future::pending())).collect();
        settle(&tasks);
        let wakers: Vec<Waker> = all.iter().map(|task| task.as_ref().waker()).collect();
        let burst = || {
            let there = std::thread::scope(|threads| {
                let there =
                    threads.spawn(|| allocations(|| wakers.iter().for_each(Waker::wake_by_ref)));
                there.join().unwrap()
            });
            let here = allocations(|| {
                tasks.deliver();
                settle(&tasks);
            });
            there + here
        };
        burst();
        burst();
        assert_eq!(burst(), 0);
    });
}

/// A task that hears of requests and never ends.
fn stubborn() -> Task<()> {
    let mut listener = Listener::new();
    spawn(poll_fn(move |cx| {
        listener.heard();
        listener.wait(cx);
        Poll::Pending
    }))
}

#[test]
fn requests_to_a_task_that_cannot_end_yet_are_counted_and_not_kept() {
    const MANY: usize = 20_000;
    const LITTLE: usize = 4_096;
    let tasks = warmed_up();
    let between: [fn(&Tasks); 2] = [|_| {}, settle];
    for between in between {
        tasks.enter(&(), || {
            let (task, other) = (stubborn(), stubborn());
            settle(&tasks);
            let grown = growth(|| {
                for _ in 0..MANY {
                    task.cancel();
                    other.cancel();
                    between(&tasks);
                }
            });
            assert!(grown < LITTLE, "{grown} bytes");
            assert_eq!((task.cancelling(), other.cancelling()), (MANY, MANY));
        });
    }
    let task = tasks.enter(&(), || {
        let task = stubborn();
        settle(&tasks);
        task
    });
    // Noted aside, as these tasks do not run.
    let grown = growth(|| {
        for _ in 0..MANY {
            task.cancel();
        }
    });
    assert!(grown < LITTLE, "{grown} bytes");
    tasks.enter(&(), || {
        settle(&tasks);
        assert_eq!(task.cancelling(), MANY);
        drop(task);
    });
}
