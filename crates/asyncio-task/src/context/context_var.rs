//! Context variables, and code that runs in a context.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::values::{Context, Value};
use crate::engine::current;

/// A variable whose value depends on the context it is read in.
///
/// ```
/// use asyncio_task::{Context, ContextVar};
///
/// static USER: ContextVar<String> = ContextVar::new("user");
///
/// let context = Context::new();
/// context.run(|| {
///     USER.set("ada".to_owned());
///     assert_eq!(USER.get().as_deref(), Some("ada"));
/// });
/// assert_eq!(USER.get(), None);
/// ```
pub struct ContextVar<T> {
    name: &'static str,
    /// Given out at the first use; 0 before.
    key: AtomicU64,
    /// Tells whether other threads may have the values.
    wrap: fn(T) -> Value,
}

/// The value that a [`ContextVar::set`] replaced, for [`ContextVar::reset`].
#[doc(alias = "Token")]
pub struct ContextToken<T> {
    context: Context,
    key: u64,
    old: Option<Value>,
    value: PhantomData<fn() -> T>,
}

/// A context variable was set where there is no context: outside of any loop and of [`Context::run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no context here: set context variables in a task or within Context::run")]
pub struct NoContext;

impl<T: 'static> ContextVar<T> {
    /// A variable without a value, usually a `static`. The name is for messages.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            key: AtomicU64::new(0),
            wrap: |value| Value::Local(Rc::new(value)),
        }
    }

    /// A variable whose values follow the work that is handed to other threads, such as the jobs of a
    /// thread pool. A job sees the value itself, not a clone of it. A value that a job sets stays with the job.
    ///
    /// The last reference to a value may be dropped on another thread.
    ///
    /// ```
    /// use asyncio_task::{Context, ContextVar};
    ///
    /// static REQUEST: ContextVar<u64> = ContextVar::shared("request");
    ///
    /// let context = Context::new();
    /// context.run(|| REQUEST.set(7));
    /// let shared = context.to_shared();
    /// let thread = std::thread::spawn(move || shared.run(|| REQUEST.get()));
    /// assert_eq!(thread.join().unwrap(), Some(7));
    /// ```
    #[must_use]
    pub const fn shared(name: &'static str) -> Self
    where
        T: Send + Sync,
    {
        Self {
            name,
            key: AtomicU64::new(0),
            wrap: |value| Value::Shared(Arc::new(value)),
        }
    }

    /// The name of the variable.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    fn key(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        match self.key.load(Ordering::Relaxed) {
            0 => {
                let new = NEXT.fetch_add(1, Ordering::Relaxed);
                let first = self
                    .key
                    .compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed);
                first.err().unwrap_or(new)
            }
            key => key,
        }
    }

    /// The value in the current context.
    #[must_use]
    pub fn get(&self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned())
    }

    /// Calls `look` with the value in the current context.
    pub fn with<R>(&self, look: impl FnOnce(Option<&T>) -> R) -> R {
        let value = current::context(false).and_then(|context| context.get(self.key()));
        let value = value.as_ref().map(Value::as_any);
        look(value.and_then(<dyn Any>::downcast_ref))
    }

    /// Sets the value in the current context: for the current task, and for the tasks that it spawns from now on.
    ///
    /// # Panics
    ///
    /// Outside of any loop and of [`Context::run`]; [`try_set`](Self::try_set) does not.
    pub fn set(&self, value: T) -> ContextToken<T> {
        self.try_set(value).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Sets the value, as [`set`](Self::set) does, if there is a context.
    ///
    /// # Errors
    ///
    /// Outside of any loop and of [`Context::run`].
    pub fn try_set(&self, value: T) -> Result<ContextToken<T>, NoContext> {
        let context = current::context(true).ok_or(NoContext)?;
        let key = self.key();
        let old = context.put(key, Some((self.wrap)(value)));
        Ok(ContextToken {
            context,
            key,
            old,
            value: PhantomData,
        })
    }

    /// Restores the value before a [`set`](Self::set), in the context of that `set`.
    ///
    /// # Panics
    ///
    /// If the token is that of another variable.
    pub fn reset(&self, token: ContextToken<T>) {
        assert!(
            token.key == self.key(),
            "the token was made by another context variable"
        );
        drop(token.context.put(token.key, token.old));
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextVar({:?})", self.name)
    }
}

impl<T> fmt::Debug for ContextToken<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextToken").finish_non_exhaustive()
    }
}

impl Context {
    /// Calls `f` in this context. Values that `f` sets stay in it.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        current::enter_context(self, f)
    }
}

/// A copy of the current context. Empty if there is none.
#[must_use]
pub fn copy_context() -> Context {
    current::context(false)
        .map(|context| context.copy())
        .unwrap_or_default()
}
