//! The laws of structured concurrency, on random programs.
//!
//! A program is a tree of tasks, groups, limits, shields and cleanups, some of whose tasks are cancelled at
//! random moments, on virtual time, with ready tasks in random order. While it runs, this is watched:
//!
//! - no child outlives its group;
//! - a cleanup that a cancellation began runs to its end, unless something is asked once more; one on the
//!   normal path, unless something is asked at all; what a shield is around always does, unless it is dropped;
//! - no request is lost: what was asked to end has no value later than that, unless somebody swallowed the
//!   request or a shield held it up;
//! - work does not outlive its time limit, unless something holds it up; a limit that came due while a request was
//!   open ends the work when that has been answered;
//! - no more children of a group run at once than may;
//! - nobody is cancelled whom nobody asked, and nobody hears a message that was said to somebody else; whoever
//!   ends by the only request that there was has its message;
//! - a result that came before the request is had, unless a group around has been ended by one of its members, or a
//!   member of a group that ends awaits the task that has the result;
//! - a cleanup of `try_finally` after a panic is cut by nothing that was asked before it, and a request is not told
//!   again and again because its token has left the scope that it held;
//! - everything ends: tasks, scopes, timers and memory are what they were before;
//! - nothing panics, and nothing spins.
//!
//! All forms of a combinator do the same with the same members (`forms.rs`).
//!
//! `PROPTEST_CASES` says how many programs, 256 if it is not set; `ASYNCIO_HEAVY=1` is for 50,000. Each program that
//! broke a law once is a test of its own, in `broken.rs`.

mod allocator;
mod broken;
mod forms;
mod goods;
mod members;
mod place;
mod program;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{EventLoop, all_tasks, sleep, spawn, time};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use place::{Kind, Place, Watch};
use program::{Program, programs, run};

/// By then every program has ended: its times add up to less.
const LONG_ENOUGH: Duration = Duration::from_secs(2_000);

/// The laws that a program breaks.
fn broken_by(program: &Program) -> Vec<String> {
    let mut broken = once(program);
    // A thread may keep something for its next loop, once; what is left over each time has leaked.
    let again = || {
        let before = allocator::held();
        drop(once(program));
        allocator::held() - before
    };
    let left = (0..5).map(|_| again()).take_while(|&left| left > 0);
    if left.count() == 5 {
        broken.push("memory is left over".to_owned());
    }
    broken
}

/// Runs a program once.
fn once(program: &Program) -> Vec<String> {
    let mut builder = EventLoop::builder().virtual_time(true);
    if let Some(seed) = program.order {
        // Turns that end anywhere, as well.
        let budget = 1 + (seed % 7) as usize;
        builder = builder.order_seed(seed).task_budget(budget);
    }
    let mut event_loop = builder.build_loop().expect("a selector");
    let watch = Rc::new(Watch::default());
    let reports = watch.clone();
    event_loop.set_exception_handler(move |unhandled| {
        // A `select` may drop a `try_finally` that holds a panic back.
        let report = unhandled.to_string();
        if !report.contains(program::PANIC) {
            reports.broke(format!("the exception handler heard: {report}"));
        }
    });
    let main = event_loop.run_until_complete(watched(program, &watch));
    if let Err(error) = main {
        watch.broke(format!("the watcher itself ended by {error}"));
    }
    let shown = format!("{event_loop:?}");
    for nothing in ["tasks: 0,", "ready: 0,", "scopes: 0,"] {
        if !shown.contains(nothing) {
            watch.broke(format!("not `{nothing}` in the end: {shown}"));
        }
    }
    drop(event_loop);
    let broken = watch.broken.take();
    watch.tasks.take();
    if Rc::strong_count(&watch) > 1 {
        return [broken, vec!["a future was never dropped".to_owned()]].concat();
    }
    broken
}

/// Runs the tree as a task, cancels whom it says when it says, and waits until all is over.
async fn watched(program: &Program, watch: &Rc<Watch>) {
    let start = time();
    let place = Place::new(Kind::Task, None);
    let tree = run(program.root.clone(), place.clone(), watch.clone());
    let ended = Rc::new(Cell::new(start));
    let end = ended.clone();
    let root = spawn(async move {
        let result = tree.await;
        end.set(time());
        result
    });
    watch
        .tasks
        .borrow_mut()
        .push((root.as_ref(), place.clone()));
    let mut cancels = program.cancels.clone();
    cancels.sort_unstable();
    let mut asked = None;
    let only_request = cancels.len() == 1;
    for (second, n) in cancels {
        let due = start + Duration::from_secs(second);
        if due > time() {
            sleep(due - time()).await;
        }
        let (task, of) = {
            let tasks = watch.tasks.borrow();
            let (task, of) = &tasks[n % tasks.len()];
            (task.clone(), of.clone())
        };
        let message = watch.message();
        of.ask_with(&message);
        let is_root = task.id() == root.id();
        if task.cancel_with(message) && is_root {
            asked = asked.or(Some(time()));
        }
    }
    while !root.is_finished() && time() < start + LONG_ENOUGH {
        sleep(Duration::from_millis(500)).await;
    }
    if !root.is_finished() {
        watch.broke("it never ends");
        root.leave();
        return;
    }
    match root.await {
        Ok(_) => {
            let ended = ended.get();
            if asked.is_some_and(|asked| ended > asked && !place.may_end_at(ended, asked)) {
                watch.broke("a request to the root was lost");
            }
        }
        Err(error) if error.is_cancelled() => {
            if asked.is_none() {
                watch.broke("the root was cancelled, and nobody had asked");
            }
            match error.message() {
                Some(message) if !place.was_told(message) => {
                    watch.broke(format!(
                        "the root ended by {error}, which was said to others"
                    ));
                }
                // When a later one is swallowed, what an earlier one said may be forgotten.
                None if only_request => watch.broke("the root ended by nobody's message"),
                _ => {}
            }
        }
        Err(error) => watch.broke(format!("the root ended by {error}")),
    }
    // A task that is not awaited, because a `select` has dropped its handle, ends by itself.
    let mut patience = 0;
    while all_tasks().len() > 1 && patience < 2_000 {
        sleep(Duration::from_secs(1)).await;
        patience += 1;
    }
    if all_tasks().len() > 1 {
        watch.broke("a task never ends that nobody has a handle of");
    }
}

/// As many programs as are asked for. `heavy`: how many the heavy form has.
fn config(heavy: u32) -> Config {
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if std::env::var_os("ASYNCIO_HEAVY").is_some_and(|heavy| heavy == "1") {
        config.cases = heavy;
    }
    config
}

#[test]
fn the_laws_hold() {
    let mut runner = TestRunner::new(config(50_000));
    let result = runner.run(&programs(), |program| {
        let broken = broken_by(&program);
        prop_assert!(broken.is_empty(), "{broken:#?}");
        Ok::<(), TestCaseError>(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
