//! Code of others that comes back in at the worst moment: from a destructor, from a waker, from a poll
//! further up the stack. Each request of such code happens, or is put off, and nothing breaks.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_task::{Interrupted, JoinError, Schedule, Scope, Step, Task, Tasks, current_task};
use futures::FutureExt;

use crate::odd_waker::odd_waker;
use crate::schedule::Queue;
use crate::support::{
    CountingWaker, DropsOnOwnThread, Gate, OnDrop, PanicsOnDrop, entered, my_waker, settle,
    yield_now,
};

type Slot<T> = Rc<RefCell<Option<T>>>;

// Proves R1.
#[test]
fn a_value_whose_destructor_runs_the_loop_finds_the_place_its_own_task_left_in_the_queue() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let me: Slot<Task<_>> = Slot::default();
        let mine = me.clone();
        let task = tasks.spawn(async move {
            drop(mine.take()); // nobody takes the value: it is dropped when the task ends
            my_waker().await.wake(); // and the task is in the queue then
            OnDrop::new(move || while nested.upgrade().unwrap().run_one() {})
        });
        me.replace(Some(task));
        settle(tasks);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_value_whose_destructor_closes_the_loop_finds_the_place_its_own_task_left_in_the_queue() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let me: Slot<Task<_>> = Slot::default();
        let mine = me.clone();
        let task = tasks.spawn(async move {
            drop(mine.take());
            my_waker().await.wake();
            OnDrop::new(move || nested.upgrade().unwrap().close())
        });
        me.replace(Some(task));
        settle(tasks);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_payload_whose_destructor_panics_leaves_the_queued_place_of_its_task_sound() {
    entered(|tasks, trace| {
        let me: Slot<Task<()>> = Slot::default();
        let mine = me.clone();
        let task = tasks.spawn(async move {
            drop(mine.take());
            my_waker().await.wake();
            panic_any(PanicsOnDrop);
        });
        me.replace(Some(task));
        settle(tasks);
        assert_eq!(
            trace.take(),
            ["report: a task panicked and nobody awaits it: a payload that is no text (Task-1)"]
        );
    });
}

#[test]
fn a_payload_whose_destructor_panics_does_not_keep_a_context_from_its_own_thread() {
    static VALUE: asyncio_task::ContextVar<Rc<DropsOnOwnThread>> =
        asyncio_task::ContextVar::new("value");
    let dropped = Rc::new(Cell::new(0));
    let mut waker = None;
    entered(|tasks, _| {
        let value = Rc::new(DropsOnOwnThread::new(&dropped));
        let mut task = tasks.spawn(async move {
            VALUE.set(value);
            panic_any(PanicsOnDrop);
        });
        let taken = (&mut task).now_or_never();
        assert!(taken.is_none());
        waker = Some(task.as_ref().waker());
        settle(tasks);
        drop(task);
    });
    assert_eq!(dropped.get(), 1, "the context went with the task");
    std::thread::spawn(move || drop(waker)).join().unwrap();
}

#[test]
fn a_future_that_wakes_its_own_task_while_it_is_dropped_does_not_reach_for_the_schedule() {
    // The schedule goes with the future, so a wake-up from the future's destructor must not use it.
    #[derive(Clone)]
    struct Owning(Queue, String);
    impl Schedule for Owning {
        fn schedule(&self, step: Step) {
            assert_eq!(self.1, "memory of its own");
            self.0.schedule(step);
        }
    }
    entered(|tasks, _| {
        for end in ["return", "cancel", "panic", "close"] {
            let queue = Queue::default();
            let schedule = Owning(queue.clone(), "memory of its own".to_owned());
            let gate = Gate::default();
            let inner = gate.clone();
            let task = tasks.spawn_on(schedule, async move {
                let waker = my_waker().await;
                let _wakes = OnDrop::new(move || waker.wake());
                inner.pass().await;
                assert_ne!(end, "panic");
            });
            while queue.run_one() {}
            match end {
                "cancel" => assert!(task.cancel()),
                "close" => tasks.close(),
                _ => gate.open(),
            }
            while queue.run_one() {}
            assert!(task.is_finished(), "by {end}");
            assert!(!queue.run_one(), "no step of a task that is over");
        }
    });
}

#[test]
fn a_schedule_that_wakes_the_task_while_it_is_dropped_with_it() {
    #[derive(Clone)]
    struct Wakes(Queue, Rc<RefCell<Option<Waker>>>);
    impl Schedule for Wakes {
        fn schedule(&self, step: Step) {
            self.0.schedule(step);
        }
    }
    impl Drop for Wakes {
        fn drop(&mut self) {
            let waker = self.1.borrow().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
    entered(|tasks, _| {
        let queue = Queue::default();
        let waker: Slot<Waker> = Slot::default();
        let task = tasks.spawn_on(Wakes(queue.clone(), waker.clone()), pending::<()>());
        assert!(queue.run_one());
        waker.replace(Some(task.as_ref().waker()));
        task.cancel();
        assert!(queue.run_one());
        assert!(task.is_finished());
        assert!(!queue.run_one());
        waker.take();
    });
}

#[test]
fn a_schedule_whose_clone_ends_the_task_is_not_dropped_in_the_middle_of_it() {
    struct Closes(Rc<Tasks>, Queue, Rc<str>, Rc<Cell<bool>>);
    impl Clone for Closes {
        fn clone(&self) -> Self {
            if self.3.get() {
                self.0.close();
            }
            // Had closing dropped the original, this would read freed memory.
            assert_eq!(&*self.2, "alive");
            Self(
                self.0.clone(),
                self.1.clone(),
                self.2.clone(),
                self.3.clone(),
            )
        }
    }
    impl Schedule for Closes {
        fn schedule(&self, step: Step) {
            self.1.schedule(step);
        }
    }
    entered(|tasks, _| {
        let queue = Queue::default();
        let armed = Rc::new(Cell::new(false));
        let schedule = Closes(
            tasks.clone(),
            queue.clone(),
            Rc::from("alive"),
            armed.clone(),
        );
        let task = tasks.spawn_on(schedule, pending::<()>());
        assert!(queue.run_one());
        armed.set(true);
        task.as_ref().waker().wake();
        assert!(task.is_finished());
        while queue.run_one() {}
    });
}

#[test]
fn a_step_dropped_by_its_own_task_ends_it_after_this_poll() {
    entered(|tasks, _| {
        let queue = Queue::default();
        let mine = queue.clone();
        let mut task = tasks.spawn_on(queue.clone(), async move {
            my_waker().await.wake();
            let step = mine.0.borrow_mut().pop();
            drop(step.expect("its next step"));
            pending::<()>().await;
        });
        assert!(queue.run_one());
        assert!(matches!(
            task.try_take(),
            Some(Err(JoinError::Cancelled(..)))
        ));
    });
}

#[test]
fn a_step_dropped_while_the_loop_does_not_run_ends_its_task_when_it_does() {
    entered(|tasks, _| {
        let queue = Queue::default();
        let mut task = tasks.spawn_on(queue.clone(), async {});
        let elsewhere = Tasks::new(|| ());
        elsewhere.enter(&(), || queue.0.borrow_mut().clear());
        assert!(!task.is_finished());
        tasks.deliver();
        settle(tasks);
        assert!(matches!(
            task.try_take(),
            Some(Err(JoinError::Cancelled(..)))
        ));
    });
}

#[test]
fn a_step_run_outside_of_its_loop_is_an_error_that_ends_its_task() {
    entered(|tasks, _| {
        let queue = Queue::default();
        let mut task = tasks.spawn_on(queue.clone(), async {});
        let elsewhere = Tasks::new(|| ());
        let outcome = elsewhere.enter(&(), || catch_unwind(AssertUnwindSafe(|| queue.run_one())));
        let payload = outcome.unwrap_err();
        assert!(crate::support::message_of(&*payload).contains("outside of the loop"));
        tasks.deliver();
        settle(tasks);
        assert!(matches!(
            task.try_take(),
            Some(Err(JoinError::Cancelled(..)))
        ));
    });
}

// Proves C6.
#[test]
fn a_loop_run_from_within_a_task_that_woke_itself_comes_to_rest() {
    entered(|tasks, trace| {
        let nested = Rc::downgrade(tasks);
        let say = trace.clone();
        let outer = tasks.spawn(async move {
            my_waker().await.wake();
            let tasks = nested.upgrade().unwrap();
            let say_inner = say.clone();
            tasks.spawn(async move { say_inner.note("inner") }).detach();
            settle(&tasks); // finds its own task in the queue, running
            say.note("outer, before");
            pending::<()>().now_or_never();
            yield_now().await;
            say.note("outer, after");
        });
        settle(tasks);
        assert!(outer.is_finished());
        assert_eq!(trace.take(), ["inner", "outer, before", "outer, after"]);
    });
}

#[test]
fn a_wake_that_a_nested_loop_found_in_the_queue_is_not_lost() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let mut polls = 0;
        let task = tasks.spawn(poll_fn(move |cx| {
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
                settle(&nested.upgrade().unwrap());
                return Poll::Pending; // its place in the queue was eaten by the nested loop
            }
            Poll::Ready(())
        }));
        settle(tasks);
        assert!(task.is_finished());
    });
}

#[test]
fn the_same_from_a_queue_elsewhere() {
    entered(|tasks, _| {
        let queue = Queue::default();
        let nested = queue.clone();
        let mut polls = 0;
        let task = tasks.spawn_on(
            queue.clone(),
            poll_fn(move |cx| {
                polls += 1;
                if polls == 1 {
                    cx.waker().wake_by_ref();
                    for _ in 0..10 {
                        nested.run_one();
                    }
                    assert!(!nested.run_one(), "a step that ran is used up");
                    return Poll::Pending;
                }
                Poll::Ready(())
            }),
        );
        while queue.run_one() {}
        assert!(task.is_finished());
    });
}

// Proves C6, R2.
#[test]
fn a_task_that_closes_its_loop_ends_after_this_step_even_if_it_woke_itself() {
    entered(|tasks, trace| {
        let nested = Rc::downgrade(tasks);
        let say = trace.clone();
        let mut task = tasks.spawn(async move {
            my_waker().await.wake();
            nested.upgrade().unwrap().close();
            say.note("closed");
            pending::<()>().now_or_never();
            yield_now().await;
            say.note("never");
        });
        assert!(tasks.run_one());
        assert!(matches!(
            task.try_take(),
            Some(Err(JoinError::Cancelled(..)))
        ));
        settle(tasks);
        assert_eq!(trace.take(), ["closed"]);
    });
}

#[test]
fn a_task_that_ends_while_the_waker_of_its_joiner_is_cloned_still_gives_its_outcome() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let waker = odd_waker(move |event| {
            if event == "clone" {
                settle(&nested.upgrade().unwrap());
            }
        });
        let mut task = pin!(tasks.spawn(async { 7 }));
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Ok(7))));
    });
}

#[test]
fn a_task_that_ends_while_an_old_joiners_waker_is_dropped_still_gives_its_outcome() {
    entered(|tasks, _| {
        let nested = Rc::downgrade(tasks);
        let gate = Gate::default();
        let inner = gate.clone();
        let mut task = pin!(tasks.spawn(async move { inner.pass().await }));
        settle(tasks);
        let first = odd_waker(move |event| {
            if event == "drop" {
                gate.open();
                settle(&nested.upgrade().unwrap());
            }
        });
        assert!(
            task.as_mut()
                .poll(&mut Context::from_waker(&first))
                .is_pending()
        );
        let bell = Arc::new(CountingWaker::default());
        let second = Waker::from(bell.clone());
        let polled = task.as_mut().poll(&mut Context::from_waker(&second));
        assert!(
            polled.is_ready() || bell.get() == 1,
            "woken or told, not forgotten"
        );
    });
}

#[test]
fn a_joiners_waker_whose_destructor_panics_does_not_keep_its_task_from_being_cancelled() {
    entered(|tasks, trace| {
        let dropped = trace.on_drop("the future is dropped");
        let mut task = Box::pin(tasks.spawn(async move {
            let _dropped = dropped;
            pending::<()>().await;
        }));
        settle(tasks);
        let first = Rc::new(Cell::new(false));
        let armed = first.clone();
        let waker = odd_waker(move |event| {
            if event == "drop" && armed.take() {
                panic!("the destructor of a waker");
            }
        });
        assert!(
            task.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        first.set(true);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
        settle(tasks);
        assert_eq!(trace.take(), ["the future is dropped"]);
    });
}

#[test]
fn a_joiner_that_panics_when_it_is_woken_is_reported_and_the_loop_goes_on() {
    entered(|tasks, trace| {
        let waker = odd_waker(|event| assert_ne!(event, "wake", "a waker"));
        let mut task = pin!(tasks.spawn(async { 3 }));
        let other = tasks.spawn(async { 4 });
        assert!(
            task.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        settle(tasks);
        assert!(other.is_finished());
        let reports = trace.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(
            reports[0].starts_with("report: the waker of the code that awaits a task panicked")
        );
        assert_eq!(task.now_or_never().unwrap().unwrap(), 3);
    });
}

// Proves S2.
#[test]
fn a_waker_that_goes_with_a_scope_may_end_the_task_that_the_scope_let_go() {
    entered(|tasks, trace| {
        let closes = Rc::new(Cell::new(false));
        let (armed, nested) = (closes.clone(), Rc::downgrade(tasks));
        let waker = odd_waker(move |event| {
            if event == "drop" && armed.take() {
                nested.upgrade().unwrap().close();
            }
        });
        // It is asked to end, and takes its time.
        let awaited = tasks.spawn(async {
            let cancelled = Scope::new(pending::<()>()).await;
            pending::<()>().await;
            drop(cancelled);
        });
        let awaited: Slot<Task<()>> = Rc::new(RefCell::new(Some(awaited)));
        let inside = awaited.clone();
        let dropped = trace.on_drop("the task has gone");
        let awaits = tasks.spawn(async move {
            let _dropped = dropped;
            poll_fn(|_| {
                let mut task = inside.borrow_mut();
                let task = pin!(task.as_mut().unwrap());
                task.poll(&mut Context::from_waker(&waker)).map(drop)
            })
            .await;
        });
        settle(tasks);
        awaits.cancel();
        awaits.detach();
        settle(tasks);
        assert!(trace.take().is_empty(), "it waits for the other");
        closes.set(true);
        drop(awaited.take());
        assert_eq!(trace.take(), ["the task has gone"]);
    });
}

#[test]
fn a_task_that_closes_its_loop_ends_after_this_step_even_if_it_swallows_a_request_or_gets_one() {
    for swallows in [false, true] {
        entered(|tasks, trace| {
            let nested = Rc::downgrade(tasks);
            let dropped = trace.on_drop("dropped");
            let task = tasks.spawn(async move {
                let _dropped = dropped;
                let cancelled = Scope::new(pending::<()>()).await;
                yield_now().await;
                nested.upgrade().unwrap().close();
                my_waker().await.wake();
                match cancelled {
                    Err(Interrupted::Outer(cancelled)) if swallows => cancelled.swallow(),
                    _ => assert!(current_task().unwrap().cancel()),
                }
                pending::<()>().await;
            });
            assert!(tasks.run_one());
            task.cancel();
            assert!(tasks.run_one());
            assert!(trace.take().is_empty(), "it is at its cleanup");
            assert!(tasks.run_one());
            assert_eq!(trace.take(), ["dropped"]);
            assert!(task.is_finished());
            settle(tasks);
        });
    }
}
