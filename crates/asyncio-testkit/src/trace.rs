//! A log of events that a test compares with the expected one.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;

/// Events of any type, in the order in which they were noted. A clone is the same log.
#[derive(Debug)]
pub struct Log<E>(Rc<RefCell<Vec<E>>>);

impl<E> Log<E> {
    /// Adds an event.
    pub fn note(&self, event: E) {
        self.0.borrow_mut().push(event);
    }

    /// Takes all events that were noted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<E> {
        self.0.take()
    }
}

impl<E> Clone for Log<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Default for Log<E> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

/// A [`Log`] of words.
#[derive(Clone, Debug, Default)]
pub struct Trace(Log<String>);

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test notes what it has just made"
    )]
    pub fn note(&self, event: impl ToString) {
        self.0.note(event.to_string());
    }

    /// Takes all events that were noted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// A value that notes `event` when it is dropped.
    pub fn on_drop(&self, event: &'static str) -> NoteOnDrop {
        NoteOnDrop(self.clone(), event)
    }
}

/// The value of [`Trace::on_drop`].
#[derive(Debug)]
#[must_use = "dropping it notes its event at once"]
pub struct NoteOnDrop(Trace, &'static str);

impl Drop for NoteOnDrop {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// A [`Trace`] for any thread.
#[derive(Clone, Debug, Default)]
pub struct ThreadTrace(Arc<Mutex<Vec<String>>>);

impl ThreadTrace {
    /// Adds an event.
    pub fn note(&self, event: impl Into<String>) {
        self.lock().push(event.into());
    }

    /// Takes all events that were noted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    /// A value that notes `event` when it is dropped, with the name of the dropping thread if that begins with
    /// `asyncio-`.
    pub fn on_drop(&self, event: &'static str) -> impl Send + 'static {
        let trace = self.clone();
        crate::OnDrop::new(move || {
            let thread = thread::current();
            let place = match thread.name() {
                Some(name) if name.starts_with("asyncio-") => name.to_owned(),
                _ => "here".to_owned(),
            };
            trace.note(format!("{event} dropped: {place}"));
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
