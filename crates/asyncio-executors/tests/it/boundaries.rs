//! Requests to scopes while their loop does not run, or while another loop of the thread does, take effect when their
//! loop runs again. A future that cannot go on elsewhere says so.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_executors::{
    CancelScope, Cancelled, ReturnWhen, TaskGroup, TimeoutHandle, as_completed, cancel_scope,
    catch_cancel, shield, task_group, timeout, timeout_scope, wait, wait_with_timeout,
};
use asyncio_loop::{EventLoop, JoinError, Task, sleep, spawn, time, yield_now};
use futures::{FutureExt, StreamExt};

fn new_loop() -> EventLoop {
    let builder = EventLoop::builder().virtual_time(true);
    builder.build_loop().expect("a selector")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Where a task leaves something for others.
type Slot<T> = Rc<RefCell<Option<T>>>;

fn slot<T>() -> (Slot<T>, Slot<T>) {
    let slot = Slot::default();
    (slot.clone(), slot)
}

/// From where something is asked of a loop.
#[derive(Clone, Copy, Debug)]
enum From {
    /// Nothing runs.
    Outside,
    /// Another loop of this thread runs.
    AnotherLoop,
}

impl From {
    fn act<R>(self, act: impl FnOnce() -> R) -> R {
        match self {
            Self::Outside => act(),
            Self::AnotherLoop => {
                let mut other = new_loop();
                other.run_until_complete(async { act() }).expect("it acts")
            }
        }
    }
}

const EVERYWHERE: [From; 2] = [From::Outside, From::AnotherLoop];

/// Runs `begin` for a moment, then has `act` called from outside, and says whether the task then ends soon, and with
/// what; and that no scope is left.
fn ends_after<T: 'static>(
    from: From,
    begin: impl Future<Output = T> + 'static,
    act: impl FnOnce(&EventLoop, &Task<T>),
) -> Result<T, JoinError> {
    let mut event_loop = new_loop();
    let mut task = event_loop.spawn(begin);
    event_loop
        .run_until_complete(async { sleep(secs(1)).await })
        .expect("it begins");
    from.act(|| act(&event_loop, &task));
    let ended = event_loop.run_until_complete(async {
        sleep(secs(100)).await;
        task.try_take()
    });
    let shown = format!("{event_loop:?}");
    assert!(shown.contains("scopes: 0"), "{from:?}: {shown}");
    ended
        .expect("it returns")
        .unwrap_or_else(|| panic!("{from:?}: it never ends"))
}

mod a_request_takes_effect {
    use super::*;

    #[test]
    fn to_a_scope() {
        for from in EVERYWHERE {
            let (put, scope) = slot::<CancelScope>();
            let work = cancel_scope(async move |scope: CancelScope| {
                put.replace(Some(scope));
                pending::<()>().await
            });
            let ended = ends_after(from, work, |_, _| scope.take().unwrap().cancel());
            assert_eq!(ended.unwrap(), None, "{from:?}");
        }
    }

    #[test]
    fn by_a_time_limit_that_is_moved_to_now() {
        for from in EVERYWHERE {
            let (put, limit) = slot::<TimeoutHandle>();
            let work = timeout_scope(None, async move |limit: TimeoutHandle| {
                put.replace(Some(limit));
                pending::<()>().await
            });
            let ended = ends_after(from, work, |event_loop, _| {
                let limit = limit.take().unwrap();
                limit.reschedule(Some(event_loop.time())).unwrap();
            });
            assert!(ended.unwrap().is_err(), "{from:?}");
        }
    }

    /// Catches a request to itself and leaves the token to others.
    async fn leaves_the_token(put: Slot<Cancelled>) {
        let token = catch_cancel(pending::<()>()).await.unwrap_err();
        put.replace(Some(token));
        pending::<()>().await;
    }

    #[test]
    fn by_a_token_that_is_dropped() {
        for from in EVERYWHERE {
            let (put, token) = slot();
            let work = async move {
                asyncio_loop::current_task().unwrap().cancel();
                leaves_the_token(put).await;
            };
            let ended = ends_after(from, work, |_, _| drop(token.take().unwrap()));
            assert!(ended.unwrap_err().is_cancelled(), "{from:?}");
        }
    }

    #[test]
    fn by_a_token_that_is_swallowed() {
        for from in EVERYWHERE {
            let (put, token) = slot();
            let work = async move {
                asyncio_loop::current_task().unwrap().cancel();
                leaves_the_token(put).await;
            };
            let ended = ends_after(from, work, |_, task| {
                assert_eq!(task.cancelling(), 1);
                token.take().unwrap().swallow();
                assert_eq!(task.cancelling(), 0);
                task.cancel_with("another one");
            });
            assert_eq!(ended.unwrap_err().message(), Some("another one"));
        }
    }

    #[test]
    fn by_a_token_that_is_resumed_on_another_loop() {
        let (put, token) = slot();
        let work = async move {
            asyncio_loop::current_task().unwrap().cancel();
            leaves_the_token(put).await;
        };
        let ended = ends_after(From::Outside, work, |_, _| {
            let token = token.take().unwrap();
            let unwound = new_loop().run_until_complete(async { token.resume().await });
            assert!(matches!(unwound, Err(JoinError::Cancelled(..))));
        });
        assert!(ended.unwrap_err().is_cancelled());
    }

    #[test]
    fn to_a_task_that_cleans_up() {
        for from in EVERYWHERE {
            let work = async {
                asyncio_loop::current_task().unwrap().cancel();
                let _token = catch_cancel(pending::<()>()).await;
                pending::<()>().await;
            };
            let ended = ends_after(from, work, |_, task| {
                task.cancel_with("a second one");
                assert_eq!(task.cancelling(), 2);
            });
            assert_eq!(ended.unwrap_err().message(), Some("a second one"));
        }
    }

    #[test]
    fn when_the_shield_that_held_it_up_is_dropped() {
        for from in EVERYWHERE {
            let (kept, shielded) = slot::<Pin<Box<dyn Future<Output = ()>>>>();
            shielded.replace(Some(Box::pin(shield(pending::<()>()))));
            let work = async move {
                asyncio_loop::current_task().unwrap().cancel();
                std::future::poll_fn(|cx| match shielded.borrow_mut().as_mut() {
                    Some(shielded) => shielded.as_mut().poll(cx),
                    None => Poll::Pending,
                })
                .await;
            };
            let ended = ends_after(from, work, |_, _| drop(kept.take()));
            assert!(ended.unwrap_err().is_cancelled(), "{from:?}");
        }
    }
}

// Proves asyncio-task L1, asyncio-task L2.
#[test]
fn what_is_dropped_leaves_no_scope_behind() {
    for from in EVERYWHERE {
        let mut event_loop = new_loop();
        for _ in 0..10 {
            let kept = event_loop.run_until_complete(async {
                let mut task = spawn(sleep(secs(1)));
                let mut limited = Box::pin(timeout(secs(1), pending::<()>()));
                let mut caught = Box::pin(catch_cancel(pending::<()>()));
                let mut shielded = Box::pin(shield(pending::<()>()));
                std::future::poll_fn(|cx| {
                    assert!(task.poll_unpin(cx).is_pending());
                    assert!(limited.as_mut().poll(cx).is_pending());
                    assert!(caught.as_mut().poll(cx).is_pending());
                    assert!(shielded.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                (task, limited, caught, shielded)
            });
            from.act(|| drop(kept));
        }
        event_loop
            .run_until_complete(async { sleep(secs(5)).await })
            .unwrap();
        let shown = format!("{event_loop:?}");
        assert!(shown.contains("scopes: 0"), "{from:?}: {shown}");
    }
}

mod elsewhere {
    use super::*;

    fn message(f: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it was to panic");
        match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => payload.downcast::<&str>().unwrap().to_string(),
        }
    }

    /// Begins `future` on one loop, and awaits it on another.
    fn goes_on_elsewhere(future: impl Future<Output = ()> + 'static) -> String {
        let (mut one, mut other) = (new_loop(), new_loop());
        let mut future = Box::pin(future);
        one.run_until_complete(async {
            assert!(futures::poll!(&mut future).is_pending());
        })
        .unwrap();
        message(|| match other.run_until_complete(future) {
            Err(JoinError::Panicked(_, payload)) => payload.resume(),
            _ => panic!("it returned"),
        })
    }

    #[test]
    fn a_time_limit_says_so() {
        let said = goes_on_elsewhere(async { timeout(secs(1), pending::<()>()).await.unwrap() });
        assert!(said.contains("event loop"), "{said}");
        let said = goes_on_elsewhere(async {
            let limited = timeout_scope(Some(time() + secs(1)), async |_| pending::<()>().await);
            limited.await.unwrap();
        });
        assert!(said.contains("event loop"), "{said}");
    }

    #[test]
    fn a_scope_says_so() {
        let said = goes_on_elsewhere(async {
            cancel_scope(async |_| pending::<()>().await).await.unwrap()
        });
        assert!(said.contains("event loop"), "{said}");
        let said = goes_on_elsewhere(async { drop(catch_cancel(pending::<()>()).await) });
        assert!(said.contains("event loop"), "{said}");
        let said = goes_on_elsewhere(shield(pending()));
        assert!(said.contains("event loop"), "{said}");
        let said = goes_on_elsewhere(async {
            let group = task_group(async |_: TaskGroup<'_>| {
                pending::<()>().await;
                Ok(())
            });
            group.await.unwrap();
        });
        assert!(said.contains("event loop"), "{said}");
    }

    #[test]
    fn a_spawn_into_a_group_says_so() {
        for from in EVERYWHERE {
            let mut event_loop = new_loop();
            let (put, taken) = slot();
            let group = event_loop.spawn(async move {
                let group = task_group(async |tg: TaskGroup<'static>| {
                    let _child = tg.spawn(pending::<Result<(), _>>());
                    put.replace(Some(tg));
                    pending::<()>().await;
                    Ok(())
                });
                group.await.is_ok()
            });
            event_loop.run_until_complete(yield_now()).unwrap();
            let tg = taken.take().expect("the body has begun");
            let said = message(|| from.act(|| drop(tg.spawn(async { Ok(()) }))));
            assert!(said.contains("event loop"), "{from:?}: {said}");
            drop(event_loop);
            drop(group);
            // Nothing is left to spawn into, so this is no panic but a report.
            assert!(tg.try_spawn(async { Ok(()) }).is_err());
        }
    }

    #[test]
    fn a_time_limit_says_so_outside_of_any_loop() {
        let mut event_loop = new_loop();
        let mut limited = Box::pin(async { timeout(secs(1), pending::<()>()).await.unwrap() });
        event_loop
            .run_until_complete(async { assert!(futures::poll!(&mut limited).is_pending()) })
            .unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let said = message(|| assert!(limited.as_mut().poll(&mut cx).is_ready()));
        assert!(said.contains("event loop"), "{said}");
    }

    #[test]
    fn tasks_of_another_loop_count_as_ended_for_wait() {
        let (one, mut other) = (new_loop(), new_loop());
        let there = [(); 2].map(|()| one.spawn(pending::<()>()));
        let done = other.run_until_complete(async {
            let mut tasks = Vec::from(there);
            tasks.push(spawn(pending()));
            wait(&mut tasks, ReturnWhen::FirstCompleted).await.len()
        });
        assert_eq!(done.unwrap(), 2);
    }

    #[test]
    fn wait_gives_back_a_task_of_another_loop_which_says_why() {
        let (mut one, mut other) = (new_loop(), new_loop());
        let there = one.spawn(async {});
        let outcome = other.run_until_complete(async {
            let mut tasks = vec![there, spawn(async {})];
            let done = wait(&mut tasks, ReturnWhen::AllCompleted).await;
            assert_eq!((done.len(), tasks.len()), (2, 0));
            let mut outcomes = Vec::new();
            for task in done {
                outcomes.push(task.await.map_err(|error| error.to_string()));
            }
            outcomes
        });
        let outcome = outcome.unwrap();
        assert!(
            outcome[0]
                .as_ref()
                .is_err_and(|why| why.contains("another event loop"))
        );
        assert_eq!(outcome[1], Ok(()));
        one.run_until_complete(async {}).unwrap();
    }

    #[test]
    fn as_completed_gives_it_out_and_it_says_why() {
        let (one, mut other) = (new_loop(), new_loop());
        let there = one.spawn(async {});
        let outcome = other.run_until_complete(async {
            let mut done = as_completed([there]);
            let task = done.next().await.expect("it is given out");
            assert!(done.next().await.is_none());
            task.await
        });
        assert!(matches!(outcome, Ok(Err(JoinError::Elsewhere(_)))));
    }

    #[test]
    fn who_waits_for_itself_gets_itself_back() {
        let mut event_loop = new_loop();
        let (put, me) = slot::<Task<()>>();
        let ran = Rc::new(Cell::new(0));
        let seen = ran.clone();
        event_loop
            .run_until_complete(async move {
                let task = spawn(async move {
                    yield_now().await;
                    let mut tasks = vec![me.take().unwrap()];
                    let done =
                        wait_with_timeout(&mut tasks, ReturnWhen::AllCompleted, secs(1)).await;
                    assert_eq!(done.len(), 1);
                    let mut done = as_completed(done);
                    let me = done.next().await.unwrap();
                    assert!(matches!(me.await, Err(JoinError::AwaitsItself(_))));
                    seen.set(1);
                });
                put.replace(Some(task));
                sleep(secs(5)).await;
            })
            .unwrap();
        assert_eq!(ran.get(), 1);
    }
}
