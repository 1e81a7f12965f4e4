//! The behaviour that `test_taskgroups.py` observes.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

/// `asyncio.TaskGroup`.
mod task_group_tests {
    use std::cell::{Cell, RefCell};
    use std::pin::Pin;

    use asyncio::{
        Child, Context, ContextVar, ErrorGroup, SpawnOptions, TaskGroup, catch_cancel,
        current_task, on_cancel, sleep, spawn, task_group, time, yield_now,
    };
    use asyncio_tests::{forever, ms, panic_of, run_virtual, secs};

    /// The error of the children here.
    type Error = &'static str;
    type Group<'env> = TaskGroup<'env, Error>;

    fn errors(group: ErrorGroup<Error>) -> Vec<Error> {
        group.into_iter().collect()
    }

    /// Waits; when it is cancelled, cleans up for so long and fails.
    async fn fails_in_cleanup(after: u64, error: Error) -> Result<(), Error> {
        let Err(_request) = catch_cancel(forever()).await else {
            unreachable!("it never ends by itself")
        };
        sleep(ms(after)).await;
        Err(error)
    }

    async fn fails_after(after: u64, error: Error) -> Result<(), Error> {
        sleep(ms(after)).await;
        Err(error)
    }

    /// The end of a group waits for its two children, whose results can be read afterwards.
    #[test]
    fn taskgroup_01() {
        run_virtual(async |_| {
            let (a, b) = task_group(async |tg: Group| {
                let a = tg.spawn(async {
                    sleep(ms(10)).await;
                    Ok(42)
                });
                let b = tg.spawn(async {
                    sleep(ms(20)).await;
                    Ok(11)
                });
                Ok((a, b))
            })
            .await
            .unwrap();
            assert!(a.is_finished() && b.is_finished());
            assert_eq!((a.await.unwrap(), b.await.unwrap()), (42, 11));
        });
    }

    /// Cancelling one child neither fails the group nor disturbs its sibling.
    #[test]
    fn taskgroup_03() {
        run_virtual(async |_| {
            let (a, b) = task_group(async |tg: Group| {
                let a: Child<'_, ()> = tg.spawn(async {
                    forever().await;
                    Ok(())
                });
                let b = tg.spawn(async {
                    sleep(ms(20)).await;
                    Ok(11)
                });
                sleep(ms(10)).await;
                assert!(a.cancel());
                Ok((a, b))
            })
            .await
            .unwrap();
            assert!(a.await.unwrap_err().is_cancelled());
            assert_eq!(b.await.unwrap(), 11);
        });
    }

    /// A child that fails cancels its sibling; what follows the group is not run, and one error comes out.
    #[test]
    fn taskgroup_04() {
        run_virtual(async |trace| {
            let start = time();
            let work = async {
                task_group(async |tg: Group| {
                    tg.spawn(fails_after(10, "boom"));
                    tg.spawn(async {
                        let _note = trace.on_drop("the sibling ends");
                        sleep(secs(1)).await;
                        trace.note("the sibling returns");
                        Ok(())
                    });
                    Ok(())
                })
                .await?;
                trace.note("after the group");
                Ok(())
            };
            let outcome: Result<(), ErrorGroup<Error>> = work.await;
            assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
            assert_eq!(trace.take(), ["the sibling ends"]);
            assert_eq!(time() - start, ms(10));
        });
    }

    /// Cancelling the parent while the group waits cancels all children, and the parent ends cancelled.
    #[test]
    fn cancellation() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                task_group(async |tg: Group| {
                    for _ in 0..3 {
                        tg.spawn(async {
                            let _note = noted.on_drop("a child ends");
                            sleep(secs(10)).await;
                            Ok(())
                        });
                    }
                    Ok(())
                })
                .await
            });
            sleep(ms(10)).await;
            parent.cancel();
            assert!(parent.await.unwrap_err().is_cancelled());
            assert_eq!(trace.take(), ["a child ends"; 3]);
        });
    }

    /// Cancelling the parent while it is in the body: the body sees it, all children are cancelled, and it goes
    /// on as a plain cancellation.
    #[test]
    fn taskgroup_07() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                task_group(async |tg: Group| {
                    for _ in 0..2 {
                        tg.spawn(async {
                            let _note = noted.on_drop("a child ends");
                            forever().await;
                            Ok(())
                        });
                    }
                    on_cancel(forever(), async { noted.note("the body sees it") }).await;
                    Ok(())
                })
                .await
            });
            sleep(ms(10)).await;
            parent.cancel();
            assert!(parent.await.unwrap_err().is_cancelled());
            let mut seen = trace.take();
            seen.sort();
            assert_eq!(seen, ["a child ends", "a child ends", "the body sees it"]);
        });
    }

    /// The parent is cancelled, but children fail in their cleanups: their errors win. The request takes the
    /// next await.
    #[test]
    fn taskgroup_08() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                let outcome = task_group(async |tg: Group| {
                    tg.spawn(fails_in_cleanup(2, "second"));
                    tg.spawn(fails_in_cleanup(1, "first"));
                    forever().await;
                    Ok(())
                })
                .await;
                noted.note(format!("{:?}", errors(outcome.unwrap_err())));
                sleep(ms(1)).await;
                noted.note("it went on");
            });
            sleep(ms(10)).await;
            parent.cancel();
            assert!(parent.await.unwrap_err().is_cancelled());
            assert_eq!(trace.take(), ["[\"first\", \"second\"]"]);
        });
    }

    /// An error of the body, after an await, cancels the children and is in the group's errors.
    #[test]
    fn taskgroup_09() {
        run_virtual(async |trace| {
            let outcome = task_group(async |tg: Group| {
                tg.spawn(async {
                    let _note = trace.on_drop("a child ends");
                    forever().await;
                    Ok(())
                });
                sleep(ms(1)).await;
                Err::<(), _>("the body")
            });
            assert_eq!(errors(outcome.await.unwrap_err()), ["the body"]);
            assert_eq!(trace.take(), ["a child ends"]);
        });
    }

    /// Nested groups, the outer one cancelled; children of the inner one fail in their cleanups: the inner
    /// errors are an error of the outer group.
    #[test]
    fn taskgroup_11() {
        run_virtual(async |_| {
            let parent = spawn(async {
                task_group(async |outer: TaskGroup| {
                    outer.spawn(async {
                        forever().await;
                        Ok(())
                    });
                    task_group(async |inner: TaskGroup| {
                        for _ in 0..2 {
                            inner.spawn(async { Ok(fails_in_cleanup(1, "inner").await?) });
                        }
                        forever().await;
                        Ok(())
                    })
                    .await?;
                    Ok(())
                })
                .await
            });
            sleep(ms(10)).await;
            parent.cancel();
            let outer = parent.await.unwrap().unwrap_err();
            let [inner] = outer.errors() else {
                panic!("one error, not {outer}")
            };
            let inner: &ErrorGroup = inner.downcast_ref().unwrap();
            let texts: Vec<_> = inner.errors().iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["inner", "inner"]);
        });
    }

    /// A child of the inner group fails: the inner errors are an error of the outer group, whose child is
    /// cancelled.
    #[test]
    fn taskgroup_14() {
        run_virtual(async |trace| {
            let outcome = task_group(async |outer: TaskGroup| {
                outer.spawn(async {
                    let _note = trace.on_drop("the outer child ends");
                    forever().await;
                    Ok(())
                });
                task_group(async |inner: TaskGroup| {
                    inner.spawn(async { Ok(fails_after(10, "inner").await?) });
                    Ok(())
                })
                .await?;
                Ok(())
            })
            .await;
            let text = outcome.unwrap_err().to_string();
            assert_eq!(text, "1 task failed\n└─ 1 task failed\n   └─ inner");
            assert_eq!(trace.take(), ["the outer child ends"]);
        });
    }

    /// The parent is cancelled from outside, and a child fails while the body still handles that: the child's
    /// error wins.
    #[test]
    fn taskgroup_15() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                task_group(async |tg: Group| {
                    tg.spawn(fails_in_cleanup(10, "boom"));
                    on_cancel(forever(), async {
                        noted.note("the body cleans up");
                        sleep(ms(50)).await;
                    })
                    .await;
                    Ok(())
                })
                .await
            });
            sleep(ms(10)).await;
            parent.cancel();
            let outcome = parent.await.unwrap();
            assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
            assert_eq!(trace.take(), ["the body cleans up"]);
        });
    }

    /// The same with the group in a task of its own, which the cancelled one awaits.
    #[test]
    fn taskgroup_16() {
        run_virtual(async |_| {
            let parent = spawn(async {
                let inner = spawn(async {
                    task_group(async |tg: Group| {
                        tg.spawn(fails_in_cleanup(10, "boom"));
                        on_cancel(forever(), sleep(ms(50))).await;
                        Ok(())
                    })
                    .await
                });
                inner.await.unwrap()
            });
            sleep(ms(10)).await;
            parent.cancel();
            let outcome = parent.await.unwrap();
            assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
        });
    }

    /// A child fails, the body is cancelled and fails in its cleanup: both errors come out, the body's last.
    #[test]
    fn taskgroup_19() {
        run_virtual(async |_| {
            let outcome = task_group(async |tg: Group| {
                tg.spawn(fails_after(10, "the child"));
                fails_in_cleanup(1, "the body").await
            });
            assert_eq!(
                errors(outcome.await.unwrap_err()),
                ["the child", "the body"]
            );
        });
    }

    /// Children that have ended are forgotten while the group goes on.
    #[test]
    fn taskgroup_23() {
        run_virtual(async |_| {
            task_group(async |tg: Group| {
                for _ in 0..100 {
                    tg.spawn(async { Ok(()) });
                    yield_now().await;
                    yield_now().await;
                    assert_eq!(tg.len(), 0);
                }
                Ok(())
            })
            .await
            .unwrap();
        });
    }

    /// A child may add children to its own group, also when the body has ended.
    #[test]
    fn taskgroup_24() {
        run_virtual(async |trace| {
            task_group(async |tg: Group| {
                let group = tg.clone();
                tg.spawn(async move {
                    sleep(ms(10)).await;
                    group.spawn(async {
                        sleep(ms(10)).await;
                        trace.note("the grandchild");
                        Ok(())
                    });
                    trace.note("the child");
                    Ok(())
                });
                trace.note("the body");
                Ok(())
            })
            .await
            .unwrap();
            trace.note("the group");
            let seen = trace.take();
            assert_eq!(
                seen,
                ["the body", "the child", "the grandchild", "the group"]
            );
        });
    }

    /// Children that multiply without end are all stopped when another one fails, with just that error.
    #[test]
    fn taskgroup_25() {
        fn multiply<'env>(
            tg: Group<'env>,
            born: &'env Cell<u32>,
        ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + 'env>> {
            Box::pin(async move {
                born.set(born.get() + 1);
                loop {
                    sleep(ms(50)).await;
                    let another = multiply(tg.clone(), born);
                    tg.spawn(another);
                }
            })
        }
        run_virtual(async |_| {
            let born = Cell::new(0);
            let outcome = task_group(async |tg: Group| {
                tg.spawn(fails_after(220, "boom"));
                tg.spawn(multiply(tg.clone(), &born));
                Ok(())
            })
            .await;
            assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
            let then = born.get();
            assert!(then > 10, "{then}");
            sleep(secs(1)).await;
            assert_eq!(born.get(), then);
        });
    }

    /// A child can be given a name.
    #[test]
    fn taskgroup_task_name() {
        run_virtual(async |_| {
            task_group(async |tg: Group| {
                let own = async { Ok(current_task().map(|task| task.name())) };
                let child = tg.spawn_with(SpawnOptions::new().name("yolo"), own);
                assert_eq!(child.name().unwrap(), "yolo");
                assert_eq!(child.await.unwrap().unwrap(), "yolo");
                Ok(())
            })
            .await
            .unwrap();
        });
    }

    /// Children can run in a given context, one after the other.
    #[test]
    fn taskgroup_task_context() {
        static NUMBER: ContextVar<u32> = ContextVar::new("number");
        run_virtual(async |_| {
            let context = Context::new();
            let options = || SpawnOptions::new().context(context.clone());
            task_group(async |tg: Group| {
                let step = || async {
                    let seen = NUMBER.get();
                    NUMBER.set(seen.unwrap_or(0) + 1);
                    Ok(seen)
                };
                assert_eq!(tg.spawn_with(options(), step()).await.unwrap(), None);
                assert_eq!(tg.spawn_with(options(), step()).await.unwrap(), Some(1));
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(context.run(|| NUMBER.get()), Some(2));
        });
    }

    /// While a group shuts down after a failure, it takes no more children.
    #[test]
    fn taskgroup_no_create_task_after_failure() {
        run_virtual(async |trace| {
            let outcome = task_group(async |tg: Group| {
                tg.spawn(fails_after(1, "boom"));
                let group = tg.clone();
                tg.spawn(async move {
                    let cleanup = async {
                        trace.note(group.try_spawn(async { Ok(()) }).unwrap_err().to_string());
                    };
                    on_cancel(forever(), cleanup).await;
                    Ok(())
                });
                Ok(())
            })
            .await;
            assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
            assert_eq!(trace.take(), ["the task group is ending or has ended"]);
        });
    }

    /// A child fails, and so does the body, in its cleanup: both errors, and nothing is left of the
    /// cancellation.
    #[test]
    fn taskgroup_context_manager_exit_raises() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                let outcome = task_group(async |tg: Group| {
                    tg.spawn(fails_after(1, "the child"));
                    fails_in_cleanup(0, "the body").await
                })
                .await;
                assert_eq!(errors(outcome.unwrap_err()), ["the child", "the body"]);
                assert_eq!(current_task().unwrap().cancelling(), 0);
                sleep(ms(1)).await;
                noted.note("it goes on");
            });
            parent.await.unwrap();
            assert_eq!(trace.take(), ["it goes on"]);
        });
    }

    /// Outside of any task a group is an error.
    #[test]
    fn taskgroup_without_parent_task() {
        let refused = panic_of(|| futures::executor::block_on(task_group(async |_: Group| Ok(()))));
        assert!(
            refused.starts_with("a task group is polled by a task"),
            "{refused}"
        );
    }

    /// Adding to a group that has ended is an error: what was to be added is dropped, and that is reported.
    #[test]
    fn coro_closed_when_tg_closed() {
        run_virtual(async |trace| {
            let kept = RefCell::new(None);
            task_group(async |tg: Group| {
                kept.replace(Some(tg));
                Ok(())
            })
            .await
            .unwrap();
            let tg = kept.take().unwrap();
            let note = trace.on_drop("dropped");
            let refused = tg.spawn(async move {
                drop(note);
                trace.note("it ran");
                Ok(())
            });
            let told = trace.take();
            assert_eq!((told.len(), &*told[0]), (2, "dropped"));
            assert!(told[1].starts_with("a child was spawned into a task group that has finished"));
            assert!(refused.await.unwrap_err().is_cancelled());
        });
    }

    /// When the errors of a group have been handled, nothing is left of the cancellation of its body.
    #[test]
    fn cancelling_level_preserved() {
        run_virtual(async |_| {
            let parent = spawn(async {
                let outcome = task_group(async |tg: Group| {
                    tg.spawn(async { Err::<(), _>("boom") });
                    forever().await;
                    Ok(())
                })
                .await;
                assert_eq!(errors(outcome.unwrap_err()), ["boom"]);
                assert_eq!(current_task().unwrap().cancelling(), 0);
                sleep(ms(1)).await;
                "not cancelled"
            });
            assert_eq!(parent.await.unwrap(), "not cancelled");
        });
    }

    /// Children of an inner and an outer group fail together. The inner errors are handled; the body of the
    /// outer group is still cancelled; its error comes out, and then nothing is left. The count of requests is
    /// 0 all the time: a group cancels a scope of its own, not its task.
    #[test]
    fn nested_groups_both_cancelled() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                let outcome = task_group(async |outer: Group| {
                    let outcome = task_group(async |inner: Group| {
                        inner.spawn(fails_after(10, "inner"));
                        outer.spawn(fails_after(10, "outer"));
                        forever().await;
                        Ok(())
                    })
                    .await;
                    noted.note(format!("{:?}", errors(outcome.unwrap_err())));
                    assert_eq!(current_task().unwrap().cancelling(), 0);
                    sleep(ms(1)).await;
                    noted.note("the body went on");
                    Ok(())
                })
                .await;
                noted.note(format!("{:?}", errors(outcome.unwrap_err())));
                assert_eq!(current_task().unwrap().cancelling(), 0);
                sleep(ms(1)).await;
                noted.note("the end");
            });
            parent.await.unwrap();
            assert_eq!(trace.take(), ["[\"inner\"]", "[\"outer\"]", "the end"]);
        });
    }

    /// A child fails and the parent is cancelled at once: the errors come out, and the request is not lost: it
    /// takes the next await. The count stays 1.
    #[test]
    fn error_and_cancel() {
        run_virtual(async |trace| {
            let noted = trace.clone();
            let parent = spawn(async move {
                let own = current_task().unwrap();
                let outcome = task_group(async |tg: Group| {
                    tg.spawn(async {
                        sleep(ms(10)).await;
                        own.cancel();
                        Err::<(), _>("boom")
                    });
                    forever().await;
                    Ok(())
                })
                .await;
                noted.note(format!("{:?}", errors(outcome.unwrap_err())));
                assert_eq!(own.cancelling(), 1);
                sleep(ms(1)).await;
                noted.note("it went on");
            });
            assert!(parent.await.unwrap_err().is_cancelled());
            assert_eq!(trace.take(), ["[\"boom\"]"]);
        });
    }
}
