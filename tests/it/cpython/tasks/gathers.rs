//! `gather`: nothing that it began runs on when it returns.

/// The results of a gather, of coroutines and of tasks.
pub(super) mod gather_tests_base {
    use asyncio::{gather, sleep, spawn, try_gather};
    use asyncio_tests::{ms, run_virtual};

    async fn after(n: u64) -> u64 {
        sleep(ms(n)).await;
        n
    }

    async fn try_after(n: u64) -> Result<u64, &'static str> {
        match after(n).await {
            13 => Err("thirteen"),
            n => Ok(n),
        }
    }

    /// Results come in the order of the arguments, whatever the order of completion, and when all are there.
    #[test]
    fn success() {
        run_virtual(async |_| {
            let start = asyncio::time();
            assert_eq!(gather([after(3), after(1), after(2)]).await, [3, 1, 2]);
            assert_eq!(asyncio::time() - start, ms(3));
            let tasks = gather([3, 1, 2].map(|n| spawn(after(n)))).await;
            assert_eq!(tasks.map(Result::unwrap), [3, 1, 2]);
        });
    }

    /// The same where errors are values and nothing fails.
    #[test]
    fn result_exception_success() {
        run_virtual(async |_| {
            let outcomes = gather([try_after(3), try_after(1)]).await;
            assert_eq!(outcomes, [Ok(3), Ok(1)]);
            let outcomes = gather([3, 1].map(|n| spawn(try_after(n)))).await;
            assert_eq!(outcomes.map(Result::unwrap), [Ok(3), Ok(1)]);
            assert_eq!(try_gather([try_after(3), try_after(1)]).await, Ok([3, 1]));
        });
    }

    /// The first error completes it. Later outcomes are ignored, and nothing runs on: the others have been
    /// cancelled. Of tasks, what is cancelled is the wait, with the task; `shield_task` leaves it running.
    #[test]
    fn one_exception() {
        let seen = run_virtual(async |trace| {
            let start = asyncio::time();
            let slow = async {
                let _note = trace.on_drop("the slow one ends");
                try_after(100).await
            };
            let outcome = try_gather((try_after(1), try_after(13), slow)).await;
            assert_eq!(outcome, Err("thirteen"));
            assert_eq!(asyncio::time() - start, ms(13));
            trace.note("after the gather");
        });
        assert_eq!(seen, ["the slow one ends", "after the gather"]);
    }
}

/// A gather of what others may cancel.
mod future_gather_tests {
    use asyncio::{EventLoop, JoinError, gather, gather_iter, sleep, spawn, try_gather};
    use asyncio_tests::{forever, ms, panic_of, run_virtual};

    /// Outside of a loop an empty gather is an error as well.
    #[test]
    fn constructor_empty_sequence_without_loop() {
        let nothing = std::iter::empty::<std::future::Ready<()>>;
        let refused = panic_of(|| futures::executor::block_on(gather_iter(nothing())));
        assert!(refused.starts_with("a task group is polled by a task"));
        run_virtual(async |_| assert!(gather_iter(nothing()).await.is_empty()));
    }

    /// A task of another loop is refused, as its outcome.
    #[test]
    fn constructor_heterogenous_futures() {
        let other = EventLoop::new().unwrap();
        let task = other.spawn(async {});
        run_virtual(async move |_| {
            let [theirs, ours] = gather([task, spawn(async {})]).await;
            assert!(matches!(theirs, Err(JoinError::Elsewhere(_))));
            assert!(ours.is_ok());
        });
    }

    /// A child that was cancelled makes `try_gather` fail with that as its error. It is not itself cancelled,
    /// and the tasks that the others awaited are cancelled with it.
    #[test]
    fn one_cancellation() {
        run_virtual(async |_| {
            let cancelled = spawn(forever());
            let other = spawn(forever());
            let running = other.as_ref();
            let cancels = cancelled.as_ref();
            asyncio::call_later(ms(1), move || {
                cancels.cancel_with("just this one");
            });
            let error = try_gather([cancelled, other]).await.unwrap_err();
            assert_eq!(error.message(), Some("just this one"));
            assert!(running.is_finished());
            sleep(ms(1)).await; // nothing is open
        });
    }

    /// Where errors are values a cancelled child is one in the list, and its siblings are untouched.
    #[test]
    fn result_exception_one_cancellation() {
        run_virtual(async |_| {
            let cancelled = spawn(forever());
            cancelled.cancel();
            let other = spawn(sleep(ms(10)));
            let [first, second] = gather([cancelled, other]).await;
            assert!(first.unwrap_err().is_cancelled());
            second.unwrap();
        });
    }
}

/// A gather of coroutines.
mod coroutine_gather_tests {
    use asyncio::{gather, running_loop, sleep, spawn, try_gather, yield_now};
    use asyncio_tests::{forever, ms, run_virtual, secs};

    /// It uses the running loop.
    #[test]
    fn constructor_use_running_loop() {
        run_virtual(async |_| {
            let here = running_loop();
            let [on] = gather([async { running_loop() }]).await;
            assert!(on.is_same(&here));
        });
    }

    /// Cancelling the gathering task cancels every child. Cancelling it after its end returns `false`.
    #[test]
    fn cancellation_broadcast() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(async move {
                gather([0, 1].map(|_| {
                    let note = noted.on_drop("a child ends");
                    async move {
                        let _note = note;
                        forever().await;
                    }
                }))
                .await;
                noted.note("not reached");
            });
            yield_now().await;
            assert!(task.cancel());
            let reference = task.as_ref();
            assert!(task.await.unwrap_err().is_cancelled());
            assert!(!reference.cancel());
        });
        assert_eq!(seen, ["a child ends"; 2]);
    }

    /// A second child that fails after the gather has failed is not reported as an unread error.
    #[test]
    fn exception_marking() {
        let reports = run_virtual(async |_| {
            let fails = async |after| {
                sleep(ms(after)).await;
                Err::<(), _>("failed")
            };
            let in_its_cleanup = async {
                let _ = asyncio::catch_cancel(forever())
                    .await
                    .map_err(|c| c.swallow());
                Err::<(), _>("as well")
            };
            let outcome = try_gather((fails(1), fails(1), in_its_cleanup));
            assert_eq!(outcome.await, Err("failed"));
            sleep(secs(1)).await;
        });
        assert!(reports.is_empty(), "{reports:?}");
    }
}

/// `TaskTests` about gathers.
mod task_tests {
    use asyncio::{gather, on_cancel, sleep, spawn, yield_now};
    use asyncio_tests::{forever, ms, run_virtual};

    /// When the last child has its value, a request to the gathering task comes too late: the result stands, and the
    /// request cuts the next await.
    #[test]
    fn cancel_gather_1() {
        let seen = run_virtual(async |trace| {
            let (end, ends) = futures::channel::oneshot::channel();
            let noted = trace.clone();
            let task = spawn(async move {
                let outcomes = gather([async { ends.await.unwrap() }]).await;
                noted.note(format!("{outcomes:?}"));
                yield_now().await;
                noted.note("not reached");
            });
            sleep(ms(1)).await;
            end.send("a result").unwrap(); // a gather is over in the step in which its last child returns
            assert!(task.cancel());
            assert!(task.await.unwrap_err().is_cancelled());
        });
        assert_eq!(seen, ["[\"a result\"]"]);
    }

    /// Cancelling a task that is in a gather with errors as values does end it cancelled, with the message.
    #[test]
    fn cancel_gather_2() {
        let seen = run_virtual(async |trace| {
            let noted = trace.clone();
            let task = spawn(async move {
                let outcomes = gather([async {
                    on_cancel(forever(), async { noted.note("the child cleans up") }).await;
                    Ok::<_, ()>(())
                }]);
                noted.note(format!("{:?}", outcomes.await));
            });
            yield_now().await;
            yield_now().await;
            task.cancel_with("my message");
            assert_eq!(task.await.unwrap_err().message(), Some("my message"));
        });
        assert_eq!(seen, ["the child cleans up"]);
    }
}
