//! The needs of a first program: children of each shape infer, errors convert, a resource is released, and a panic is a
//! value.
#![allow(
    elided_lifetimes_in_paths,
    reason = "`|tg: TaskGroup|`, as users write it"
)]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio::sync::{NoReceivers, PutError, PutNowaitError, Queue, SetError, broadcast, promise};
use asyncio::{
    BoxError, Child, ErrorGroup, JobError, JoinError, TaskGroup, TimedOut, bracket, catch_panic,
    gather, on_cancel, set_exception_handler, shield, sleep, spawn, task_group, time, timeout,
    to_thread, try_gather, yield_now,
};
use asyncio_tests::{Trace, ms, run_virtual, secs};

mod children {
    use super::*;

    #[asyncio::test]
    async fn of_each_shape_infer() {
        let beats = Cell::new(0);
        let outcome = task_group(async |tg: TaskGroup| {
            tg.spawn_ok(async { beats.set(beats.get() + 1) });
            let heart = tg.spawn_ok(async {
                loop {
                    sleep(secs(1)).await;
                    beats.set(beats.get() + 1);
                }
            });
            let fails: Child<'_, Infallible> = tg.spawn_forever(async {
                loop {
                    sleep(secs(9)).await;
                    "x".parse::<u8>()?;
                }
            });
            let bytes = tg.spawn_into(async { io::Result::Ok(5) });
            assert_eq!(bytes.await?, 5);
            sleep(ms(3500)).await;
            heart.cancel();
            fails.await?;
            Ok(())
        })
        .await;
        let text = outcome.unwrap_err().to_string();
        assert_eq!(text, "1 task failed\n└─ invalid digit found in string");
        assert_eq!(beats.get(), 4);
    }

    #[asyncio::test]
    async fn of_groups_with_an_error_of_their_own_infer() {
        #[derive(Debug, PartialEq)]
        enum Failure {
            Io(io::ErrorKind),
        }
        impl From<io::Error> for Failure {
            fn from(error: io::Error) -> Self {
                Self::Io(error.kind())
            }
        }
        let failed = task_group(async |tg: TaskGroup<'_, Failure>| {
            tg.spawn_ok(pending::<()>());
            tg.spawn_forever(async {
                loop {
                    yield_now().await;
                }
            });
            tg.spawn_into(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
            Ok(())
        })
        .await;
        let errors = failed.unwrap_err();
        assert_eq!(errors.errors(), [Failure::Io(io::ErrorKind::NotFound)]);
    }

    #[asyncio::test]
    async fn are_named_by_the_line_that_spawned_them() {
        task_group(async |tg: TaskGroup| {
            let first = line!() + 1;
            let plain = tg.spawn_ok(async {});
            let other = tg.spawn_into(async { io::Result::Ok(()) });
            let places =
                [plain.as_ref(), other.as_ref()].map(|child| child.unwrap().info().location);
            assert!(places[0].file().ends_with("first_hour.rs"), "{}", places[0]);
            assert_eq!(places.map(|place| place.line()), [first, first + 1]);
            Ok(())
        })
        .await
        .unwrap();
    }
}

mod errors {
    use super::*;

    #[asyncio::test]
    async fn of_this_crate_become_io_errors() {
        async fn all() -> io::Result<()> {
            timeout(secs(1), async {}).await?;
            spawn(async {}).await?;
            task_group(async |_: TaskGroup<'_, io::Error>| Ok(())).await?;
            task_group(async |_: TaskGroup| Ok(())).await?;
            timeout(secs(1), pending::<()>()).await?;
            Ok(())
        }
        let error = all().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.downcast::<TimedOut>().is_ok());

        async fn from_a_thread() -> io::Result<u32> {
            assert_eq!(to_thread(|| 5).await?, 5);
            Ok(to_thread(|| -> u32 { panic!("no") }).await?)
        }
        let error = from_a_thread().await.unwrap_err();
        assert_eq!(error.to_string(), "the job panicked: no");
        assert!(error.downcast::<JobError>().is_ok());

        let task = spawn(pending::<()>());
        task.cancel_with("enough");
        let error = io::Error::from(task.await.unwrap_err());
        assert!(error.to_string().ends_with("was cancelled: enough"));
        assert!(error.downcast::<JoinError>().unwrap().is_cancelled());

        let group = ErrorGroup::<BoxError>::new(vec!["no route".into()]).unwrap();
        let error = io::Error::from(group);
        assert!(
            error
                .get_ref()
                .is_some_and(|inner| inner.is::<ErrorGroup>())
        );
    }

    /// They go to other threads, so they fit into `anyhow::Error` and its like.
    #[test]
    fn fit_where_libraries_take_errors() {
        fn fits<E: Error + Send + Sync + 'static>() {}
        fits::<TimedOut>();
        fits::<JoinError>();
        fits::<ErrorGroup>();
        fits::<ErrorGroup<io::Error>>();
        let _: Box<dyn Error + Send + Sync> = BoxError::from("the same type");
    }

    #[asyncio::test]
    async fn of_channels_fit_whatever_they_carry() {
        async fn send(values: [Rc<u32>; 4]) -> Result<(), BoxError> {
            let [put, now, sent, set] = values;
            let queue = Queue::new(1);
            queue.put(put).await.map_err(PutError::without_item)?;
            let full = queue.put_nowait(now.clone()).unwrap_err();
            assert_eq!(full.without_item(), PutNowaitError::QueueFull(()));
            queue.shutdown(false);
            let closed = queue.put_nowait(now).unwrap_err();
            assert_eq!(closed.without_item(), PutNowaitError::QueueShutDown(()));

            let (news, reader) = broadcast(1);
            news.send(sent.clone())
                .map_err(NoReceivers::without_value)?;
            drop(reader);
            assert!(news.send(sent).map_err(NoReceivers::without_value).is_err());

            let (result, answer) = promise();
            drop(answer);
            result.set_result(set).map_err(SetError::without_value)?;
            Ok(())
        }
        let error = send([1, 2, 3, 4].map(Rc::new)).await.unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&SetError::Cancelled(())));
    }

    #[test]
    fn of_main_are_printed_as_a_tree() {
        let group = ErrorGroup::<BoxError>::new(vec!["a".into(), TimedOut.into()]).unwrap();
        assert_eq!(
            format!("{group:?}"),
            "2 tasks failed\n├─ \"a\"\n└─ TimedOut"
        );
    }
}

mod brackets {
    use super::*;

    struct Resource<'a>(&'a Trace, u32);

    impl Drop for Resource<'_> {
        fn drop(&mut self) {
            self.0.note("dropped");
        }
    }

    async fn release(resource: Resource<'_>) {
        sleep(secs(1)).await;
        resource.0.note(format!("released after {}", resource.1));
    }

    #[asyncio::test]
    async fn release_after_a_value() {
        let trace = Trace::default();
        let work = async |resource: &mut Resource<'_>| {
            resource.1 += 1;
            resource.1
        };
        let value = bracket(Resource(&trace, 6), work, release).await;
        assert_eq!(value, 7);
        assert_eq!(trace.take(), ["released after 7", "dropped"]);
    }

    #[asyncio::test]
    async fn release_after_an_error() {
        let trace = Trace::default();
        let work = async |_: &mut Resource<'_>| Err::<(), _>("failed");
        let outcome = bracket(Resource(&trace, 0), work, release).await;
        assert_eq!(outcome, Err("failed"));
        assert_eq!(trace.take(), ["released after 0", "dropped"]);
    }

    #[asyncio::test]
    async fn release_after_a_request_and_wait() {
        let (trace, start) = (Trace::default(), time());
        let work = async |resource: &mut Resource<'_>| {
            resource.1 = 3;
            pending::<()>().await;
        };
        let cut = timeout(secs(2), bracket(Resource(&trace, 0), work, release));
        assert_eq!(cut.await, Err(TimedOut));
        assert_eq!(time() - start, secs(3));
        assert_eq!(trace.take(), ["released after 3", "dropped"]);
    }

    #[test]
    fn release_after_a_panic() {
        let trace = run_virtual(async |trace| {
            let trace = trace.clone();
            let task = spawn(async move {
                let work = async |resource: &mut Resource<'_>| {
                    resource.1 = 4;
                    yield_now().await;
                    panic!("a bug");
                };
                bracket(Resource(&trace, 0), work, release).await
            });
            let error: JoinError = task.await.unwrap_err();
            assert!(error.is_panic());
        });
        assert_eq!(trace, ["released after 4", "dropped"]);
    }

    #[asyncio::test]
    async fn release_after_a_panic_before_the_work_has_a_future() {
        let trace = Trace::default();
        let work = |_: &mut Resource<'_>| -> std::future::Ready<()> { panic!("a bug") };
        let panic = catch_panic(bracket(Resource(&trace, 0), work, release)).await;
        assert_eq!(panic.unwrap_err().message(), "a bug");
        assert_eq!(trace.take(), ["released after 0", "dropped"]);
    }

    #[asyncio::test]
    async fn are_interrupted_by_a_second_request_unless_shielded() {
        let trace = Trace::default();
        let work = async |_: &mut Resource<'_>| pending::<()>().await;
        let slow = async |resource: Resource<'_>| {
            sleep(secs(5)).await;
            release(resource).await;
        };
        let inner = timeout(secs(1), bracket(Resource(&trace, 0), work, slow));
        assert!(timeout(secs(2), inner).await.is_err());
        assert_eq!(trace.take(), ["dropped"]);

        let shielded = async |resource: Resource<'_>| shield(slow(resource)).await;
        let inner = timeout(secs(1), bracket(Resource(&trace, 0), work, shielded));
        assert!(timeout(secs(2), inner).await.is_err());
        assert_eq!(trace.take(), ["released after 0", "dropped"]);
    }

    #[asyncio::test]
    async fn that_are_dropped_drop_the_resource_after_the_work() {
        let trace = Trace::default();
        let work = async |resource: &mut Resource<'_>| {
            let _note = resource.0.on_drop("work dropped");
            pending::<()>().await;
        };
        {
            let mut bracket = std::pin::pin!(bracket(Resource(&trace, 0), work, release));
            assert!(futures::poll!(bracket.as_mut()).is_pending());
        }
        assert_eq!(trace.take(), ["work dropped", "dropped"]);
    }
}

mod panics {
    use super::*;

    #[asyncio::test]
    async fn are_values_for_a_supervisor_on_borrowed_state() {
        let starts = RefCell::new(Vec::new());
        let work = async |name: &'static str| {
            starts.borrow_mut().push(name);
            sleep(secs(1)).await;
            assert!(starts.borrow().len() > 3, "{name} breaks");
            name
        };
        let supervise = async |name| loop {
            match catch_panic(work(name)).await {
                Ok(value) => break value,
                Err(panic) => assert!(panic.message().ends_with("breaks")),
            }
        };
        let both = gather((supervise("a"), supervise("b"))).await;
        assert_eq!(both, ("a", "b"));
        assert_eq!(starts.into_inner(), ["a", "b", "a", "b"]);
    }

    #[asyncio::test]
    async fn of_destructors_as_well_are_reported() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                if !std::thread::panicking() {
                    panic!("in the destructor");
                }
            }
        }
        struct BreaksTwice(Bomb);
        impl Future for BreaksTwice {
            type Output = ();
            fn poll(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<()> {
                let Self(Bomb) = &*self;
                panic!("in the poll");
            }
        }
        let reports = Rc::new(Cell::new(0));
        let count = reports.clone();
        set_exception_handler(move |_| count.set(count.get() + 1));
        let panic = catch_panic(BreaksTwice(Bomb)).await.unwrap_err();
        assert_eq!((panic.message(), reports.get()), ("in the poll", 1));
        struct Returns(Bomb);
        impl Future for Returns {
            type Output = u32;
            fn poll(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<u32> {
                let Self(Bomb) = &*self;
                std::task::Poll::Ready(5)
            }
        }
        assert_eq!(catch_panic(Returns(Bomb)).await.unwrap(), 5);
        assert_eq!(reports.get(), 2);
    }

    #[asyncio::test]
    async fn take_the_request_along_that_ended_the_work() {
        let work = on_cancel(pending::<()>(), async { panic!("in the cleanup") });
        let both = async {
            assert!(catch_panic(work).await.is_err());
            pending::<()>().await; // the request takes this
        };
        assert_eq!(timeout(secs(1), both).await, Err(TimedOut));
    }

    #[asyncio::test]
    async fn of_one_child_leave_the_others() {
        let outcomes = try_gather((
            async {
                catch_panic(async { panic!("a bug") })
                    .await
                    .map_or(Ok(1), |()| Err(()))
            },
            async {
                sleep(Duration::from_secs(1)).await;
                Ok(2)
            },
        ));
        assert_eq!(outcomes.await, Ok((1, 2)));
    }
}
