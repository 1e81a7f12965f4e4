//! The messages of requests to cancel, and the number of open requests: `cancelling`.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{
    Cancelled, EventLoop, JoinError, SpawnOptions, Task, TaskGroup, cancel_scope, catch_cancel,
    current_task, on_cancel, shield, sleep, spawn, spawn_with, task_group, timeout, yield_now,
};
use asyncio_tests::{Trace, forever, ms, run_virtual, secs};

/// The message of the canceller of a task.
async fn said(task: Task<()>) -> Option<String> {
    task.await.unwrap_err().message().map(str::to_owned)
}

fn note(trace: &Trace, who: &str, cancelled: &Cancelled) {
    trace.note(format!("{who}: {}", cancelled.message().unwrap_or("-")));
}

/// Waits, notes what it is told, and sends it on.
async fn listens(trace: Trace, who: &'static str) {
    if let Err(cancelled) = catch_cancel(forever()).await {
        note(&trace, who, &cancelled);
        cancelled.resume().await
    }
}

#[test]
fn a_message_reaches_whoever_awaits_the_task() {
    run_virtual(async |_| {
        let waits = spawn(forever());
        yield_now().await;
        assert!(waits.cancel_with("because"));
        let error = waits.await.unwrap_err();
        assert_eq!(error.message(), Some("because"));
        assert_eq!(error.to_string(), "task Task-2 was cancelled: because");

        let never_began = spawn(forever());
        never_began.as_ref().cancel_with(String::from("no need"));
        assert_eq!(said(never_began).await.as_deref(), Some("no need"));

        let without = spawn(forever());
        without.cancel();
        assert_eq!(said(without).await, None);

        // Other data in the extra part is not in the way.
        let named = spawn_with(SpawnOptions::new().name("named"), forever());
        named.cancel_with("x");
        let text = named.await.unwrap_err().to_string();
        assert_eq!(text, "task named was cancelled: x");
    });
}

#[test]
fn a_message_is_in_every_token_on_the_way_out() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            let inner = listens(noted.clone(), "inner");
            if let Err(cancelled) = catch_cancel(timeout(secs(9), inner)).await {
                note(&noted, "outer", &cancelled);
                sleep(secs(1)).await;
                drop(cancelled);
            }
            sleep(secs(1)).await;
        });
        sleep(secs(1)).await;
        task.cancel_with("shutting down");
        assert_eq!(said(task).await.as_deref(), Some("shutting down"));
    });
    assert_eq!(seen, ["inner: shutting down", "outer: shutting down"]);
}

#[test]
fn of_requests_that_are_heard_as_one_the_last_message_counts() {
    for messages in [
        &[Some("one"), Some("two")][..],
        &[Some("two"), None],
        &[None, Some("two")],
    ] {
        let cancel = |task: &Task<()>| {
            for message in messages {
                match message {
                    Some(message) => task.cancel_with(*message),
                    None => task.cancel(),
                };
            }
            assert_eq!(task.cancelling(), 2);
        };
        let seen = run_virtual(async |trace| {
            let listening = spawn(listens(trace.clone(), "inside"));
            let deaf = spawn(forever());
            yield_now().await;
            let not_begun = spawn(forever());
            for task in [listening, deaf, not_begun] {
                cancel(&task);
                assert_eq!(said(task).await.as_deref(), Some("two"));
            }
        });
        assert_eq!(seen, ["inside: two"]);
    }
}

#[test]
fn a_message_goes_to_the_task_that_is_awaited_and_to_children() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            spawn(listens(noted.clone(), "the awaited one"))
                .await
                .unwrap();
        });
        sleep(secs(1)).await;
        task.cancel_with("stop");
        assert_eq!(said(task).await.as_deref(), Some("stop"));

        let noted = trace.clone();
        let task = spawn(async move {
            let group = task_group(async |tg: TaskGroup<'_>| {
                let child = tg.spawn(async {
                    listens(noted.clone(), "a child").await;
                    Ok(())
                });
                listens(noted.clone(), "the body").await;
                Ok(child.await?)
            });
            group.await.unwrap();
        });
        sleep(secs(1)).await;
        task.cancel_with("stop");
        assert_eq!(said(task).await.as_deref(), Some("stop"));

        // Through the handle of the child, and through its awaiter.
        task_group(async |tg: TaskGroup<'_>| {
            let child = tg.spawn(async {
                listens(trace.clone(), "one child").await;
                Ok(())
            });
            sleep(secs(1)).await;
            assert!(child.cancel_with("you alone"));
            assert_eq!(child.cancelling(), 1);
            assert_eq!(child.await.unwrap_err().message(), Some("you alone"));
            Ok(())
        })
        .await
        .unwrap();
    });
    assert_eq!(
        seen,
        [
            "the awaited one: stop",
            "the body: stop",
            "a child: stop",
            "one child: you alone"
        ]
    );
}

#[test]
fn a_message_is_forgotten_with_its_request() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            for _ in 0..2 {
                if let Err(cancelled) = catch_cancel(forever()).await {
                    note(&noted, "heard", &cancelled);
                    cancelled.swallow();
                }
            }
            forever().await;
        });
        sleep(secs(1)).await;
        task.cancel_with("first");
        sleep(secs(1)).await;
        task.cancel();
        sleep(secs(1)).await;
        task.cancel();
        assert_eq!(said(task).await, None);
    });
    assert_eq!(seen, ["heard: first", "heard: -"]);
}

#[test]
fn a_second_message_is_that_of_the_second_request() {
    /// Says what the first and the second request say, and sends one of them on.
    async fn two(trace: Trace, send_on_the_second: bool) {
        let Err(first) = catch_cancel(forever()).await else {
            unreachable!("it never ends by itself")
        };
        note(&trace, "first", &first);
        let Err(second) = catch_cancel(forever()).await else {
            unreachable!("it never ends by itself")
        };
        note(&trace, "second", &second);
        if send_on_the_second {
            second.resume().await
        }
        second.swallow();
        first.resume().await
    }
    for (send_on_the_second, outcome) in [(true, "no, now"), (false, "soon")] {
        let seen = run_virtual(async |trace| {
            let task = spawn(two(trace.clone(), send_on_the_second));
            sleep(secs(1)).await;
            task.cancel_with("soon");
            sleep(secs(1)).await;
            task.cancel_with("no, now");
            assert_eq!(said(task).await.as_deref(), Some(outcome));
        });
        assert_eq!(seen, ["first: soon", "second: no, now"]);
    }
}

#[test]
fn a_time_limit_in_a_cleanup_does_not_say_what_the_request_said() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let cleanup = async move {
            let limited = timeout(secs(1), listens(noted.clone(), "in the cleanup")).await;
            assert!(limited.is_err());
        };
        let task = spawn(on_cancel(forever(), cleanup));
        sleep(secs(1)).await;
        task.cancel_with("stop");
        assert_eq!(said(task).await.as_deref(), Some("stop"));
    });
    assert_eq!(seen, ["in the cleanup: -"]);
}

#[test]
fn a_message_to_a_scope_is_heard_inside_and_ends_with_it() {
    let seen = run_virtual(async |trace| {
        for before in [true, false] {
            let work = cancel_scope(async |scope| {
                if before {
                    scope.cancel_with("enough");
                } else {
                    let later = scope.clone();
                    asyncio::call_soon(move || later.cancel_with("enough"));
                }
                listens(trace.clone(), "inside").await;
            });
            assert_eq!(work.await, None);
        }
    });
    assert_eq!(seen, ["inside: enough", "inside: enough"]);
}

#[test]
fn a_message_to_oneself_and_one_that_a_shield_held_up() {
    let seen = run_virtual(async |trace| {
        let noted = trace.clone();
        let task = spawn(async move {
            current_task().unwrap().cancel_with("me");
            if let Err(cancelled) = catch_cancel(forever()).await {
                note(&noted, "myself", &cancelled);
                cancelled.swallow();
            }
            if let Err(cancelled) = catch_cancel(async {
                shield(sleep(secs(2))).await;
                yield_now().await;
            })
            .await
            {
                note(&noted, "after the shield", &cancelled);
                cancelled.resume().await
            }
        });
        sleep(secs(1)).await;
        task.cancel_with("you");
        assert_eq!(said(task).await.as_deref(), Some("you"));
    });
    assert_eq!(seen, ["myself: me", "after the shield: you"]);
}

#[test]
fn messages_and_counts_of_requests_made_while_the_loop_does_not_run() {
    let mut event_loop = EventLoop::builder()
        .virtual_time(true)
        .build_loop()
        .unwrap();
    let trace = Trace::default();
    let task = event_loop.spawn(listens(trace.clone(), "heard"));
    event_loop
        .run_until_complete(async { sleep(ms(1)).await })
        .unwrap();
    assert_eq!(task.cancelling(), 0);
    task.cancel_with("one");
    task.cancel_with("two");
    assert_eq!(task.cancelling(), 2);
    let message = event_loop.run_until_complete(said(task)).unwrap();
    assert_eq!(message.as_deref(), Some("two"));
    assert_eq!(trace.take(), ["heard: two"]);

    // Two at a cleanup, which they interrupt.
    let task = event_loop.spawn(on_cancel(forever(), listens(trace.clone(), "cleanup")));
    event_loop
        .run_until_complete(async { sleep(ms(1)).await })
        .unwrap();
    task.cancel_with("one");
    event_loop
        .run_until_complete(async { sleep(ms(1)).await })
        .unwrap();
    task.cancel_with("two");
    let message = event_loop.run_until_complete(said(task)).unwrap();
    assert_eq!(message.as_deref(), Some("two"));
    assert_eq!(trace.take(), ["cleanup: two"]);
}

#[test]
fn cancelling_counts_what_is_neither_swallowed_nor_spent() {
    run_virtual(async |_| {
        let task: Task<()> = spawn(async {
            let me = current_task().unwrap();
            assert_eq!(me.cancelling(), 0);
            let Err(first) = catch_cancel(forever()).await else {
                unreachable!("it never ends by itself")
            };
            assert_eq!(me.cancelling(), 1);
            // One token answers for all that are open when it comes.
            first.swallow();
            assert_eq!(me.cancelling(), 0);
            let Err(two) = catch_cancel(forever()).await else {
                unreachable!("it never ends by itself")
            };
            assert_eq!(me.cancelling(), 2);
            two.swallow();
            assert_eq!(me.cancelling(), 0);
            me.cancel();
            me.cancel();
            me.cancel();
            assert_eq!(me.cancelling(), 3);
            forever().await;
        });
        sleep(secs(1)).await;
        assert_eq!(task.cancelling(), 0);
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        sleep(secs(1)).await;
        assert_eq!(task.cancelling(), 0);
        task.cancel();
        task.cancel();
        assert_eq!(task.cancelling(), 2);
        let task_ref = task.as_ref();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(task_ref.cancelling(), 0, "spent");
        assert!(!task_ref.cancel());
        assert_eq!(task_ref.cancelling(), 0);
    });
}

#[test]
fn a_second_request_that_is_swallowed_leaves_the_first_open() {
    run_virtual(async |_| {
        for around in [false, true] {
            for first_goes_on in [false, true] {
                let task: Task<usize> = spawn(async move {
                    let me = current_task().unwrap();
                    let Err(first) = catch_cancel(forever()).await else {
                        unreachable!("it never ends by itself")
                    };
                    assert_eq!(me.cancelling(), 1);
                    let hears_the_second = async {
                        let Err(second) = catch_cancel(forever()).await else {
                            unreachable!("it never ends by itself")
                        };
                        assert_eq!(me.cancelling(), 2);
                        second.swallow();
                    };
                    if around {
                        timeout(secs(60), hears_the_second).await.unwrap();
                    } else {
                        hears_the_second.await;
                    }
                    assert_eq!(me.cancelling(), 1);
                    yield_now().await;
                    if first_goes_on {
                        first.resume().await
                    }
                    first.swallow();
                    me.cancelling()
                });
                sleep(secs(1)).await;
                task.cancel();
                sleep(secs(1)).await;
                task.cancel();
                match task.await {
                    Ok(left) => assert_eq!((left, first_goes_on), (0, false)),
                    Err(JoinError::Cancelled(..)) => assert!(first_goes_on),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
}

#[test]
fn a_time_limit_that_is_swallowed_in_a_cleanup_leaves_the_request_open() {
    run_virtual(async |_| {
        let task: Task<usize> = spawn(async {
            let me = current_task().unwrap();
            let Err(request) = catch_cancel(forever()).await else {
                unreachable!("it never ends by itself")
            };
            let swallows = async {
                if let Err(limit) = catch_cancel(forever()).await {
                    assert_eq!(me.cancelling(), 1, "a time limit is no request to the task");
                    limit.swallow();
                }
            };
            timeout(secs(1), swallows).await.unwrap();
            assert_eq!(me.cancelling(), 1);
            assert_eq!(me.info().state, asyncio::TaskState::Cancelling);
            request.swallow();
            me.cancelling()
        });
        sleep(secs(1)).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 0);
    });
}

#[test]
fn scopes_and_groups_of_a_task_are_not_counted() {
    run_virtual(async |_| {
        let me = current_task().unwrap();
        let counts = Rc::new(RefCell::new(Vec::new()));
        let count = || counts.borrow_mut().push(me.cancelling());
        cancel_scope(async |scope| {
            scope.cancel();
            count();
            on_cancel(forever(), async { count() }).await;
        })
        .await;
        timeout(secs(1), on_cancel(forever(), async { count() }))
            .await
            .unwrap_err();
        task_group(async |tg: TaskGroup<'_, &str>| {
            tg.spawn(async { Err::<(), _>("boom") });
            on_cancel(forever(), async { count() }).await;
            Ok(())
        })
        .await
        .unwrap_err();
        count();
        assert_eq!(counts.take(), [0; 5]);
    });
}
