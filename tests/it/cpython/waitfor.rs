//! The behaviour that `test_waitfor.py` observes.

/// `asyncio.wait_for`.
mod async_io_wait_for_test {
    use std::time::Duration;

    use asyncio::{
        TimedOut, call_soon, catch_cancel, on_cancel, sleep, spawn, time, wait_for, yield_now,
    };
    use asyncio_tests::{forever, ms, run_virtual, secs};

    /// Waits, and when it is cancelled goes on for 100 ms and returns.
    async fn suppresses() -> &'static str {
        if let Err(request) = catch_cancel(forever()).await {
            request.swallow();
        }
        sleep(ms(100)).await;
        "suppressed"
    }

    /// A cancelled `wait_for` waits until an inner task that ignores the request has really ended.
    #[test]
    fn asyncio_wait_for_cancelled() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let inner = spawn(async move {
                suppresses().await;
                noted.note("the inner task ends");
            });
            let noted = trace.clone();
            let waiter = spawn(async move {
                let _note = noted.on_drop("the waiter ends");
                wait_for(inner, secs(10)).await
            });
            sleep(ms(10)).await;
            waiter.cancel();
            // Its value answers the request (rule 9).
            waiter.await.unwrap().unwrap().unwrap();
            assert_eq!(trace.take(), ["the inner task ends", "the waiter ends"]);
        });
    }

    /// No time at all is enough for a task that has ended.
    #[test]
    fn wait_for_timeout_less_then_0_or_0_future_done() {
        run_virtual(async |_| {
            let done = spawn(async { "done" });
            sleep(ms(1)).await;
            let start = time();
            assert_eq!(
                wait_for(done, Duration::ZERO).await.unwrap().unwrap(),
                "done"
            );
            assert_eq!(time(), start);
        });
    }

    /// With no time at all, a task that runs is cancelled and waited for.
    #[test]
    fn wait_for_timeout_less_then_0_or_0() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(async move {
                noted.note("begun");
                let _note = noted.on_drop("ended");
                sleep(ms(200)).await;
            });
            yield_now().await;
            let start = time();
            assert_eq!(wait_for(task, Duration::ZERO).await.err(), Some(TimedOut));
            assert_eq!(trace.take(), ["begun", "ended"]);
            assert_eq!(time(), start);
        });
    }

    /// When time is over the task is cancelled, and its cleanup has run before the error is seen.
    #[test]
    fn wait_for_() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(async move {
                let _note = noted.on_drop("cleaned up");
                forever().await;
            });
            let running = task.as_ref();
            assert_eq!(wait_for(task, ms(100)).await.err(), Some(TimedOut));
            assert!(running.is_finished());
            assert_eq!(trace.take(), ["cleaned up"]);
        });
    }

    /// A result that is set in the tick in which the wait begins is what comes back.
    #[test]
    fn wait_for_race_condition() {
        run_virtual(async |_| {
            let (set, result) = futures::channel::oneshot::channel();
            call_soon(move || set.send("done").unwrap());
            assert_eq!(wait_for(result, secs(1000)).await, Ok(Ok("done")));
        });
    }

    /// The work that the time limit cancelled returns a value all the same, and that value comes back.
    #[test]
    fn wait_for_cancellation_race_condition() {
        run_virtual(async |_| {
            let inner = async {
                match catch_cancel(forever()).await {
                    Ok(()) => "in time",
                    Err(request) => {
                        request.swallow();
                        "a value"
                    }
                }
            };
            assert_eq!(wait_for(inner, ms(1)).await, Ok("a value"));
        });
    }

    /// The error comes only when the slow cleanup of the task has ended.
    #[test]
    fn wait_for_waits_for_task_cancellation() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let start = time();
            let task = spawn(on_cancel(forever(), async move {
                sleep(ms(100)).await;
                noted.note("cleaned up");
            }));
            assert_eq!(wait_for(task, ms(10)).await.err(), Some(TimedOut));
            assert_eq!(time() - start, ms(110));
            assert_eq!(trace.take(), ["cleaned up"]);
        });
    }

    /// The same with no time at all for a task that runs.
    #[test]
    fn wait_for_waits_for_task_cancellation_w_timeout_0() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(on_cancel(forever(), async move {
                sleep(ms(100)).await;
                noted.note("cleaned up");
            }));
            yield_now().await;
            let start = time();
            assert_eq!(wait_for(task, Duration::ZERO).await.err(), Some(TimedOut));
            assert_eq!(time() - start, ms(100));
            assert_eq!(trace.take(), ["cleaned up"]);
        });
    }

    /// If the task fails while it is being cancelled, its error is what comes back.
    #[test]
    fn wait_for_reraises_exception_during_cancellation() {
        run_virtual(async |_| {
            let task = spawn(async {
                match catch_cancel(sleep(secs(10))).await {
                    Ok(()) => Ok(()),
                    Err(_request) => Err("its own error"),
                }
            });
            let outcome = wait_for(task, ms(1)).await;
            assert_eq!(outcome.unwrap().unwrap(), Err("its own error"));
        });
    }

    /// Cancelling a wait without a limit cancels the inner task as well.
    #[test]
    fn cancel_blocking_wait_for() {
        run_virtual(async |trace| {
            let inner = spawn(forever());
            let running = inner.as_ref();
            let waiter = spawn(wait_for(inner, None::<Duration>));
            sleep(ms(1)).await;
            waiter.cancel();
            assert!(waiter.await.unwrap_err().is_cancelled());
            assert!(running.is_finished());
            assert!(trace.take().is_empty());
        });
    }

    /// An inner task that suppresses the cancellation and returns has its value returned.
    #[test]
    fn wait_for_cancel_suppressed() {
        run_virtual(async |_| {
            let task = spawn(suppresses());
            assert_eq!(
                wait_for(task, ms(100)).await.unwrap().unwrap(),
                "suppressed"
            );
            let waiter = spawn(wait_for(spawn(suppresses()), secs(1)));
            sleep(ms(100)).await;
            waiter.cancel();
            assert_eq!(waiter.await.unwrap().unwrap().unwrap(), "suppressed");
        });
    }

    /// The inner task ends in the tick in which the outer one is cancelled, before or after: the request is not
    /// lost, and the outer one ends cancelled.
    #[test]
    fn wait_for_issue86296() {
        for ends_first in [false, true] {
            let seen = run_virtual(async move |trace| {
                let noted = trace.clone();
                let (end, inner) = futures::channel::oneshot::channel();
                let outer = spawn(async move {
                    if let Ok(value) = wait_for(inner, secs(1)).await {
                        noted.note(value.unwrap());
                    }
                    yield_now().await;
                    noted.note("past the next await");
                });
                sleep(ms(10)).await;
                if ends_first {
                    end.send("value").unwrap();
                    outer.cancel();
                } else {
                    outer.cancel();
                    end.send("value").unwrap();
                }
                assert!(outer.await.unwrap_err().is_cancelled());
            });
            // A value that was on its way wins, and the request takes the next await (rule 5).
            assert_eq!(seen, if ends_first { vec!["value"] } else { vec![] });
        }
    }
}

/// `wait_for` over `shield`.
mod wait_for_shield_tests {
    use std::time::Duration;

    use asyncio::{shield, shield_task, sleep, spawn, wait_for};
    use asyncio_tests::{ms, run_virtual};

    /// No limit over a shield gives the result.
    #[test]
    fn none_timeout() {
        run_virtual(async |_| {
            let work = || async {
                sleep(ms(100)).await;
                "done"
            };
            assert_eq!(wait_for(shield(work()), None::<Duration>).await, Ok("done"));
            let task = shield_task(spawn(async move {
                work().await;
            }));
            wait_for(task, None::<Duration>).await.unwrap().unwrap();
        });
    }
}
