//! What the tests share: a loop that does nothing but run what is ready, a trace of words, and futures
//! and values with something to say.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::ThreadId;

use asyncio_task::Tasks;

/// Words, in the order in which they were said.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn say(&self, words: impl Into<String>) {
        self.0.borrow_mut().push(words.into());
    }

    /// What has been said since the last time.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.0.take()
    }

    /// Something that says `words` when it is dropped.
    pub(crate) fn on_drop(&self, words: &'static str) -> OnDrop<impl FnOnce() + use<>> {
        let trace = self.clone();
        OnDrop::new(move || trace.say(words))
    }
}

/// Calls a function when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    pub(crate) fn new(f: F) -> Self {
        Self(Some(f))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0.take().expect("dropped once"))();
    }
}

/// Tasks that run here while `f` does; what is reported goes into the trace.
pub(crate) fn entered<R>(f: impl FnOnce(&Rc<Tasks>, &Trace) -> R) -> R {
    let tasks = Rc::new(Tasks::new(|| ()));
    let trace = Trace::default();
    let reports = trace.clone();
    tasks.on_unhandled(move |unhandled| {
        let cause = match unhandled.cause() {
            asyncio_task::Cause::Panic(payload) => format!(": {payload}"),
            asyncio_task::Cause::Error(error) => format!(": {error}"),
            _ => String::new(),
        };
        let name = match unhandled.task() {
            Some(task) => format!(" ({})", task.name),
            None => String::new(),
        };
        reports.say(format!("report: {}{cause}{name}", unhandled.message()));
    });
    let result = tasks.enter(&(), || f(&tasks, &trace));
    let alone = Rc::into_inner(tasks);
    assert!(alone.is_some(), "no task may keep its own loop alive");
    result
}

/// Runs what is ready until nothing is.
pub(crate) fn settle(tasks: &Tasks) {
    for _ in 0..100_000 {
        if !tasks.run_one() {
            return;
        }
    }
    panic!("the tasks never come to rest");
}

/// Lets the others go first, once.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The waker of the task that awaits it, without waiting.
pub(crate) async fn my_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

/// A gate that a task waits at until somebody opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Gate {
    pub(crate) async fn pass(&self) {
        poll_fn(|cx| {
            if self.0.0.get() {
                return Poll::Ready(());
            }
            *self.0.1.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn open(&self) {
        self.0.0.set(true);
        let waker = self.0.1.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Counts how often it is woken.
#[derive(Default)]
pub(crate) struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    pub(crate) fn rings(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A panic payload whose destructor panics as well.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's destructor");
    }
}

/// A value that must be dropped on the thread it was made on, and counts that it was.
pub(crate) struct Homebound {
    home: ThreadId,
    dropped: Rc<Cell<usize>>,
}

impl Homebound {
    pub(crate) fn new(dropped: &Rc<Cell<usize>>) -> Self {
        Self {
            home: std::thread::current().id(),
            dropped: dropped.clone(),
        }
    }
}

impl Drop for Homebound {
    fn drop(&mut self) {
        if std::thread::current().id() != self.home {
            // A panic could be caught by what is tested; this cannot.
            eprintln!("a value that belongs to one thread was dropped on another");
            std::process::abort();
        }
        self.dropped.set(self.dropped.get() + 1);
    }
}

/// The words of a panic.
pub(crate) fn words(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no words")
}
