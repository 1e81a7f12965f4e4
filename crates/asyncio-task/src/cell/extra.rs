//! Rarely used fields of a task, allocated on first use to keep the header small. They are a name, a context of its
//! own, the payload of a panic, and the message of a request to cancel it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use crate::cancel::{Origin, ScopeKey};
use crate::context::values::Context;

/// The rarely used fields of one task.
#[derive(Default)]
pub(crate) struct TaskExtra {
    name: RefCell<Option<Arc<str>>>,
    context: RefCell<Option<Context>>,
    payload: Cell<Option<Box<dyn Any + Send>>>,
    requests: Cell<Requests>,
    awaiter: Cell<Option<ScopeKey>>,
}

/// Requests to cancel a task that its scopes have not been told of: it has none, or their loop did not run.
#[derive(Default)]
pub(crate) struct Requests {
    /// Where the first one came from, if it was passed on.
    pub(crate) origin: Option<Origin>,
    /// How many there are. The first one to a task without scopes is a flag of its state, and not counted.
    pub(crate) further: usize,
    /// The last message that came with one; afterwards, that of the one which ended the task.
    pub(crate) message: Option<Arc<str>>,
}

impl TaskExtra {
    pub(crate) fn new(name: Option<Arc<str>>, context: Option<Context>) -> Self {
        Self {
            name: RefCell::new(name),
            context: RefCell::new(context),
            payload: Cell::new(None),
            requests: Cell::default(),
            awaiter: Cell::new(None),
        }
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.name.borrow().clone()
    }

    pub(crate) fn set_name(&self, name: Arc<str>) {
        *self.name.borrow_mut() = Some(name);
    }

    pub(crate) fn context(&self) -> Option<Context> {
        self.context.borrow().clone()
    }

    /// Whether there is a context with values in it.
    pub(crate) fn has_context(&self) -> bool {
        self.context
            .borrow()
            .as_ref()
            .is_some_and(|context| !context.is_empty())
    }

    /// The context, made if need be.
    pub(crate) fn context_or_new(&self) -> Context {
        self.context
            .borrow_mut()
            .get_or_insert_with(Context::new)
            .clone()
    }

    /// Whether all that is here may be dropped on any thread.
    pub(crate) fn is_a_name(&self) -> bool {
        let payload = self.payload.take();
        let has_payload = payload.is_some();
        self.payload.set(payload);
        !has_payload && self.context.borrow().is_none()
    }

    pub(crate) fn keep_payload(&self, payload: Box<dyn Any + Send>) {
        self.payload.set(Some(payload));
    }

    pub(crate) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.take()
    }

    /// `counted`: it is not the one that the task's state notes.
    pub(crate) fn note_request(&self, counted: bool, origin: Origin, message: Option<Arc<str>>) {
        let mut requests = self.requests.take();
        requests.further = requests.further.saturating_add(usize::from(counted));
        requests.message = message.or(requests.message);
        requests.origin = Some(requests.origin.map_or(origin, |first| first.max(origin)));
        self.requests.set(requests);
    }

    /// Keeps the message of the request that ended the task.
    pub(crate) fn keep_message(&self, message: Option<Arc<str>>) {
        let mut requests = self.requests.take();
        requests.message = message.or(requests.message);
        self.requests.set(requests);
    }

    pub(crate) fn take_requests(&self) -> Requests {
        self.requests.take()
    }

    pub(crate) fn further_requests(&self) -> usize {
        let requests = self.requests.take();
        let further = requests.further;
        self.requests.set(requests);
        further
    }

    pub(crate) fn cancel_message(&self) -> Option<Arc<str>> {
        let requests = self.requests.take();
        let message = requests.message.clone();
        self.requests.set(requests);
        message
    }

    /// The scope in which the awaiting task propagates a request.
    pub(crate) fn propagating_awaiter(&self) -> Option<ScopeKey> {
        self.awaiter.get()
    }

    /// Notes that the awaiting task propagates a request in this scope.
    pub(crate) fn note_propagating_awaiter(&self, scope: Option<ScopeKey>) {
        self.awaiter.set(scope);
    }

    /// Takes out all but the name. Foreign values, so the caller drops them with nothing borrowed.
    pub(crate) fn empty(&self) -> impl Sized + use<> {
        self.requests.take();
        (self.context.take(), self.payload.take())
    }
}

impl fmt::Debug for TaskExtra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskExtra")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
