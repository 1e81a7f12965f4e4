//! A loop that does nothing but run ready tasks.

use std::rc::Rc;

use asyncio_task::Tasks;

pub(crate) use asyncio_testkit::{
    CountingWaker, DropsOnOwnThread, Gate, OnDrop, PanicsOnDrop, Trace, message_of, my_waker,
    yield_now,
};

/// Tasks that run here while `f` does; what is reported goes into the trace.
pub(crate) fn entered<R>(f: impl FnOnce(&Rc<Tasks>, &Trace) -> R) -> R {
    let tasks = Rc::new(Tasks::new(|| ()));
    let trace = Trace::default();
    let reports = trace.clone();
    tasks.on_unhandled(move |unhandled| {
        let cause = match unhandled.cause() {
            asyncio_task::Cause::Panic(payload) => format!(": {payload}"),
            asyncio_task::Cause::Error(error) => format!(": {error}"),
            _ => String::new(),
        };
        let name = match unhandled.task() {
            Some(task) => format!(" ({})", task.name),
            None => String::new(),
        };
        reports.note(format!("report: {}{cause}{name}", unhandled.message()));
    });
    let result = tasks.enter(&(), || f(&tasks, &trace));
    let alone = Rc::into_inner(tasks);
    assert!(alone.is_some(), "no task may keep its own loop alive");
    result
}

/// Runs what is ready until nothing is.
pub(crate) fn settle(tasks: &Tasks) {
    for _ in 0..100_000 {
        if !tasks.run_one() {
            return;
        }
    }
    panic!("the tasks never come to rest");
}
