//! The behaviour that `test_threads.py` observes.

/// `asyncio.to_thread`.
mod to_thread_tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use asyncio::{ContextVar, JobError, run, to_thread};

    /// A function runs on another thread, and gives its value.
    #[test]
    fn to_thread_() {
        let (sum, there) = run(async {
            let job = to_thread(|| (40 + 2, thread::current().id()));
            job.await.unwrap()
        });
        assert_eq!(sum, 42);
        assert_ne!(there, thread::current().id());
    }

    /// A failure of the call surfaces where it is awaited: its error, and its panic.
    #[test]
    fn to_thread_exception() {
        run(async {
            let failed = to_thread(|| Err::<(), _>("test")).await;
            assert_eq!(failed.unwrap(), Err("test"));
            let panicked = to_thread(|| panic!("test")).await;
            let Err(JobError::Panicked(payload)) = panicked else {
                panic!("{panicked:?}")
            };
            assert_eq!(payload.message(), "test");
        });
    }

    /// It is called once.
    #[test]
    fn to_thread_once() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        run(async {
            let job = to_thread(move || counted.fetch_add(1, Ordering::SeqCst));
            job.await.unwrap();
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    /// It sees the caller's context, as far as other threads may.
    #[test]
    fn to_thread_contextvars() {
        static TEST: ContextVar<&str> = ContextVar::shared("test");
        run(async {
            TEST.set("parrot");
            assert_eq!(to_thread(|| TEST.get()).await.unwrap(), Some("parrot"));
        });
    }
}
