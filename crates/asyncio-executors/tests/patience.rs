//! Closing that waits says for whom; in a test it waits within limits.

use std::cell::RefCell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use asyncio_executors::{on_cancel, shield};
use asyncio_loop::testing::{Limits, Orders, run_test_within};
use asyncio_loop::{Builder, Cause, EventLoop, SpawnOptions, spawn_with, yield_now};
use futures::channel::mpsc::unbounded;
use futures::{FutureExt, StreamExt};

#[test]
fn it_says_for_whom_after_a_second_and_when_that_has_doubled() {
    for virtual_time in [false, true] {
        let (report, mut reports) = unbounded();
        let waits = Rc::new(RefCell::new(Vec::new()));
        let builder = EventLoop::builder().virtual_time(virtual_time);
        let mut event_loop = builder.build_loop().unwrap();
        let noted = waits.clone();
        event_loop.set_exception_handler(move |unhandled| {
            let Cause::Slow(waited) = *unhandled.cause() else {
                panic!("{unhandled}");
            };
            assert_eq!(
                unhandled.message(),
                "the closing event loop has been waiting for a task to end"
            );
            assert_eq!(unhandled.task().unwrap().name, "slow");
            noted.borrow_mut().push(waited);
            report.unbounded_send(()).unwrap();
        });
        event_loop
            .run_until_complete(async {
                // Its cleanup is over when it has been complained of twice.
                let cleanup = async move { drop((&mut reports).take(2).collect::<Vec<_>>().await) };
                let slow = on_cancel(pending::<()>(), cleanup);
                spawn_with(SpawnOptions::new().name("slow"), slow).detach();
                spawn_with(SpawnOptions::new().name("quick"), pending::<()>()).detach();
                yield_now().await;
            })
            .unwrap();
        event_loop.close();
        let waits = waits.take();
        assert_eq!(waits.len(), 2, "{waits:?}");
        assert!(waits[0] >= Duration::from_secs(1), "{waits:?}");
        assert!(waits[1] >= 2 * waits[0], "{waits:?}");
    }
}

#[test]
fn a_test_whose_closing_does_not_end_fails() {
    let short = Limits::DEFAULT.real(Some(Duration::from_millis(50)));
    for (virtual_time, limits, expected) in [
        (true, Limits::DEFAULT, "no task can run, no timer is set"),
        (false, short, "the test is not over after 50ms"),
    ] {
        let builder = || Builder::default().virtual_time(virtual_time);
        let run = || {
            run_test_within(limits, builder, Orders::AsQueued, || async {
                let stubborn = shield(pending::<()>()).boxed_local();
                spawn_with(SpawnOptions::new().name("stubborn"), stubborn).detach();
                yield_now().await;
            });
        };
        let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        let failure = payload.downcast::<String>().unwrap();
        assert!(failure.starts_with(expected), "{failure}");
        assert!(failure.contains("\n  stubborn (spawned at "), "{failure}");
        assert!(
            failure.contains("was asked to end and waits for something"),
            "{failure}"
        );
    }
}
