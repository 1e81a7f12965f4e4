//! Contexts: sets of values of context variables.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// A set of values of context variables. Clones are the same context; [`Context::copy`] makes another.
#[derive(Clone, Default)]
pub struct Context {
    values: Rc<RefCell<Values>>,
}

/// Few variables are set at a time: looking through them beats hashing.
type Values = Rc<Vec<(u64, Value)>>;

/// A value of a variable.
#[derive(Clone)]
pub(crate) enum Value {
    /// Of its own thread only.
    Local(Rc<dyn Any>),
    /// Of any thread.
    Shared(SharedValue),
}

/// A value that may cross threads.
pub(crate) type SharedValue = Arc<dyn Any + Send + Sync>;

impl Value {
    pub(crate) fn as_any(&self) -> &dyn Any {
        match self {
            Self::Local(value) => &**value,
            Self::Shared(value) => &**value,
        }
    }
}

impl Context {
    /// An empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another context with the same values.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self {
            values: Rc::new(RefCell::new(self.values.borrow().clone())),
        }
    }

    /// How many variables have a value here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.borrow().len()
    }

    /// Whether no variable has a value here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is empty, and nothing else refers to it.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_empty() && Rc::strong_count(&self.values) == 1
    }

    /// The values that other threads may have.
    pub(crate) fn shared_values(&self) -> Vec<(u64, SharedValue)> {
        let values = self.values.borrow();
        let shared = values.iter().filter_map(|(key, value)| match value {
            Value::Local(_) => None,
            Value::Shared(value) => Some((*key, value.clone())),
        });
        shared.collect()
    }

    /// A context with these values.
    pub(crate) fn of_shared(values: Vec<(u64, SharedValue)>) -> Self {
        let values = values.into_iter();
        let values = values.map(|(key, value)| (key, Value::Shared(value)));
        Self {
            values: Rc::new(RefCell::new(Rc::new(values.collect()))),
        }
    }

    pub(crate) fn get(&self, key: u64) -> Option<Value> {
        let values = self.values.borrow();
        values
            .iter()
            .find(|(k, _)| *k == key)
            .map(|(_, value)| value.clone())
    }

    /// Puts a value in, or takes it out, and gives back the old one.
    pub(crate) fn put(&self, key: u64, value: Option<Value>) -> Option<Value> {
        let mut shared = self.values.borrow_mut();
        // Shared values are copied first: only reference counts change, so no foreign code runs here.
        let values = Rc::make_mut(&mut shared);
        let place = values.iter().position(|(k, _)| *k == key);
        match (place, value) {
            (Some(n), Some(value)) => Some(std::mem::replace(&mut values[n].1, value)),
            (Some(n), None) => Some(values.swap_remove(n).1),
            (None, Some(value)) => {
                values.push((key, value));
                None
            }
            (None, None) => None,
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} variables)", self.len())
    }
}
