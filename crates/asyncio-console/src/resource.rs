//! The spans of a lock, a queue, a sleep or a socket, and of the waits for it.
//!
//! Neither exists before the first wait. So an operation that need not wait costs nothing, and a primitive for which
//! nothing has waited is not shown. (A primitive may be a constant, which has no moment of creation either.)

use std::fmt;

use crate::place::Place;

#[cfg(feature = "tracing")]
use std::collections::HashMap;
#[cfg(feature = "tracing")]
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

#[cfg(feature = "tracing")]
use tracing::{Span, trace, trace_span};

#[cfg(feature = "tracing")]
use crate::emit::{self, emit};

/// The kind of a resource, as the console shows it.
#[derive(Clone, Copy, Debug)]
pub struct ResourceKind {
    /// The name of its type.
    pub concrete_type: TypeName,
    /// `timer`, or another word.
    pub kind: &'static str,
    /// The operation that waits, if there is only one.
    pub operation: &'static str,
}

/// The name of a type, of which a console shows the last part of the path.
#[derive(Clone, Copy, Debug)]
pub enum TypeName {
    /// A name.
    Given(&'static str),
    /// The function that has the name: [`std::any::type_name`], which a constant cannot call.
    By(fn() -> &'static str),
}

impl ResourceKind {
    /// A synchronization primitive.
    #[must_use]
    pub const fn sync(concrete_type: &'static str, operation: &'static str) -> Self {
        Self {
            concrete_type: TypeName::Given(concrete_type),
            kind: "sync",
            operation,
        }
    }

    /// A timer.
    #[must_use]
    pub const fn timer(concrete_type: &'static str, operation: &'static str) -> Self {
        Self {
            concrete_type: TypeName::Given(concrete_type),
            kind: "timer",
            operation,
        }
    }

    /// A source of events of the operating system, of type `S`.
    #[must_use]
    pub const fn socket<S>() -> Self {
        Self {
            concrete_type: TypeName::By(std::any::type_name::<S>),
            kind: "socket",
            operation: "read",
        }
    }
}

/// A lock, a queue, a sleep or a socket that tasks wait for. It may be shared with other threads.
pub struct Resource {
    #[cfg(feature = "tracing")]
    kind: &'static ResourceKind,
    #[cfg(feature = "tracing")]
    place: Place,
    /// Its spans, from the first wait on.
    #[cfg(feature = "tracing")]
    spans: OnceLock<Arc<Spans>>,
}

/// A poll of a wait, from [`Resource::begin`] to [`Resource::end`].
#[derive(Debug)]
#[must_use = "the poll is shown when it ends"]
pub struct Watch {
    #[cfg(feature = "tracing")]
    // In a box, because each poll moves a watch, and few are entered.
    entered: Option<Box<Entered>>,
}

impl Resource {
    /// A resource that was created at `place`.
    #[inline]
    #[must_use]
    pub const fn new(kind: &'static ResourceKind, place: Place) -> Self {
        #[cfg(not(feature = "tracing"))]
        let _ = (kind, place);
        Self {
            #[cfg(feature = "tracing")]
            kind,
            #[cfg(feature = "tracing")]
            place,
            #[cfg(feature = "tracing")]
            spans: OnceLock::new(),
        }
    }

    /// The place at which it was created.
    #[inline(always)]
    #[must_use]
    pub fn place(&self) -> Place {
        #[cfg(feature = "tracing")]
        let place = self.place;
        #[cfg(not(feature = "tracing"))]
        let place = Place::unknown();
        place
    }

    /// The operation that waits, for a resource that has only one.
    #[inline(always)]
    #[must_use]
    pub fn operation(&self) -> &'static str {
        #[cfg(feature = "tracing")]
        let operation = self.kind.operation;
        #[cfg(not(feature = "tracing"))]
        let operation = "";
        operation
    }

    /// Begins a poll of a wait. `entry` is its place in the list of waiters, if it has waited before; an entry is
    /// unique among the waits of one `operation`. Calls the subscriber.
    #[inline(always)]
    pub fn begin(&self, operation: &'static str, entry: Option<usize>) -> Watch {
        #[cfg(feature = "tracing")]
        let watch = Watch {
            entered: match entry {
                Some(entry) if self.is_shown() => self.enter(operation, entry),
                _ => None,
            },
        };
        #[cfg(not(feature = "tracing"))]
        let watch = {
            let _ = (operation, entry);
            Watch {}
        };
        watch
    }

    /// Ends a poll of a wait. `entry` is its place in the list if it goes on. Calls the subscriber.
    #[inline(always)]
    pub fn end(&self, watch: Watch, operation: &'static str, entry: Option<usize>) {
        #[cfg(feature = "tracing")]
        match watch.entered {
            Some(entered) => self.leave_poll(entered, operation, entry),
            None => {
                if let Some(entry) = entry
                    && emit::is_listening()
                {
                    self.begin_wait(operation, entry);
                }
            }
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (watch, operation, entry);
    }

    /// Ends a wait whose future was dropped. Calls the subscriber.
    #[inline(always)]
    pub fn leave(&self, operation: &'static str, entry: usize) {
        #[cfg(feature = "tracing")]
        if self.is_shown() {
            self.end_wait(operation, entry);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (operation, entry);
    }

    /// Shows how long a timer waits in all, if it is shown. Calls the subscriber.
    #[inline(always)]
    pub fn set_duration(&self, millis: impl FnOnce() -> u64) {
        #[cfg(feature = "tracing")]
        if self.is_shown()
            && let Some(spans) = self.spans()
        {
            spans.set_duration(millis());
        }
        #[cfg(not(feature = "tracing"))]
        let _ = millis;
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").finish_non_exhaustive()
    }
}

/// The spans of a resource for which something has waited.
#[cfg(feature = "tracing")]
struct Spans {
    own: Span,
    /// Those of the waits that are not being polled.
    waits: Mutex<HashMap<(&'static str, usize), Span>>,
}

/// The spans that were entered for a poll: of the resource, the wait and the poll. Dropped, also by a panic of the
/// poll, it exits them.
#[cfg(feature = "tracing")]
#[derive(Debug)]
struct Entered(Option<[Span; 3]>);

#[cfg(feature = "tracing")]
impl Entered {
    fn new(spans: &Spans, wait: Span) -> Self {
        let resource = spans.own.clone();
        emit::enter(&resource);
        emit::enter(&wait);
        let poll = trace_span!(target: "asyncio::resource", "runtime.resource.async_op.poll");
        emit::enter(&poll);
        Self(Some([resource, wait, poll]))
    }

    /// Shows the result of the poll, exits the spans, and returns that of the wait.
    fn exit(mut self, operation: &'static str, is_ready: bool) -> Option<Span> {
        trace!(target: "runtime::resource::poll_op", op_name = operation, is_ready);
        let spans = self.0.take()?;
        exit_all(&spans);
        let [_, wait, _] = spans;
        Some(wait)
    }
}

#[cfg(feature = "tracing")]
fn exit_all(spans: &[Span; 3]) {
    spans.iter().rev().for_each(emit::exit);
}

#[cfg(feature = "tracing")]
impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(spans) = self.0.take() {
            emit(move || exit_all(&spans));
        }
    }
}

#[cfg(feature = "tracing")]
impl Spans {
    fn waits(&self) -> std::sync::MutexGuard<'_, HashMap<(&'static str, usize), Span>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, operation: &'static str, entry: usize) -> Option<Span> {
        self.waits().remove(&(operation, entry))
    }

    /// Keeps the span of a wait until its next poll, or closes it if the wait is over.
    fn keep_or_close(&self, operation: &'static str, entry: Option<usize>, wait: Option<Span>) {
        if let (Some(entry), Some(wait)) = (entry, wait) {
            let old = self.waits().insert((operation, entry), wait);
            drop(old);
        }
        self.show_waiters();
    }

    fn within<R>(&self, show: impl FnOnce() -> R) -> R {
        emit::enter(&self.own);
        let shown = show();
        emit::exit(&self.own);
        shown
    }

    fn show_waiters(&self) {
        let waiters = self.waits().len() as u64;
        self.within(|| {
            trace!(
                target: "runtime::resource::state_update",
                waiters,
                waiters.op = "override",
            );
        });
    }

    fn set_duration(&self, duration: u64) {
        emit(|| {
            self.within(|| {
                trace!(
                    target: "runtime::resource::state_update",
                    duration,
                    duration.unit = "ms",
                    duration.op = "override",
                );
            });
        });
    }
}

#[cfg(feature = "tracing")]
impl Resource {
    #[inline(always)]
    fn is_shown(&self) -> bool {
        self.spans.get().is_some()
    }

    /// A copy: the subscriber may end the resource.
    fn spans(&self) -> Option<Arc<Spans>> {
        self.spans.get().cloned()
    }

    #[cold]
    fn enter(&self, operation: &'static str, entry: usize) -> Option<Box<Entered>> {
        let spans = self.spans()?;
        let wait = spans.take(operation, entry)?;
        emit(|| Box::new(Entered::new(&spans, wait)))
    }

    #[cold]
    fn leave_poll(&self, entered: Box<Entered>, operation: &'static str, entry: Option<usize>) {
        let Some(spans) = self.spans() else { return };
        emit(|| {
            let wait = entered.exit(operation, entry.is_none());
            spans.keep_or_close(operation, entry, wait);
        });
    }

    /// The first poll of a wait has returned `Pending`.
    #[cold]
    fn begin_wait(&self, operation: &'static str, entry: usize) {
        let known = self.spans();
        emit(|| {
            let Some(spans) = known.or_else(|| self.create()) else {
                return;
            };
            let wait = spans.within(|| {
                trace_span!(
                    target: "asyncio::resource",
                    "runtime.resource.async_op",
                    source = operation,
                    inherits_child_attrs = false,
                )
            });
            let wait = Entered::new(&spans, wait).exit(operation, false);
            spans.keep_or_close(operation, Some(entry), wait);
        });
    }

    fn create(&self) -> Option<Arc<Spans>> {
        let place = self.place.location();
        let own = trace_span!(
            target: "asyncio::resource",
            parent: None,
            "runtime.resource",
            concrete_type = self.kind.concrete_type.last_part(),
            kind = self.kind.kind,
            is_internal = false,
            inherits_child_attrs = false,
            loc.file = place.map(|place| place.file()),
            loc.line = place.map(|place| u64::from(place.line())),
            loc.col = place.map(|place| u64::from(place.column())),
        );
        if own.is_disabled() {
            return None;
        }
        let spans = Arc::new(Spans {
            own,
            waits: Mutex::default(),
        });
        // Another thread may have been the first.
        let _ = self.spans.set(spans);
        self.spans()
    }

    #[cold]
    fn close(&mut self) {
        let spans = self.spans.take();
        emit(move || drop(spans));
    }

    #[cold]
    fn end_wait(&self, operation: &'static str, entry: usize) {
        let Some(spans) = self.spans() else { return };
        if let Some(wait) = spans.take(operation, entry) {
            emit(|| {
                drop(wait);
                spans.show_waiters();
            });
        }
    }
}

#[cfg(feature = "tracing")]
impl TypeName {
    /// The name without its path and its parameters.
    fn last_part(self) -> &'static str {
        let name = match self {
            Self::Given(name) => name,
            Self::By(name_of) => name_of(),
        };
        let name = name.split('<').next().unwrap_or(name);
        name.rsplit("::").next().unwrap_or(name)
    }
}

#[cfg(feature = "tracing")]
impl Drop for Resource {
    #[inline]
    fn drop(&mut self) {
        if self.is_shown() {
            self.close();
        }
    }
}
