//! `shield`: asyncio's is `shield_task`, and `shield` is the one that is not cut.

use asyncio::{running_loop, shield, shield_task, sleep, spawn, yield_now};
use asyncio_tests::{forever, ms, panic_of, run_virtual};

/// A shield passes a result on.
#[test]
fn shield_result() {
    run_virtual(async |_| {
        let task = spawn(async {
            sleep(ms(1)).await;
            Ok::<_, ()>(42)
        });
        assert_eq!(shield_task(task).await.unwrap(), Ok(42));
        assert_eq!(shield(async { 42 }).await, 42);
    });
}

/// A shield passes an error on, and a panic.
#[test]
fn shield_exception() {
    run_virtual(async |_| {
        let fails = async { Err::<(), _>("failed") };
        assert_eq!(shield_task(spawn(fails)).await.unwrap(), Err("failed"));
        assert_eq!(
            shield(async { Err::<(), _>("failed") }).await,
            Err("failed")
        );
        let panics = shield_task(spawn(async { panic!("boom") }));
        assert!(panics.await.unwrap_err().is_panic());
    });
}

/// Cancelling what is inside cancels the shield.
#[test]
fn shield_cancel_inner() {
    run_virtual(async |_| {
        let inner = spawn(forever());
        let cancels = inner.as_ref();
        let outer = spawn(shield_task(inner));
        yield_now().await;
        cancels.cancel_with("inside");
        let error = outer.await.unwrap().unwrap_err();
        assert_eq!(error.message(), Some("inside"));
    });
}

/// The awaiting task is cancelled, and the shielded task completes later.
#[test]
fn shield_effect() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let inner = spawn(async move {
            sleep(ms(10)).await;
            noted.note("the inner one ends");
        });
        let running = inner.as_ref();
        let noted = trace.clone();
        let outer = spawn(async move {
            shield_task(inner).await.unwrap();
            noted.note("not reached");
        });
        yield_now().await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        trace.note("the outer one has ended");
        assert!(!running.is_finished());
        sleep(ms(10)).await;
        assert!(running.is_finished());
    });
    assert_eq!(seen, ["the outer one has ended", "the inner one ends"]);
}

/// Outside of a loop there is no task to shield; a shielded future only runs.
#[test]
fn shield_coroutine_without_loop() {
    let refused = panic_of(|| drop(shield_task(spawn(async {}))));
    assert!(refused.starts_with("no event loop runs on this thread"));
    assert_eq!(futures::executor::block_on(shield(async { 42 })), 42);
}

/// Shielded work runs on the running loop.
#[test]
fn shield_coroutine_use_running_loop() {
    run_virtual(async |_| {
        let here = running_loop();
        let on = shield(async { running_loop() }).await;
        assert!(on.is_same(&here));
        let same = here.clone();
        shield_task(spawn(async move { assert!(running_loop().is_same(&same)) }))
            .await
            .unwrap();
    });
}
