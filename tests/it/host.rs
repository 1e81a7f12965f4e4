//! A loop that a host turns: what its tasks may wait for while it runs and while it closes.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use asyncio::host::{Guest, Next};
use asyncio::sync::Event;
use asyncio::{
    JoinError, TaskGroup, catch_cancel, on_cancel, shield, sleep, spawn, task_group, timeout,
    to_thread, yield_now,
};
use asyncio_tests::{Trace, forever, ms, secs};

/// Turns a guest to its end. Calls `each` after each turn, and waits in short sleeps.
fn host<T: 'static>(mut guest: Guest<T>, mut each: impl FnMut(&Guest<T>)) -> Result<T, JoinError> {
    let end = Instant::now() + secs(60);
    loop {
        let next = match guest.turn(true, || false) {
            ControlFlow::Break(outcome) => return outcome,
            ControlFlow::Continue(next) => next,
        };
        each(&guest);
        assert!(Instant::now() < end, "the guest stands still: {guest:?}");
        if next != Next::Now {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn groups_limits_and_shields_work_in_a_guest() {
    let guest = Guest::new(async {
        let trace = Trace::default();
        let group = task_group(async |tg: TaskGroup<'_>| {
            tg.spawn(async {
                on_cancel(forever(), async {
                    sleep(ms(1)).await;
                    trace.note("the child has cleaned up");
                })
                .await;
                Ok(())
            });
            yield_now().await;
            Err::<(), _>("the body fails".into())
        });
        assert!(group.await.is_err());
        let slow = on_cancel(forever(), async { trace.note("the limit has passed") });
        assert!(timeout(ms(2), slow).await.is_err());
        let kept = shield(async {
            sleep(ms(3)).await;
            trace.note("the shield has held");
        });
        assert!(timeout(ms(1), kept).await.is_ok());
        trace.take()
    });
    assert_eq!(
        host(guest.unwrap(), |_| ()).unwrap(),
        [
            "the child has cleaned up",
            "the limit has passed",
            "the shield has held"
        ]
    );
}

/// Trap: a loop that closes in one call would wait for an event of its host, which does not run meanwhile.
#[test]
fn a_cleanup_may_wait_for_the_host_while_the_loop_closes() {
    let trace = Trace::default();
    let (asked, answer) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
    let (noted, asks, waits) = (trace.clone(), asked.clone(), answer.clone());
    let guest = Guest::new(async move {
        spawn(async move {
            let Err(cancelled) = catch_cancel(forever()).await else {
                return;
            };
            asks.set(1);
            waits.wait().await;
            noted.note("the host has answered");
            sleep(ms(2)).await;
            noted.note("cleaned up");
            cancelled.resume().await
        })
        .detach();
        yield_now().await;
        "the value of main"
    });
    let value = host(guest.unwrap(), |_| match asked.get() {
        0 => {}
        // The host takes its time.
        1..20 => asked.set(asked.get() + 1),
        _ => answer.set(),
    });
    assert_eq!(value.unwrap(), "the value of main");
    assert_eq!(trace.take(), ["the host has answered", "cleaned up"]);
}

#[test]
fn a_job_of_the_default_pool_does_not_block_the_host_while_the_loop_closes() {
    let (sender, receiver) = mpsc::channel();
    let guest = Guest::new(async move {
        drop(spawn(async move {
            to_thread(move || receiver.recv().unwrap()).await.unwrap();
        }));
        sleep(ms(1)).await;
        // The job has begun, so it cannot be cancelled.
        to_thread(|| ()).await.unwrap();
    });
    let turns = Cell::new(0);
    let outcome = host(guest.unwrap(), |guest| {
        turns.set(turns.get() + usize::from(guest.event_loop().is_closed()));
        if turns.get() == 3 {
            let _ = sender.send(());
        }
    });
    outcome.unwrap();
}

#[test]
fn a_request_of_the_host_reaches_the_cleanups_of_main() {
    let trace = Trace::default();
    let noted = trace.clone();
    let guest = Guest::<()>::new(async move {
        on_cancel(forever(), async move {
            sleep(ms(1)).await;
            noted.note("cleaned up");
        })
        .await;
    });
    let once = Cell::new(true);
    let outcome = host(guest.unwrap(), |guest| {
        if once.replace(false) {
            guest.main().cancel_with("the window was closed");
        }
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.message(), Some("the window was closed"));
    assert_eq!(trace.take(), ["cleaned up"]);
}

/// The tasks of a guest and its host share values without a lock.
#[test]
fn a_guest_shares_values_with_its_host() {
    let drawn = Rc::new(RefCell::new(Vec::new()));
    let (there, frames) = (drawn.clone(), Cell::new(0));
    let guest = Guest::new(async move {
        while there.borrow().len() < 5 {
            yield_now().await;
            there.borrow_mut().push("task");
        }
    });
    host(guest.unwrap(), |_| {
        frames.set(frames.get() + 1);
        drawn.borrow_mut().push("host");
    })
    .unwrap();
    assert!(drawn.borrow().starts_with(&["task"]));
    assert!(drawn.borrow().ends_with(&["host"]));
}
