//! From spawn to the outcome: awaiting, detaching, dropping, and main tasks that borrow.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_task::{
    JoinError, SpawnOptions, StepBack, Task, TaskState, Tasks, current_step, spawn, try_spawn,
    try_spawn_with,
};
use futures::FutureExt;

use crate::support::{
    CountingWaker, Gate, Trace, entered, message_of, my_waker, settle, yield_now,
};

#[test]
fn tasks_take_turns_first_in_first_out() {
    entered(|tasks, trace| {
        for name in ["a", "b"] {
            let trace = trace.clone();
            tasks
                .spawn(async move {
                    for n in 1..=3 {
                        trace.note(format!("{name}{n}"));
                        yield_now().await;
                    }
                })
                .detach();
        }
        assert!(trace.take().is_empty(), "nothing runs before its turn");
        assert_eq!(tasks.steps(), 0);
        settle(tasks);
        assert_eq!(trace.take(), ["a1", "b1", "a2", "b2", "a3", "b3"]);
        assert_eq!(tasks.steps(), 2 * 4, "the last step of each only ends it");
    });
}

#[test]
fn what_is_spawned_by_a_step_comes_after_what_is_ready() {
    entered(|tasks, trace| {
        let (outer, inner, other) = (trace.clone(), trace.clone(), trace.clone());
        tasks
            .spawn(async move {
                outer.note("parent");
                spawn(async move { inner.note("child") }).detach();
            })
            .detach();
        tasks.spawn(async move { other.note("other") }).detach();
        settle(tasks);
        assert_eq!(trace.take(), ["parent", "other", "child"]);
    });
}

#[test]
fn awaiting_gives_the_value_before_and_after_the_task_has_ended() {
    entered(|tasks, _| {
        let gate = Gate::default();
        let inner = gate.clone();
        let early = tasks.spawn(async move {
            inner.pass().await;
            "late"
        });
        let ready = tasks.spawn(async { "soon" });
        let mut main = tasks.spawn(async move {
            assert_eq!(ready.await.unwrap(), "soon");
            early.await.unwrap()
        });
        settle(tasks);
        assert!(main.try_take().is_none());
        gate.open();
        settle(tasks);
        assert_eq!(main.try_take().unwrap().unwrap(), "late");
        assert!(main.try_take().is_none(), "an outcome is given once");
    });
}

#[test]
fn the_last_waker_that_awaits_is_the_one_that_is_woken() {
    entered(|tasks, _| {
        let mut task = tasks.spawn(async {});
        let bells = [(); 2].map(|()| Arc::new(CountingWaker::default()));
        for bell in &bells {
            let waker = Waker::from(bell.clone());
            assert!(
                task.poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
            assert!(
                task.poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        settle(tasks);
        assert_eq!(bells.map(|bell| bell.get()), [0, 1]);
    });
}

#[test]
fn a_task_awaited_after_it_gave_its_outcome_panics_with_words() {
    entered(|tasks, _| {
        let mut task = tasks.spawn(async {});
        settle(tasks);
        assert!((&mut task).now_or_never().unwrap().is_ok());
        let again = catch_unwind(AssertUnwindSafe(|| (&mut task).now_or_never()));
        let payload = again.unwrap_err();
        assert!(message_of(&*payload).contains("awaited again after it gave its outcome"));
    });
}

#[test]
fn a_task_that_awaits_itself_gets_an_error() {
    entered(|tasks, trace| {
        let me: Rc<Cell<Option<Task<()>>>> = Rc::default();
        let mine = me.clone();
        let trace_of_task = trace.clone();
        let task = tasks.spawn_with(SpawnOptions::new().name("narcissus"), async move {
            let mut me = mine.take().unwrap();
            trace_of_task.note((&mut me).await.unwrap_err().to_string());
            me.discard();
        });
        me.set(Some(task));
        settle(tasks);
        assert_eq!(trace.take(), ["task narcissus awaits itself"]);
    });
}

#[test]
fn a_dropped_handle_cancels_and_a_dropped_await_does_not() {
    entered(|tasks, trace| {
        let dropped = trace.on_drop("dropped");
        let mut task = tasks.spawn(async move {
            let _dropped = dropped;
            pending::<()>().await;
        });
        settle(tasks);
        assert!((&mut task).now_or_never().is_none());
        settle(tasks);
        assert!(trace.take().is_empty());
        drop(task);
        assert!(trace.take().is_empty(), "it does not wait for the end");
        settle(tasks);
        assert_eq!(trace.take(), ["dropped"]);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_handle_dropped_after_the_end_drops_the_value_then_and_there() {
    entered(|tasks, trace| {
        let value = trace.on_drop("value");
        let task = tasks.spawn(async move { value });
        settle(tasks);
        assert!(trace.take().is_empty());
        drop(task);
        assert_eq!(trace.take(), ["value"]);
    });
}

#[test]
fn a_value_nobody_will_take_is_dropped_when_the_task_returns_it() {
    entered(|tasks, trace| {
        let value = trace.on_drop("value");
        tasks.spawn(async move { value }).discard();
        settle(tasks);
        assert_eq!(trace.take(), ["value"]);
    });
}

// Proves W3.
#[test]
fn a_detached_task_runs_on_and_so_does_one_detached_while_awaited() {
    entered(|tasks, trace| {
        let gate = Gate::default();
        let (inner, say) = (gate.clone(), trace.clone());
        let mut task = tasks.spawn(async move {
            inner.pass().await;
            say.note("done");
        });
        let bell = Arc::new(CountingWaker::default());
        let waker = Waker::from(bell.clone());
        assert!(
            task.poll_unpin(&mut Context::from_waker(&waker))
                .is_pending()
        );
        task.detach();
        gate.open();
        settle(tasks);
        assert_eq!(trace.take(), ["done"]);
        assert_eq!(bell.get(), 0, "who detached it no longer waits");
    });
}

#[test]
fn a_task_detached_while_another_task_awaits_it_is_cancelled_no_more_with_that_one() {
    entered(|tasks, trace| {
        let gate = Gate::default();
        let (inner, say) = (gate.clone(), trace.clone());
        let task = tasks.spawn(async move {
            inner.pass().await;
            say.note("done");
        });
        let main = tasks.spawn(async move {
            let mut task = task;
            std::future::poll_fn(|cx| {
                assert!(task.poll_unpin(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            task.detach();
            pending::<()>().await;
        });
        settle(tasks);
        main.cancel();
        settle(tasks);
        assert!(main.is_finished());
        gate.open();
        settle(tasks);
        assert_eq!(trace.take(), ["done"]);
    });
}

#[test]
fn the_future_goes_before_the_value_is_seen_and_before_the_joiner_runs() {
    entered(|tasks, trace| {
        let local = trace.on_drop("a local of the future");
        let (in_future, in_joiner) = (trace.clone(), trace.clone());
        let task = tasks.spawn(async move {
            let _local = local;
            in_future.note("returns");
        });
        tasks
            .spawn(async move {
                task.await.unwrap();
                in_joiner.note("joined");
            })
            .detach();
        settle(tasks);
        assert_eq!(trace.take(), ["returns", "a local of the future", "joined"]);
    });
}

#[test]
fn states_are_told_as_they_are() {
    entered(|tasks, _| {
        let gate = Gate::default();
        let inner = gate.clone();
        let task = tasks.spawn(async move {
            let me = asyncio_task::current_task().unwrap();
            assert_eq!(me.info().state, TaskState::Running);
            inner.pass().await;
        });
        let look = task.as_ref();
        let state = || look.info().state;
        assert_eq!(state(), TaskState::Ready);
        settle(tasks);
        assert_eq!(state(), TaskState::Waiting);
        gate.open();
        assert_eq!(state(), TaskState::Ready);
        task.cancel();
        assert_eq!(state(), TaskState::Cancelling);
        settle(tasks);
        assert_eq!(state(), TaskState::Finished);

        let cancelled = tasks.spawn(pending::<()>());
        let panicked = tasks.spawn(async { panic!("on purpose") });
        cancelled.cancel();
        settle(tasks);
        assert_eq!(cancelled.as_ref().info().state, TaskState::Cancelled);
        assert_eq!(panicked.as_ref().info().state, TaskState::Panicked);
        panicked
            .map(|outcome| outcome.unwrap_err())
            .now_or_never()
            .unwrap();
    });
}

#[test]
fn an_eager_task_begins_in_the_spawn_if_its_tasks_are_entered_and_when_they_run_otherwise() {
    let tasks = Tasks::new(|| ());
    let trace = Trace::default();
    let say = |words: &'static str| {
        let trace = trace.clone();
        async move { trace.note(words) }
    };
    let eager = || SpawnOptions::new().eager_start();
    tasks.enter(&(), || {
        let task = tasks.spawn_with(eager(), say("at once"));
        assert!(task.is_finished());
        assert_eq!(trace.take(), ["at once"]);
        assert_eq!((tasks.len(), tasks.ready()), (0, 0));
    });
    // No loop runs these tasks, or another loop runs here: the future would find no loop, or the wrong one.
    let outside = tasks.spawn_with(eager(), say("outside"));
    let others = Tasks::new(|| ());
    let elsewhere = others.enter(&(), || tasks.spawn_with(eager(), say("elsewhere")));
    assert!(!outside.is_finished() && !elsewhere.is_finished());
    assert!(trace.take().is_empty());
    tasks.enter(&(), || settle(&tasks));
    assert_eq!(trace.take(), ["outside", "elsewhere"]);
    assert!(outside.is_finished() && elsewhere.is_finished());
}

#[test]
fn a_dormant_task_begins_when_it_is_woken() {
    entered(|tasks, trace| {
        let say = trace.clone();
        let task = tasks.spawn_with(SpawnOptions::new().dormant(), async move { say.note("up") });
        settle(tasks);
        assert!(trace.take().is_empty());
        let waker = task.as_ref().waker();
        waker.wake_by_ref();
        waker.wake_by_ref();
        settle(tasks);
        assert_eq!(trace.take(), ["up"]);
        waker.wake(); // over: nothing to wake
        assert!(!tasks.run_one());
    });
}

#[test]
fn a_task_woken_many_times_takes_one_step() {
    entered(|tasks, _| {
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let task = tasks.spawn(std::future::poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            if counted.get() == 1 {
                cx.waker().wake_by_ref();
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        }));
        settle(tasks);
        assert_eq!(polls.get(), 2);
        let waker = task.as_ref().waker();
        (0..5).for_each(|_| waker.wake_by_ref());
        assert_eq!(tasks.ready(), 1);
        settle(tasks);
        assert_eq!(polls.get(), 3);
    });
}

#[test]
fn the_next_can_be_seen() {
    entered(|tasks, _| {
        assert!(tasks.next_ready().is_none());
        let handles =
            ["a", "b"].map(|name| tasks.spawn_with(SpawnOptions::new().name(name), async {}));
        assert_eq!(tasks.ready(), 2);
        assert_eq!(tasks.next_ready().unwrap().name(), "a");
        drop(handles);
    });
}

#[test]
fn a_main_task_borrows_from_its_caller() {
    entered(|tasks, _| {
        let mut numbers = vec![1, 2];
        let first = tasks
            .run_until_complete(
                SpawnOptions::new(),
                async {
                    yield_now().await;
                    numbers.push(3);
                    &numbers[0]
                },
                |_| tasks.run_one(),
            )
            .unwrap();
        assert_eq!(*first, 1);
        assert_eq!(numbers, [1, 2, 3]);
        assert!(tasks.is_empty());
    });
}

#[test]
fn a_main_task_is_gone_however_its_loop_ends() {
    let dropped = Cell::new(0);
    struct Count<'a>(&'a Cell<u32>);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    entered(|tasks, trace| {
        let main = |end: &'static str| {
            let count = Count(&dropped);
            let gone = dropped.get();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                tasks.run_until_complete(
                    SpawnOptions::new().name("main"),
                    async {
                        let _count = count;
                        match end {
                            "panics" => panic!("in main"),
                            "returns" => (),
                            _ => pending().await,
                        }
                    },
                    |task| {
                        match end {
                            "is stopped" => return false,
                            "unwinds" => panic!("in the turn"),
                            "is cancelled" => assert!(task.cancel()),
                            "is closed" => tasks.close(),
                            _ => {}
                        }
                        tasks.run_one()
                    },
                )
            }));
            assert_eq!(dropped.get(), gone + 1, "{end}");
            match outcome {
                Ok(Ok(())) => "returned".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(payload) => format!("unwound: {}", message_of(&*payload)),
            }
        };
        assert_eq!(main("returns"), "returned");
        assert_eq!(main("panics"), "task main panicked: in main");
        assert_eq!(
            main("is stopped"),
            "the event loop stopped before task main returned"
        );
        assert_eq!(main("is cancelled"), "task main was cancelled");
        assert_eq!(main("unwinds"), "unwound: in the turn");
        assert_eq!(main("is closed"), "task main was cancelled");
        assert_eq!(main("comes late"), "task main was cancelled");
        assert!(trace.take().is_empty());
    });
}

#[test]
fn a_main_task_that_returns_in_the_turn_that_stops_the_loop_has_returned() {
    entered(|tasks, _| {
        let outcome = tasks.run_until_complete(SpawnOptions::new(), ready(5), |_| {
            tasks.run_one();
            false
        });
        assert_eq!(outcome.unwrap(), 5);
    });
}

#[test]
fn a_main_task_within_a_step_of_another() {
    entered(|tasks, _| {
        let outer = Rc::downgrade(tasks);
        let task = tasks.spawn(async move {
            let tasks = outer.upgrade().unwrap();
            let local = [1, 2, 3];
            my_waker().await.wake();
            let inner = tasks.run_until_complete(
                SpawnOptions::new(),
                async {
                    yield_now().await;
                    local.iter().sum::<i32>()
                },
                |_| tasks.run_one(),
            );
            inner.unwrap()
        });
        settle(tasks);
        assert_eq!(task.now_or_never().unwrap().unwrap(), 6);
    });
}

#[test]
fn main_tasks_value_that_borrows_is_dropped_when_nobody_fetches_it() {
    entered(|tasks, trace| {
        let say = trace.clone();
        let local = Cell::new(1);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let local = &local;
            let _ = tasks.run_until_complete(
                SpawnOptions::new(),
                async {
                    crate::support::OnDrop::new(|| say.note(format!("value {}", local.get())))
                },
                |_| {
                    tasks.run_one();
                    panic!("the turn");
                },
            );
        }));
        assert!(unwound.is_err());
        assert_eq!(trace.take(), ["value 1"]);
    });
}

#[test]
fn spawning_without_a_loop_says_what_to_do_and_gives_the_future_back() {
    let error = catch_unwind(|| drop(spawn(async {}))).unwrap_err();
    assert!(message_of(&*error).contains("no event loop runs on this thread"));
    let error = try_spawn(ready(3)).unwrap_err();
    assert!(error.to_string().contains("asyncio::run"));
    assert_eq!(error.into_inner().now_or_never(), Some(3));
    let with_options = try_spawn_with(SpawnOptions::new(), ready(4));
    let question_mark = || -> Result<_, Box<dyn std::error::Error>> { Ok(with_options?) };
    assert!(
        question_mark()
            .unwrap_err()
            .to_string()
            .contains("asyncio::run")
    );
}

#[test]
fn handles_outlive_their_loop() {
    let (mut finished, mut cut, looked) = {
        let tasks = Tasks::new(|| ());
        let finished = tasks.spawn(async { 1 });
        tasks.enter(&(), || settle(&tasks));
        let cut = tasks.spawn(pending::<u8>());
        let looked = cut.as_ref();
        (finished, cut, looked)
    };
    assert_eq!(finished.try_take().unwrap().unwrap(), 1);
    assert!(matches!(
        cut.try_take(),
        Some(Err(JoinError::Cancelled(..)))
    ));
    assert!(!looked.cancel());
    looked.waker().wake();
    assert_eq!(looked.info().state, TaskState::Cancelled);
}

#[test]
fn every_step_has_a_number_that_stays_the_same_while_it_runs() {
    entered(|tasks, _| {
        assert_eq!(current_step(), None);
        let before = tasks.steps();
        let mut task = tasks.spawn(async {
            let first = [current_step(), current_step()];
            yield_now().await;
            (first, current_step())
        });
        settle(tasks);
        let (first, second) = task.try_take().unwrap().unwrap();
        assert_eq!(first, [Some(before + 1); 2]);
        assert_eq!(second, Some(before + 2));
    });
}

/// A step that spawns eager tasks is one step, however many of them it begins.
#[test]
fn eager_tasks_do_not_fill_the_budget_of_the_step_they_begin_in() {
    entered(|tasks, _| {
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let mut work = Box::pin(async {
            for _ in 0..2000 {
                StepBack::new().await;
                let eager = SpawnOptions::new().eager_start();
                try_spawn_with(eager, async {}).unwrap().detach();
            }
        });
        let task = tasks.spawn(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            work.as_mut().poll(cx)
        }));
        settle(tasks);
        assert!(task.is_finished());
        // After 122 to 257 of them each.
        assert!((8..=18).contains(&steps.get()), "{}", steps.get());
    });
}

#[test]
fn an_eager_first_step_has_the_number_of_the_step_it_begins_in() {
    entered(|tasks, _| {
        let mut task = tasks.spawn(async {
            let eager = try_spawn_with(SpawnOptions::new().eager_start(), async {
                let first = current_step();
                yield_now().await;
                (first, current_step())
            });
            let here = current_step();
            let (first, second) = eager.unwrap().await.unwrap();
            (here, first, second, current_step())
        });
        settle(tasks);
        let (here, first, second, after) = task.try_take().unwrap().unwrap();
        assert_eq!(first, here);
        assert!(second > here && after > second);
    });
}
