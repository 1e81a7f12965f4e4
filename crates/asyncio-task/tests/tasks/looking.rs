//! Looking at tasks: names, numbers, parents, places, the current one and all of them.

use std::panic::Location;

use asyncio_task::{SpawnOptions, TaskName, Tasks, all_tasks, current_task, spawn, with_driver};

use crate::support::{entered, settle, yield_now};

#[test]
fn tasks_are_numbered_from_one_and_named_after_that_or_by_hand() {
    entered(|tasks, _| {
        let first = tasks.spawn(async {});
        let second = tasks.spawn_with(SpawnOptions::new().name("fetch"), async {});
        assert_eq!(first.id().get(), 1);
        assert_eq!(
            (first.name(), second.name()),
            ("Task-1".into(), "fetch".into())
        );
        assert_eq!(second.id().to_string(), "2");
        second.set_name("fetch again");
        second
            .as_ref()
            .set_name(format!("{} and again", second.name()));
        assert_eq!(second.name(), "fetch again and again");
        assert_eq!(format!("{:?}", second.name()), r#""fetch again and again""#);
        let kept = second.as_ref();
        settle(tasks);
        drop(second);
        assert_eq!(
            kept.name(),
            "fetch again and again",
            "a name outlives the task"
        );
        kept.set_name("late");
        assert_eq!(kept.name(), "late");
        std::thread::spawn({
            let waker = kept.waker();
            drop(kept);
            move || drop(waker) // and goes with the last waker
        })
        .join()
        .unwrap();
        assert_ne!(TaskName::from("Task-1"), "Task-2");
    });
}

#[test]
fn a_task_knows_its_parent_and_where_it_was_spawned() {
    #[track_caller]
    fn on_behalf(tasks: &Tasks) -> (asyncio_task::Task<()>, &'static Location<'static>) {
        (tasks.spawn(async {}), Location::caller())
    }
    entered(|tasks, _| {
        let (task, here) = on_behalf(tasks);
        assert_eq!(task.as_ref().info().location, here);
        assert_eq!(task.as_ref().info().parent, None);
        let main = tasks.spawn(async {
            let child = spawn(async { current_task().unwrap().info() });
            let line = line!() - 1;
            let info = child.await.unwrap();
            assert_eq!(
                (info.location.file(), info.location.line()),
                (file!(), line)
            );
            info.parent
        });
        let id = main.id();
        settle(tasks);
        let parent = futures::FutureExt::now_or_never(main).unwrap().unwrap();
        assert_eq!(parent, Some(id));
    });
}

#[test]
fn a_callback_is_nobodys_parent_and_not_in_the_list() {
    entered(|tasks, trace| {
        let remote = tasks.remote();
        let call = || {
            assert!(current_task().is_none());
            let task = spawn(yield_now());
            assert_eq!(task.as_ref().info().parent, None);
            task.detach();
        };
        remote.call(call).unwrap();
        tasks.deliver();
        assert!(tasks.next_ready().unwrap().is_callback());
        assert!(all_tasks().is_empty());
        tasks.run_one();
        assert_eq!(all_tasks().len(), 1);
        settle(tasks);
        assert!(trace.take().is_empty());
    });
}

#[test]
fn the_current_task_is_the_one_whose_step_is_under_way() {
    assert!(current_task().is_none());
    entered(|tasks, _| {
        assert!(current_task().is_none());
        let weak = std::rc::Rc::downgrade(tasks);
        let outer = tasks.spawn_with(SpawnOptions::new().name("outer"), async move {
            let tasks = weak.upgrade().unwrap();
            let inner = tasks.spawn_with(SpawnOptions::new().name("inner"), async {
                assert_eq!(current_task().unwrap().name(), "inner");
            });
            settle(&tasks); // a loop within a step
            assert!(inner.is_finished());
            assert_eq!(current_task().unwrap().name(), "outer");
            yield_now().await;
            assert_eq!(current_task().unwrap().name(), "outer");
        });
        settle(tasks);
        assert!(outer.is_finished());
        assert!(current_task().is_none());
    });
}

#[test]
fn all_tasks_are_those_that_have_not_ended_oldest_first() {
    assert!(all_tasks().is_empty());
    entered(|tasks, _| {
        let names = || -> Vec<String> {
            all_tasks()
                .iter()
                .map(|task| task.name().to_string())
                .collect()
        };
        let mut handles: Vec<_> = (0..3)
            .map(|_| tasks.spawn(std::future::pending::<()>()))
            .collect();
        assert_eq!(names(), ["Task-1", "Task-2", "Task-3"]);
        drop(handles.remove(0));
        assert_eq!(names().len(), 3, "until its next step");
        settle(tasks);
        assert_eq!(names(), ["Task-2", "Task-3"]);
        handles.push(tasks.spawn(std::future::pending::<()>()));
        assert_eq!(
            names(),
            ["Task-2", "Task-3", "Task-4"],
            "whatever place it has"
        );
        assert_eq!((tasks.len(), tasks.is_empty()), (3, false));
    });
}

#[test]
fn task_references_are_equal_if_they_are_of_one_task() {
    entered(|tasks, _| {
        let (one, other) = (tasks.spawn(async {}), tasks.spawn(async {}));
        assert_eq!(one.as_ref(), one.as_ref());
        assert_ne!(one.as_ref(), other.as_ref());
        assert_eq!(one.as_ref().clone(), one.as_ref());
    });
}

// Proves T1.
#[test]
fn the_driver_is_found_by_its_type_while_the_tasks_are_entered() {
    struct Loop(u32);
    let tasks = Tasks::new(|| ());
    let own = |n| with_driver(|found: Option<&Loop>| assert_eq!(found.map(|l| l.0), n));
    own(None);
    tasks.enter(&Loop(1), || {
        own(Some(1));
        with_driver(|found: Option<&String>| assert!(found.is_none()));
        assert!(tasks.is_entered());
        let inner = Tasks::new(|| ());
        inner.enter(&Loop(2), || {
            own(Some(2));
            assert!(!tasks.is_entered());
        });
        own(Some(1));
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            inner.enter(&Loop(3), || panic!("on purpose"))
        }));
        assert!(unwound.is_err());
        own(Some(1));
    });
    own(None);
}

#[test]
fn everything_can_be_printed() {
    entered(|tasks, _| {
        let task = tasks.spawn_with(SpawnOptions::new().name("fetch"), async {});
        let look = task.as_ref();
        let all = format!(
            "{task:?} {look:?} {tasks:?} {:?} {:?}",
            tasks.remote(),
            SpawnOptions::new()
        );
        assert!(
            all.starts_with(r#"Task(fetch (Ready)) TaskRef(fetch (Ready)) Tasks { len: 1"#),
            "{all}"
        );
        settle(tasks);
        assert_eq!(format!("{task:?}"), "Task(fetch (Finished))");
    });
}
