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

/// Its text shows whether it is set, and how many wait.
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

/// Two wait, a third is spawned and has not run when the event is set: after one turn the third is
/// through first, for it finds the event set and was ready before the others were woken.
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

/// Waiting for an event that is set takes no turn.
#[test]
fn wait_on_set() {
    let of = TestLoop::new();
    let (event, trace) = (Rc::new(Event::new()), Trace::new());
    event.set();
    let task = waiter(&of, &event, &trace, 1);
    of.tick();
    assert!(task.done());
}

/// Cancelling one who waits ends it, and it is gone from the line.
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

/// Set and cleared at once, the event releases who waits already. Setting it again wakes nobody
/// twice, and the waiter is counted until it runs.
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
