//! Closing a loop: every task is cancelled and waited for, and tasks that do not end are reported.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Trace, forever, note_reports, secs, virtual_loop};
use asyncio_loop::{
    EventLoop, LoopHandle, Runner, call_later, call_soon, run, running_loop, sleep, spawn,
    yield_now,
};

#[test]
fn remaining_tasks_are_cancelled_and_dropped() {
    let trace = Trace::default();
    run(async {
        for name in ["first", "second"] {
            let guard = trace.on_drop(name);
            spawn(async move {
                forever().await;
                drop(guard);
            })
            .detach();
        }
        yield_now().await;
        trace.note("main returns");
    });
    assert_eq!(trace.take(), ["main returns", "first", "second"]);
}

#[test]
fn a_woken_task_runs_its_last_step_in_closing() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let noted = trace.clone();
    let task = event_loop.spawn(async move {
        yield_now().await;
        yield_now().await;
        noted.note("last step");
        "a value"
    });
    event_loop.run_until_complete(async {}).unwrap();
    event_loop.close();
    assert_eq!(trace.take(), ["last step"]);
    assert_eq!(
        crate::support::poll_once(std::pin::pin!(task)).map(Result::unwrap),
        std::task::Poll::Ready("a value")
    );
}

/// Spawns a task whose destructor spawns another one, `links` times.
fn spawn_a_chain(trace: Trace, links: u32) {
    struct SpawnsWhenDropped(Trace, u32);
    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            self.0.note(format!("{} left", self.1));
            if self.1 > 0 {
                spawn_a_chain(self.0.clone(), self.1 - 1);
            }
        }
    }
    let link = SpawnsWhenDropped(trace, links);
    spawn(async move {
        let _link = link;
        forever().await;
    })
    .detach();
}

#[test]
fn tasks_spawned_while_closing_are_cancelled() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async { spawn_a_chain(trace.clone(), 2) })
        .unwrap();
    event_loop.close();
    assert_eq!(trace.take(), ["2 left", "1 left", "0 left"]);
}

#[test]
fn after_three_passes_remaining_tasks_are_dropped_and_reported() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    note_reports(&event_loop, &trace);
    event_loop
        .run_until_complete(async { spawn_a_chain(trace.clone(), 10) })
        .unwrap();
    event_loop.close();
    let trace = trace.take();
    assert_eq!(trace[..3], ["10 left", "9 left", "8 left"]);
    assert!(
        trace[3].starts_with("a task was dropped when its event loop closed (Task-5, spawned at"),
        "{trace:?}"
    );
    assert!(trace[3].contains("tests/it/closing.rs"), "{trace:?}");
    // A task that a dropped task spawns never begins.
    assert_eq!(trace[4], "7 left");
}

#[test]
fn ready_callbacks_are_called_and_timers_are_dropped() {
    let trace = Trace::default();
    let mut event_loop = virtual_loop();
    let (soon, later) = (trace.clone(), trace.on_drop("later"));
    event_loop.call_later(secs(1), move || {
        drop(later);
        panic!("called");
    });
    event_loop.call_soon(move || {
        soon.note("soon");
        call_soon(|| panic!("the callback of a last callback is dropped"));
    });
    event_loop.close();
    assert_eq!(trace.take(), ["soon", "later"]);
}

/// A callback that a loop has accepted from a handle is called once, however the loop ends. Otherwise the sender has it
/// back.
mod last_calls {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, Mutex};

    /// Words of several threads.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Notes {
        fn note(&self, word: impl Into<String>) {
            self.0.lock().unwrap().push(word.into());
        }

        /// Posts a callback that notes the word.
        fn post(&self, to: &LoopHandle, word: &str) {
            let (notes, word) = (self.clone(), word.to_owned());
            to.call_soon_threadsafe(move || notes.note(word)).unwrap();
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    /// Notes a word when it is dropped.
    struct NotesDrop(Notes, &'static str);

    impl Drop for NotesDrop {
        fn drop(&mut self) {
            self.0.note(self.1);
        }
    }

    #[test]
    fn on_a_loop_that_never_ran() {
        let notes = Notes::default();
        let mut event_loop = virtual_loop();
        let handle = event_loop.handle();
        notes.post(&handle, "one");
        notes.post(&handle, "two");
        event_loop.close();
        assert_eq!(notes.take(), ["one", "two"]);
        let own = notes.clone();
        let Err(refused) = handle.call_soon_threadsafe(move || own.note("by its sender")) else {
            panic!("the loop is closed")
        };
        (refused.0)();
        assert_eq!(notes.take(), ["by its sender"]);
    }

    #[test]
    fn of_the_last_step_of_main() {
        let notes = Notes::default();
        run(async { notes.post(&running_loop(), "called") });
        assert_eq!(notes.take(), ["called"]);
    }

    #[test]
    fn while_another_loop_runs_on_the_thread() {
        let notes = Notes::default();
        let inner = virtual_loop();
        notes.post(&inner.handle(), "called");
        run(async { drop(inner) });
        assert_eq!(notes.take(), ["called"]);
    }

    #[test]
    fn without_any_time_for_the_tasks() {
        let notes = Notes::default();
        let mut event_loop = virtual_loop();
        let handle = event_loop.handle();
        note_reports(&event_loop, &Trace::default());
        let (own, dropped) = (
            notes.clone(),
            NotesDrop(notes.clone(), "the task is dropped"),
        );
        event_loop
            .spawn(async move {
                let _dropped = dropped;
                own.note("a step of the task");
                forever().await;
            })
            .detach();
        notes.post(&handle, "called");
        event_loop.close_within(Duration::ZERO);
        assert_eq!(notes.take(), ["called", "the task is dropped"]);
    }

    #[test]
    fn after_what_came_before_across_turns() {
        let notes = Notes::default();
        let builder = EventLoop::builder().virtual_time(true).task_budget(2);
        let mut event_loop = builder.build_loop().unwrap();
        let handle = event_loop.handle();
        let main = async {
            yield_now().await; // messages are taken a few at a time from now on
            for n in 0..10 {
                notes.post(&handle, &n.to_string());
            }
        };
        event_loop.run_until_complete(main).unwrap();
        drop(event_loop);
        let numbers: Vec<_> = (0..10).map(|n| n.to_string()).collect();
        assert_eq!(notes.take(), numbers);
    }

    #[test]
    fn that_an_ending_task_posts() {
        struct PostsOnDrop(LoopHandle, Notes);
        impl Drop for PostsOnDrop {
            fn drop(&mut self) {
                self.1.post(&self.0, "called");
                self.1.note("the task ends");
            }
        }
        let notes = Notes::default();
        let own = notes.clone();
        run(async move {
            let posts = PostsOnDrop(running_loop(), own);
            spawn(async move {
                let _posts = posts;
                forever().await;
            })
            .detach();
            yield_now().await;
        });
        assert_eq!(notes.take(), ["the task ends", "called"]);
    }

    #[test]
    fn also_after_one_that_panics() {
        let notes = Notes::default();
        let trace = Trace::default();
        let event_loop = virtual_loop();
        note_reports(&event_loop, &trace);
        let handle = event_loop.handle();
        handle.call_soon_threadsafe(|| panic!("no")).unwrap();
        notes.post(&handle, "next");
        drop(event_loop);
        assert_eq!(notes.take(), ["next"]);
        let reports = trace.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(
            reports[0].starts_with("a callback panicked: no"),
            "{reports:?}"
        );
    }

    #[test]
    fn that_were_cancelled_are_not_made() {
        let mut event_loop = virtual_loop();
        let posted = event_loop
            .handle()
            .call_soon_threadsafe(|| panic!("called"));
        assert!(posted.unwrap().cancel());
        event_loop.close();
    }

    #[test]
    fn find_a_loop_that_is_closed() {
        let event_loop = virtual_loop();
        let trace = Trace::default();
        note_reports(&event_loop, &trace);
        let handle = event_loop.handle();
        let (there, notes) = (handle.clone(), Notes::default());
        let own = notes.clone();
        handle
            .call_soon_threadsafe(move || {
                assert!(there.is_closed() && there.is_here());
                let refused = there.call_soon_threadsafe(|| ()).is_err();
                own.note(format!("refused: {refused}"));
                let dropped = NotesDrop(own, "its task is dropped");
                spawn(async move {
                    let _dropped = dropped;
                    unreachable!("no task begins any more");
                })
                .detach();
            })
            .unwrap();
        drop(event_loop);
        assert_eq!(notes.take(), ["refused: true", "its task is dropped"]);
        let reports = trace.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].starts_with("a task was dropped when its event loop closed"));
    }

    #[test]
    fn coroutines_that_have_not_begun_are_reported() {
        let mut event_loop = virtual_loop();
        let trace = Trace::default();
        note_reports(&event_loop, &trace);
        let handle = event_loop.handle();
        let never = || -> std::future::Ready<()> { unreachable!("made") };
        let awaited = handle.run_coroutine_threadsafe(never).unwrap();
        handle.spawn(never).unwrap();
        event_loop.close();
        let error = awaited.wait().unwrap_err();
        assert_eq!(error.to_string(), "task (not started) was cancelled");
        let reports = trace.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(reports[0].starts_with("a task was dropped when its event loop closed"));
        assert!(reports[0].contains("tests/it/closing.rs"), "{reports:?}");
        assert!(handle.run_coroutine_threadsafe(never).is_err());
        assert!(handle.spawn(never).is_err());
    }

    #[test]
    fn are_over_when_timers_and_tasks_are_dropped() {
        /// Sends when the loop drops it.
        struct Sends(LoopHandle, Rc<Cell<usize>>);
        impl Drop for Sends {
            fn drop(&mut self) {
                let refused = || (0..1_000).filter(|_| self.0.call_soon_threadsafe(|| ()).is_err());
                let refused =
                    thread::scope(|scope| scope.spawn(|| refused().count()).join().unwrap());
                self.1.set(self.1.get() + refused);
            }
        }
        let refused = Rc::new(Cell::new(0));
        let mut event_loop = virtual_loop();
        note_reports(&event_loop, &Trace::default());
        let timer = Sends(event_loop.handle(), refused.clone());
        event_loop.call_later(secs(1), move || drop(timer));
        let task = Sends(event_loop.handle(), refused.clone());
        event_loop.spawn(async move { drop(task) }).detach();
        event_loop.close_within(Duration::ZERO);
        assert_eq!(refused.get(), 2_000);
    }

    /// The thread of the loop is blocked while another one posts until it is refused.
    #[test]
    fn of_a_thread_that_posts_without_a_bound_are_few() {
        /// A thread that is so far ahead of a closing loop pauses.
        const FAR_AHEAD: usize = 1 << 12;
        const PAUSE: Duration = Duration::from_micros(50);
        struct Blocks(Arc<Barrier>);
        impl Drop for Blocks {
            fn drop(&mut self) {
                self.0.wait();
                thread::sleep(Duration::from_millis(100));
            }
        }
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let called = Arc::new(AtomicUsize::new(0));
        let is_blocked = Arc::new(Barrier::new(2));
        let blocks = Blocks(is_blocked.clone());
        event_loop.spawn(async move { drop(blocks) }).detach();
        let counts = called.clone();
        let posting = thread::spawn(move || {
            is_blocked.wait();
            let begun = Instant::now();
            let accepted = (0_u64..).take_while(|_| {
                let counts = counts.clone();
                let call = move || {
                    counts.fetch_add(1, Ordering::Relaxed);
                };
                handle.call_soon_threadsafe(call).is_ok()
            });
            (accepted.count(), begun.elapsed())
        });
        event_loop.close();
        let (accepted, took) = posting.join().unwrap();
        assert_eq!(called.load(Ordering::Relaxed), accepted);
        // The loop empties its inbox a few times before it refuses.
        let most = 8 * FAR_AHEAD + took.div_duration_f64(PAUSE) as usize;
        assert!(accepted <= most, "{accepted} in {took:?}");
    }

    #[test]
    fn of_threads_that_post_as_fast_as_they_can() {
        const THREADS: usize = 4;
        /// So many from each thread. Without a bound the loop may not keep up.
        const MOST: usize = 300;
        for _ in 0..20 {
            let called = Arc::new(AtomicUsize::new(0));
            let mut event_loop = EventLoop::new().unwrap();
            let started = Barrier::new(THREADS + 1);
            let accepted: usize = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|_| {
                        let (handle, called) = (event_loop.handle(), called.clone());
                        let started = &started;
                        scope.spawn(move || {
                            let is_accepted = || {
                                let called = called.clone();
                                let call = move || {
                                    called.fetch_add(1, Ordering::Relaxed);
                                };
                                handle.call_soon_threadsafe(call).is_ok()
                            };
                            let before = (0..100).filter(|_| is_accepted()).count();
                            started.wait();
                            before + (0..MOST).take_while(|_| is_accepted()).count()
                        })
                    })
                    .collect();
                started.wait();
                event_loop
                    .run_until_complete(async { yield_now().await })
                    .unwrap();
                event_loop.close();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            });
            assert!(accepted >= THREADS * 100);
            assert_eq!(called.load(Ordering::Relaxed), accepted);
        }
    }
}

#[test]
fn a_loop_closed_inside_another_reports_its_dropped_tasks() {
    let trace = Trace::default();
    let inner = virtual_loop();
    note_reports(&inner, &trace);
    let guard = trace.on_drop("dropped");
    inner
        .spawn(async move {
            let _guard = guard;
            forever().await;
        })
        .detach();
    run(async {
        drop(inner);
        trace.note("the outer loop continues");
        yield_now().await;
    });
    let trace = trace.take();
    assert!(trace[0].starts_with("a task was dropped when its event loop closed (Task-1"));
    assert_eq!(trace[1..], ["dropped", "the outer loop continues"]);
}

#[test]
fn main_ends_first_then_the_tasks_then_run_returns() {
    let trace = Trace::default();
    let returned = run(async {
        let task = trace.on_drop("task");
        spawn(async move {
            let _task = task;
            forever().await;
        })
        .detach();
        let _main = trace.on_drop("main");
        yield_now().await;
        trace.on_drop("returned")
    });
    drop(returned);
    assert_eq!(trace.take(), ["main", "task", "returned"]);
}

#[test]
fn tasks_still_find_their_loop_while_it_closes() {
    let trace = Trace::default();
    struct SpawnsOnDrop(Trace);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            assert!(running_loop().is_here());
            call_soon(|| ());
            call_later(secs(1), || ());
            drop(sleep(secs(1)));
            self.0.note("found");
        }
    }
    let spawns = SpawnsOnDrop(trace.clone());
    run(async move {
        spawn(async move {
            let _spawns = spawns;
            forever().await;
        })
        .detach();
        yield_now().await;
    });
    assert_eq!(trace.take(), ["found"]);
}

#[test]
fn a_panicking_destructor_is_reported_and_closing_continues() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let trace = Trace::default();
    let mut runner = Runner::builder().virtual_time(true).build().unwrap();
    note_reports(runner.event_loop(), &trace);
    let other = trace.on_drop("the other ended");
    let result = runner.run(async move {
        spawn(async {
            let _panics = Panics;
            forever().await;
        })
        .detach();
        spawn(async move {
            let _other = other;
            forever().await;
        })
        .detach();
        yield_now().await;
        "main's value"
    });
    runner.close();
    assert_eq!(result.unwrap(), "main's value");
    let trace = trace.take();
    assert!(
        trace[0].starts_with("a task panicked and nobody awaits it: in a destructor (Task-2"),
        "{trace:?}"
    );
    assert_eq!(trace[1..], ["the other ended"]);
}

#[test]
fn a_loop_may_be_closed_by_a_destructor_of_the_thread() {
    thread_local! {
        static KEPT: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        struct ReportsDrop(std::sync::mpsc::Sender<&'static str>);
        impl Drop for ReportsDrop {
            fn drop(&mut self) {
                spawn(async {}).discard();
                self.0.send("dropped with its thread").unwrap();
            }
        }
        let event_loop = EventLoop::new().unwrap();
        let reports = ReportsDrop(sender);
        event_loop
            .spawn(async move {
                let _reports = reports;
                forever().await;
            })
            .detach();
        KEPT.set(Some(event_loop));
    })
    .join()
    .unwrap();
    assert_eq!(receiver.recv(), Ok("dropped with its thread"));
}

#[test]
fn tasks_that_hold_each_other_are_freed() {
    let trace = Trace::default();
    run(async {
        let both = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "other"] {
            let guard = trace.on_drop(name);
            let all = both.clone();
            let task = spawn(async move {
                let _guards = (guard, all);
                forever().await;
            });
            both.borrow_mut().push(task);
        }
        yield_now().await;
    });
    let mut dropped = trace.take();
    dropped.sort();
    assert_eq!(dropped, ["one", "other"]);
}
