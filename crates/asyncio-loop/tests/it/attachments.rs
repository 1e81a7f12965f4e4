//! Attachments of a loop: one of each type, closed after the loop.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::support::{Trace, forever};
use asyncio_loop::{
    Attachment, EventLoop, LoopHandle, attached, run, running_loop, spawn, yield_now,
};

/// An attachment that logs its close.
#[derive(Default)]
struct LogsClose {
    trace: RefCell<Trace>,
    home: RefCell<Option<LoopHandle>>,
}

impl LogsClose {
    /// Returns the running loop's attachment, which logs into `trace`.
    fn of_running_loop(trace: &Trace) -> Rc<Self> {
        let kept = attached::<Self>().unwrap();
        kept.trace.replace(trace.clone());
        kept.home.replace(Some(running_loop()));
        kept
    }
}

impl Attachment for LogsClose {
    fn close(&self, patience: Duration) {
        let home = self.home.take().expect("closed once");
        let refused = home.call_soon_threadsafe(|| ()).is_err();
        let may_block = !patience.is_zero();
        let note = format!("closed, may block: {may_block}, handles refuse: {refused}");
        self.trace.borrow().note(note);
    }
}

#[test]
fn a_loop_has_one_of_each_type() {
    #[derive(Default)]
    struct Other(Cell<u32>);
    impl Attachment for Other {
        fn close(&self, _: Duration) {}
    }
    let count = || attached::<Other>().unwrap().0.clone();
    run(async {
        LogsClose::of_running_loop(&Trace::default());
        attached::<Other>().unwrap().0.set(1);
        assert_eq!(count().get(), 1);
    });
    run(async { assert_eq!(count().get(), 0, "another loop has its own attachment") });
}

#[test]
fn without_a_loop_there_is_no_attachment() {
    assert!(attached::<LogsClose>().is_err());
}

#[test]
fn attachments_close_after_tasks_and_handles() {
    let trace = Trace::default();
    run(async {
        LogsClose::of_running_loop(&trace);
        let guard = trace.on_drop("the task ends");
        spawn(async move {
            forever().await;
            drop(guard);
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(
        trace.take(),
        [
            "the task ends",
            "closed, may block: true, handles refuse: true"
        ]
    );
}

#[test]
fn an_attachment_made_by_the_last_destructor_is_closed() {
    struct Attaches(Trace);
    impl Drop for Attaches {
        fn drop(&mut self) {
            LogsClose::of_running_loop(&self.0);
        }
    }
    let trace = Trace::default();
    let event_loop = EventLoop::new().unwrap();
    let attaches = Attaches(trace.clone());
    event_loop.call_soon(move || drop(attaches));
    drop(event_loop);
    assert_eq!(
        trace.take(),
        ["closed, may block: true, handles refuse: true"]
    );
}

#[test]
fn an_attachment_of_a_nested_loop_may_not_block() {
    let trace = Trace::default();
    let mut inner = EventLoop::new().unwrap();
    inner
        .run_until_complete(async {
            LogsClose::of_running_loop(&trace);
        })
        .unwrap();
    run(async { drop(inner) });
    assert_eq!(
        trace.take(),
        ["closed, may block: false, handles refuse: true"]
    );
}

#[test]
fn a_panic_keeps_no_other_attachment_open() {
    #[derive(Default)]
    struct Panics;
    impl Attachment for Panics {
        fn close(&self, _: Duration) {
            panic!("this panic is part of the test");
        }
    }
    let trace = Trace::default();
    run(async {
        attached::<Panics>().unwrap();
        LogsClose::of_running_loop(&trace);
    });
    assert_eq!(
        trace.take(),
        ["closed, may block: true, handles refuse: true"]
    );
}
