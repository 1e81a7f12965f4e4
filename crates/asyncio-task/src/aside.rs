//! What few tasks have, kept beside the cell so that the others stay small: a name, a context of
//! their own, the payload of a panic.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;

use crate::context::Context;

/// See the head of this file.
#[derive(Default)]
pub(crate) struct Aside {
    name: RefCell<Option<Arc<str>>>,
    context: RefCell<Option<Context>>,
    payload: Cell<Option<Box<dyn Any + Send>>>,
}

impl Aside {
    pub(crate) fn new(name: Option<Arc<str>>, context: Option<Context>) -> Self {
        Self {
            name: RefCell::new(name),
            context: RefCell::new(context),
            payload: Cell::new(None),
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

    pub(crate) fn leave_payload(&self, payload: Box<dyn Any + Send>) {
        self.payload.set(Some(payload));
    }

    pub(crate) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.take()
    }

    /// Takes out all but the name. Values of others, so the caller drops them with nothing borrowed.
    pub(crate) fn empty(&self) -> impl Sized + use<> {
        (self.context.take(), self.payload.take())
    }
}

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
