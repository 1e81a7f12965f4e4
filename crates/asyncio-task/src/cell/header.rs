//! The header of a cell: what the runtime knows of a task whose type it has forgotten.

use std::any::Any;
use std::cell::Cell as StdCell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use asyncio_console::{LoopKey, SpanId, TaskFacts, TaskKind, TaskSpan};

use crate::cancel::Place;
use crate::cell::cell_ref::{ChildQueue, Lease, Owner};
use crate::cell::extra::{Requests, TaskExtra};
use crate::cell::marks::Marks;
use crate::cell::refs::{LocalCount, RemoteCount};
use crate::cell::state::State;
use crate::discard::discard;
use crate::handle::id::{TaskId, TaskName};
use crate::queue::registry::NOWHERE;
use crate::sync::AtomicBool;

/// The header of a cell.
pub(crate) struct Header {
    /// The references of the owner's thread, and those of other threads (`refs.rs`).
    pub(super) local: LocalCount,
    pub(super) remote: RemoteCount,
    /// Its transitions are for the cell only.
    pub(crate) state: State,
    /// A message that wakes this task is in the inbox.
    pub(super) posted: AtomicBool,
    pub(crate) marks: Marks,
    pub(super) vtable: &'static VTable,
    pub(super) owner: Owner,
    /// Where the registry of its owner keeps it.
    index: StdCell<u32>,
    /// The waker of the task that waits for the outcome.
    joiner: StdCell<Option<Joiner>>,
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) location: &'static Location<'static>,
    /// The root of its cancel scopes, once one had to wait in it.
    root: StdCell<Place>,
    /// The scope of the task that awaits it, once that had to wait.
    awaiting: StdCell<Place>,
    extra: StdCell<Option<Rc<TaskExtra>>>,
    /// The span that a console shows, and its number, which never changes.
    pub(crate) span: TaskSpan,
    pub(crate) span_id: SpanId,
}

/// The functions that depend on the types of the future and of what schedules it.
pub(crate) struct VTable {
    /// Polls the future once. Afterwards it is where it was (`Pending`), or gone. While the state says
    /// running.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Progress,
    /// Drops the future; gives the payload if that panics. While the state says running.
    pub(super) drop_future: unsafe fn(NonNull<Header>) -> Result<(), Payload>,
    /// Moves the value to where the pointer points. Once, when the state says done with a value, taken.
    pub(super) read_value: unsafe fn(NonNull<Header>, *mut ()),
    /// Where the value is. When the state says done with a value that has not been taken.
    pub(super) value: unsafe fn(NonNull<Header>) -> *const (),
    /// Whether the value is the `Err` of a `Result`. When there is one, as for `value`.
    pub(super) is_err: unsafe fn(NonNull<Header>) -> bool,
    /// Drops the value; may unwind. Instead of `read_value`. `None` if there is nothing to do.
    pub(super) drop_value: Option<unsafe fn(NonNull<Header>)>,
    /// Hands a step to what schedules the task; may unwind. When it has been woken, so before it ends. `None`: its
    /// queue is the owner's own ready queue.
    pub(super) schedule: Option<ScheduleFn>,
    /// The queue of the children, as long as the task has not ended. `Some` if the future may borrow: then only its own
    /// [`Children`](crate::Children) poll and drop it.
    pub(super) children: Option<ChildQueueFn>,
    /// Frees the cell, when its last reference is gone. On any thread.
    pub(super) dealloc: unsafe fn(NonNull<Header>),
}

pub(super) type ScheduleFn = unsafe fn(NonNull<Header>);
pub(super) type ChildQueueFn = unsafe fn(NonNull<Header>) -> Rc<dyn ChildQueue>;

pub(crate) type Payload = Box<dyn Any + Send>;

/// The result of a poll. The payload of a panic is in the extra part.
// Numbered as the compiler numbers `Polled`, which it becomes: then a step translates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Ready = 0,
    Panicked = 1,
    Pending = 3,
}

/// The waker of a task that waits for the outcome. It may be that of a supervisor, which never leaves its thread (W3 in
/// `waker.rs`), so neither does this. Nothing gets the waker out: it is looked at, woken or dropped.
pub(crate) struct Joiner {
    waker: Waker,
    local: PhantomData<*const ()>,
}

impl Joiner {
    #[inline]
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waker,
            local: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn wake(self) {
        self.waker.wake();
    }
}

impl Deref for Joiner {
    type Target = Waker;

    #[inline]
    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// The data that a new task starts with.
pub(crate) struct NewTask<'a> {
    /// The lease of its owner. It never leaves its thread (O2), so the task is made on the thread of its owner.
    pub(crate) owner: &'a Lease,
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) extra: Option<Rc<TaskExtra>>,
    pub(crate) callback: bool,
    pub(crate) shown: Shown,
}

/// How a console shows a task.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    As(TaskKind),
    /// As a part of the task with this span.
    Within(SpanId),
}

impl NewTask<'_> {
    /// Creates the span of the task, whose future has that size. Calls the subscriber.
    #[inline(always)]
    pub(super) fn span(&self, size: usize) -> (TaskSpan, SpanId) {
        match self.shown {
            Shown::Within(id) => (TaskSpan::default(), id),
            Shown::As(kind) if asyncio_console::is_listening() && !self.callback => {
                self.new_span(kind, size)
            }
            Shown::As(_) => Default::default(),
        }
    }

    #[cold]
    #[inline(never)]
    fn new_span(&self, kind: TaskKind, size: usize) -> (TaskSpan, SpanId) {
        let owner = self.owner.owner();
        TaskSpan::new(&TaskFacts {
            kind,
            of: LoopKey {
                address: std::ptr::from_ref(owner.site()).addr(),
                generation: owner.number(),
            },
            id: self.id.get(),
            parent: self.parent.map(TaskId::get),
            name: self.extra.as_ref().and_then(|extra| extra.name()),
            place: self.location,
            size,
        })
    }
}

impl Header {
    // Always: a call of its own would copy the header once more.
    #[inline(always)]
    pub(super) fn new(
        new: NewTask<'_>,
        (span, span_id): (TaskSpan, SpanId),
        vtable: &'static VTable,
    ) -> Self {
        let (local, remote) = super::refs::anchored();
        Self {
            local,
            remote,
            state: State::new(),
            posted: AtomicBool::new(false),
            marks: Marks::new(new.callback),
            vtable,
            owner: new.owner.owner(),
            index: StdCell::new(NOWHERE),
            joiner: StdCell::new(None),
            id: new.id,
            parent: new.parent,
            location: new.location,
            root: StdCell::new(Place::NONE),
            awaiting: StdCell::new(Place::NONE),
            extra: StdCell::new(new.extra),
            span,
            span_id,
        }
    }

    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    #[inline]
    pub(crate) fn is_owned_by(&self, owner: Owner) -> bool {
        self.owner() == owner
    }

    /// The place where the registry of its owner keeps it.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        self.index.get()
    }

    /// The registry of its owner keeps it at this place.
    #[inline]
    pub(crate) fn note_place(&self, place: u32) {
        self.index.set(place);
    }

    /// Takes the place where the registry of its owner keeps it.
    #[inline]
    pub(crate) fn take_place(&self) -> u32 {
        self.index.replace(NOWHERE)
    }

    /// The root of its cancel scopes.
    #[inline]
    pub(crate) fn root(&self) -> Place {
        self.root.get()
    }

    /// This is the root of its cancel scopes.
    pub(crate) fn set_root(&self, root: Place) {
        self.root.set(root);
    }

    /// Takes the root of its cancel scopes.
    pub(crate) fn take_root(&self) -> Place {
        self.root.replace(Place::NONE)
    }

    /// The scope of the task that awaits it.
    #[inline]
    pub(crate) fn awaiting(&self) -> Place {
        self.awaiting.get()
    }

    /// This is the scope of the task that awaits it.
    #[inline]
    pub(crate) fn set_awaiting(&self, scope: Place) {
        self.awaiting.set(scope);
    }

    /// Takes the scope of the task that awaits it.
    pub(crate) fn take_awaiting(&self) -> Place {
        self.awaiting.replace(Place::NONE)
    }

    /// Whether its queue is the ready queue of its owner.
    #[inline]
    pub(crate) fn is_local(&self) -> bool {
        self.vtable.schedule.is_none()
    }

    /// Whether the future may borrow, so that only its `Children` run it.
    #[inline]
    pub(crate) fn borrows(&self) -> bool {
        self.vtable.children.is_some()
    }

    /// Whether its entries in a queue are plain pointers, of which one that is left behind gets a reference.
    #[inline]
    pub(super) fn has_plain_entries(&self) -> bool {
        self.is_local() || self.borrows()
    }

    /// Whether the task's own context holds any values.
    #[inline]
    pub(crate) fn has_context(&self) -> bool {
        let extra = self.extra.take();
        match extra {
            None => false,
            Some(extra) => {
                let has_context = extra.has_context();
                self.extra.set(Some(extra));
                has_context
            }
        }
    }

    /// Takes the waker of the task that waits for the outcome, to wake it, to drop it or to put it back.
    #[inline]
    pub(crate) fn take_joiner(&self) -> Option<Joiner> {
        self.joiner.take()
    }

    /// Sets the waker of the task that waits for the outcome. There is none, or one that may be dropped here.
    #[inline]
    pub(crate) fn set_joiner(&self, joiner: Option<Joiner>) {
        self.joiner.set(joiner);
    }

    /// Whether anything awaits the end of the task.
    #[inline]
    pub(crate) fn has_joiner(&self) -> bool {
        self.look_at_joiner(|joiner| joiner.is_some())
    }

    /// Calls `look` with the waker of the task that waits for the outcome. Runs no foreign code.
    #[inline]
    pub(crate) fn look_at_joiner<R>(&self, look: impl FnOnce(Option<&Waker>) -> R) -> R {
        let joiner = self.joiner.take();
        let result = look(joiner.as_deref());
        self.joiner.set(joiner);
        result
    }

    /// Whether nothing is left that cares for the thread on which it is dropped.
    pub(super) fn is_bare(&self) -> bool {
        let extra = self.extra();
        !self.has_joiner() && extra.is_none_or(|extra| extra.is_a_name())
    }

    /// The extra part, if there is one.
    pub(crate) fn extra(&self) -> Option<Rc<TaskExtra>> {
        let extra = self.extra.take();
        let copy = extra.clone();
        self.extra.set(extra);
        copy
    }

    /// The extra part, made if need be.
    pub(crate) fn extra_or_new(&self) -> Rc<TaskExtra> {
        self.extra().unwrap_or_else(|| {
            let extra = Rc::<TaskExtra>::default();
            self.extra.set(Some(extra.clone()));
            extra
        })
    }

    pub(crate) fn name(&self) -> TaskName {
        match self.extra().and_then(|extra| extra.name()) {
            Some(name) => TaskName::given(name),
            None => TaskName::numbered(self.id),
        }
    }

    /// Requests to cancel that its scopes have not been told of, which now are.
    pub(crate) fn take_requests(&self) -> Requests {
        self.extra()
            .map(|extra| extra.take_requests())
            .unwrap_or_default()
    }

    /// The message of the request that has ended the task.
    #[inline]
    pub(crate) fn cancel_message(&self) -> Option<Arc<str>> {
        // Most often there is no extra part.
        let extra = self.extra.take()?;
        let message = extra.cancel_message();
        self.extra.set(Some(extra));
        message
    }

    pub(crate) fn keep_payload(&self, payload: Payload) {
        self.extra_or_new().keep_payload(payload);
    }

    /// The payload of the panic that ended the task.
    pub(crate) fn take_payload(&self) -> Payload {
        let payload = self.extra().and_then(|extra| extra.take_payload());
        payload.unwrap_or_else(|| Box::new("the payload of this panic was taken before"))
    }

    /// Drops the context and the payload, when the task is over and its outcome taken or unwanted. The name stays.
    #[inline]
    pub(crate) fn clear_extra(&self) {
        if let Some(extra) = self.extra.take() {
            self.clear(extra);
        }
    }

    #[cold]
    fn clear(&self, extra: Rc<TaskExtra>) {
        let rest = extra.empty();
        if extra.name().is_some() {
            self.extra.set(Some(extra));
        }
        // Foreign values.
        discard(move || drop(rest));
    }

    /// Touches what freeing the cell touches, for the model checker to see.
    #[cfg(all(test, loom))]
    pub(super) fn note_free(&self) {
        self.state.touch();
        self.local.touch();
        self.owner.site().content.note_free();
    }
}
