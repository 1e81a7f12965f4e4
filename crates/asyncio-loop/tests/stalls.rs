//! The stall detector: code that keeps a loop is named while it does, and nobody is woken otherwise.
//!
//! Time is real, because the detector looks from outside.

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::{Builder, EventLoop, Stall, call_soon, run_with, sleep, spawn, yield_now};
use support::{ms, secs};

#[derive(Clone, Default)]
struct Stalls(Arc<Mutex<Vec<Stall>>>);

impl Stalls {
    fn builder(&self, limit: Duration) -> Builder {
        let stalls = self.0.clone();
        let builder = EventLoop::builder().stall_limit(limit);
        builder.on_stall(move |stall| stalls.lock().unwrap().push(stall.clone()))
    }

    fn all(&self) -> Vec<Stall> {
        self.0.lock().unwrap().clone()
    }

    /// Blocks this thread until so many were reported.
    fn block_until(&self, number: usize) {
        let since = Instant::now();
        while self.all().len() < number {
            assert!(since.elapsed() < secs(60), "{:?}", self.all());
            thread::sleep(ms(1));
        }
    }

    async fn until(&self, number: usize) {
        let since = Instant::now();
        while self.all().len() < number {
            assert!(since.elapsed() < secs(60), "{:?}", self.all());
            sleep(ms(1)).await;
        }
    }
}

#[test]
fn a_step_that_keeps_the_loop_is_named_while_it_does_and_afterwards() {
    let stalls = Stalls::default();
    let (id, line) = run_with(stalls.builder(ms(40)), async {
        let inner = stalls.clone();
        let task = spawn(async move {
            yield_now().await;
            inner.block_until(2);
            asyncio_loop::current_task().unwrap().id()
        });
        let line = line!() - 5;
        let id = task.await.unwrap();
        stalls.until(3).await;
        (id, line)
    });
    let stalls = stalls.all();
    for stall in &stalls[..3] {
        let (task, place) = stall.task.unwrap();
        assert_eq!((task, place.line()), (id, line), "{stall}");
        assert!(place.file().ends_with("stalls.rs"));
        assert!(stall.lasted >= ms(40), "{stall}");
    }
    assert_eq!([false, false, true], [0, 1, 2].map(|n| stalls[n].is_over));
    // Told again when it lasts twice as long.
    assert!(stalls[1].lasted >= stalls[0].lasted * 2);
    let text = stalls[0].to_string();
    let expected = format!("is kept by a step of task {id}, spawned at ");
    assert!(text.contains(&expected), "{text}");
    assert!(stalls[2].to_string().contains(" was kept by a step of "));
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_says_whether_the_thread_computes_or_waits() {
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(40)), async {
        while stalls.all().is_empty() {
            std::hint::spin_loop();
        }
        stalls.until(2).await;
        let begun = stalls.all().len();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let inner = stalls.clone();
        let watcher = thread::spawn(move || {
            inner.block_until(begun + 1);
            drop(done);
        });
        assert!(wait.recv().is_err());
        watcher.join().unwrap();
    });
    let doing: Vec<_> = stalls
        .all()
        .into_iter()
        .map(|stall| (stall.is_over, stall.doing))
        .collect();
    assert_eq!(doing[0], (false, Some("it computes".to_owned())));
    assert_eq!(doing[1], (true, None));
    // The place is missing on a hardened kernel.
    let (_, waits) = &doing[2];
    assert!(
        waits
            .as_ref()
            .unwrap()
            .starts_with("it waits in the kernel"),
        "{waits:?}"
    );
}

#[test]
fn a_callback_is_named_as_well() {
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(40)), async {
        let inner = stalls.clone();
        let line = line!() + 1;
        call_soon(move || inner.block_until(1));
        yield_now().await;
        stalls.until(1).await;
        let (_, place) = stalls.all()[0].task.unwrap();
        assert_eq!(place.line(), line);
    });
}

#[test]
fn many_steps_that_are_short_are_no_stall() {
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(1_000)), async {
        let since = Instant::now();
        let busy = spawn(async move {
            while since.elapsed() < ms(1_300) {
                yield_now().await;
            }
        });
        busy.await.unwrap();
    });
    assert_eq!(stalls.all(), []);
}

#[test]
fn it_may_be_off() {
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(20)).stall_limit(None), async {
        thread::sleep(ms(120));
    });
    run_with(stalls.builder(ms(20)).virtual_time(true), async {
        thread::sleep(ms(120));
    });
    assert_eq!(stalls.all(), []);
}

#[test]
fn a_handler_that_panics_does_not_end_the_detector() {
    let stalls = Stalls::default();
    let bad = EventLoop::builder().stall_limit(ms(20));
    let bad = bad.on_stall(|_| panic!("the handler, as part of the test"));
    run_with(bad, async { thread::sleep(ms(120)) });
    run_with(stalls.builder(ms(20)), async {
        stalls.block_until(1);
    });
}

#[test]
fn loops_of_several_threads_are_told_apart() {
    let stalls = Stalls::default();
    let names = ["one", "two"].map(|name| {
        let stalls = stalls.clone();
        let thread = thread::Builder::new().name(name.to_owned());
        let blocks = name == "two";
        let run = move || {
            run_with(stalls.builder(ms(40)), async {
                if blocks {
                    stalls.block_until(1);
                } else {
                    stalls.until(1).await;
                }
            });
        };
        thread.spawn(run).unwrap()
    });
    names.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(stalls.all().iter().all(|stall| stall.thread == "two"));
}

/// How often the detector's thread has waited.
#[cfg(target_os = "linux")]
fn waits() -> Option<u64> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let status =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let status = status
        .filter(|status| status.contains("asyncio-stalls"))
        .last()?;
    let waits = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    Some(waits?.trim().parse().unwrap())
}

/// In a process of its own: the detector is one for all loops of a process.
#[cfg(target_os = "linux")]
#[test]
fn an_idle_program_makes_no_wake_ups_for_it() {
    const ALONE: &str = "ASYNCIO_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let name = "an_idle_program_makes_no_wake_ups_for_it";
        let alone = alone.env(ALONE, "1").args(["--exact", name, "--nocapture"]);
        assert!(alone.status().unwrap().success());
        return;
    }
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(20)), async {
        // Four looks in each limit while it works, and some until it sleeps.
        let since = Instant::now();
        while since.elapsed() < ms(100) {
            yield_now().await;
        }
        sleep(ms(100)).await;
        let before = waits().expect("it has a thread");
        assert!(before > 0);
        for _ in 0..3 {
            sleep(ms(200)).await;
        }
        // Two sleeps have ended meanwhile, and each may have woken it for a few looks.
        let more = waits().unwrap() - before;
        assert!(
            more <= 12,
            "{more} wake-ups, where looking all the time takes 120"
        );
    });
    let before = waits().unwrap();
    thread::sleep(ms(200));
    assert!(waits().unwrap() - before <= 2, "no loop runs");
}

/// The detector waits by the shortest limit. A loop that comes later may have a shorter one.
#[test]
fn a_loop_is_watched_by_its_own_limit_whatever_loops_there_were_before() {
    let patient = Stalls::default();
    let long = patient.builder(Duration::MAX).build_loop().unwrap();
    for _ in 0..4 {
        let stalls = Stalls::default();
        let reported = run_with(stalls.builder(ms(40)), async {
            let since = Instant::now();
            stalls.block_until(1);
            since.elapsed()
        });
        assert!(reported < secs(50), "{reported:?}");
    }
    assert!(patient.all().is_empty());
    drop(long);
}

#[test]
fn a_handler_that_panics_with_anything_does_not_end_the_detector() {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("a payload that panics when it is dropped");
        }
    }
    let told = Arc::new(Mutex::new(0));
    let count = told.clone();
    let builder = EventLoop::builder().stall_limit(ms(40)).on_stall(move |_| {
        *count.lock().unwrap() += 1;
        std::panic::panic_any(PanicsAgain)
    });
    run_with(builder, async {
        let since = Instant::now();
        while *told.lock().unwrap() < 2 {
            assert!(since.elapsed() < secs(60));
            thread::sleep(ms(1));
        }
    });
}

#[test]
fn a_stall_after_a_long_wait_is_reported() {
    let stalls = Stalls::default();
    run_with(stalls.builder(ms(20)), async {
        // The detector sleeps after two looks, which are 5 ms apart.
        sleep(ms(60)).await;
        let seen = stalls.all().len();
        stalls.block_until(seen + 1);
    });
}

#[test]
fn a_host_is_no_stall_between_two_turns() {
    let stalls = Stalls::default();
    let mut event_loop = stalls.builder(ms(20)).build_loop().unwrap();
    event_loop.call_soon(|| ());
    let _ = event_loop.turn(false, || false);
    thread::sleep(ms(100));
    let _ = event_loop.turn(false, || false);
    thread::sleep(ms(100));
    let host_only = |stall: &Stall| stall.lasted < ms(20) || stall.lasted > ms(90);
    assert!(!stalls.all().iter().any(host_only), "{:?}", stalls.all());
}
