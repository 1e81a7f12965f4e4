//! `EventTests`.

use std::rc::Rc;

use asyncio_sync::Event;

use crate::shared::{Task, TestLoop, Trace};

fn waiter(of: &TestLoop, event: &Rc<Event>, trace: &Trace, name: u32) -> Task<()> {
    let (event, trace) = (Rc::clone(event), trace.clone());
    of.spawn(async move {
        event.wait().await;
        trace.note(name);
    })
}

/// The `Debug` of an event shows whether it is set, and the number of waiters.
#[test]
fn repr() {
    let of = TestLoop::new();
    let event = Rc::new(Event::new());
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 0 }");
    waiter(&of, &event, &Trace::new(), 1);
    of.tick();
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 1 }");
    event.set();
    of.tick();
    assert_eq!(format!("{event:?}"), "Event { set: true, waiters: 0 }");
}

/// Two tasks wait, and a third is spawned and has not run when the event is set. After one turn the
/// third has continued first: it found the event set, and was ready before the others were woken.
#[test]
fn wait() {
    let of = TestLoop::new();
    let (event, trace) = (Rc::new(Event::new()), Trace::new());
    let _first = waiter(&of, &event, &trace, 1);
    let _second = waiter(&of, &event, &trace, 2);
    of.tick();
    assert_eq!(trace.take(), [""; 0]);

    let _third = waiter(&of, &event, &trace, 3);
    event.set();
    of.tick();
    assert_eq!(trace.take(), ["3", "1", "2"]);
}

/// Awaiting an event that is set does not wait.
#[test]
fn wait_on_set() {
    let of = TestLoop::new();
    let (event, trace) = (Rc::new(Event::new()), Trace::new());
    event.set();
    let task = waiter(&of, &event, &trace, 1);
    of.tick();
    assert!(task.done());
}

/// Cancelling a waiting task ends it and removes it from the wait list.
#[test]
fn wait_cancel() {
    let of = TestLoop::new();
    let (event, trace) = (Rc::new(Event::new()), Trace::new());
    let task = waiter(&of, &event, &trace, 1);
    of.tick();
    assert_eq!(event.waiters(), 1);
    task.cancel();
    assert_eq!(event.waiters(), 0);
    of.run();
    assert!(!task.done());
}

/// An event that is set and cleared at once releases the waiting tasks. Setting it again wakes no
/// task twice, and a waiter is counted until it runs.
#[test]
fn clear_with_waiters() {
    let of = TestLoop::new();
    let (event, trace) = (Rc::new(Event::new()), Trace::new());
    let _task = waiter(&of, &event, &trace, 1);
    of.tick();

    event.set();
    event.clear();
    assert!(!event.is_set());
    event.set();
    event.set();
    assert_eq!(event.waiters(), 1);
    event.clear();
    assert_eq!(event.waiters(), 1);

    assert_eq!(of.tick(), 1);
    assert_eq!(trace.take(), ["1"]);
    assert_eq!(event.waiters(), 0);
    assert_eq!(of.tick(), 0);
}
