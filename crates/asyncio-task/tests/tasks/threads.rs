//! Other threads: wakers and calls, before, during and after a loop's life.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use asyncio_task::{Closed, SpawnOptions, Task, Tasks, current_task};

use crate::support::{DropsOnOwnThread, OnDrop, entered, my_waker, settle};

/// Where a loop waits: what an event loop has its operating system for.
#[derive(Default)]
struct Bench {
    called: Mutex<bool>,
    signal: Condvar,
    calls: AtomicUsize,
}

impl Bench {
    fn loop_that_waits() -> (Tasks, Arc<Self>) {
        let bench = Arc::new(Self::default());
        let there = bench.clone();
        let tasks = Tasks::new(move || {
            there.calls.fetch_add(1, Ordering::SeqCst);
            *there.called.lock().unwrap() = true;
            there.signal.notify_one();
        });
        (tasks, bench)
    }

    fn wait(&self) {
        let mut called = self.called.lock().unwrap();
        while !*called {
            called = self.signal.wait(called).unwrap();
        }
        *called = false;
    }

    fn run<T>(&self, tasks: &Tasks, task: &Task<T>) {
        while !task.is_finished() {
            while tasks.run_one() {}
            if task.is_finished() {
                return;
            }
            if tasks.park() {
                self.wait();
            }
            tasks.unpark();
            if tasks.has_messages() {
                tasks.deliver();
            }
        }
    }
}

#[test]
fn a_parked_loop_is_woken_for_every_round_of_a_ping_pong() {
    let (tasks, bench) = Bench::loop_that_waits();
    tasks.enter(&(), || {
        let (to_there, from_here) = mpsc::channel::<(Waker, Arc<AtomicBool>)>();
        let there = thread::spawn(move || {
            for (waker, answered) in from_here {
                answered.store(true, Ordering::Relaxed);
                waker.wake();
            }
        });
        let task = tasks.spawn(async move {
            for _ in 0..1000 {
                let answered = Arc::new(AtomicBool::new(false));
                to_there.send((my_waker().await, answered.clone())).unwrap();
                poll_fn(|_| match answered.load(Ordering::Relaxed) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            }
        });
        bench.run(&tasks, &task);
        there.join().unwrap();
    });
}

#[test]
fn many_threads_wake_many_tasks_and_no_wake_up_is_lost() {
    const THREADS: usize = 4;
    const TASKS: usize = 50;
    let (tasks, bench) = Bench::loop_that_waits();
    tasks.enter(&(), || {
        let counts: Vec<Arc<AtomicUsize>> = (0..TASKS).map(|_| Arc::default()).collect();
        let mine = counts.clone();
        let all: Vec<Task<()>> = mine
            .into_iter()
            .map(|count| {
                tasks.spawn(poll_fn(move |_| match count.load(Ordering::Relaxed) {
                    THREADS => Poll::Ready(()),
                    _ => Poll::Pending,
                }))
            })
            .collect();
        let wakers: Vec<Waker> = all.iter().map(|task| task.as_ref().waker()).collect();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (wakers, counts) = (wakers.clone(), counts.clone());
                thread::spawn(move || {
                    for (waker, count) in wakers.iter().zip(&counts) {
                        count.fetch_add(1, Ordering::Relaxed);
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        drop(wakers);
        for task in &all {
            bench.run(&tasks, task);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_burst_costs_one_call_and_a_busy_loop_none() {
    let (tasks, bench) = Bench::loop_that_waits();
    tasks.enter(&(), || {
        let all: Vec<Task<()>> = (0..100).map(|_| tasks.spawn(pending())).collect();
        settle(&tasks);
        let wakers: Vec<Waker> = all.iter().map(|task| task.as_ref().waker()).collect();
        let wake_all = || {
            thread::scope(|threads| {
                threads.spawn(|| wakers.iter().for_each(Waker::wake_by_ref));
            });
        };
        wake_all();
        assert_eq!(bench.calls.load(Ordering::SeqCst), 0, "it was not parked");
        assert!(tasks.has_messages());
        assert!(!tasks.park(), "there is mail");
        tasks.unpark();
        tasks.deliver();
        assert_eq!(tasks.ready(), 100);
        assert!(!tasks.has_messages());
        settle(&tasks);
        assert!(tasks.park());
        wake_all();
        assert_eq!(bench.calls.load(Ordering::SeqCst), 1);
        tasks.unpark();
        assert!(
            tasks.has_messages(),
            "what came while it was parked stays announced"
        );
        tasks.deliver();
        assert_eq!(tasks.ready(), 100);
    });
}

#[test]
fn wake_ups_of_one_task_add_up_to_one_letter_until_it_is_delivered() {
    entered(|tasks, _| {
        let task = tasks.spawn(pending::<()>());
        settle(tasks);
        let waker = task.as_ref().waker();
        for _ in 0..2 {
            thread::scope(|threads| {
                threads.spawn(|| (0..10).for_each(|_| waker.wake_by_ref()));
            });
            tasks.deliver();
            assert_eq!(tasks.ready(), 1);
            settle(tasks);
        }
    });
}

#[test]
fn a_waker_of_another_loop_on_this_thread_goes_by_mail() {
    entered(|tasks, trace| {
        let say = trace.clone();
        let task = tasks.spawn_with(
            SpawnOptions::new().dormant(),
            async move { say.note("woken") },
        );
        let waker = task.as_ref().waker();
        let inner = Tasks::new(|| ());
        inner.enter(&(), || {
            waker.wake();
            assert!(!inner.run_one());
        });
        assert!(!tasks.run_one());
        tasks.deliver();
        settle(tasks);
        assert_eq!(trace.take(), ["woken"]);
    });
}

// Proves C1, W2.
#[test]
fn nothing_of_a_task_is_dropped_elsewhere_however_its_wakers_go() {
    let dropped = Rc::new(Cell::new(0));
    let mut wakers = Vec::new();
    entered(|tasks, _| {
        for end in ["returns", "is cancelled", "is cut", "panics"] {
            let future_owns = DropsOnOwnThread::new(&dropped);
            let value = DropsOnOwnThread::new(&dropped);
            let task = tasks.spawn(async move {
                let _owned = future_owns;
                match end {
                    "returns" => value,
                    "panics" => panic!("on purpose"),
                    _ => pending().await,
                }
            });
            wakers.push(task.as_ref().waker());
            wakers.push(task.as_ref().waker());
            settle(tasks);
            if end == "is cancelled" {
                task.cancel();
                settle(tasks);
            }
            task.discard();
        }
    });
    assert_eq!(dropped.get(), 8);
    let threads = wakers
        .into_iter()
        .map(|waker| thread::spawn(move || waker.wake()));
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

#[test]
fn a_waker_does_nothing_to_the_next_loop_that_has_the_same_mailbox() {
    // Mailboxes are leased again, the one that was given back last first; so this loop after that one.
    for round in 0..100 {
        let waker = {
            let tasks = Tasks::new(|| ());
            let task = tasks.spawn(pending::<()>());
            task.as_ref().waker()
        };
        let remote = {
            let tasks = Tasks::new(|| ());
            tasks.remote()
        };
        let next = Tasks::new(|| panic!("nobody calls for the next loop"));
        assert!(next.park());
        thread::spawn(move || {
            waker.wake_by_ref();
            assert!(remote.call(|| panic!("not on the next loop")).is_err());
            waker.wake();
        })
        .join()
        .unwrap();
        next.unpark();
        next.enter(&(), || {
            next.deliver();
            assert!(!next.run_one(), "in round {round}");
        });
    }
}

#[test]
fn wakers_race_with_the_end_of_their_loop() {
    for round in 0..200 {
        let dropped = Rc::new(Cell::new(0));
        let tasks = Tasks::new(|| ());
        let tasks_of_it: Vec<_> = (0..4)
            .map(|_| {
                let owned = DropsOnOwnThread::new(&dropped);
                tasks.spawn(async move {
                    let _owned = owned;
                    pending::<()>().await;
                })
            })
            .collect();
        let wakers: Vec<_> = tasks_of_it
            .iter()
            .map(|task| task.as_ref().waker())
            .collect();
        let there = thread::spawn(move || {
            for _ in 0..round {
                wakers.iter().for_each(Waker::wake_by_ref);
            }
            wakers.iter().for_each(|waker| drop(waker.clone()));
        });
        tasks.enter(&(), || {
            for _ in 0..round {
                tasks.run_one();
                tasks.deliver();
            }
        });
        drop(tasks_of_it);
        drop(tasks);
        assert_eq!(dropped.get(), 4);
        there.join().unwrap();
    }
}

#[test]
fn calls_from_elsewhere_are_made_in_order_after_what_is_ready() {
    entered(|tasks, trace| {
        let said = Arc::new(Mutex::new(Vec::new()));
        let remote = tasks.remote();
        assert!(remote.is_here() && remote.is_same(&tasks.remote()));
        let (say, there) = (said.clone(), remote);
        thread::spawn(move || {
            assert!(!there.is_here());
            for n in 0..3 {
                let say = say.clone();
                let call = move || {
                    assert!(current_task().is_none(), "a callback is no task");
                    say.lock().unwrap().push(n);
                };
                there.call(call).unwrap();
            }
        })
        .join()
        .unwrap();
        let say = trace.clone();
        tasks
            .spawn(async move { say.note("was ready before") })
            .detach();
        tasks.deliver();
        assert!(tasks.run_one());
        assert_eq!(trace.take(), ["was ready before"]);
        assert_eq!(
            (tasks.len(), tasks.all().len()),
            (3, 0),
            "callbacks are not listed"
        );
        settle(tasks);
        assert_eq!(*said.lock().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn a_panic_in_a_call_is_reported_with_the_place_it_was_made_at() {
    let tasks = Tasks::new(|| ());
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = told.clone();
    tasks.on_unhandled(move |unhandled| {
        let line = unhandled.task().unwrap().location.line();
        tell.borrow_mut()
            .push((unhandled.message().to_owned(), line));
    });
    let remote = tasks.remote();
    let line = thread::spawn(move || {
        remote.call(|| panic!("in a call")).unwrap();
        line!() - 1
    })
    .join()
    .unwrap();
    tasks.enter(&(), || {
        tasks.deliver();
        settle(&tasks);
    });
    assert_eq!(*told.borrow(), [("a callback panicked".to_owned(), line)]);
}

#[test]
fn a_call_to_a_loop_that_is_gone_comes_back_and_can_be_made() {
    let remote = {
        let tasks = Tasks::new(|| ());
        tasks.remote()
    };
    let made = Arc::new(AtomicBool::new(false));
    let make = made.clone();
    let Err(Closed(call)) = remote.call(move || make.store(true, Ordering::Relaxed)) else {
        panic!("nobody is there to take it");
    };
    call();
    assert!(made.load(Ordering::Relaxed));
}

#[test]
fn a_call_that_its_loop_never_gets_to_is_dropped_at_home() {
    let home = thread::current().id();
    let dropped = Arc::new(Mutex::new(Vec::new()));
    let tasks = Tasks::new(|| ());
    for closes_first in [true, false] {
        let note = dropped.clone();
        let owned = OnDrop::new(move || note.lock().unwrap().push(thread::current().id()));
        let remote = tasks.remote();
        thread::spawn(move || remote.call(move || drop(owned)).unwrap())
            .join()
            .unwrap();
        if closes_first {
            tasks.close();
            tasks.deliver();
            assert_eq!(*dropped.lock().unwrap(), [home]);
        }
    }
    drop(tasks);
    assert_eq!(*dropped.lock().unwrap(), [home; 2]);
}

#[test]
fn letters_whose_destructors_panic_are_all_dropped_with_their_loop() {
    let tasks = Tasks::new(|| ());
    let dropped = Arc::new(AtomicUsize::new(0));
    let remote = tasks.remote();
    for _ in 0..3 {
        let count = dropped.clone();
        let owned = OnDrop::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            panic!("a letter");
        });
        remote.call(move || drop(owned)).unwrap();
    }
    drop(tasks);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_letters_destructor_may_start_a_loop_of_its_own() {
    let tasks = Tasks::new(|| ());
    let owned = OnDrop::new(|| {
        let inner = Tasks::new(|| ());
        let task = inner.spawn(async {});
        inner.enter(&(), || settle(&inner));
        assert!(task.is_finished());
    });
    tasks.remote().call(move || drop(owned)).unwrap();
    drop(tasks);
}

thread_local! {
    /// Something of the user's that is destroyed with its thread.
    static AT_EXIT: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `f` on a thread, and what `f` leaves in `AT_EXIT` when that thread's thread-locals go.
fn on_a_thread_that_exits(f: impl FnOnce() + Send + 'static) {
    struct AtExit;
    impl Drop for AtExit {
        fn drop(&mut self) {
            for last in AT_EXIT.with(RefCell::take) {
                last();
            }
        }
    }
    thread_local!(static GUARD: AtExit = const { AtExit });
    thread::spawn(|| {
        AT_EXIT.with_borrow_mut(|_| ()); // made first, so destroyed after the guard
        GUARD.with(|_| ());
        f();
    })
    .join()
    .unwrap();
}

fn at_exit(f: impl FnOnce() + 'static) {
    AT_EXIT.with_borrow_mut(|all| all.push(Box::new(f)));
}

#[test]
fn a_loop_handles_and_wakers_may_be_dropped_by_a_thread_local() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    on_a_thread_that_exits(move || {
        let tasks = Rc::new(Tasks::new(|| ()));
        let end = |count: Arc<AtomicUsize>| {
            let weak = Rc::downgrade(&tasks);
            async move {
                let _end = OnDrop::new(move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    assert!(weak.upgrade().is_none(), "it is being dropped");
                    // Closed, so this ends at once.
                    asyncio_task::spawn(pending::<()>()).discard();
                });
                pending::<()>().await;
            }
        };
        let first = tasks.spawn(end(count.clone()));
        let second = tasks.spawn(end(count.clone()));
        tasks.spawn(end(count)).discard();
        tasks.enter(&(), || settle(&tasks));
        let waker = second.as_ref().waker();
        at_exit(move || {
            waker.wake();
            drop(first);
            let tasks = Rc::into_inner(tasks).unwrap();
            drop(tasks);
            assert!(second.is_finished());
            drop(second);
        });
    });
    assert_eq!(ended.load(Ordering::Relaxed), 3);
}

// Proves T2.
#[test]
fn a_loop_may_be_made_and_run_by_a_thread_local_that_is_destroyed() {
    let ran = Arc::new(AtomicBool::new(false));
    let set = ran.clone();
    on_a_thread_that_exits(move || {
        at_exit(move || {
            let tasks = Tasks::new(|| ());
            tasks.enter(&(), || {
                let task = asyncio_task::spawn(async move { set.store(true, Ordering::Relaxed) });
                settle(&tasks);
                assert!(task.is_finished());
            });
        });
    });
    assert!(ran.load(Ordering::Relaxed));
}

// Proves C5.
#[test]
fn a_waker_cloned_elsewhere_would_wake_the_same_task() {
    entered(|tasks, _| {
        let mut task = tasks.spawn(async {
            let here = my_waker().await;
            let sent = here.clone();
            let there = thread::spawn(move || sent.clone()).join().unwrap();
            // So code that keeps a waker need not clone it again.
            assert!(here.will_wake(&there) && there.will_wake(&here.clone()));
        });
        settle(tasks);
        assert!(task.is_finished() && !task.has_failed());
    });
}
