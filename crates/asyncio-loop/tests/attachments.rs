//! What crates above keep with a loop: one of each type, closed after the loop.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{
    Attachment, EventLoop, LoopHandle, attached, run, running_loop, spawn, yield_now,
};
use support::{Trace, forever};

/// Notes how it is closed.
#[derive(Default)]
struct Kept {
    trace: RefCell<Trace>,
    home: RefCell<Option<LoopHandle>>,
}

impl Kept {
    /// Has the one of the loop that runs here note into `trace`.
    fn here(trace: &Trace) -> Rc<Self> {
        let kept = attached::<Self>().unwrap();
        kept.trace.replace(trace.clone());
        kept.home.replace(Some(running_loop()));
        kept
    }
}

impl Attachment for Kept {
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
        Kept::here(&Trace::default());
        attached::<Other>().unwrap().0.set(1);
        assert_eq!(count().get(), 1);
    });
    run(async { assert_eq!(count().get(), 0, "that of another loop") });
}

#[test]
fn without_a_loop_there_is_none() {
    assert!(attached::<Kept>().is_err());
}

#[test]
fn they_are_closed_after_the_tasks_have_ended_and_the_handles_refuse() {
    let trace = Trace::default();
    run(async {
        Kept::here(&trace);
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
fn one_that_is_made_by_the_last_destructor_is_closed_too() {
    struct Attaches(Trace);
    impl Drop for Attaches {
        fn drop(&mut self) {
            Kept::here(&self.0);
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
fn one_of_a_loop_that_closes_inside_of_another_one_may_not_block() {
    let trace = Trace::default();
    let mut inner = EventLoop::new().unwrap();
    inner
        .run_until_complete(async {
            Kept::here(&trace);
        })
        .unwrap();
    run(async { drop(inner) });
    assert_eq!(
        trace.take(),
        ["closed, may block: false, handles refuse: true"]
    );
}

#[test]
fn a_panic_in_one_keeps_no_other_one_from_being_closed() {
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
        Kept::here(&trace);
    });
    assert_eq!(
        trace.take(),
        ["closed, may block: true, handles refuse: true"]
    );
}
