//! Context variables: what flows from task to task, and what must not leak either way.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use asyncio_task::{
    Context, ContextVar, NoContext, SpawnOptions, Tasks, copy_context, current_task,
    shared_context, spawn,
};

use crate::support::{DropsOnOwnThread, entered, message_of, settle, yield_now};

static USER: ContextVar<&'static str> = ContextVar::new("user");
static DEPTH: ContextVar<u32> = ContextVar::new("depth");

#[test]
fn a_task_starts_with_a_copy_and_what_it_sets_stays_with_it() {
    entered(|tasks, trace| {
        let say = trace.clone();
        tasks
            .spawn(async move {
                USER.set("ada");
                let inner = say.clone();
                let child = spawn(async move {
                    inner.note(format!("child starts with {:?}", USER.get()));
                    USER.set("eve");
                    yield_now().await;
                    inner.note(format!("child has {:?}", USER.get()));
                });
                USER.set("bob"); // after the spawn: the child has its copy
                child.await.unwrap();
                say.note(format!("parent has {:?}", USER.get()));
            })
            .detach();
        let say = trace.clone();
        tasks
            .spawn(async move { say.note(format!("a stranger has {:?}", USER.get())) })
            .detach();
        settle(tasks);
        assert_eq!(
            trace.take(),
            [
                "a stranger has None",
                r#"child starts with Some("ada")"#,
                r#"child has Some("eve")"#,
                r#"parent has Some("bob")"#,
            ]
        );
        assert_eq!(USER.get(), None);
    });
}

#[test]
fn tasks_that_take_turns_do_not_see_each_others_values() {
    entered(|tasks, _| {
        for name in ["ada", "bob", "eve"] {
            tasks
                .spawn(async move {
                    USER.set(name);
                    for _ in 0..3 {
                        yield_now().await;
                        assert_eq!(USER.get(), Some(name));
                    }
                })
                .detach();
        }
        settle(tasks);
    });
}

#[test]
fn the_base_context_is_what_tasks_spawned_outside_of_tasks_start_with() {
    entered(|tasks, _| {
        assert!(tasks.base_context().is_empty());
        USER.set("base");
        let task = tasks.spawn(async {
            assert_eq!(USER.get(), Some("base"));
            USER.set("task");
        });
        USER.set("later");
        settle(tasks);
        assert!(task.is_finished());
        assert_eq!(USER.get(), Some("later"));
        assert_eq!(tasks.base_context().len(), 1);
    });
    assert_eq!(USER.get(), None, "it belongs to the loop");
}

#[test]
fn calls_from_elsewhere_run_in_a_copy_of_the_base_context() {
    entered(|tasks, _| {
        USER.set("base");
        let remote = tasks.remote();
        for _ in 0..2 {
            let call = || {
                assert_eq!(USER.get(), Some("base"));
                USER.set("call");
            };
            remote.call(call).unwrap();
        }
        tasks.deliver();
        settle(tasks);
        assert_eq!(USER.get(), Some("base"));
    });
}

#[test]
fn a_context_that_is_given_is_shared_and_not_copied() {
    entered(|tasks, _| {
        let shared = Context::new();
        for n in 1..=3 {
            let options = SpawnOptions::new().context(shared.clone());
            let task = tasks.spawn_with(options, async move {
                assert_eq!(DEPTH.get().unwrap_or(0), n - 1);
                DEPTH.set(n);
            });
            settle(tasks);
            assert!(task.is_finished());
        }
        assert_eq!(shared.run(|| DEPTH.get()), Some(3));
        assert_eq!(DEPTH.get(), None);
    });
}

#[test]
fn a_tasks_context_can_be_seen_from_outside() {
    entered(|tasks, _| {
        let task = tasks.spawn(async {
            USER.set("ada");
            yield_now().await;
        });
        assert!(task.context().is_empty());
        tasks.run_one();
        assert_eq!(task.context().run(|| USER.get()), Some("ada"));
        settle(tasks);
    });
}

#[test]
fn run_keeps_what_is_set_within_also_when_it_unwinds() {
    let outer = Context::new();
    let inner = Context::new();
    outer.run(|| {
        USER.set("outer");
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            inner.run(|| {
                assert_eq!(USER.get(), None, "contexts are not nested");
                USER.set("inner");
                panic!("on purpose");
            });
        }));
        assert!(unwound.is_err());
        assert_eq!(USER.get(), Some("outer"));
        assert_eq!(copy_context().len(), 1);
    });
    assert_eq!(inner.run(|| USER.get()), Some("inner"));
    assert_eq!(USER.get(), None);
}

#[test]
fn a_run_in_a_task_covers_what_it_spawns_and_nothing_more() {
    entered(|tasks, _| {
        let task = tasks.spawn(async {
            USER.set("task");
            let context = copy_context();
            let child = context.run(|| {
                USER.set("run");
                spawn(async { USER.get() })
            });
            assert_eq!(USER.get(), Some("task"));
            assert_eq!(child.await.unwrap(), Some("run"));
            assert_eq!(USER.get(), Some("task"));
        });
        settle(tasks);
        assert!(task.is_finished());
        assert!(current_task().is_none());
    });
}

#[test]
fn a_loop_run_within_a_run_does_not_lend_its_context_to_the_tasks() {
    entered(|tasks, _| {
        let task = tasks.spawn(async {
            assert_eq!(USER.get(), None);
            USER.set("task");
            yield_now().await;
            assert_eq!(USER.get(), Some("task"));
            spawn(async { assert_eq!(USER.get(), Some("task")) })
                .await
                .unwrap();
        });
        let context = Context::new();
        context.run(|| {
            USER.set("run");
            settle(tasks);
            assert_eq!(USER.get(), Some("run"));
        });
        assert_eq!(context.len(), 1);
        assert!(matches!(
            task.as_ref().info().state,
            asyncio_task::TaskState::Finished
        ));
    });
}

#[test]
fn a_task_of_another_loop_starts_with_the_context_it_is_spawned_in() {
    entered(|tasks, _| {
        let inner = Tasks::new(|| ());
        let task = tasks.spawn(async move {
            USER.set("outer");
            let task = inner.spawn(async { USER.get() });
            inner.enter(&(), || {
                assert_eq!(USER.get(), None, "the inner loop has its own base");
                settle(&inner);
            });
            assert_eq!(task.await.unwrap(), Some("outer"));
        });
        settle(tasks);
        assert!(task.is_finished());
    });
}

#[test]
fn reset_puts_back_what_a_set_replaced_where_that_was() {
    let context = Context::new();
    let (first, second) = context.run(|| (USER.set("first"), USER.set("second")));
    USER.reset(second);
    assert_eq!(context.run(|| USER.get()), Some("first"));
    USER.reset(first);
    assert_eq!(context.run(|| USER.get()), None);
    assert!(context.is_empty());

    static OTHER: ContextVar<&'static str> = ContextVar::new("other");
    let token = context.run(|| USER.set("user"));
    let wrong = catch_unwind(AssertUnwindSafe(|| OTHER.reset(token)));
    assert!(message_of(&*wrong.unwrap_err()).contains("another context variable"));
}

#[test]
fn copies_share_until_one_of_them_changes() {
    let one = Context::new();
    one.run(|| DEPTH.set(1));
    let other = one.copy();
    let same = one.clone();
    other.run(|| DEPTH.set(2));
    same.run(|| DEPTH.set(3));
    assert_eq!(one.run(|| DEPTH.get()), Some(3));
    assert_eq!(other.run(|| DEPTH.get()), Some(2));
}

#[test]
fn a_variable_without_a_context_says_so() {
    assert_eq!(USER.try_set("nowhere").unwrap_err(), NoContext);
    let panic = catch_unwind(|| drop(USER.set("nowhere"))).unwrap_err();
    assert!(message_of(&*panic).contains("in a task or within Context::run"));
    assert_eq!(USER.name(), "user");
    USER.with(|value| assert!(value.is_none()));
    assert!(copy_context().is_empty());
}

#[test]
fn values_are_dropped_when_the_last_context_that_has_them_goes_on_their_thread() {
    static VALUE: ContextVar<Rc<DropsOnOwnThread>> = ContextVar::new("value");
    let dropped = Rc::new(Cell::new(0));
    let mut wakers = Vec::new();
    entered(|tasks, _| {
        let value = Rc::new(DropsOnOwnThread::new(&dropped));
        let parent = tasks.spawn(async move {
            VALUE.set(value);
            let child = spawn(yield_now());
            let waker = child.as_ref().waker();
            child.discard();
            waker
        });
        wakers.push(parent.as_ref().waker());
        settle(tasks);
        assert_eq!(dropped.get(), 0, "the parent's handle has its context");
        wakers.push(parent.as_ref().waker());
        drop(parent);
        assert_eq!(dropped.get(), 1);
    });
    std::thread::spawn(move || drop(wakers)).join().unwrap();
}

#[test]
fn a_context_goes_at_the_end_of_a_task_whose_handle_went_before() {
    static VALUE: ContextVar<Rc<DropsOnOwnThread>> = ContextVar::new("value");
    let dropped = Rc::new(Cell::new(0));
    entered(|tasks, _| {
        let value = Rc::new(DropsOnOwnThread::new(&dropped));
        let task = tasks.spawn(async move {
            VALUE.set(value);
            std::future::pending::<()>().await;
        });
        settle(tasks);
        let waker = task.as_ref().waker();
        drop(task);
        settle(tasks);
        assert_eq!(dropped.get(), 1);
        std::thread::spawn(move || drop(waker)).join().unwrap();
    });
}

#[test]
fn a_value_may_use_context_variables_when_it_is_dropped_or_cloned() {
    static ODD: ContextVar<Odd> = ContextVar::new("odd");
    struct Odd(&'static str);
    impl Clone for Odd {
        fn clone(&self) -> Self {
            ODD.set(Self("set by a clone"));
            Self("a clone")
        }
    }
    impl Drop for Odd {
        fn drop(&mut self) {
            let _ = USER.try_set(self.0);
        }
    }
    let context = Context::new();
    context.run(|| {
        let _first = ODD.set(Odd("first"));
        let copy = ODD.get().unwrap();
        assert_eq!(copy.0, "a clone");
        ODD.with(|odd| assert_eq!(odd.unwrap().0, "set by a clone"));
        drop(ODD.set(Odd("replaces it")));
        assert_eq!(
            USER.get(),
            Some("set by a clone"),
            "its destructor set this"
        );
    });
}

mod shared {
    use super::*;
    use std::thread;

    static REQUEST: ContextVar<String> = ContextVar::shared("request");

    #[test]
    fn shared_values_are_seen_on_another_thread_and_local_ones_are_not() {
        let context = Context::new();
        context.run(|| {
            USER.set("ada");
            REQUEST.set("seven".to_owned());
            let shared = shared_context();
            assert_eq!(shared.len(), 1);
            let there = move || shared.run(|| (USER.get(), REQUEST.get()));
            let seen = thread::spawn(there).join().unwrap();
            assert_eq!(seen, (None, Some("seven".to_owned())));
        });
    }

    #[test]
    fn what_is_set_over_there_stays_there() {
        let context = Context::new();
        context.run(|| {
            let token = REQUEST.set("one".to_owned());
            let shared = shared_context();
            let there = move || {
                let inside = shared.clone().run(|| {
                    USER.set("eve");
                    REQUEST.set("two".to_owned());
                    (USER.get(), REQUEST.get())
                });
                (inside, shared.run(|| (USER.get(), REQUEST.get())))
            };
            let (inside, after) = thread::spawn(there).join().unwrap();
            assert_eq!(inside, (Some("eve"), Some("two".to_owned())));
            assert_eq!(after, (None, Some("one".to_owned())));
            assert_eq!(REQUEST.get().as_deref(), Some("one"));
            REQUEST.reset(token);
            assert!(shared_context().is_empty());
        });
        assert!(shared_context().is_empty(), "there is no context here");
    }

    #[test]
    fn the_value_is_the_same_and_not_a_clone() {
        static ONE: ContextVar<std::sync::Mutex<u32>> = ContextVar::shared("one");
        let context = Context::new();
        context.run(|| {
            ONE.set(std::sync::Mutex::new(1));
            let shared = shared_context();
            let there = || shared.run(|| ONE.with(|one| *one.unwrap().lock().unwrap() += 1));
            thread::scope(|scope| scope.spawn(there).join().unwrap());
            assert_eq!(ONE.with(|one| *one.unwrap().lock().unwrap()), 2);
        });
    }
}
