//! Scenes for tests that look at a whole process: how Ctrl-C ends it, what it asks of the system.
//!
//! The first argument names the scene. Each prints a line when it has come somewhere, and the test
//! reads those.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use asyncio::__private::{Orders, run_test};
use asyncio::sync::promise_or;
use asyncio::{
    Runner, TaskGroup, TaskState, call_soon, catch_cancel, current_task, on_cancel, run,
    running_loop, shield, sleep, spawn, task_group, yield_now,
};
use asyncio_tests::{forever, ms, secs};

fn main() {
    let scene = std::env::args().nth(1).unwrap_or_default();
    match scene.as_str() {
        "main waits" => run(until_interrupted(forever())),
        #[cfg(unix)]
        "echo" => run(echo()).expect("the streams work"),
        "sigterm" => asyncio::run_with(sigterm(), main_cleans_up(ms(5))),
        "sigterm by the attribute" => sigterm_by_the_attribute(),
        "sigterm takes long" => asyncio::run_with(sigterm(), main_cleans_up(secs(600))),
        "sigterm and a runner" => sigterm_and_a_runner(),
        "main spins" => run(until_interrupted(spin())),
        "others clean up" => others_clean_up(),
        "main waits in its cleanup" => run(main_cleans_up(ms(5))),
        "main waits long in its cleanup" => run(main_cleans_up(secs(600))),
        "main swallows it" => main_swallows_it(),
        "a group" => run(group()),
        "a shield" => run(shielded()),
        "others wait in their cleanup" => others_wait_in_their_cleanup(ms(5), true),
        "others wait long in their cleanup" => others_wait_in_their_cleanup(secs(600), true),
        "closing takes long" => others_wait_in_their_cleanup(secs(600), false),
        "cleaning takes long" => cleaning_takes_long(),
        "main keeps its value" => main_keeps_its_value(),
        "runner" => runner(),
        "cancelled before" => cancelled_before(),
        "not the main thread" => {
            let thread = std::thread::spawn(|| run(until_interrupted(forever())));
            thread.join().expect("it is interrupted before");
        }
        "before the run" => {
            say("ready");
            wait_for_end_of_input();
            run(async { say("ran") });
        }
        "after the run" => {
            run(async {});
            say("ready");
            wait_for_end_of_input();
        }
        "between two runs" => {
            let mut runner = Runner::new().expect("a selector");
            runner.run(async {}).expect("it returns");
            say("ready");
            wait_for_end_of_input();
        }
        "as main returns" => {
            run(async { press() });
            say("went on");
        }
        "told to ignore it" => {
            run(async {
                press();
                yield_now().await;
            });
            say("went on");
        }
        "debug" => run(async { say(&format!("debug: {}", running_loop().debug())) }),
        "reports" => reports(),
        "fails under some order" => fails_under_some_order(std::env::args().nth(2)),
        "reports to nobody" => {
            reports();
            say("went on");
        }
        #[cfg(unix)]
        "guest" => guest(),
        "main waits in a guest of tokio" => asyncio::tokio::run(until_interrupted(forever())),
        "others wait in a guest of tokio" => asyncio::tokio::run(async {
            others_wait(ms(5)).await;
            say("ready");
            forever().await;
        }),
        "two guests in a set of tokio's" => guests_in_a_set(),
        "a group in a guest of tokio" => asyncio::tokio::run(group()),
        "a shield in a guest of tokio" => asyncio::tokio::run(shielded()),
        "a guest cleans up for long" => asyncio::tokio::run(main_cleans_up(secs(600))),
        "stays busy" => asyncio::run_with(Runner::builder().ctrl_c(false), busy()),
        "makes no system call" => makes_no_system_call(),
        other => panic!("there is no scene {other:?}"),
    }
}

/// Prints a line, at once.
fn say(what: &str) {
    println!("{what}");
}

fn wait_for_end_of_input() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Says so when it is dropped.
struct CleansUp(&'static str);

impl Drop for CleansUp {
    fn drop(&mut self) {
        say(self.0);
    }
}

/// Says each line of the standard input again, and the number of lines on standard error.
#[cfg(unix)]
async fn echo() -> std::io::Result<()> {
    let mut lines = asyncio::net::StreamReader::new(asyncio::stdio::stdin()?);
    let mut output = asyncio::stdio::stdout()?;
    let mut count = 0;
    while let Some(line) = lines.next_line().await? {
        output.write_all(format!("{line}\n").as_bytes()).await?;
        count += 1;
    }
    let mut errors = asyncio::stdio::stderr()?;
    errors.write_all(count.to_string().as_bytes()).await
}

fn sigterm() -> asyncio::Builder {
    Runner::builder().sigterm(true)
}

#[asyncio::main(sigterm = true)]
async fn sigterm_by_the_attribute() {
    main_cleans_up(ms(5)).await;
}

fn sigterm_and_a_runner() {
    let mut runner = sigterm().build().expect("a selector");
    let ended = runner.run(main_cleans_up(ms(5)));
    let cancelled = ended.is_err_and(|error| error.is_cancelled());
    say(&format!(
        "cancelled: {cancelled}, interrupted by {:?}",
        runner.interrupted_by()
    ));
}

async fn until_interrupted(work: impl Future) {
    let _guard = CleansUp("cleaned up");
    say("ready");
    work.await;
}

async fn spin() {
    loop {
        yield_now().await;
    }
}

fn others_clean_up() {
    run(async {
        spawn(async {
            let _guard = CleansUp("the other cleaned up");
            forever().await;
        })
        .detach();
        yield_now().await;
        until_interrupted(forever()).await;
    });
    say("run returned");
}

async fn main_cleans_up(takes: Duration) {
    say("ready");
    let cleanup = async {
        say("cleaning up");
        sleep(takes).await;
        say("clean");
    };
    on_cancel(forever(), cleanup).await;
}

fn main_swallows_it() {
    let value = run(async {
        say("ready");
        if let Err(cancelled) = catch_cancel(forever()).await {
            cancelled.swallow();
        }
        say("never mind");
        let open = current_task().expect("main is a task").cancelling();
        wait_for_end_of_input();
        sleep(ms(5)).await;
        format!("a value, and {open} requests open")
    });
    say(&value);
}

async fn group() {
    let group = task_group(async |tg: TaskGroup<'_>| {
        for (name, takes) in [("slow", 20), ("quick", 1)] {
            let cleanup = async move {
                sleep(ms(takes)).await;
                say(name);
            };
            tg.spawn(async {
                on_cancel(forever(), cleanup).await;
                Ok(())
            });
        }
        sleep(ms(1)).await;
        say("ready");
        forever().await;
        Ok(())
    });
    let all = on_cancel(group, async { say("the group has ended") }).await;
    all.expect("nothing fails");
}

async fn shielded() {
    let me = current_task().expect("main is a task");
    let write = async {
        say("ready");
        while me.cancelling() == 0 {
            sleep(ms(1)).await;
        }
        say("asked");
        sleep(ms(5)).await;
        say("written");
    };
    shield(write).await;
    sleep(ms(1)).await;
    say("never reached");
}

fn others_wait_in_their_cleanup(takes: Duration, main_waits: bool) {
    run(async move {
        let cleanup = async move {
            say("the other cleans up");
            sleep(takes).await;
            say("the other is clean");
        };
        spawn(on_cancel(forever(), cleanup)).detach();
        yield_now().await;
        if main_waits {
            until_interrupted(forever()).await;
        }
    });
    say("run returned");
}

fn cleaning_takes_long() {
    struct TakesLong;
    impl Drop for TakesLong {
        fn drop(&mut self) {
            say("cleaning up");
            std::thread::sleep(Duration::from_secs(600));
        }
    }
    run(async {
        let _guard = TakesLong;
        say("ready");
        forever().await;
    });
}

fn main_keeps_its_value() {
    let value = run(async {
        say("ready");
        let me = current_task().expect("main is a task");
        while me.info().state != TaskState::Cancelling {
            yield_now().await;
        }
        "a value"
    });
    say(value);
}

fn runner() {
    let mut runner = Runner::new().expect("a selector");
    let error = runner.run(until_interrupted(forever())).unwrap_err();
    say(&format!(
        "cancelled: {}, interrupted: {}",
        error.is_cancelled(),
        runner.was_interrupted()
    ));
    runner.run(async { say("ran again") }).expect("it returns");
    say(&format!("interrupted: {}", runner.was_interrupted()));
}

fn cancelled_before() {
    // After each step there is a look at Ctrl-C.
    let builder = Runner::builder().task_budget(1);
    let mut runner = builder.build().expect("a selector");
    let error = runner
        .run(async {
            let me = current_task().expect("main is a task");
            call_soon(move || {
                me.cancel();
                press();
            });
            until_interrupted(forever()).await;
        })
        .unwrap_err();
    say(&format!(
        "cancelled: {}, interrupted: {}",
        error.is_cancelled(),
        runner.was_interrupted()
    ));
}

/// Presses Ctrl-C, as it were.
fn press() {
    #[cfg(unix)]
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)
        .expect("a process may signal itself");
}

/// Runs a test that relies on the order of its tasks as `#[asyncio::test(order = 100)]` does; or, given a seed, with
/// that one.
fn fails_under_some_order(seed: Option<String>) {
    let orders = match seed {
        None => Orders::Random(100),
        Some(seed) => Orders::Seeds(vec![seed.parse().expect("a seed")].leak()),
    };
    let builder = || Runner::builder().virtual_time(true);
    run_test(builder, orders, async || {
        let order = Rc::new(RefCell::new(String::new()));
        let tasks = ["flour", "water", "yeast", "salt"].map(|what| {
            let order = order.clone();
            spawn(async move { order.borrow_mut().push_str(what) })
        });
        for task in tasks {
            task.await.expect("it returns");
        }
        assert_eq!(*order.borrow(), "flourwateryeastsalt");
    });
}

/// One report by a loop, and one without.
fn reports() {
    std::panic::set_hook(Box::new(|_| ()));
    run(async {
        call_soon(|| panic!("burnt"));
        yield_now().await;
        yield_now().await;
    });
    let (promise, answer) = promise_or::<(), &str>();
    promise.set_error("no flour").expect("there is an answer");
    drop(answer);
}

/// Tasks keep each other busy.
async fn busy() {
    let tasks: Vec<_> = (0..10).map(|_| spawn(spin())).collect();
    for _ in 0..10_000 {
        yield_now().await;
        // A wake through a task's handle, and back.
        spawn(async {}).await.expect("it returns");
    }
    drop(tasks);
}

/// The kernel kills the process at its first system call other than `read`, `write` and the end of a
/// thread. It also forbids reading the processor's clock, so time is virtual here.
#[cfg(target_os = "linux")]
fn makes_no_system_call() {
    use rustix::thread::{SecureComputingMode, set_secure_computing_mode};

    asyncio::run_with(Runner::builder().virtual_time(true), async {
        busy().await; // until nothing is new
        std::thread::sleep(Duration::from_millis(1));
        set_secure_computing_mode(SecureComputingMode::Strict).expect("this kernel can");
        busy().await;
        say("no system call was made");
        // And this one ends it.
        std::thread::sleep(Duration::from_millis(1));
        say("but sleeping makes one, and it was allowed");
    });
}

#[cfg(not(target_os = "linux"))]
fn makes_no_system_call() {
    say("no system call was made");
}

/// A guest of a host that waits in short sleeps.
#[cfg(unix)]
fn guest() {
    let builder = asyncio::EventLoop::builder();
    let guest = asyncio::host::Guest::with(builder, until_interrupted(forever()));
    let mut guest = guest.expect("a selector");
    loop {
        if let std::ops::ControlFlow::Break(outcome) = guest.turn(true, || false) {
            say(&format!("cancelled: {}", outcome.is_err()));
            say(&format!("interrupted by {:?}", guest.interrupted_by()));
            return;
        }
        std::thread::sleep(ms(1));
    }
}

/// Two guests of one set that both ask for Ctrl-C. The first one has it.
fn guests_in_a_set() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("tokio starts");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let builder = asyncio::EventLoop::builder;
        let first = asyncio::tokio::Guest::with(builder(), forever());
        let mut first = first.expect("a selector");
        let second = asyncio::tokio::Guest::with(builder(), until_interrupted(forever()));
        let second = tokio::task::spawn_local(second.expect("a selector"));
        let outcome = (&mut first).await;
        say(&format!("cancelled: {}", outcome.is_err()));
        say(&format!("interrupted by {:?}", first.interrupted_by()));
        second.abort();
        assert!(second.await.is_err());
    });
}

/// Spawns a task whose cleanup waits for a timer of tokio's.
async fn others_wait(pause: Duration) {
    spawn(on_cancel(forever(), async move {
        tokio::time::sleep(pause).await;
        say("the other cleaned up");
    }))
    .detach();
    yield_now().await;
}
