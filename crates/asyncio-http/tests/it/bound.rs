//! Values without `Send` in places that demand it, used wrongly on purpose.

use std::cell::{Cell, RefCell};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use asyncio::http::LoopBound;
use asyncio::{EventLoop, run, running_loop, sleep};
use futures::{Stream, StreamExt};
use hyper::rt::Write;

/// Counts its drops, and those on other threads than its own. Without memory of its own, so that a leaked one is no
/// leak of memory.
struct Tracked {
    home: thread::ThreadId,
    counts: Counts,
    // Makes it neither `Send` nor `Sync`.
    _not_send: PhantomData<*const ()>,
}

/// A row of the table of counts.
#[derive(Clone, Copy)]
struct Counts(usize);

static DROPS: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
static ELSEWHERE: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

impl Counts {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(NEXT.fetch_add(1, Ordering::SeqCst))
    }

    fn drops(self) -> usize {
        let elsewhere = ELSEWHERE[self.0].load(Ordering::SeqCst);
        assert_eq!(elsewhere, 0, "dropped on another thread");
        DROPS[self.0].load(Ordering::SeqCst)
    }
}

impl Tracked {
    fn new(counts: Counts) -> Self {
        Self {
            home: thread::current().id(),
            counts,
            _not_send: PhantomData,
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        DROPS[self.counts.0].fetch_add(1, Ordering::SeqCst);
        if thread::current().id() != self.home {
            ELSEWHERE[self.counts.0].fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

fn needs_send<T: Send + Sync + 'static>(value: T) -> T {
    value
}

#[test]
fn at_home_it_is_the_value() {
    run(async {
        let mut bound = needs_send(LoopBound::new(vec![1]));
        bound.push(2);
        assert_eq!(bound.clone().into_inner(), [1, 2]);
        assert_eq!(format!("{bound:?}"), "LoopBound([1, 2])");
    });
}

#[test]
fn a_stream_of_hyper_stays_what_it_was() {
    struct Slow {
        takes_parts: bool,
    }

    impl Write for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn is_write_vectored(&self) -> bool {
            self.takes_parts
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bufs.len()))
        }
    }

    run(async {
        for takes_parts in [false, true] {
            let mut bound = needs_send(LoopBound::new(Slow { takes_parts }));
            let cx = &mut Context::from_waker(Waker::noop());
            let parts = [io::IoSlice::new(b"long"), io::IoSlice::new(b"parts")];
            let mut bound = Pin::new(&mut bound);
            assert!(matches!(
                bound.as_mut().poll_write(cx, b"bytes"),
                Poll::Ready(Ok(1))
            ));
            assert!(matches!(
                bound.as_mut().poll_write_vectored(cx, &parts),
                Poll::Ready(Ok(2))
            ));
            assert!(bound.as_mut().poll_flush(cx).is_pending());
            assert!(bound.as_mut().poll_shutdown(cx).is_pending());
            assert_eq!(bound.is_write_vectored(), takes_parts);
        }
    });
}

#[test]
fn a_stream_keeps_its_items_and_their_number() {
    run(async {
        let mut bound = needs_send(LoopBound::new(futures::stream::iter([1, 2])));
        assert_eq!(bound.size_hint(), (2, Some(2)));
        assert_eq!(bound.next().await, Some(1));
        assert_eq!(bound.size_hint(), (1, Some(1)));
    });
}

#[test]
fn a_body_keeps_its_frames_its_length_and_its_end() {
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;
    run(async {
        let body = http_body_util::Full::new(&b"five!"[..]);
        let mut bound = needs_send(LoopBound::new(body));
        assert_eq!(bound.size_hint().exact(), Some(5));
        assert!(!bound.is_end_stream());
        let frame = bound.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), b"five!");
        assert!(bound.is_end_stream());
        assert!(bound.frame().await.is_none());
    });
}

#[test]
fn without_a_loop_none_is_made() {
    assert!(panics(|| drop(LoopBound::new(1))));
}

mod on_another_thread {
    use super::*;

    // Proves B1.
    #[test]
    fn every_use_is_refused() {
        run(async {
            let bound = LoopBound::new(Rc::new(1));
            let bound = thread::spawn(move || {
                assert!(!bound.is_here());
                assert!(bound.try_get().is_none());
                assert!(panics(|| drop(Rc::clone(&bound))), "dereferenced");
                assert!(panics(|| drop(bound.clone())), "cloned");
                assert_eq!(format!("{bound:?}"), "LoopBound(elsewhere)");
                bound
            });
            let bound = bound.join().unwrap();
            assert_eq!(Rc::strong_count(&bound), 1);
        });
    }

    #[test]
    fn every_use_is_refused_with_another_loop_there() {
        run(async {
            let bound = LoopBound::new(Rc::new(1));
            let there = thread::spawn(move || {
                run(async move {
                    assert!(bound.try_get().is_none());
                    assert!(panics(|| drop(Rc::clone(&bound))));
                });
            });
            there.join().unwrap();
        });
    }

    #[test]
    fn a_future_is_not_polled() {
        run(async {
            let polled = Rc::new(Cell::new(false));
            let future = {
                let polled = polled.clone();
                async move { polled.set(true) }
            };
            let mut future = needs_send(LoopBound::new(Box::pin(future)));
            let future = thread::spawn(move || {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(panics(|| assert!(
                    Pin::new(&mut future).poll(&mut cx).is_ready()
                )));
                future
            });
            let future = future.join().unwrap();
            assert!(!polled.get());
            future.await;
            assert!(polled.get());
        });
    }

    // Proves B4.
    #[test]
    fn taking_it_out_fails_and_still_drops_it_at_home() {
        let counts = Counts::new();
        run(async {
            let bound = LoopBound::new(Tracked::new(counts));
            let there = thread::spawn(move || assert!(panics(|| drop(bound.into_inner()))));
            there.join().unwrap();
            while counts.drops() == 0 {
                asyncio::yield_now().await;
            }
        });
        assert_eq!(counts.drops(), 1);
    }
}

mod drops {
    use super::*;

    #[test]
    fn at_home() {
        let counts = Counts::new();
        run(async {
            drop(LoopBound::new(Tracked::new(counts)));
            assert_eq!(counts.drops(), 1);
        });
    }

    // Proves B2, B3.
    #[test]
    fn elsewhere_the_value_goes_home_by_mail() {
        let counts = Counts::new();
        run(async {
            let bound = LoopBound::new(Tracked::new(counts));
            thread::spawn(move || drop(bound)).join().unwrap();
            assert_eq!(counts.drops(), 0, "not before the loop's next turn");
            while counts.drops() == 0 {
                asyncio::yield_now().await;
            }
        });
        assert_eq!(counts.drops(), 1);
    }

    #[test]
    fn a_value_on_its_way_while_the_loop_closes_is_dropped_at_home() {
        let counts = Counts::new();
        run(async {
            let bound = LoopBound::new(Tracked::new(counts));
            // The loop does not run again before it closes.
            thread::spawn(move || drop(bound)).join().unwrap();
        });
        assert_eq!(counts.drops(), 1);
    }

    #[test]
    fn after_the_loop_on_its_thread() {
        let counts = Counts::new();
        let bound = run(async { LoopBound::new(Tracked::new(counts)) });
        assert!(bound.try_get().is_none());
        drop(bound);
        assert_eq!(counts.drops(), 1);
    }

    #[test]
    fn after_the_loop_elsewhere_the_value_is_leaked() {
        let counts = Counts::new();
        let bound = run(async { LoopBound::new(Tracked::new(counts)) });
        thread::spawn(move || drop(bound)).join().unwrap();
        assert_eq!(counts.drops(), 0);
    }

    #[test]
    fn after_its_thread_the_value_is_leaked() {
        let counts = Counts::new();
        let bound = thread::spawn(move || run(async move { LoopBound::new(Tracked::new(counts)) }));
        drop(bound.join().unwrap());
        assert_eq!(counts.drops(), 0);
    }

    #[test]
    fn in_the_destructor_of_a_thread_local() {
        thread_local! {
            static KEPT: RefCell<Option<LoopBound<Tracked>>> = const { RefCell::new(None) };
        }
        let counts = Counts::new();
        thread::spawn(move || {
            let bound = run(async move { LoopBound::new(Tracked::new(counts)) });
            KEPT.with(|kept| *kept.borrow_mut() = Some(bound));
        })
        .join()
        .unwrap();
        assert_eq!(counts.drops(), 1);
    }

    #[test]
    fn forgotten_it_is_a_leak_and_nothing_worse() {
        let counts = Counts::new();
        run(async { std::mem::forget(LoopBound::new(Tracked::new(counts))) });
        assert_eq!(counts.drops(), 0);
    }

    #[test]
    fn on_a_thread_whose_loop_has_the_same_mailbox() {
        // The mailbox of a closed loop goes to the next loop, on another thread.
        let counts = Counts::new();
        let bound = thread::spawn(move || run(async move { LoopBound::new(Tracked::new(counts)) }));
        let bound = bound.join().unwrap();
        run(async move {
            assert!(bound.try_get().is_none());
            drop(bound);
        });
        assert_eq!(counts.drops(), 0);
    }

    #[test]
    fn a_task_that_owns_one_ends_with_its_loop() {
        let counts = Counts::new();
        run(async {
            let bound = LoopBound::new(Tracked::new(counts));
            asyncio::spawn(async move {
                sleep(std::time::Duration::MAX).await;
                drop(bound);
            })
            .detach();
            asyncio::yield_now().await;
        });
        assert_eq!(counts.drops(), 1);
    }
}

mod on_another_loop_of_the_thread {
    use super::*;

    #[test]
    fn every_use_is_refused() {
        let mut one = EventLoop::new().unwrap();
        let mut other = EventLoop::new().unwrap();
        let counts = Counts::new();
        let bound = one.run_until_complete(async { LoopBound::new(Tracked::new(counts)) });
        let bound = bound.unwrap();
        let bound = other.run_until_complete(async move {
            assert!(bound.try_get().is_none());
            assert!(panics(|| assert_eq!(bound.counts.drops(), 0)));
            bound
        });
        let bound = bound.unwrap();
        one.run_until_complete(async { assert_eq!(bound.counts.drops(), 0) })
            .unwrap();
        drop(bound);
        assert_eq!(counts.drops(), 1);
    }

    #[test]
    fn a_panic_while_dropping_at_home_is_that_of_the_value() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("by the value");
            }
        }
        run(async {
            let bound = LoopBound::new((Panics, Rc::new(1)));
            assert!(panics(|| drop(bound)));
            // Sent home, it is a panic of a callback.
            let reports = Rc::new(Cell::new(0));
            asyncio::set_exception_handler({
                let reports = reports.clone();
                move |_: &asyncio::Unhandled| reports.set(reports.get() + 1)
            });
            let bound = LoopBound::new((Panics, Rc::new(1)));
            thread::spawn(move || drop(bound)).join().unwrap();
            while reports.get() == 0 {
                asyncio::yield_now().await;
            }
            drop(running_loop());
        });
    }
}
