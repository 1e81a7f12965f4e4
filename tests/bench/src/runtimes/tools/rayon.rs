//! rayon's global pool: `spawn`, and a oneshot of futures for the answer.

use futures::channel::oneshot;

use crate::threads::Threads;

/// The global pool.
#[derive(Debug)]
pub(crate) struct Pool;

impl Threads for Pool {
    type Handle = ();

    fn call<T, F>(job: F) -> impl Future<Output = T> + 'static
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answers, answer) = oneshot::channel();
        rayon::spawn(move || drop(answers.send(job())));
        async move { answer.await.expect("the job returns") }
    }

    fn handle() {}

    fn post((): &(), _callback: impl FnOnce() + Send + 'static) {}
}
