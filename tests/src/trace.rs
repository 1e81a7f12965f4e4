//! What happened, in words, and a loop on virtual time to let it happen on.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::EventLoop;

/// What happened, in words.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    /// Adds what has just happened.
    pub fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// All that has happened since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Notes `what` when it is dropped.
    pub fn on_drop(&self, what: &'static str) -> NoteOnDrop {
        NoteOnDrop(self.clone(), what)
    }
}

/// Says in a [`Trace`] when it is dropped.
#[derive(Debug)]
#[must_use = "it notes that it is dropped, which is now"]
pub struct NoteOnDrop(Trace, &'static str);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// Runs `main` on virtual time, closes the loop, and gives what was noted, reports to the exception
/// handler included.
///
/// # Panics
///
/// If `main` does.
pub fn run_virtual(main: impl AsyncFnOnce(&Trace)) -> Vec<String> {
    let builder = EventLoop::builder().virtual_time(true);
    let mut event_loop = builder.build_loop().expect("a selector");
    let trace = Trace::default();
    let reports = trace.clone();
    event_loop.set_exception_handler(move |unhandled| reports.note(unhandled.to_string()));
    if let Err(error) = event_loop.run_until_complete(main(&trace)) {
        match error {
            asyncio::JoinError::Panicked(_, payload) => payload.resume(),
            other => panic!("{other}"),
        }
    }
    drop(event_loop);
    trace.take()
}
