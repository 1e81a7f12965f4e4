//! Unread errors of promises reach the exception handler of the loop.

use std::cell::RefCell;

use asyncio::sync::{promise_or, set_unretrieved_hook};
use asyncio::{spawn, yield_now};
use asyncio_tests::{forever, run_virtual};

/// As asyncio's "Future exception was never retrieved", with the line that made the promise.
#[test]
fn the_handler_of_the_running_loop_is_told() {
    let reports = run_virtual(async |trace| {
        let (promise, answer) = promise_or::<(), &str>();
        promise.set_error("nobody asks").unwrap();
        trace.note("set");
        drop(answer);
        trace.note("dropped");

        let (promise, answer) = promise_or::<(), &str>();
        promise.set_error("somebody asks").unwrap();
        assert!(answer.await.is_err());
    });
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert_eq!(
        (reports[0].as_str(), reports[2].as_str()),
        ("set", "dropped")
    );
    let told = "the error of a promise was never retrieved: \"nobody asks\" (promised at ";
    assert!(reports[1].starts_with(told), "{}", reports[1]);
    assert!(reports[1].contains("unretrieved.rs:"), "{}", reports[1]);
}

/// An error that closing drops is reported as well.
#[test]
fn the_handler_is_told_while_the_loop_closes() {
    let reports = run_virtual(async |_| {
        let (promise, answer) = promise_or::<(), &str>();
        spawn(async move {
            let _answer = answer;
            forever().await;
        })
        .detach();
        yield_now().await;
        promise.set_error("too late").unwrap();
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("\"too late\""), "{}", reports[0]);
}

thread_local! {
    static MISSED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The hook that was set before has its place back when the loop has left.
#[test]
fn without_a_loop_the_hook_is_told() {
    let missed = || {
        let (promise, answer) = promise_or::<(), &str>();
        promise.set_error("nobody asks").unwrap();
        drop(answer);
    };
    let before = set_unretrieved_hook(|missed| {
        MISSED.with_borrow_mut(|all| all.push(format!("{:?}", missed.error())));
    });
    let reports = run_virtual(async |_| {
        missed();
    });
    assert_eq!((reports.len(), MISSED.take().len()), (1, 0));
    missed();
    assert_eq!(MISSED.take(), ["\"nobody asks\""]);
    set_unretrieved_hook(before);
}
