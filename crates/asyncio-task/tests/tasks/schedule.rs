//! Tasks with a queue elsewhere: steps run by hand, dropped, left over.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use asyncio_task::{JoinError, Schedule, Step, Tasks, current_task};
use futures::FutureExt;

use crate::support::{Gate, entered, message_of, my_waker, settle, yield_now};

/// A queue whose steps run when the test says so, the last first.
#[derive(Clone, Default)]
pub(crate) struct Queue(pub(crate) Rc<RefCell<Vec<Step>>>);

impl Queue {
    pub(crate) fn run_one(&self) -> bool {
        let step = self.0.borrow_mut().pop();
        step.map(Step::run).is_some()
    }
}

impl Schedule for Queue {
    fn schedule(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }
}

#[test]
fn a_task_goes_to_its_own_queue_from_the_start_and_at_every_wake_up() {
    entered(|tasks, trace| {
        let queue = Queue::default();
        let say = trace.clone();
        let task = tasks.spawn_on(queue.clone(), async move {
            say.note(format!("{}", current_task().unwrap().name()));
            yield_now().await;
            "value"
        });
        assert_eq!(tasks.ready(), 0);
        assert_eq!(queue.0.borrow()[0].task(), task.as_ref());
        assert!(queue.run_one() && queue.run_one() && !queue.run_one());
        assert_eq!(trace.take(), ["Task-1"]);
        assert_eq!(task.now_or_never().unwrap().unwrap(), "value");
    });
}

#[test]
fn a_dropped_step_cancels_its_task_then_and_there() {
    entered(|tasks, trace| {
        let queue = Queue::default();
        let dropped = trace.on_drop("dropped");
        let task = tasks.spawn_on(queue.clone(), async move {
            let _dropped = dropped;
            pending::<()>().await;
        });
        let mut joiner = Box::pin(tasks.spawn(task));
        queue.0.borrow_mut().clear();
        assert_eq!(trace.take(), ["dropped"]);
        settle(tasks);
        let outcome = joiner.as_mut().now_or_never().unwrap().unwrap();
        assert!(outcome.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_step_of_a_task_that_has_ended_does_nothing() {
    let queue = Queue::default();
    entered(|tasks, _| {
        tasks.spawn_on(queue.clone(), async {}).discard();
        tasks.close();
        assert!(queue.run_one());
        tasks.spawn_on(queue.clone(), async {}).discard();
        assert!(!queue.run_one(), "closed: it never had a step");
    });
    let tasks = Tasks::new(|| ());
    for _ in 0..2 {
        tasks.spawn_on(queue.clone(), async {}).discard();
    }
    drop(tasks);
    assert!(queue.run_one(), "run after its loop is gone");
    queue.0.borrow_mut().clear();
}

#[test]
fn the_schedule_goes_with_the_future_whatever_handles_are_left() {
    entered(|tasks, _| {
        let queue = Queue::default();
        let gate = Gate::default();
        let inner = gate.clone();
        let task = tasks.spawn_on(queue.clone(), async move { inner.pass().await });
        let waker = task.as_ref().waker();
        assert!(queue.run_one());
        assert_eq!(Rc::strong_count(&queue.0), 2);
        gate.open();
        assert_eq!(Rc::strong_count(&queue.0), 2, "clones are for a moment");
        assert!(queue.run_one());
        assert_eq!(Rc::strong_count(&queue.0), 1);
        waker.wake();
        drop(task);
    });
}

#[test]
fn a_queue_dropped_with_its_steps_ends_their_tasks_though_they_hold_the_queue() {
    entered(|tasks, trace| {
        let queue = Queue::default();
        for words in ["a", "b"] {
            let dropped = trace.on_drop(words);
            tasks
                .spawn_on(queue.clone(), async move {
                    let _dropped = dropped;
                    pending::<()>().await;
                })
                .discard();
        }
        let steps = queue.0.take();
        drop(queue);
        drop(steps);
        assert_eq!(trace.take(), ["a", "b"]);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_step_may_be_run_at_once_by_a_schedule_that_does_not_keep_the_rules() {
    #[derive(Clone)]
    struct AtOnce;
    impl Schedule for AtOnce {
        fn schedule(&self, step: Step) {
            step.run();
        }
    }
    entered(|tasks, trace| {
        let gate = Gate::default();
        let (inner, say) = (gate.clone(), trace.clone());
        let task = tasks.spawn_on(AtOnce, async move {
            say.note("begun");
            inner.pass().await;
            say.note("passed");
        });
        assert_eq!(trace.take(), ["begun"]);
        gate.open();
        assert_eq!(trace.take(), ["passed"]);
        assert!(task.is_finished());
    });
}

/// Panics once it is told to, before it takes a step in.
#[derive(Clone)]
struct Broken(Rc<Cell<bool>>, Queue);

impl Schedule for Broken {
    fn schedule(&self, step: Step) {
        assert!(!self.0.get(), "a broken schedule");
        self.1.schedule(step);
    }
}

#[test]
fn a_schedule_that_panics_at_spawn_leaves_no_task_behind() {
    entered(|tasks, _| {
        let broken = Broken(Rc::new(Cell::new(true)), Queue::default());
        let gone = Rc::new(());
        let proof = gone.clone();
        let spawned = catch_unwind(AssertUnwindSafe(|| {
            tasks
                .spawn_on(broken, async move {
                    let _proof = proof;
                    pending::<()>().await;
                })
                .discard();
        }));
        assert_eq!(message_of(&*spawned.unwrap_err()), "a broken schedule");
        assert!(tasks.is_empty());
        assert_eq!(Rc::strong_count(&gone), 1);
    });
}

#[test]
fn a_schedule_that_panics_at_a_wake_up_from_elsewhere_loses_nobody_elses() {
    entered(|tasks, trace| {
        let broken = Rc::new(Cell::new(false));
        let queue = Queue::default();
        let fails = tasks.spawn_on(Broken(broken.clone(), queue.clone()), pending::<()>());
        assert!(queue.run_one());
        let woken = tasks.spawn_with(asyncio_task::SpawnOptions::new().dormant(), async {});
        let wakers = [fails.as_ref().waker(), woken.as_ref().waker()];
        let remote = tasks.remote();
        broken.set(true);
        let called = std::thread::spawn(move || {
            wakers.into_iter().for_each(std::task::Waker::wake);
            remote.call(|| ()).is_ok()
        });
        assert!(called.join().unwrap());
        tasks.deliver();
        assert_eq!(tasks.ready(), 2, "the other task and the call");
        settle(tasks);
        assert!(woken.is_finished());
        assert_eq!(
            trace.take(),
            ["report: the schedule of a task panicked: a broken schedule (Task-1)"]
        );
        let outcome = fails.now_or_never().unwrap();
        assert!(
            matches!(outcome, Err(JoinError::Cancelled(..))),
            "its step was dropped"
        );
    });
}

#[test]
fn a_schedule_that_panics_when_a_joiner_is_woken_does_not_harm_the_task_that_ended() {
    entered(|tasks, trace| {
        let broken = Rc::new(Cell::new(false));
        let queue = Queue::default();
        let mut first = tasks.spawn(async { 1 });
        let waker = {
            let joiner = tasks.spawn_on(Broken(broken.clone(), queue.clone()), my_waker());
            assert!(queue.run_one());
            joiner.now_or_never().unwrap().unwrap()
        };
        let joiner = tasks.spawn_on(Broken(broken.clone(), queue.clone()), pending::<()>());
        assert!(queue.run_one());
        drop(waker);
        let waker = joiner.as_ref().waker();
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(first.poll_unpin(&mut cx).is_pending());
        broken.set(true);
        settle(tasks);
        assert_eq!(first.try_take().unwrap().unwrap(), 1);
        assert_eq!(trace.take().len(), 1);
        assert!(joiner.is_finished());
    });
}
