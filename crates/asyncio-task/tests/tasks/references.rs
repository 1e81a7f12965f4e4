//! When the memory of a task goes: with its last reference, wherever they were made and are given up.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use asyncio_task::{Children, SpawnOptions, Task, TaskRef, Tasks};

use crate::odd_waker::odd_waker;
use crate::support::{entered, settle};

/// The name of a task, which goes with the task's memory: while it lives, so does the memory.
struct Named {
    name: Arc<str>,
}

impl Named {
    fn task(tasks: &Tasks) -> (Self, Task<()>) {
        let name: Arc<str> = "a task".into();
        let options = SpawnOptions::new().name(name.clone());
        let task = tasks.spawn_with(options, pending());
        (Self { name }, task)
    }

    fn is_there(&self) -> bool {
        Arc::strong_count(&self.name) > 1
    }
}

/// Where something is done.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// On the task's thread, where its loop runs.
    Home,
    /// On the task's thread, where no loop runs.
    Outside,
    /// On the task's thread, where another loop runs.
    OnAnotherLoop,
    Elsewhere,
}

const PLACES: [Place; 4] = [
    Place::Home,
    Place::Outside,
    Place::OnAnotherLoop,
    Place::Elsewhere,
];

/// A thread for what is done elsewhere.
struct Elsewhere(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Elsewhere {
    fn new() -> Self {
        let (send, receive) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || receive.into_iter().for_each(|what| what()));
        Self(send)
    }

    fn run<R: Send + 'static>(&self, what: impl FnOnce() -> R + Send + 'static) -> R {
        let (send, receive) = mpsc::channel();
        let what = move || send.send(what()).unwrap();
        self.0.send(Box::new(what)).unwrap();
        receive.recv().unwrap()
    }
}

impl Place {
    fn run<R: Send + 'static>(
        self,
        home: &Tasks,
        elsewhere: &Elsewhere,
        what: impl FnOnce() -> R + Send + 'static,
    ) -> R {
        match self {
            Self::Home => home.enter(&(), what),
            Self::Outside => what(),
            Self::OnAnotherLoop => Tasks::new(|| ()).enter(&(), what),
            Self::Elsewhere => elsewhere.run(what),
        }
    }
}

/// Everything that refers to one task.
struct References {
    home: Tasks,
    ended: bool,
    handle: Option<Task<()>>,
    other: Option<TaskRef>,
    waker: Option<Waker>,
    clone: Option<Waker>,
}

impl References {
    fn are_there(&self) -> bool {
        let wakers = self.waker.is_some() || self.clone.is_some();
        wakers || !self.ended || self.handle.is_some() || self.other.is_some()
    }

    /// Gives one of the five up.
    fn give_up(&mut self, which: usize, places: [Place; 2], elsewhere: &Elsewhere) {
        match which {
            0 => {
                self.home.close();
                self.ended = true;
            }
            1 => self.home.enter(&(), || drop(self.handle.take())),
            2 => drop(self.other.take()),
            3 => {
                let waker = self.waker.take();
                places[0].run(&self.home, elsewhere, move || drop(waker));
            }
            _ => {
                let clone = self.clone.take();
                places[1].run(&self.home, elsewhere, move || drop(clone));
            }
        }
    }
}

/// All orders of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1).into_iter();
    shorter
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, n - 1);
                longer
            })
        })
        .collect()
}

// Proves C1, N1.
#[test]
fn a_task_is_freed_with_its_last_reference_wherever_they_are_made_and_given_up() {
    let elsewhere = Elsewhere::new();
    let orders = orders(5);
    assert_eq!(orders.len(), 120);
    for made in PLACES {
        for first in PLACES {
            for second in PLACES {
                for order in &orders {
                    let home = Tasks::new(|| ());
                    let (named, task) = Named::task(&home);
                    let waker = home.enter(&(), || {
                        settle(&home);
                        task.as_ref().waker()
                    });
                    let (waker, clone) = made.run(&home, &elsewhere, move || {
                        let clone = waker.clone();
                        (waker, clone)
                    });
                    let mut references = References {
                        ended: false,
                        other: Some(task.as_ref()),
                        handle: Some(task),
                        waker: Some(waker),
                        clone: Some(clone),
                        home,
                    };
                    for &which in order {
                        assert!(named.is_there());
                        references.give_up(which, [first, second], &elsewhere);
                        assert_eq!(
                            named.is_there(),
                            references.are_there(),
                            "{made:?}, {first:?}, {second:?}, {which} of {order:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn any_number_of_wakers_may_be_made_in_one_place_and_dropped_in_another() {
    const MANY: usize = 30_000;
    let elsewhere = Elsewhere::new();
    for (made, dropped) in [
        (Place::Home, Place::Elsewhere),
        (Place::Elsewhere, Place::Home),
    ] {
        for ended_between in [false, true] {
            let home = Tasks::new(|| ());
            let (named, task) = Named::task(&home);
            let waker = task.as_ref().waker();
            let (waker, all) = made.run(&home, &elsewhere, move || {
                let all: Vec<Waker> = (0..MANY).map(|_| waker.clone()).collect();
                (waker, all)
            });
            if ended_between {
                home.close();
            }
            dropped.run(&home, &elsewhere, move || drop(all));
            home.close();
            drop(task);
            assert!(named.is_there(), "there is a waker");
            drop(waker);
            assert!(!named.is_there());
        }
    }
}

#[test]
fn a_waker_that_wakes_is_given_up() {
    let elsewhere = Elsewhere::new();
    for place in PLACES {
        for ended in [false, true] {
            let home = Tasks::new(|| ());
            let (named, task) = Named::task(&home);
            let waker = task.as_ref().waker();
            if ended {
                home.close();
            }
            place.run(&home, &elsewhere, move || waker.wake());
            home.enter(&(), || {
                home.deliver();
                settle(&home);
            });
            home.close();
            drop(task);
            assert!(!named.is_there(), "{place:?}, ended: {ended}");
        }
    }
}

// Proves C3.
#[test]
fn a_waker_that_is_lent_to_another_thread_can_be_cloned_there() {
    for clone_goes_first in [true, false] {
        let (named, clone) = entered(|tasks, _| {
            let name: Arc<str> = "a task".into();
            let options = SpawnOptions::new().name(name.clone());
            // During a poll the waker has no reference of its own: that of the loop keeps the task.
            let lend = poll_fn(|cx| {
                let lent = cx.waker();
                let clone = thread::scope(|scope| scope.spawn(|| lent.clone()).join());
                Poll::Ready(clone.unwrap())
            });
            let mut task = tasks.spawn_with(options, lend);
            settle(tasks);
            let clone = task.try_take().unwrap().unwrap();
            let named = Named { name };
            if clone_goes_first {
                drop(clone);
                assert!(named.is_there(), "there is a handle");
                return (named, None);
            }
            (named, Some(clone))
        });
        assert_eq!(named.is_there(), !clone_goes_first);
        drop(clone);
        assert!(!named.is_there());
    }
}

// Proves C4.
#[test]
fn a_task_is_freed_at_its_end_however_its_handle_went() {
    type Way = (&'static str, fn(&Tasks, Task<()>));
    let ways: [Way; 6] = [
        ("dropped", |_, task| drop(task)),
        ("detached", |_, task| task.detach()),
        ("discarded", |_, task| task.discard()),
        ("left", |_, task| task.leave()),
        ("taken", |tasks, mut task| {
            tasks.close();
            assert!(task.try_take().is_some());
        }),
        ("awaited", |tasks, task| {
            tasks
                .spawn(async { assert!(task.await.is_err()) })
                .discard();
            settle(tasks);
        }),
    ];
    for (name, part_with) in ways {
        entered(|tasks, _| {
            let (named, task) = Named::task(tasks);
            settle(tasks);
            part_with(tasks, task);
            tasks.close();
            assert!(!named.is_there(), "a task whose handle was {name}");
        });
        entered(|tasks, _| {
            let name_of_it: Arc<str> = "a child".into();
            let named = Named {
                name: name_of_it.clone(),
            };
            let children = Children::new();
            let child = children.spawn(SpawnOptions::new().name(name_of_it), pending());
            children.poll_woken(&mut Context::from_waker(Waker::noop()));
            assert!(named.is_there());
            if name == "taken" || name == "awaited" {
                drop(children);
                part_with(tasks, child);
            } else {
                part_with(tasks, child);
                drop(children);
            }
            tasks.close();
            assert!(!named.is_there(), "a child whose handle was {name}");
        });
    }
}

#[test]
fn a_waker_that_panics_as_the_handle_drops_it_leaves_nothing_behind() {
    entered(|tasks, _| {
        let (named, mut task) = Named::task(tasks);
        settle(tasks);
        let is_armed = Rc::new(Cell::new(false));
        let armed = is_armed.clone();
        let waker = odd_waker(move |event| {
            if event == "drop" && armed.take() {
                panic!("the destructor of a waker");
            }
        });
        let mut cx = Context::from_waker(&waker);
        assert!(task.poll_finished(&mut cx).is_pending());
        is_armed.set(true);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
        settle(tasks);
        assert!(!named.is_there());
    });
}
