//! The span of a task, and its number, by which the events of wakers name it.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

#[cfg(feature = "tracing")]
use std::cell::Cell;

use crate::loop_number::LoopKey;
#[cfg(feature = "tracing")]
use crate::{
    emit::{self, emit},
    loop_number::in_process,
};

/// The kind of a task, as the console calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// A task of a loop, or a child of a group.
    Task,
    /// The main task of a run.
    BlockOn,
}

/// The facts that a console shows of a task.
#[derive(Clone, Debug)]
pub struct TaskFacts {
    /// Its kind.
    pub kind: TaskKind,
    /// Its loop.
    pub of: LoopKey,
    /// Its number on its loop.
    pub id: u64,
    /// The number of the task that spawned it.
    pub parent: Option<u64>,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// The place of its spawn.
    pub place: &'static Location<'static>,
    /// The size of its future.
    pub size: usize,
}

/// The number of a task's span, for its wakers on any thread. No number: no console listened when the task was spawned.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SpanId(#[cfg(feature = "tracing")] u64);

/// The span of a task. Empty if no console listened when the task was spawned.
///
/// It may be dropped on any thread.
#[derive(Default)]
pub struct TaskSpan {
    #[cfg(feature = "tracing")]
    span: Cell<Option<Arc<tracing::Span>>>,
}

impl SpanId {
    /// Whether there is a span.
    #[inline(always)]
    #[must_use]
    pub fn is_some(self) -> bool {
        #[cfg(feature = "tracing")]
        let is_some = self.0 != 0;
        #[cfg(not(feature = "tracing"))]
        let is_some = false;
        is_some
    }

    /// A waker of the task was cloned. Calls the subscriber.
    #[inline(always)]
    pub fn note_clone(self) {
        self.note("waker.clone");
    }

    /// A waker of the task was dropped. Calls the subscriber.
    #[inline(always)]
    pub fn note_drop(self) {
        self.note("waker.drop");
    }

    /// A waker of the task was woken, which consumed it. Calls the subscriber.
    #[inline(always)]
    pub fn note_wake(self) {
        self.note("waker.wake");
    }

    /// A waker of the task was woken by reference, or the task without a waker. Calls the subscriber.
    #[inline(always)]
    pub fn note_wake_by_ref(self) {
        self.note("waker.wake_by_ref");
    }

    #[inline(always)]
    fn note(self, op: &'static str) {
        if self.is_some() {
            self.emit(op);
        }
    }

    #[cold]
    #[inline(never)]
    fn emit(self, op: &'static str) {
        #[cfg(feature = "tracing")]
        emit(|| tracing::trace!(target: "runtime::waker", op, task.id = self.0));
        #[cfg(not(feature = "tracing"))]
        let _ = op;
    }
}

impl TaskSpan {
    /// Creates the span of a new task, with its number. Calls the subscriber.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn new(facts: &TaskFacts) -> (Self, SpanId) {
        #[cfg(feature = "tracing")]
        return emit(|| create(facts)).unwrap_or_default();
        #[cfg(not(feature = "tracing"))]
        {
            let _ = facts;
            (Self::default(), SpanId::default())
        }
    }

    /// Enters the span for a step of the task, and exits the span of the task whose step is under way. The console
    /// counts the time of a step for the innermost task alone. Calls the subscriber.
    #[inline(always)]
    pub fn enter(&self, id: SpanId, enclosing: Option<(&Self, SpanId)>) {
        Self::swap(enclosing, Some((self, id)));
    }

    /// Exits the span at the end of the step, and enters that of the enclosing task again. Calls the subscriber.
    #[inline(always)]
    pub fn exit(&self, id: SpanId, enclosing: Option<(&Self, SpanId)>) {
        Self::swap(Some((self, id)), enclosing);
    }

    #[inline(always)]
    fn swap(from: Option<(&Self, SpanId)>, to: Option<(&Self, SpanId)>) {
        let has_span = |of: Option<(&Self, SpanId)>| of.is_some_and(|(_, id)| id.is_some());
        if has_span(from) || has_span(to) {
            Self::emit_swap(from.map(|(span, _)| span), to.map(|(span, _)| span));
        }
    }

    #[cold]
    #[inline(never)]
    fn emit_swap(from: Option<&Self>, to: Option<&Self>) {
        #[cfg(feature = "tracing")]
        {
            if let Some(span) = from.and_then(Self::get) {
                emit(|| emit::exit(&span));
            }
            if let Some(span) = to.and_then(Self::get) {
                emit(|| emit::enter(&span));
            }
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (from, to);
    }

    /// Closes the span at the end of the task. Calls the subscriber.
    #[inline(always)]
    pub fn close(&self, id: SpanId) {
        if id.is_some() {
            self.emit_close();
        }
    }

    #[cold]
    #[inline(never)]
    fn emit_close(&self) {
        #[cfg(feature = "tracing")]
        {
            let span = self.span.take();
            emit(move || drop(span));
        }
    }

    #[cfg(feature = "tracing")]
    fn get(&self) -> Option<Arc<tracing::Span>> {
        // A copy: the subscriber may end the task.
        let span = self.span.take();
        let copy = span.clone();
        self.span.set(span);
        copy
    }
}

#[cfg(feature = "tracing")]
fn create(facts: &TaskFacts) -> (TaskSpan, SpanId) {
    let kind = match facts.kind {
        TaskKind::Task => "task",
        TaskKind::BlockOn => "block_on",
    };
    let of = facts.of.number();
    let span = tracing::trace_span!(
        target: "asyncio::task",
        parent: None,
        "runtime.spawn",
        kind,
        task.id = in_process(of, facts.id),
        task.name = facts.name.as_deref(),
        task.parent = facts.parent.map(|parent| in_process(of, parent)),
        r#loop = of,
        size.bytes = facts.size as u64,
        loc.file = facts.place.file(),
        loc.line = u64::from(facts.place.line()),
        loc.col = u64::from(facts.place.column()),
    );
    match span.id() {
        None => Default::default(),
        Some(id) => {
            let span = Cell::new(Some(Arc::new(span)));
            (TaskSpan { span }, SpanId(id.into_u64()))
        }
    }
}

impl fmt::Debug for TaskSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSpan").finish_non_exhaustive()
    }
}
