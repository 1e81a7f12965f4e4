//! The behaviour that `test_runners.py` observes.

/// `asyncio.run`.
mod run_tests {
    use asyncio::{Runner, run, run_with, running_loop, spawn, yield_now};
    use asyncio_tests::{Trace, forever, panic_of};

    /// `run` gives what the main coroutine returned.
    #[test]
    fn asyncio_run_return() {
        assert_eq!(run(async { 12 }), 12);
    }

    /// `run` lets out what goes wrong in the main coroutine: its error, and its panic.
    #[test]
    fn asyncio_run_raises() {
        assert_eq!(run(async { Err::<(), _>("spam") }), Err("spam"));
        assert_eq!(panic_of(|| run(async { panic!("spam") })), "spam");
    }

    /// Debug mode can be seen on the loop; what is said explicitly beats the environment, which
    /// `tasks::gather_tests_base::env_var_debug` is about.
    #[test]
    fn asyncio_run_debug() {
        for on in [true, false] {
            let seen = run_with(Runner::builder().debug(on), async {
                running_loop().debug()
            });
            assert_eq!(seen, on);
        }
        #[cfg(unix)]
        for (environment, expected) in [("1", "debug: true"), ("0", "debug: false")] {
            let mut command = crate::process::child("debug");
            let mut child = asyncio_tests::Child::start(command.env("ASYNCIO_DEBUG", environment));
            child.expect(expected);
        }
    }

    /// `run` inside of a running loop is an error.
    #[test]
    fn asyncio_run_from_running_loop() {
        let refused = run(async { panic_of(|| run(async {})) });
        assert!(refused.starts_with("an event loop runs on this thread already"));
    }

    /// A task that is left and goes wrong while it is cancelled is reported, and `run` returns its value
    /// all the same.
    #[test]
    fn asyncio_run_reports_hanging_tasks_errors() {
        struct Fails;
        impl Drop for Fails {
            fn drop(&mut self) {
                panic!("I fail to end");
            }
        }
        let trace = Trace::default();
        let reports = trace.clone();
        let value = run(async {
            asyncio::set_exception_handler(move |unhandled| reports.note(unhandled.to_string()));
            spawn(async {
                let _fails = Fails;
                forever().await;
            })
            .detach();
            yield_now().await;
            42
        });
        assert_eq!(value, 42);
        let reports = trace.take();
        assert_eq!(reports.len(), 1);
        assert!(
            reports[0].contains("I fail to end (Task-2, spawned at"),
            "{reports:?}"
        );
    }

    /// The loop that was asked for is the one that is used: a builder is our loop factory.
    #[test]
    fn asyncio_run_loop_factory() {
        let builder = Runner::builder().virtual_time(true);
        let slept = run_with(builder, async {
            let start = asyncio::time();
            asyncio::sleep(asyncio_tests::secs(3600)).await;
            asyncio::time() - start
        });
        assert_eq!(slept, asyncio_tests::secs(3600));
    }
}

/// `asyncio.Runner`.
mod runner_tests {
    use asyncio::{Runner, running_loop};
    use asyncio_tests::panic_of;

    /// A runner with debug mode off.
    #[test]
    fn non_debug() {
        let runner = Runner::builder().debug(false).build().unwrap();
        assert!(!runner.event_loop().debug());
    }

    /// A runner with debug mode on.
    #[test]
    fn debug() {
        let runner = Runner::builder().debug(true).build().unwrap();
        assert!(runner.event_loop().debug());
    }

    /// Closing closes the loop, and running later is an error.
    #[test]
    fn explicit_close() {
        let mut runner = Runner::new().unwrap();
        runner.close();
        assert!(runner.event_loop().is_closed());
        let refused = panic_of(|| runner.run(async {}));
        assert!(refused.contains("the event loop is closed"));
    }

    /// Closing twice does nothing.
    #[test]
    fn double_close() {
        let mut runner = Runner::new().unwrap();
        runner.close();
        runner.close();
        assert!(runner.event_loop().is_closed());
    }

    /// Running a runner inside of itself does not compile, since `run` takes it by `&mut`; another runner
    /// inside of its loop is an error.
    #[test]
    fn recursive_run() {
        let mut runner = Runner::new().unwrap();
        let mut other = Runner::new().unwrap();
        let refused = runner.run(async { panic_of(|| other.run(async {})) });
        let refused = refused.unwrap();
        assert!(refused.starts_with("an event loop runs on this thread already"));
        assert!(other.run(async { running_loop() }).is_ok(), "unharmed");
    }

    /// Ctrl-C while main spins on yields cancels it, and the runner tells an interrupt from a
    /// cancellation.
    #[test]
    #[cfg(unix)]
    fn interrupt_call_soon() {
        let mut child = asyncio_tests::Child::start(&mut crate::process::child("main spins"));
        child.expect("ready");
        child.interrupt();
        child.expect("cleaned up");
        assert_eq!(child.wait().signal(), Some(2));
    }

    /// Ctrl-C while main waits cancels it and what it waits for.
    #[test]
    #[cfg(unix)]
    fn interrupt_wait() {
        let mut child = asyncio_tests::Child::start(&mut crate::process::child("runner"));
        child.expect("ready");
        child.interrupt();
        child.expect("cleaned up");
        child.expect("cancelled: true, interrupted: true");
    }

    /// If the program had cancelled main before, Ctrl-C does not turn that into an interrupt.
    #[test]
    #[cfg(unix)]
    fn interrupt_cancelled_task() {
        let mut child = asyncio_tests::Child::start(&mut crate::process::child("cancelled before"));
        child.expect("ready");
        child.expect("cleaned up");
        child.expect("cancelled: true, interrupted: false");
    }
}
