//! The behaviour that `test_timeouts.py` observes.

/// `asyncio.timeout`.
mod timeout_tests {
    use std::cell::RefCell;
    use std::time::{Duration, Instant};

    use asyncio::{
        EventLoop, RescheduleError, TimedOut, TimeoutHandle, catch_cancel, on_cancel, sleep, spawn,
        time, timeout, timeout_at, timeout_scope, wait_for, yield_now,
    };
    use asyncio_tests::{forever, ms, panic_of, run_virtual, secs};

    /// Runs `work` until `when`, and gives the handle as well.
    async fn limited<T>(
        when: Option<Instant>,
        work: impl AsyncFnOnce(TimeoutHandle) -> T,
    ) -> (Result<T, TimedOut>, TimeoutHandle) {
        let kept = RefCell::new(None);
        let outcome = timeout_scope(when, async |limit: TimeoutHandle| {
            kept.replace(Some(limit.clone()));
            work(limit).await
        });
        let outcome = outcome.await;
        (outcome, kept.take().expect("the work has begun"))
    }

    /// A short limit interrupts a long sleep, and says that it expired.
    #[test]
    fn timeout_basic() {
        run_virtual(async |_| {
            let start = time();
            assert_eq!(timeout(ms(10), sleep(secs(10))).await, Err(TimedOut));
            assert_eq!(time() - start, ms(10));
            let when = Some(time() + ms(10));
            let (outcome, limit) = limited(when, async |_| sleep(secs(10)).await).await;
            assert_eq!(outcome, Err(TimedOut));
            assert!(limit.expired());
        });
    }

    /// The same until a time of the loop, which can be read back.
    #[test]
    fn timeout_at_basic() {
        run_virtual(async |_| {
            let deadline = time() + ms(10);
            let limited = timeout_at(deadline, sleep(secs(10)));
            assert_eq!(limited.when(), Some(deadline));
            assert_eq!(limited.await, Err(TimedOut));
            assert_eq!(time(), deadline);
        });
    }

    /// Of two nested limits that are due together the inner one sees a cancellation, and only the outer one
    /// reports; both say that they expired.
    #[test]
    fn nested_timeouts() {
        run_virtual(async |trace| {
            let when = Some(time() + ms(10));
            let inner_limit = RefCell::new(None);
            let (outcome, outer_limit) = limited(when, async |_| {
                let inner = timeout_scope(when, async |limit: TimeoutHandle| {
                    inner_limit.replace(Some(limit));
                    forever().await;
                });
                match catch_cancel(inner).await {
                    Ok(outcome) => trace.note(format!("the inner one says {outcome:?}")),
                    Err(request) => {
                        trace.note("cancelled");
                        request.resume().await
                    }
                }
            })
            .await;
            assert_eq!(outcome, Err(TimedOut));
            assert_eq!(trace.take(), ["cancelled"]);
            assert!(outer_limit.expired());
            assert!(inner_limit.take().unwrap().expired());
        });
    }

    /// The code under the limit sees a cancellation, can clean up, and lets it go on.
    #[test]
    fn waiter_cancelled() {
        run_virtual(async |trace| {
            let work = on_cancel(forever(), async {
                sleep(ms(5)).await;
                trace.note("cleaned up");
            });
            assert_eq!(timeout(ms(10), work).await, Err(TimedOut));
            assert_eq!(trace.take(), ["cleaned up"]);
        });
    }

    /// No limit never expires.
    #[test]
    fn timeout_disabled() {
        run_virtual(async |_| {
            let done = wait_for(sleep(secs(1000)), None::<Duration>);
            assert_eq!(done.when(), None);
            assert_eq!(done.await, Ok(()));
        });
    }

    /// The same for a limit that could be moved.
    #[test]
    fn timeout_at_disabled() {
        run_virtual(async |_| {
            let (outcome, limit) = limited(None, async |_| sleep(secs(1000)).await).await;
            assert_eq!((outcome, limit.when()), (Ok(()), None));
            assert!(!limit.expired());
        });
    }

    /// A limit of zero interrupts even a wait of one tick.
    #[test]
    fn timeout_zero_sleep_zero() {
        run_virtual(async |_| {
            assert_eq!(timeout(Duration::ZERO, yield_now()).await, Err(TimedOut));
            let (outcome, limit) = limited(Some(time()), async |_| yield_now().await).await;
            assert_eq!(outcome, Err(TimedOut));
            assert!(limit.expired());
        });
    }

    /// A limit in the past is like one of zero.
    #[test]
    fn timeout_in_the_past_sleep_zero() {
        run_virtual(async |_| {
            let past = time();
            sleep(secs(11)).await;
            assert_eq!(timeout_at(past, yield_now()).await, Err(TimedOut));
            let (outcome, limit) = limited(Some(past), async |_| yield_now().await).await;
            assert_eq!(outcome, Err(TimedOut));
            assert!(limit.expired());
        });
    }

    /// If what was interrupted fails while it is being ended, that is what comes out.
    #[test]
    fn foreign_exception_on_timeout() {
        run_virtual(async |_| {
            let crash = async {
                match catch_cancel(sleep(secs(1))).await {
                    Ok(()) => Ok(()),
                    Err(_request) => Err("its own error"),
                }
            };
            assert_eq!(timeout(ms(1), crash).await, Ok(Err("its own error")));
        });
    }

    /// A limit that was handled leaves its task as it was.
    #[test]
    fn outer_task_is_not_cancelled() {
        run_virtual(async |_| {
            let task = spawn(async {
                assert_eq!(timeout(ms(1), forever()).await, Err(TimedOut));
                sleep(ms(1)).await;
                "done"
            });
            assert_eq!(task.await.unwrap(), "done");
        });
    }

    /// The deadline of an outer, shorter limit passes while the work inside of an inner, longer one blocks the
    /// thread: the inner one lets the cancellation pass, and the outer one reports.
    #[test]
    fn nested_timeouts_concurrent() {
        let mut event_loop = EventLoop::new().unwrap();
        let outcome = event_loop.run_until_complete(async {
            timeout(ms(1), async {
                let inner = timeout(secs(100), async {
                    std::thread::sleep(ms(5));
                    forever().await;
                });
                inner.await.expect("it is the outer limit's time")
            })
            .await
        });
        assert_eq!(outcome.unwrap(), Err(TimedOut));
    }

    /// The debug text of a limit that runs says so, and until when.
    #[test]
    fn repr_active() {
        run_virtual(async |_| {
            let when = time() + secs(10);
            let (text, _) = limited(Some(when), async |limit| format!("{limit:?}")).await;
            let text = text.unwrap();
            assert!(text.contains("\"active\""), "{text}");
            assert!(text.contains(&format!("{when:?}")), "{text}");
        });
    }

    /// The debug text of a limit that expired says so.
    #[test]
    fn repr_expired() {
        run_virtual(async |_| {
            let (_, limit) = limited(Some(time() + ms(1)), async |_| forever().await).await;
            let text = format!("{limit:?}");
            assert!(text.contains("\"expired\""), "{text}");
        });
    }

    /// The debug text of a limit whose work is done says so.
    #[test]
    fn repr_finished() {
        run_virtual(async |_| {
            let (_, limit) = limited(Some(time() + ms(1)), async |_| ()).await;
            let text = format!("{limit:?}");
            assert!(text.contains("\"finished\""), "{text}");
        });
    }

    /// The debug text of no limit says so.
    #[test]
    fn repr_disabled() {
        run_virtual(async |_| {
            let (text, _) = limited(None, async |limit| format!("{limit:?}")).await;
            let text = text.unwrap();
            assert!(text.contains("when: None"), "{text}");
        });
    }

    /// A task that was cancelled and swallowed it can use limits all the same.
    #[test]
    fn timeout_after_cancellation() {
        run_virtual(async |_| {
            let task = spawn(async {
                let Err(request) = catch_cancel(forever()).await else {
                    unreachable!("it never ends by itself")
                };
                request.swallow();
                timeout(ms(1), forever()).await
            });
            sleep(ms(1)).await;
            task.cancel();
            assert_eq!(task.await.unwrap(), Err(TimedOut));
        });
    }

    /// A limit whose work is done cannot be moved.
    #[test]
    fn timeout_finished() {
        run_virtual(async |_| {
            let (_, limit) = limited(Some(time() + secs(1)), async |_| ()).await;
            assert_eq!(limit.reschedule(None), Err(RescheduleError::Finished));
        });
    }

    /// A limit that expired cannot be moved.
    #[test]
    fn timeout_expired() {
        run_virtual(async |_| {
            let (_, limit) = limited(Some(time() + ms(1)), async |_| forever().await).await;
            assert_eq!(limit.reschedule(None), Err(RescheduleError::Expired));
        });
    }

    /// Neither can one that is just ending its work.
    #[test]
    fn timeout_expiring() {
        run_virtual(async |trace| {
            let (outcome, _) = limited(Some(time() + ms(1)), async |limit: TimeoutHandle| {
                let cleanup = async {
                    assert_eq!(limit.reschedule(None), Err(RescheduleError::Expired));
                    trace.note(format!("{limit:?}").contains("\"expiring\"").to_string());
                };
                on_cancel(forever(), cleanup).await;
            })
            .await;
            assert_eq!(outcome, Err(TimedOut));
            assert_eq!(trace.take(), ["true"]);
        });
    }

    /// Outside of any task a limit is an error.
    #[test]
    fn timeout_without_task() {
        let refused = panic_of(|| timeout(ms(1), forever()));
        assert!(
            refused.starts_with("no event loop runs on this thread"),
            "{refused}"
        );
    }
}
