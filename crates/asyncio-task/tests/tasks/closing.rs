//! The end of a loop: every future goes, cycles or not, and what comes later is refused.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::{Rc, Weak};

use asyncio_task::{JoinError, SpawnOptions, Task, Tasks, spawn};
use futures::FutureExt;

use crate::support::{Gate, OnDrop, entered, my_waker, settle, yield_now};

#[test]
fn closing_drops_the_futures_oldest_first_and_tells_who_awaits() {
    entered(|tasks, trace| {
        let mut handles: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let dropped = trace.on_drop(name);
                tasks.spawn(async move {
                    let _dropped = dropped;
                    pending::<()>().await;
                })
            })
            .collect();
        settle(tasks);
        tasks.close();
        assert_eq!(trace.take(), ["a", "b", "c"]);
        assert!(tasks.is_empty());
        for handle in &mut handles {
            assert!(matches!(
                handle.try_take(),
                Some(Err(JoinError::Cancelled(..)))
            ));
        }
        tasks.close();
    });
}

#[test]
fn closing_from_outside_reports_to_the_handler_all_the_same() {
    let tasks = Tasks::new(|| ());
    let told = Rc::new(Cell::new(0));
    let count = told.clone();
    tasks.on_unhandled(move |_| count.set(count.get() + 1));
    tasks
        .spawn(async {
            let _fails = OnDrop::new(|| panic!("at close"));
            pending::<()>().await;
        })
        .discard();
    tasks.enter(&(), || settle(&tasks));
    tasks.close();
    assert_eq!(told.get(), 1);
}

#[test]
fn what_is_spawned_after_closing_ends_at_once() {
    entered(|tasks, trace| {
        tasks.close();
        let dropped = trace.on_drop("dropped unpolled");
        let mut task = tasks.spawn(async move {
            let _dropped = dropped;
            panic!("it never runs");
        });
        assert_eq!(trace.take(), ["dropped unpolled"]);
        assert!(matches!(
            task.try_take(),
            Some(Err::<(), _>(JoinError::Cancelled(..)))
        ));
        let main = tasks.run_until_complete(SpawnOptions::new(), async {}, |_| tasks.run_one());
        assert!(main.unwrap_err().is_cancelled());
        assert!(!tasks.run_one());
    });
}

// Proves R3.
#[test]
fn destructors_may_spawn_cancel_and_wake_while_the_loop_closes() {
    let tasks = Tasks::new(|| ());
    let ended = Rc::new(RefCell::new(Vec::new()));
    let handles: Rc<RefCell<Vec<Task<()>>>> = Rc::default();
    for n in 0..4 {
        let (ended, others) = (ended.clone(), handles.clone());
        let task = tasks.spawn(async move {
            let waker = my_waker().await;
            let _end = OnDrop::new(move || {
                ended.borrow_mut().push(n);
                waker.wake();
                let spawned = ended.clone();
                let late = OnDrop::new(move || spawned.borrow_mut().push(10 + n));
                spawn(async move { drop(late) }).detach();
                let other = others.borrow_mut().pop();
                if let Some(other) = other {
                    other.as_ref().waker().wake();
                    other.cancel();
                }
            });
            pending::<()>().await;
        });
        handles.borrow_mut().push(task);
    }
    tasks.enter(&(), || settle(&tasks));
    tasks.close();
    assert_eq!(*ended.borrow(), [0, 10, 1, 11, 2, 12, 3, 13]);
    assert_eq!((tasks.len(), tasks.ready()), (0, 0));
}

#[test]
fn a_loop_closed_by_a_destructor_while_it_closes() {
    entered(|tasks, trace| {
        for name in ["a", "b", "c"] {
            let nested = Rc::downgrade(tasks);
            let say = trace.clone();
            tasks
                .spawn(async move {
                    let _closes = OnDrop::new(move || {
                        say.note(name);
                        nested.upgrade().unwrap().close();
                    });
                    pending::<()>().await;
                })
                .discard();
        }
        settle(tasks);
        tasks.close();
        assert_eq!(trace.take(), ["a", "b", "c"]);
    });
}

#[test]
fn a_task_that_closes_its_loop_ends_the_others_now_and_itself_after_the_step() {
    entered(|tasks, trace| {
        let nested = Rc::downgrade(tasks);
        let (say, mine, other) = (
            trace.clone(),
            trace.on_drop("mine"),
            trace.on_drop("the other's"),
        );
        let waiting = tasks.spawn(async move {
            let _other = other;
            pending::<()>().await;
        });
        tasks
            .spawn(async move {
                let _mine = mine;
                nested.upgrade().unwrap().close();
                say.note("closed");
                yield_now().await;
                say.note("never");
            })
            .detach();
        settle(tasks);
        assert_eq!(trace.take(), ["the other's", "closed", "mine"]);
        assert!(waiting.is_finished());
    });
}

#[test]
fn a_task_that_closes_its_loop_and_returns_has_returned() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let task = tasks.spawn(async move {
            nested.upgrade().unwrap().close();
            "a value"
        });
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "a value");
    });
}

/// A task in a cycle with what it owns: the future owns a socket, say, that owns its waker and its handle.
#[derive(Default)]
struct Socket {
    waker: RefCell<Option<std::task::Waker>>,
    reader: RefCell<Option<Task<()>>>,
}

fn in_a_cycle(tasks: &Tasks, gate: &Gate) -> Weak<Socket> {
    let socket = Rc::new(Socket::default());
    let (owned, gate) = (socket.clone(), gate.clone());
    let task = tasks.spawn(async move {
        let waker = my_waker().await;
        owned.waker.replace(Some(waker));
        gate.pass().await;
    });
    socket.reader.replace(Some(task));
    tasks.run_one();
    assert!(socket.waker.borrow().is_some());
    Rc::downgrade(&socket)
}

#[test]
fn a_cycle_through_a_tasks_own_waker_and_handle_is_broken_when_it_ends() {
    entered(|tasks, _| {
        let gate = Gate::default();
        let socket = in_a_cycle(tasks, &gate);
        assert!(socket.upgrade().is_some());
        gate.open();
        settle(tasks);
        assert!(socket.upgrade().is_none());
    });
}

#[test]
fn a_cycle_is_broken_when_the_loop_closes() {
    entered(|tasks, _| {
        let socket = in_a_cycle(tasks, &Gate::default());
        assert!(socket.upgrade().is_some());
        tasks.close();
        assert!(socket.upgrade().is_none());
    });
}

#[test]
fn two_tasks_that_await_each_other_go_when_the_loop_does() {
    let proof = Rc::new(());
    {
        let tasks = Tasks::new(|| ());
        let slots: [Rc<RefCell<Option<Task<()>>>>; 2] = Default::default();
        for n in 0..2 {
            let (other, owned) = (slots[1 - n].clone(), proof.clone());
            let task = tasks.spawn(async move {
                let _owned = owned;
                let other = other.take();
                other.unwrap().await.unwrap_err();
            });
            slots[n].replace(Some(task));
        }
        tasks.enter(&(), || settle(&tasks));
        assert_eq!(tasks.len(), 2, "they wait for ever, as in asyncio");
    }
    assert_eq!(Rc::strong_count(&proof), 1);
}

#[test]
fn a_loop_dropped_by_a_task_of_another_loop() {
    entered(|tasks, trace| {
        let inner = Tasks::new(|| ());
        let dropped = trace.on_drop("inner");
        inner
            .spawn(async move {
                let _dropped = dropped;
                pending::<()>().await;
            })
            .discard();
        let say = trace.clone();
        tasks
            .spawn(async move {
                inner.enter(&(), || settle(&inner));
                drop(inner);
                spawn(async move { say.note("the outer goes on") }).detach();
            })
            .detach();
        settle(tasks);
        assert_eq!(trace.take(), ["inner", "the outer goes on"]);
    });
}

#[test]
fn a_loop_that_is_leaked_is_a_leak_and_nothing_worse() {
    let tasks = Tasks::new(|| ());
    let task = tasks.spawn(async { 1 });
    let waker = task.as_ref().waker();
    // Leaked in a place that leak checkers look at.
    thread_local!(static LEAKED: RefCell<Vec<Tasks>> = const { RefCell::new(Vec::new()) });
    LEAKED.with_borrow_mut(|all| all.push(tasks));
    std::thread::spawn(move || waker.wake()).join().unwrap();
    assert!(!task.is_finished());
    drop(task);
}

/// Destructors that spawn while their loop closes: one after the other, not one within the other, or the stack
/// would overflow.
mod a_destructor_that_spawns_its_like {
    use super::*;

    /// Spawns a future that owns another one of these, so many times.
    struct Again {
        left: Rc<Cell<u64>>,
        tasks: std::rc::Weak<Tasks>,
    }

    impl Drop for Again {
        fn drop(&mut self) {
            let left = self.left.get();
            if left == 0 {
                return;
            }
            self.left.set(left - 1);
            let next = Again {
                left: self.left.clone(),
                tasks: self.tasks.clone(),
            };
            let future = async move {
                let _next = next;
                pending::<()>().await;
            };
            if let Some(tasks) = self.tasks.upgrade() {
                tasks.spawn(future).discard();
            }
        }
    }

    fn start(left: u64) -> (Rc<Tasks>, Rc<Cell<u64>>) {
        let tasks = Rc::new(Tasks::new(|| ()));
        let left = Rc::new(Cell::new(left));
        let first = Again {
            left: left.clone(),
            tasks: Rc::downgrade(&tasks),
        };
        tasks
            .spawn(async move {
                let _first = first;
                pending::<()>().await;
            })
            .discard();
        (tasks, left)
    }

    #[test]
    fn does_not_overflow_the_stack() {
        let (tasks, left) = start(200_000);
        tasks.close();
        assert_eq!((left.get(), tasks.len()), (0, 0));
        // The same when it comes after closing.
        left.set(200_000);
        drop(Again {
            left: left.clone(),
            tasks: Rc::downgrade(&tasks),
        });
        assert_eq!((left.get(), tasks.len()), (0, 0));
    }

    #[test]
    fn does_not_keep_a_loop_from_closing() {
        let (tasks, left) = start(u64::MAX);
        let told = Rc::new(RefCell::new(Vec::new()));
        let tell = told.clone();
        tasks.on_unhandled(move |unhandled| tell.borrow_mut().push(unhandled.to_string()));
        tasks.close();
        assert_eq!(tasks.len(), 0);
        assert!(u64::MAX - left.get() > 1_000_000);
        assert!(
            told.borrow()[0].contains("spawn tasks without end"),
            "{told:?}"
        );
        tasks.close();
        assert_eq!(told.borrow().len(), 1);
    }
}
